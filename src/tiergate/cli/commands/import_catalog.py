"""`tiergate import`: convert other formats to a catalog file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiergate.cli.output.console import print_line, show_activity, warn
from tiergate.cli.shared_options import OutputFile

app = typer.Typer(name="import", no_args_is_help=True)


@app.callback()
def import_() -> None:
    """Convert pricings in another format to a catalog file."""


@app.command()
def pricing2yaml(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Pricing2Yaml files; together they make one catalog.")
    ],
    *,
    output: OutputFile = None,
    prefix: Annotated[
        bool,
        typer.Option(
            "--prefix", help="Prefix every id with the service and its version, so that pricings can be combined."
        ),
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
