"""What a publication changes, as lines for people: `+` for what is added, `~` for what changes, `-` for what goes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiergate.cli.exit_codes import ExitCode
from tiergate.cli.output.console import say, warn
from tiergate.cli.output.errors import say_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.cli.control_plane_client import ControlPlane

DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Only tell what would change, and what stands against it. Exit code 3: it does."),
]
Note = Annotated[str, typer.Option("--note", metavar="TEXT", help="Why, in words, kept with the publication.")]

IfMatch = Annotated[
    str | None,
    typer.Option(
        "--if-match",
        metavar="TAG",
        help="Only if it does exactly what the dry run with this tag said, else exit code 1. Also the number of the "
        "publication that must be in force, or the revision that must come of it.",
    ),
]

_MARKS = {"added": ("+", "green"), "changed": ("~", "yellow"), "removed": ("-", "red")}
_MOST = 100
_SHOWN = 3


def ask_to_publish(
    asked: ControlPlane,
    path: str,
    body: dict[str, object],
    *,
    accept_loss: str | None = None,
    if_match: str | None = None,
    as_json: bool,
) -> dict[str, Any]:
    """Ask for a publication; where customers would lose by it, tell from whom what, and end with 1.

    It ends with 1 too where it is not what `if_match` names.

    `accept_loss`: the token of the loss that is meant; empty: ask at the terminal, where there is one.

    Raises:
        PublishError, RequestError, SyncError: as `ControlPlane.ask_to_publish`.
    """
    from tiergate.cli.output.impact import accept_at_terminal, tell_loss
    from tiergate.errors import LossError, OutdatedReviewError

    accepted: dict[str, object] = {"accept_loss": accept_loss} if accept_loss else {}
    try:
        said: dict[str, Any] = asked.ask_to_publish(path, body | accepted, if_match)
    except OutdatedReviewError as error:
        if as_json:
            say_json({"error": error.detail, "exit_code": ExitCode.NO.value})
        else:
            warn(f"error: {error.detail}", "red")
        raise typer.Exit(ExitCode.NO) from None
    except LossError as error:
        if accept_loss == "" and error.token and not as_json and accept_at_terminal(error.impact):
            return ask_to_publish(asked, path, body, accept_loss=error.token, if_match=if_match, as_json=as_json)
        if as_json:
            refused = {"error": error.detail, "exit_code": ExitCode.NO.value, "impact": error.impact}
            say_json(refused | {"accept_loss": error.token})
        else:
            tell_loss(error.impact, error.detail, error.token)
        raise typer.Exit(ExitCode.NO) from None
    return said


def tell(said: dict[str, Any], *, dry_run: bool, as_json: bool) -> None:
    """Tell what came, or would come, of publishing.

    Raises:
        PublishError: something stands against it.
    """
    from tiergate.cli.control_plane_client import problems_of
    from tiergate.cli.output.impact import tell_impact
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
    for one in said.get("combinations", ()):
        say(_combination(one))
    for place in said.get("discarded", ()):
        say(f"! {'would discard' if dry_run else 'discarded'} the edit of {place}: it can no longer be published")
    if problems:
        raise PublishError(problems)
    if not said["changes"]:
        say(f"nothing to publish: publication {said['publication']} is current")
    elif dry_run:
        say(f"would become publication {said['publication'] + 1}: {said['revision']}")
        loss = f" --accept-loss {said['accept_loss']}" if "accept_loss" in said else ""
        warn("to publish exactly this: --if-match " + said["etag"].strip('"') + loss)
    else:
        say(f"publication {said['publication']}: {said['revision']}")


_COMBINATIONS = {
    "not-available": "have {item} without a plan that offers it",
    "missing-dependency": "have {item} without an item that it depends on",
    "excluded": "have {item} with an item that it excludes",
    "several-plans": "have several plans",
}


def _combination(one: dict[str, Any]) -> str:
    count = one["subscriptions"]
    what = _COMBINATIONS[one["code"]].format(item=one.get("item", ""))
    named = ", ".join(it["subscription"] for it in one.get("examples", ())[:_SHOWN])
    among = f" ({named}{', …' if count > _SHOWN else ''})" if named else ""
    holders = "subscription" if count == 1 else "subscriptions"
    return f"! {count:,} {holders}{among} {what}: they keep it, but it cannot be added again"


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
