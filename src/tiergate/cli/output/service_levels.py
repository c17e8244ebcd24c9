"""Service levels, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tiergate.cli.output.console import print_columns, print_line, print_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Json = Mapping[str, Any]

_UNITS: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))
_SHOWN_UNITS: Final = 2


def duration_text(milliseconds: int) -> str:
    """Return a duration as people read it, such as `1 h 5 min`: its two largest units, rounded down."""
    sign, rest, parts = "-" if milliseconds < 0 else "", abs(milliseconds), list[str]()
    for length, unit in _UNITS:
        count, rest = divmod(rest, length)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == _SHOWN_UNITS:
            break
    if not parts:
        return f"{sign}{rest} ms" if rest else "0"
    return sign + " ".join(part for part in parts if part)


def print_service_level(found: Json) -> None:
    """Print how one promise is kept."""
    whose = f", promised by {found['item']}" if "item" in found else ""
    print_line(f"{found['feature']}{whose}: {_promise(found)}")
    until = found["until"] if found["measured_until"] == found["until"] else f"{found['until']} (so far)"
    rows = [("window", f"{found['from']} – {until}")]
    rows += [(name, duration_text(length)) for name, length in found["durations_ms"].items() if length]
    if "availability" in found:
        rows.append(("availability", f"{found['availability']} %, {'kept' if found['kept'] else 'NOT KEPT'}"))
    budget = found.get("budget")
    if budget is not None:
        share = f" ({budget['spent_share']:.1%})" if "spent_share" in budget else ""
        left = f"{duration_text(budget['left_ms'])} left of {duration_text(budget['allowed_ms'])}"
        rows.append(("error budget", f"{duration_text(budget['spent_ms'])} spent{share}, {left}"))
    rates = found.get("burn_rates")
    if rates:
        rows.append(("burn rate", ", ".join(f"{rate:.4g} ({over})" for over, rate in rates.items())))
    print_table(rows)


def print_service_levels(found: Sequence[Json]) -> None:
    """Print a table of promises, and how each is kept."""
    if not found:
        print_line("no service levels")
        return
    rows = [("feature", "promised by", "promise", "availability", "kept", "budget left", "of", "burn rate 1h")]
    for it in found:
        budget, rate = it.get("budget", {}), it.get("burn_rates", {}).get("1h")
        rows.append(
            (
                it["feature"],
                it.get("item", "-"),
                _promise(it),
                f"{it['availability']} %" if "availability" in it else "-",
                {True: "yes", False: "NO", None: "-"}[it.get("kept")],
                duration_text(budget["left_ms"]) if budget else "-",
                duration_text(budget["allowed_ms"]) if budget else "-",
                "-" if rate is None else f"{rate:.4g}",
            )
        )
    print_columns(rows)


def _promise(found: Json) -> str:
    level = found.get("service_level")
    if level is None:
        return "nothing is promised"
    window = level.get("window", "month")
    period = window if isinstance(window, str) else f"{window['every']} {window['of']}s"
    return f"{level['availability']} % of each {period}"
