"""`tiergate compile`: catalog files and rules become a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiergate.cli.shared_options import AsJson, Catalogs, RulesFolder

app = typer.Typer()


@app.command("compile")
def compile_(
    catalog: Catalogs,
    *,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="Where to write the bundle; one that is there is replaced."),
    ],
    rules: RulesFolder = None,
    as_json: AsJson = False,
) -> None:
    """Compile a catalog into a bundle: Cedar policies, entity data and a manifest, as plain files."""
    from tiergate import bundle, publish
    from tiergate.cli.output.console import say, working
    from tiergate.cli.output.errors import say_json

    with working("compiling"):
        files = publish.compile_bundle(catalog, rules)
    with working("writing"):
        revision = bundle.write_bundle(files, output)
    index = bundle.Bundle.open(output).index
    versions = sum(len(item.versions) for item in index.items.values())
    sizes = {"files": len(files) + 1, "features": len(index.features), "items": len(index.items), "versions": versions}
    if as_json:
        say_json({"revision": revision, "output": str(output), **sizes})
        return
    say(f"{output}: " + ", ".join(f"{count:,} {what}" for what, count in sizes.items()))
    say(revision)
