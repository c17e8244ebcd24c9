"""`tiergate schema`: the JSON Schemas of the files, with which editors complete and check them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from tiergate.cli.output.errors import print_json

app = typer.Typer()


class SchemaOf(StrEnum):
    """Which file a schema is for."""

    CATALOG = "catalog"
    SUBJECTS = "subjects"
    SUBJECTS_LINE = "subjects-line"
    TEST = "test"


@app.command()
def schema(
    of: Annotated[
        SchemaOf, typer.Argument(metavar="WHICH", help="Which file; `subjects-line` is one line of subjects in NDJSON.")
    ],
) -> None:
    """Print the JSON Schema of the catalog, subjects or test file, for editors and other tools."""
    from tiergate.catalog import catalog_schema, subjects_line_schema, subjects_schema

    match of:
        case SchemaOf.CATALOG:
            print_json(catalog_schema())
        case SchemaOf.SUBJECTS:
            print_json(subjects_schema())
        case SchemaOf.SUBJECTS_LINE:
            print_json(subjects_line_schema())
        case SchemaOf.TEST:
            from tiergate.policytest.test_file_schema import suite_schema

            print_json(suite_schema())
