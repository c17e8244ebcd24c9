"""`tiergate compile`: compile catalog files and rules into a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiergate.cli.output.console import print_line, show_activity
from tiergate.cli.output.errors import print_json
from tiergate.cli.shared_options import AsJson, Catalogs, RulesFolder

app = typer.Typer()


@app.command("compile")
def compile_(
    catalog: Catalogs,
    *,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="The folder to write; an existing bundle is replaced."),
    ],
    rules: RulesFolder = None,
    as_json: AsJson = False,
) -> None:
    """Compile a catalog into a bundle: Cedar policies, entity data and a manifest, as plain files."""
    from tiergate import bundle, publish

    with show_activity("compiling"):
        files = publish.compile_bundle(catalog, rules)
    with show_activity("writing"):
        revision = bundle.write_bundle(files, output)
    index = bundle.Bundle.open(output).index
    versions = sum(len(item.versions) for item in index.items.values())
    sizes = {"files": len(files) + 1, "features": len(index.features), "items": len(index.items), "versions": versions}
    if as_json:
        print_json({"revision": revision, "output": str(output), **sizes})
        return
    print_line(f"{output}: " + ", ".join(f"{count:,} {kind}" for kind, count in sizes.items()))
    print_line(revision)
