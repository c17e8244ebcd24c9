"""The options of the commands that publish, and their one request: published, rejected, or shown by a dry run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from tiergate.cli.exit_codes import ExitCode
from tiergate.cli.output.changeset import print_changes, print_combination
from tiergate.cli.output.console import print_line, warn
from tiergate.cli.output.errors import print_json
from tiergate.cli.output.impact import confirm_loss, print_impact, warn_of_loss
from tiergate.cli.shared_options import AsJson  # noqa: TC001 - read at run time, for the options
from tiergate.errors import LossError, OutdatedReviewError, PublishError, SettingsError

if TYPE_CHECKING:
    from tiergate.cli.control_plane_client import ControlPlane

_SHARE = re.compile(r"[0-9]{1,3}(\.[0-9]{1,2})?%?")


def _check_token(text: str | None) -> str | None:
    from tiergate.impact.preview.loss_token import is_loss_token

    if text and not is_loss_token(text):
        detail = f"`{text[:100]}` is not a loss token: `--dry-run`, `preview` and the rejection print it"
        raise SettingsError("accept-loss", detail)
    return text


class PublishOptions(NamedTuple):
    """How to publish."""

    accept_loss: Annotated[
        str | None,
        typer.Option(
            "--accept-loss",
            metavar="[TOKEN]",
            callback=_check_token,
            help="Accept exactly the loss for customers that this token names; `--dry-run`, `preview` and the "
            "rejection print it. Without a token: confirm at the terminal.",
        ),
    ] = None
    if_match: Annotated[
        str | None,
        typer.Option(
            metavar="TAG",
            help="Publish only what the dry run with this tag showed, else exit with 1. Also the number of the "
            "publication that must be current, or the revision that must result.",
        ),
    ] = None
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only print what would change, and the problems. Exit code 3: there are problems."
        ),
    ] = False
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="The reason, kept with the publication.")] = ""
    as_json: AsJson = False

    def request(self, control_plane: ControlPlane, path: str, body: dict[str, object]) -> dict[str, Any]:
        """Request a publication. Exit with 1 if customers would lose something, or `if_match` does not match.

        Raises:
            PublishError, RequestError, SyncError: as `ControlPlane.publish`.
        """
        accepted = {"accept_loss": self.accept_loss} if self.accept_loss else {}
        sent = body | {"dry_run": self.dry_run, "note": self.note} | accepted
        try:
            result: dict[str, Any] = control_plane.publish(path, sent, self.if_match)
        except OutdatedReviewError as error:
            if self.as_json:
                print_json({"error": error.detail, "exit_code": ExitCode.NO.value})
            else:
                warn(f"error: {error.detail}", "red")
            raise typer.Exit(ExitCode.NO) from None
        except LossError as error:
            if self.accept_loss == "" and error.token and not self.as_json and confirm_loss(error.impact):
                return self._replace(accept_loss=error.token).request(control_plane, path, body)
            if self.as_json:
                rejection = {"error": error.detail, "exit_code": ExitCode.NO.value, "impact": error.impact}
                print_json(rejection | {"accept_loss": error.token})
            else:
                warn_of_loss(error.impact, error.detail, error.token)
            raise typer.Exit(ExitCode.NO) from None
        return result

    def print_result(self, result: dict[str, Any]) -> None:
        """Print what was, or would be, published.

        Raises:
            PublishError: if there are problems.
        """
        from tiergate.cli.control_plane_client import read_problems

        problems = read_problems(result.get("problems", ()))
        if self.as_json:
            print_json(result)
            if problems:
                raise typer.Exit(ExitCode.INPUT)
            return
        print_changes(result["changes"])
        if result.get("impact", {}).get("examined"):
            print_impact(result["impact"])
        for combination in result.get("combinations", ()):
            print_combination(combination)
        for place in result.get("discarded", ()):
            verb = "would discard" if self.dry_run else "discarded"
            print_line(f"! {verb} the edit of {place}: it can no longer be published")
        if problems:
            raise PublishError(problems)
        if not result["changes"]:
            print_line(f"nothing to publish: publication {result['publication']} is current")
        elif self.dry_run:
            print_line(f"would become publication {result['publication'] + 1}: {result['revision']}")
            loss = f" --accept-loss {result['accept_loss']}" if "accept_loss" in result else ""
            warn("to publish exactly this: --if-match " + result["etag"].strip('"') + loss)
        else:
            print_line(f"publication {result['publication']}: {result['revision']}")


class SelectionOptions(NamedTuple):
    """Which pending edits to publish, and for which customers."""

    item: Annotated[
        list[str] | None, typer.Option("--item", metavar="ID", help="Only this item; may be given several times.")
    ] = None
    feature: Annotated[list[str] | None, typer.Option("--feature", metavar="ID", help="Only this feature.")] = None
    rule: Annotated[
        list[str] | None,
        typer.Option("--rule", metavar="KIND/NAME", help="Only this file of the rules, such as `policies/eu`."),
    ] = None
    roles: Annotated[
        bool, typer.Option("--roles", help="Only the table of roles, and what the other options name.")
    ] = False
    audience: Annotated[
        str | None,
        typer.Option(
            metavar="AUDIENCE", help="Who gets new versions: `everybody` (default), `new`, `25%` or `tag:NAME`."
        ),
    ] = None
    start: Annotated[
        str | None, typer.Option("--from", metavar="INSTANT", help="When new versions start; default: immediately.")
    ] = None

    def body(self) -> dict[str, object]:
        """Return the members of the request's body; empty for everything that is pending.

        Raises:
            SettingsError: if the audience is not valid.
        """
        body: dict[str, object] = {
            key: ids for key, ids in (("items", self.item), ("features", self.feature), ("rules", self.rule)) if ids
        }
        if self.roles:
            body["roles"] = True
        rollout: dict[str, object] = {} if self.audience is None else {"audience": _read_audience(self.audience)}
        if self.start is not None:
            rollout["from"] = self.start
        return body | ({"rollout": rollout} if rollout else {})


def _read_audience(text: str) -> object:
    if text in {"everybody", "new"}:
        return text
    if text.startswith("tag:"):
        return {"tag": text.removeprefix("tag:")}
    if _SHARE.fullmatch(text):
        return {"share": float(text.removesuffix("%"))}
    raise SettingsError("audience", f"`{text}` must be `everybody`, `new`, `25%` or `tag:NAME`")
