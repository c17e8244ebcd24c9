"""What a change does to customers, as lines of text: how many, for which feature, and a few examples."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

from tiergate.cli.output.console import print_line, warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.text import Text

_EFFECTS = {
    "loses": ("-", "red", "loses it", "lose it"),
    "less": ("-", "red", "gets less", "get less"),
    "other": ("~", "yellow", "gets something else", "get something else"),
    "unproved": ("?", "yellow", "may lose something: not proved", "may lose something: not proved"),
    "kept": ("=", "dim", "keeps it by an override", "keep it by an override"),
    "more": ("+", "green", "gets more", "get more"),
    "gains": ("+", "green", "gains it", "gain it"),
}
"""The mark, the colour, and the words for one and for several."""

_SWITCH = {True: "on", False: "off"}
_MOST_EXAMPLES = 3


def warn_of_loss(impact: dict[str, Any], detail: str, token: str) -> None:
    """Print to standard error why nothing is published, and the token that accepts the loss."""
    _print_features(impact, warn)
    warn(f"error: {detail.replace(f'`accept_loss` as `{token}`', f'`--accept-loss {token}`')}", "red")


def confirm_loss(impact: dict[str, Any]) -> bool:
    """Show at a terminal what customers would lose, and return whether it is confirmed; false without a terminal."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    _print_features(impact, warn)
    count = impact["customers"]["take"]
    return typer.confirm(f"Reduce this for {count:,} {'customer' if count == 1 else 'customers'}?", err=True)


def print_impact(impact: dict[str, Any]) -> None:
    """Print what a change does to customers."""
    _print_features(impact, print_line)
    customers, examined = impact["customers"], impact["examined"]
    if not examined:
        print_line("no customer is affected")
        return
    reduced = customers["take"]
    parts = [
        f"{customers['touched']:,} affected",
        f"{reduced:,} {'loses or gets' if reduced == 1 else 'lose or get'} less",
    ]
    if customers["above"]:
        parts.append(f"{customers['above']:,} above the new limit")
    print_line(f"checked {examined:,} {'customer' if examined == 1 else 'customers'}: {', '.join(parts)}")


def _print_features(impact: dict[str, Any], write: Callable[[str | Text, str | None], None]) -> None:
    for feature in impact["features"]:
        for effect, (mark, style, singular, plural) in _EFFECTS.items():
            counts = [
                f"{count:,} {kind} {singular}" if count == 1 else f"{count:,} {kind}s {plural}"
                for kind in ("customer", "subscription")
                if (count := feature[f"{kind}s"][effect])
            ]
            if not counts:
                continue
            write(f"{mark} {feature['feature']}: {', '.join(counts)}", style)
            examples = [example for example in feature.get("examples", ()) if example["effect"] == effect]
            for example in sorted(examples, key=_rank)[:_MOST_EXAMPLES]:
                write(f"    {_example(example)}", None)


def _rank(example: dict[str, Any]) -> tuple[bool, bool]:
    """Customers come before single subscriptions, and first those who are above the new limit."""
    return "subscription" in example, not example.get("above", False)


def _example(example: dict[str, Any]) -> str:
    text: str = example["customer"]
    if "subscription" in example:
        text += f", its subscription {example['subscription']}"
    text += f": {_value(example['before'])} → {_value(example['after'])}"
    if example["effect"] == "kept":
        text += " without the override"
    if "shown_by" in example:
        text += f", {_evidence(example['shown_by'])}"
    if "used" in example:
        text += f", {example['used']} used" + (" (above the new limit)" if example["above"] else "")
    return text


def _evidence(evidence: dict[str, Any]) -> str:
    """Describe a check that shows an effect of rules."""
    names = ("amount", "used", "user_used", "value", "level")
    fields = [f"{name} {evidence[name]}" for name in names if name in evidence]
    check = " ".join(["a check", *(["of"] if fields else []), *fields])
    check += f" by user {evidence['user']}" if "user" in evidence else ""
    check += f" with {evidence['total_used']} used by everybody" if "total_used" in evidence else ""
    check += f" with usage that resets at {evidence['resets_at']}" if "resets_at" in evidence else ""
    check += f" while the feature is {evidence['status']}" if "status" in evidence else ""
    reasons = f"{evidence['before']['reason']} → {evidence['after']['reason']}"
    return f"such as {check} at {evidence['at']}: {reasons}"


def _value(entitlement: dict[str, Any]) -> str:
    value = entitlement["value"]
    text = "nothing" if value is None else _SWITCH[value] if isinstance(value, bool) else str(value)
    overage = entitlement.get("overage", 0)
    if overage:
        text += ", soft limit" + ("" if overage == "unlimited" else f", at most {overage} above")
    return text if entitlement["allowed"] or not value else f"{text} ({entitlement['reason']})"
