"""`tiergate schema`: print the JSON Schemas of files, for editors."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from tiergate.cli.output.errors import print_json

app = typer.Typer()


class SchemaOf(StrEnum):
    """The file that a schema describes."""

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
    from tiergate.policytest.test_file_schema import suite_schema

    schemas = {
        SchemaOf.CATALOG: catalog_schema,
        SchemaOf.SUBJECTS: subjects_schema,
        SchemaOf.SUBJECTS_LINE: subjects_line_schema,
        SchemaOf.TEST: suite_schema,
    }
    print_json(schemas[of]())
