"""`tiergate preview`: show what a change gives to customers and what it takes away, before it is published."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from tiergate.cli.control_plane_client import OptionalControlPlaneOptions
from tiergate.cli.exit_codes import ExitCode
from tiergate.cli.option_groups import expand_options
from tiergate.cli.publish_options import SelectionOptions
from tiergate.cli.shared_options import AsJson, SubjectsFiles
from tiergate.errors import SettingsError

app = typer.Typer()

_NEW = (
    "The new side: a catalog file or folder, or a bundle's folder; default: what is pending. "
    "Several files for a control plane."
)


_Files = list[Path] | None
_File = Path | None


class PreviewInput(NamedTuple):
    """What to compare, and for which customers."""

    catalog: Annotated[list[str] | None, typer.Option(metavar="NEW", help=_NEW)] = None
    catalog_old: Annotated[
        str | None, typer.Option(metavar="OLD", help="The old side, in the same forms; default: what is published.")
    ] = None
    subjects: SubjectsFiles = None
    rules: Annotated[_File, typer.Option(metavar="DIR", help="The folder of rules of `--catalog`.")] = None
    rules_old: Annotated[
        _File, typer.Option(metavar="DIR", help="The rules of `--catalog-old`, if they differ from `--rules`.")
    ] = None
    usage: Annotated[
        _Files, typer.Option(metavar="FILE", help="The usage of subjects, as NDJSON or CSV; several times.")
    ] = None
    log: Annotated[
        _Files,
        typer.Option(
            metavar="FILE", help="A decision log, to find allowed checks that would be denied; several times."
        ),
    ] = None
    listing: Annotated[
        _File, typer.Option("--list", metavar="FILE", help="Write every effect here, a JSON object a line.")
    ] = None
    at: Annotated[
        str | None,
        typer.Option(metavar="INSTANT", help="Compare at this instant only; default: now and at all later times."),
    ] = None


@app.command()
@expand_options
def preview(
    *,
    options: PreviewInput,
    connection: OptionalControlPlaneOptions,
    prune: Annotated[
        bool, typer.Option("--prune", help="With `--catalog` and a control plane: as `apply --prune`.")
    ] = False,
    selection: SelectionOptions,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 if a customer loses something or gets less, or may.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show how many customers, and which, would gain something, lose it, get less or more of it.

    The customers come from files (`--subjects`) or from a control plane. A control plane previews its pending edits, a
    selection of these as for `publish`, or `--catalog` as for `apply`. Nothing is changed.
    """
    from tiergate.cli.output.preview import print_preview
    from tiergate.cli.preview_sources import preview_from_files, preview_on_control_plane

    control_plane, body = connection.client(), selection.body()
    if options.subjects or options.usage or options.log or options.catalog_old:
        if body or prune:
            raise SettingsError(
                "item", "selections as for `publish`, and `--prune`, cannot be combined with files or usage"
            )
        result = preview_from_files(options, control_plane)
    elif control_plane is not None:
        result = preview_on_control_plane(control_plane, options, body, prune=prune)
    else:
        raise SettingsError("key-file", "is required for a control plane; or give `--catalog` and `--subjects`")
    print_preview(result, as_json=as_json)
    if exit_code and result.has_losses:
        raise typer.Exit(ExitCode.NO)
