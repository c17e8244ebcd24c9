"""`tiergate import`: foreign formats become a catalog file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiergate.cli.output.console import print_line, show_activity, warn

app = typer.Typer(name="import", no_args_is_help=True)


@app.callback()
def import_() -> None:
    """Make a catalog file from pricings in another format."""


@app.command()
def pricing2yaml(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Pricing2Yaml files; together they make one catalog.")
    ],
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The catalog file; default: standard output.")
    ] = None,
    prefix: Annotated[
        bool,
        typer.Option("--prefix", help="Put the service and its version before every id, so that pricings can be one."),
    ] = False,
) -> None:
    """Import pricings in the Pricing2Yaml format, versions 1.0 to 3.1."""
    from tiergate.catalog import dump_catalog
    from tiergate.catalog.pricing2yaml import import_pricings

    with show_activity("importing"):
        catalog = import_pricings(files, prefix=prefix)
        text = dump_catalog(catalog)
    if output is None:
        print_line(text.removesuffix("\n"))
        return
    output.write_text(text, encoding="utf-8")
    warn(f"{output}: {len(catalog.features):,} features, {len(catalog.items):,} items")
