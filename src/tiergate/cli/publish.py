"""`tiergate publish`: what is edited on the control plane takes effect."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from tiergate.cli.changes import DryRun, Note
from tiergate.cli.options import AsJson
from tiergate.cli.remote import DEFAULT_URL, ControlPlaneUrl, KeyFile
from tiergate.errors import SettingsError

__all__ = ["app"]

app = typer.Typer()

_SHARE = re.compile(r"[0-9]{1,3}(\.[0-9]{1,2})?%?")


@app.command()
def publish(
    *,
    key_file: KeyFile,
    control_plane: ControlPlaneUrl = DEFAULT_URL,
    item: Annotated[
        list[str] | None, typer.Option("--item", metavar="ID", help="Only this item; may be given several times.")
    ] = None,
    feature: Annotated[list[str] | None, typer.Option("--feature", metavar="ID", help="Only this feature.")] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option("--rule", metavar="KIND/NAME", help="Only this file of the rules, such as `policies/eu`."),
    ] = None,
    roles: Annotated[bool, typer.Option("--roles", help="Only the table of roles, and what else is named.")] = False,
    audience: Annotated[
        str | None,
        typer.Option(metavar="WHOM", help="Who gets new versions: `everybody` (default), `new`, `25%` or `tag:NAME`."),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="INSTANT", help="From when on; default: at once.")
    ] = None,
    dry_run: DryRun = False,
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Publish what is edited and not published yet, and tell what that changes."""
    from tiergate.cli.changes import tell
    from tiergate.cli.remote import ControlPlane
    from tiergate.cli.terminal import working

    body: dict[str, object] = {"dry_run": dry_run, "note": note}
    body |= {key: ids for key, ids in (("items", item), ("features", feature), ("rules", rule)) if ids}
    if roles:
        body["roles"] = True
    rollout = ({} if audience is None else {"audience": _audience(audience)}) | (
        {} if start is None else {"from": start}
    )
    if rollout:
        body["rollout"] = rollout
    with working("publishing"):
        said = ControlPlane(control_plane, key_file).ask("POST", "/v1/publish", body=body)
    tell(said, dry_run=dry_run, as_json=as_json)


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
