"""What a publication changes, as lines of text: `+` for added, `~` for changed, `-` for removed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from tiergate.cli.output.console import print_line
from tiergate.cli.output.metering_words import describe_amount, describe_metering

if TYPE_CHECKING:
    from collections.abc import Sequence

CHANGE_MARKS = {"added": ("+", "green"), "changed": ("~", "yellow"), "removed": ("-", "red")}
"""The mark and the colour of each kind of change."""

_MOST_CHARACTERS = 100
_MOST_EXAMPLES = 3
_COMBINATIONS = {
    "not-available": "have {item} without a plan that offers it",
    "missing-dependency": "have {item} without an item that it depends on",
    "excluded": "have {item} with an item that it excludes",
    "several-plans": "have several plans",
}
_VERSION: Final = re.compile(r"versions \d+")


def print_combination(combination: dict[str, Any]) -> None:
    """Print a combination of items that subscriptions have and that the change makes impossible."""
    count = combination["subscriptions"]
    conflict = _COMBINATIONS[combination["code"]].format(item=combination.get("item", ""))
    examples = ", ".join(it["subscription"] for it in combination.get("examples", ())[:_MOST_EXAMPLES])
    names = f" ({examples}{', …' if count > _MOST_EXAMPLES else ''})" if examples else ""
    subscriptions = "subscription" if count == 1 else "subscriptions"
    print_line(f"! {count:,} {subscriptions}{names} {conflict}: they keep it, but it cannot be added again")


def print_changes(changes: Sequence[dict[str, Any]]) -> None:
    """Print each thing that changes, and below it the details."""
    for change in changes:
        mark, style = CHANGE_MARKS[change["change"]]
        print_line(f"{mark} {change['kind']} {change['id']}", style)
        if change["kind"] in {"rule", "roles"}:
            continue
        for detail in change.get("details", ()):
            words = _metering(detail) if change["kind"] == "feature" else None
            print_line("    " + (words or _detail(detail)))


def shorten(text: str) -> str:
    """Cut a text to the length that a line shows of a value."""
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"


def _metering(detail: dict[str, Any]) -> str | None:
    return describe_metering(detail["path"], detail.get("before"), detail.get("after"))


def _detail(detail: dict[str, Any]) -> str:
    path = detail["path"].replace("/", " ")
    if "before" not in detail:
        return f"{path}: {_value(detail['after'])}"
    # A version stays in the store, for those who are pinned to it, when the catalog goes on with another.
    gone = "no longer in the catalog" if _VERSION.fullmatch(path) else "nothing"
    return f"{path}: {_value(detail['before'])} → {_value(detail['after']) if 'after' in detail else gone}"


def _value(value: object) -> str:
    words = describe_amount(value)
    if words is not None:
        return words
    return shorten(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
