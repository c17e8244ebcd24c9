"""Usage, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tiergate.cli.output.console import print_columns, print_line
from tiergate.cli.output.decision import print_answer
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from tiergate.client import Consumption, FeatureUsage, RecordedUsage
    from tiergate.model import Number


def print_consumption(consumption: Consumption) -> None:
    """Print a decision and what was counted."""
    print_answer(consumption.answer)
    again = ", counted before" if consumption.replayed else ""
    print_line(f"consumed {consumption.consumed}, key {consumption.key}{again}")


def consumption_json(consumption: Consumption) -> bytes:
    """Return a consumption as JSON."""
    answer = consumption.answer
    members = {
        "allowed": answer.allowed,
        "reason": answer.reason,
        "feature": answer.feature,
        "entitlement": _present(answer.entitlement),
        "consumed": consumption.consumed,
        "key": consumption.key,
        "replayed": consumption.replayed,
    }
    return encode(members)


def print_recorded(recorded: RecordedUsage) -> None:
    """Print what was counted after the fact."""
    window = recorded.window
    span = " in the window " + _span(window.start, window.until) if window.start or window.until else ""
    again = ", counted before" if recorded.replayed else ""
    print_line(f"counted {recorded.amount} of {recorded.feature}{span}, key {recorded.key}{again}")


def recorded_json(recorded: RecordedUsage) -> bytes:
    """Return usage after the fact as JSON."""
    return encode(_present(recorded))


def print_usage(usage: list[FeatureUsage]) -> None:
    """Print a table of features."""
    rows = [
        (
            one.feature,
            str(one.used),
            "unlimited" if one.unlimited else _text(one.limit),
            _text(one.remaining),
            _text(one.overage),
            _moment(one.resets_at) or "never",
        )
        for one in usage
    ]
    print_columns([("feature", "used", "limit", "remaining", "overage", "resets"), *rows])


def usage_json(usage: list[FeatureUsage]) -> bytes:
    """Return the usage of features as JSON."""
    return encode({"usage": [_present(one) for one in usage]})


def print_allocation(features: Sequence[Mapping[str, Any]]) -> None:
    """Print a table of what is allowed and used of features, and of how many customers have used which part."""
    if not features:
        print_line("no metered features")
        return
    heads = ("feature", "customers", "unlimited", "allowed", "used", "share", "<50 %", "<75 %", "<90 %", "<100 %")
    rows = []
    for one in features:
        by_share = one["customers_by_share"]
        below_50 = sum(by_share[name] for name in ("none", "below_25", "below_50"))
        counts = [below_50, *(by_share[name] for name in ("below_75", "below_90", "below_100", "full", "over"))]
        numbers = (one["customers"], one["unlimited"], one["allowed"], one["used"])
        share = f"{one['share']:.1%}" if "share" in one else ""
        rows.append((one["feature"], *map(str, numbers), share, *map(str, counts)))
    print_columns([(*heads, "100 %", "above"), *rows])


def print_leases(leases: Sequence[Mapping[str, Any]]) -> None:
    """Print a table of leases."""
    if not leases:
        print_line("no leases")
        return
    heads = ("holder", "of", "feature", "amount", "reported", "state", "expires", "last seen")
    rows = [
        (
            lease["holder"],
            _whose(lease),
            lease["feature"],
            str(lease["amount"]),
            str(lease["reported"]),
            lease["state"].replace("_", " "),
            lease["expires_at"],
            lease["seen_at"],
        )
        for lease in leases
    ]
    print_columns([heads, *rows])


def print_written_off(found: Mapping[str, Any]) -> None:
    """Print what was given up."""
    how = "as spent" if found["spent"] == "all" else "as not spent"
    for one in found["written_off"]:
        print_line(f"written off {how}: {one['amount']} of {one['feature']}, {_whose(one)}")


def _whose(entry: Mapping[str, Any]) -> str:
    parts = [entry[name] for name in ("customer", "subscription", "user") if name in entry]
    return " / ".join(parts) or "everybody"


def _present(value: msgspec.Struct) -> dict[str, Any]:
    """Return the members of a struct that are there."""
    members: dict[str, Any] = msgspec.to_builtins(value, builtin_types=[])
    return {
        name: {inner: text for inner, text in member.items() if text is not None}
        if isinstance(member, dict)
        else member
        for name, member in members.items()
        if member is not None and member != ""
    }


def _text(number: Number | None) -> str:
    return "" if number is None else str(number)


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _span(start: datetime | None, until: datetime | None) -> str:
    return f"{_moment(start)}/{_moment(until)}"


def print_exports(exports: Mapping[str, Any]) -> None:
    """Print how far a control plane's export to its object store is."""
    print_line(f"final through {exports['final'] or 'no day yet'}")
    for label, days in (("written once", exports["written"]), ("requested", exports["requested"])):
        if days:
            print_line(f"{label}: {', '.join(days)}")
    if exports["writing"]:
        print_line(f"writing {exports['writing']}")
    if exports["failing"]:
        print_line("failing: see the control plane's log", "bold red")
