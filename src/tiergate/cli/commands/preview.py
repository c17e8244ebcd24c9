"""`tiergate preview`: whom a change would give something, and from whom it would take it, before it is published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiergate.cli.commands.publish import Audience, ChosenFeatures, ChosenItems, ChosenRoles, ChosenRules, From
from tiergate.cli.control_plane_client import DEFAULT_URL, ControlPlaneUrl, OptionalKeyFile
from tiergate.cli.local_engine import SubjectsFiles
from tiergate.cli.shared_options import AsJson
from tiergate.errors import SettingsError

if TYPE_CHECKING:
    from tiergate.cli.preview_sources import Found, Local

app = typer.Typer()


@app.command()
def preview(
    *,
    catalog: Annotated[
        list[str] | None,
        typer.Option(
            "--catalog",
            metavar="NEW",
            help="What comes: a catalog file or folder, or a bundle's folder; default: what is pending. "
            "Several files for a control plane.",
        ),
    ] = None,
    catalog_old: Annotated[
        str | None,
        typer.Option("--catalog-old", metavar="OLD", help="What is, in the same forms; default: what is published."),
    ] = None,
    subjects: SubjectsFiles = None,
    rules: Annotated[
        Path | None, typer.Option("--rules", metavar="DIR", help="The folder of rules that goes with `--catalog`.")
    ] = None,
    rules_old: Annotated[
        Path | None,
        typer.Option("--rules-old", metavar="DIR", help="Of `--catalog-old`, if it has others than `--rules`."),
    ] = None,
    usage: Annotated[
        list[Path] | None,
        typer.Option("--usage", metavar="FILE", help="What subjects have used, as NDJSON or CSV; several times."),
    ] = None,
    log: Annotated[
        list[Path] | None,
        typer.Option(
            "--log", metavar="FILE", help="A decision log: which checks that it allowed would be denied; several times."
        ),
    ] = None,
    listing: Annotated[
        Path | None,
        typer.Option("--list", metavar="FILE", help="Write every single effect here, a JSON object a line."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="INSTANT", help="Look at this instant alone; default: at now and all that comes."),
    ] = None,
    control_plane: ControlPlaneUrl = DEFAULT_URL,
    key_file: OptionalKeyFile = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="With `--catalog` and a control plane: as `apply --prune`.")
    ] = False,
    item: ChosenItems = None,
    feature: ChosenFeatures = None,
    rule: ChosenRules = None,
    roles: ChosenRoles = False,
    audience: Audience = None,
    start: From = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with 1 if somebody loses something or gets less, or may.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell how many customers, and which, would gain something, lose it, get less or more of it.

    The customers of files (`--subjects`), or of a control plane: then of what is pending there, of what is chosen of
    that as for `publish`, or of `--catalog` as for `apply`. Nothing is changed.
    """
    from tiergate.cli.commands.publish import chosen
    from tiergate.cli.control_plane_client import ControlPlane
    from tiergate.cli.exit_codes import ExitCode
    from tiergate.cli.preview_sources import Local, on_control_plane, on_files, tell
    from tiergate.cli.shared_options import instant

    asked = ControlPlane(control_plane, key_file) if key_file is not None else None
    choice = chosen(item, feature, rule, roles=roles, audience=audience, start=start)
    found: Found
    if subjects or usage or log or catalog_old:
        if choice or prune:
            raise SettingsError("item", "choices as for `publish`, and `--prune`, go with neither files nor usage")
        local: Local = Local(
            catalog, catalog_old, subjects or [], rules, rules_old, usage or [], log or [], listing, instant(None)
        )
        found = on_files(local, None if at is None else instant(at), asked)
    else:
        if asked is None:
            raise SettingsError("key-file", "is required to ask a control plane; or give `--catalog` and `--subjects`")
        found = on_control_plane(asked, catalog or [], rules, choice, prune=prune, at=at, listing=listing)
    tell(found, as_json=as_json)
    if exit_code and found.takes:
        raise typer.Exit(ExitCode.NO)
