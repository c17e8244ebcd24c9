"""`tiergate codegen`: write constants and types of a catalog for the code of services."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from tiergate.cli.exit_codes import ExitCode
from tiergate.cli.output.console import print_line, warn
from tiergate.cli.shared_options import Catalogs, OutputFile
from tiergate.codegen.language import Language
from tiergate.errors import SettingsError

app = typer.Typer()


class Client(StrEnum):
    """The names of the Python client."""

    TIERGATE = "tiergate.client"
    DISTRIBUTION = "tiergate_client"


@app.command()
def codegen(
    catalog: Catalogs,
    *,
    language: Annotated[Language, typer.Option("--language", "-l", help="The language.")],
    output: OutputFile = None,
    package: Annotated[str, typer.Option(metavar="NAME", help="The name of the package, in Go.")] = "entitlements",
    client: Annotated[
        Client, typer.Option(help="The client's package, in Python; `tiergate_client` is the distribution of its own.")
    ] = Client.TIERGATE,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if the file is not as it would be written.")
    ] = False,
) -> None:
    """Write constants and types for the features, levels and items of a catalog.

    With them, a misspelt feature or level does not compile. The same catalog gives the same text.
    """
    from tiergate.catalog import load_catalog
    from tiergate.codegen.generator import generate

    if check and output is None:
        raise SettingsError("check", "needs the file to look at: give it with `--output`")
    try:
        text = generate(load_catalog(catalog).catalog, language, package, client)
    except ValueError as error:
        raise SettingsError("package", str(error)) from None
    if output is None:
        print_line(text.removesuffix("\n"))
    elif check:
        if not output.exists() or output.read_text(encoding="utf-8") != text:
            warn(f"{output}: not as `tiergate codegen` would write it now; run it again without `--check`")
            raise typer.Exit(ExitCode.NO)
    else:
        output.write_text(text, encoding="utf-8")
