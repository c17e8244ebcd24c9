"""`tiergate publish`: what is edited on the control plane takes effect."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from tiergate.cli.control_plane_client import DEFAULT_URL, ControlPlaneUrl, KeyFile
from tiergate.cli.output.changeset import DryRun, IfMatch, Note
from tiergate.cli.output.impact import AcceptLoss
from tiergate.cli.shared_options import AsJson
from tiergate.errors import SettingsError

app = typer.Typer()

_SHARE = re.compile(r"[0-9]{1,3}(\.[0-9]{1,2})?%?")


ChosenItems = Annotated[
    list[str] | None, typer.Option("--item", metavar="ID", help="Only this item; may be given several times.")
]
ChosenFeatures = Annotated[list[str] | None, typer.Option("--feature", metavar="ID", help="Only this feature.")]
ChosenRules = Annotated[
    list[str] | None,
    typer.Option("--rule", metavar="KIND/NAME", help="Only this file of the rules, such as `policies/eu`."),
]
ChosenRoles = Annotated[bool, typer.Option("--roles", help="Only the table of roles, and what else is named.")]
Audience = Annotated[
    str | None,
    typer.Option(metavar="WHOM", help="Who gets new versions: `everybody` (default), `new`, `25%` or `tag:NAME`."),
]
From = Annotated[str | None, typer.Option("--from", metavar="INSTANT", help="From when on; default: at once.")]


@app.command()
def publish(
    *,
    key_file: KeyFile,
    control_plane: ControlPlaneUrl = DEFAULT_URL,
    item: ChosenItems = None,
    feature: ChosenFeatures = None,
    rule: ChosenRules = None,
    roles: ChosenRoles = False,
    audience: Audience = None,
    start: From = None,
    accept_loss: AcceptLoss = None,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Publish what is edited and not published yet, and tell what that changes.

    Where customers would lose something by it, or get less, it is refused with exit code 1, unless `--accept-loss`.
    """
    from tiergate.cli.control_plane_client import ControlPlane
    from tiergate.cli.output.changeset import ask_to_publish, tell
    from tiergate.cli.output.console import working

    body = chosen(item, feature, rule, roles=roles, audience=audience, start=start)
    body |= {"dry_run": dry_run, "note": note}
    asked = ControlPlane(control_plane, key_file)
    with working("publishing"):
        said = ask_to_publish(asked, "/v1/publish", body, accept_loss=accept_loss, if_match=if_match, as_json=as_json)
    tell(said, dry_run=dry_run, as_json=as_json)


def chosen(
    items: list[str] | None,
    features: list[str] | None,
    rules: list[str] | None,
    *,
    roles: bool,
    audience: str | None,
    start: str | None,
) -> dict[str, object]:
    """The members of a body that say what is published, and to whom; empty for all that is pending.

    Raises:
        SettingsError: the audience is none.
    """
    body: dict[str, object] = {
        key: ids for key, ids in (("items", items), ("features", features), ("rules", rules)) if ids
    }
    if roles:
        body["roles"] = True
    rollout = ({} if audience is None else {"audience": _audience(audience)}) | (
        {} if start is None else {"from": start}
    )
    return body | ({"rollout": rollout} if rollout else {})


def _audience(text: str) -> object:
    """Read `--audience`.

    Raises:
        SettingsError: it is none.
    """
    if text in {"everybody", "new"}:
        return text
    if text.startswith("tag:"):
        return {"tag": text.removeprefix("tag:")}
    if _SHARE.fullmatch(text):
        return {"share": float(text.removesuffix("%"))}
    raise SettingsError("audience", f"`{text}` must be `everybody`, `new`, `25%` or `tag:NAME`")
