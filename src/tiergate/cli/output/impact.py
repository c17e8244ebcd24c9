"""What a change does to customers, as lines for people: how many, of which feature, and a few of them by name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiergate.cli.output.console import say, warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.text import Text


def _token(text: str | None) -> str | None:
    from tiergate.errors import SettingsError
    from tiergate.impact.preview.loss_token import is_loss_token

    if text and not is_loss_token(text):
        detail = f"`{text[:100]}` is no token of a loss: `--dry-run`, `preview` and the refusal print it"
        raise SettingsError("accept-loss", detail)
    return text


AcceptLoss = Annotated[
    str | None,
    typer.Option(
        "--accept-loss",
        metavar="[TOKEN]",
        callback=_token,
        help="Take from customers what this token names, and nothing else; `--dry-run`, `preview` and the refusal "
        "print it. Without a token: ask at the terminal.",
    ),
]

_WORDS = {
    "loses": ("-", "red", "loses it", "lose it"),
    "less": ("-", "red", "gets less", "get less"),
    "other": ("~", "yellow", "gets something else", "get something else"),
    "unproved": ("?", "yellow", "may lose something: not proved", "may lose something: not proved"),
    "kept": ("=", "dim", "keeps it by an override", "keep it by an override"),
    "more": ("+", "green", "gets more", "get more"),
    "gains": ("+", "green", "gains it", "gain it"),
}
_SHOWN = 3


def tell_loss(impact: dict[str, Any], detail: str, token: str) -> None:
    """Tell on standard error why something is not published, and with which token it would be."""
    _tell(impact, warn)
    warn(f"error: {detail.replace(f'`accept_loss` as `{token}`', f'`--accept-loss {token}`')}", "red")


def accept_at_terminal(impact: dict[str, Any]) -> bool:
    """Show at a terminal what customers would lose, and ask whether that is meant; elsewhere it is not."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    _tell(impact, warn)
    count = impact["customers"]["take"]
    return typer.confirm(f"Take this from {count:,} {'customer' if count == 1 else 'customers'}?", err=True)


def tell_impact(impact: dict[str, Any]) -> None:
    """Tell what a change does to customers."""
    _tell(impact, say)
    customers = impact["customers"]
    if not impact["examined"]:
        say("no customer is affected")
        return
    examined, take, above = impact["examined"], customers["take"], customers["above"]
    parts = [f"{customers['touched']:,} affected"]
    parts.append(f"{take:,} {'loses or gets' if take == 1 else 'lose or get'} less")
    if above:
        parts.append(f"{above:,} above the new limit")
    say(f"checked {examined:,} {'customer' if examined == 1 else 'customers'}: {', '.join(parts)}")


def _tell(impact: dict[str, Any], write: Callable[[str | Text, str | None], None]) -> None:
    for feature in impact["features"]:
        for effect, (mark, style, one, many) in _WORDS.items():
            counts = [
                f"{count:,} {kind if count == 1 else kind + 's'} {one if count == 1 else many}"
                for kind in ("customer", "subscription")
                if (count := feature[f"{kind}s"][effect])
            ]
            if not counts:
                continue
            write(f"{mark} {feature['feature']}: {', '.join(counts)}", style)
            examples = [it for it in feature.get("examples", ()) if it["effect"] == effect]
            for example in sorted(examples, key=_weight)[:_SHOWN]:
                write(f"    {_example(example)}", None)


def _weight(example: dict[str, Any]) -> tuple[bool, bool]:
    """Customers come before single subscriptions, and first those who have used more than they may then."""
    return "subscription" in example, not example.get("above", False)


def _example(example: dict[str, Any]) -> str:
    whom = example["customer"]
    if "subscription" in example:
        whom = f"{whom}, its subscription {example['subscription']}"
    words = f"{whom}: {_answered(example['before'])} → {_answered(example['after'])}"
    if example["effect"] == "kept":
        words += " without the override"
    if "shown_by" in example:
        words += f", {_shown(example['shown_by'])}"
    if "used" in example:
        words += f", {example['used']} used" + (" (above the new limit)" if example["above"] else "")
    return words


def _shown(shown: dict[str, Any]) -> str:
    """A check that shows an effect of rules."""
    asked = [f"{name} {shown[name]}" for name in ("amount", "used", "user_used", "value", "level") if name in shown]
    words = " ".join(["a check", *(["of"] if asked else []), *asked])
    words += f" by user {shown['user']}" if "user" in shown else ""
    words += f" with {shown['total_used']} used by everybody" if "total_used" in shown else ""
    return f"such as {words} at {shown['at']}: {shown['before']['reason']} → {shown['after']['reason']}"


def _answered(answered: dict[str, Any]) -> str:
    value = answered["value"]
    if value is None:
        text = "nothing"
    elif isinstance(value, bool):
        text = "on" if value else "off"
    else:
        text = str(value)
    return text if answered["allowed"] or not value else f"{text} ({answered['reason']})"
