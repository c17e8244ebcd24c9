"""What a publication changes, as lines for people: `+` for what is added, `~` for what changes, `-` for what goes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiergate.cli.exits import ExitCode
from tiergate.cli.reports import say_json
from tiergate.cli.terminal import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.cli.remote import ControlPlane

__all__ = ["DryRun", "Note", "ask_to_publish", "tell", "tell_changes"]

DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Only tell what would change, and what stands against it. Exit code 3: it does."),
]
Note = Annotated[str, typer.Option("--note", metavar="TEXT", help="Why, in words, kept with the publication.")]

_MARKS = {"added": ("+", "green"), "changed": ("~", "yellow"), "removed": ("-", "red")}
_MOST = 100


def ask_to_publish(asked: ControlPlane, path: str, body: object, *, as_json: bool) -> dict[str, Any]:
    """Ask for a publication; where customers would lose by it, tell from whom what, and end with 1.

    Raises:
        PublishError, RequestError, SyncError: as `ControlPlane.ask_to_publish`.
    """
    from tiergate.cli.impacts import tell_loss
    from tiergate.errors import LossError

    try:
        said: dict[str, Any] = asked.ask_to_publish(path, body)
    except LossError as error:
        if as_json:
            say_json({"error": error.detail, "exit_code": ExitCode.NO.value, "impact": error.impact})
        else:
            tell_loss(error.impact, error.detail)
        raise typer.Exit(ExitCode.NO) from None
    return said


def tell(said: dict[str, Any], *, dry_run: bool, as_json: bool) -> None:
    """Tell what came, or would come, of publishing.

    Raises:
        PublishError: something stands against it.
    """
    from tiergate.cli.impacts import tell_impact
    from tiergate.cli.remote import problems_of
    from tiergate.errors import PublishError

    problems = problems_of(said.get("problems", ()))
    if as_json:
        say_json(said)
        if problems:
            raise typer.Exit(ExitCode.INPUT)
        return
    tell_changes(said["changes"])
    if said.get("impact", {}).get("examined"):
        tell_impact(said["impact"])
    if problems:
        raise PublishError(problems)
    if not said["changes"]:
        say(f"nothing to publish: publication {said['publication']} is in force")
    elif dry_run:
        say(f"would be published on top of publication {said['publication']}, as {said['revision']}")
    else:
        say(f"publication {said['publication']}: {said['revision']}")


def tell_changes(changes: Sequence[dict[str, Any]]) -> None:
    """Tell each thing that changes, and below it what of it."""
    for change in changes:
        mark, style = _MARKS[change["change"]]
        say(f"{mark} {change['kind']} {change['id']}", style)
        if change["kind"] in {"rule", "roles"}:
            continue
        for detail in change.get("details", ()):
            say("    " + _detail(detail))


def _detail(detail: dict[str, Any]) -> str:
    path = detail["path"].replace("/", " ")
    if "before" not in detail:
        return f"{path}: {_shown(detail['after'])}"
    if "after" not in detail:
        return f"{path}: {_shown(detail['before'])} → nothing"
    return f"{path}: {_shown(detail['before'])} → {_shown(detail['after'])}"


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MOST else text[: _MOST - 1] + "…"
