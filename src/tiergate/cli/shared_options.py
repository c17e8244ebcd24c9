"""Arguments and options that several commands share, each with one help text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from tiergate.errors import SettingsError

if TYPE_CHECKING:
    from datetime import datetime

Catalogs = Annotated[
    list[Path],
    typer.Argument(metavar="CATALOG", help="Catalog files, or folders of them, that together make one catalog."),
]
RulesFolder = Annotated[
    Path | None, typer.Option("--rules", metavar="DIR", help="A folder of your own rules, as `.cedar` files.")
]
SubjectsFiles = Annotated[
    list[Path] | None,
    typer.Option("--subjects", metavar="FILE", help="A subjects file, or a folder; may be given several times."),
]
CatalogFiles = Annotated[
    list[Path] | None,
    typer.Option("--catalog", metavar="FILE", help="A catalog file, or a folder of them; may be given several times."),
]
DataFolder = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="The data folder of a sidecar, in place of the files.")
]
OutputFile = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="The file to write; default: standard output.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON document to standard output.")]
At = Annotated[
    str | None,
    typer.Option(metavar="INSTANT", help="Decide as of this instant, such as 2027-01-01T00:00:00Z; default: now."),
]


class EngineFiles(NamedTuple):
    """The files that an engine is made of."""

    catalog: CatalogFiles = None
    subjects: SubjectsFiles = None
    rules: RulesFolder = None


def read_instant(text: str | None) -> int:
    """Read `--at` as UTC milliseconds; without it, return the current time.

    Raises:
        SettingsError: if the text is not an instant.
    """
    if text is None:
        import time

        return time.time_ns() // 1_000_000
    from tiergate.model import parse_instant

    try:
        return parse_instant(text)
    except ValueError as error:
        raise SettingsError("at", f"`{text}` {error}") from None


def read_moment(text: str | None, option: str = "at") -> datetime | None:
    """Return an instant that an option gives.

    Raises:
        SettingsError: it is not one.
    """
    if text is None:
        return None
    from datetime import UTC, datetime

    from tiergate.model import parse_instant

    try:
        return datetime.fromtimestamp(parse_instant(text) / 1000, UTC)
    except (ValueError, OverflowError) as error:
        raise SettingsError(option, f"`{text}` {error}") from None
