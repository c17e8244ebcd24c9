"""The arguments and options that several commands share, each with its one text of help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiergate.errors import SettingsError

Catalogs = Annotated[
    list[Path],
    typer.Argument(metavar="CATALOG", help="Catalog files, or folders of them, that together make one catalog."),
]

RulesFolder = Annotated[
    Path | None,
    typer.Option("--rules", metavar="DIR", help="A folder of your own rules, as `.cedar` files."),
]

AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON document to standard output.")]

At = Annotated[
    str | None,
    typer.Option(metavar="INSTANT", help="Decide as of this instant, such as 2027-01-01T00:00:00Z; default: now."),
]


def instant(text: str | None) -> int:
    """Read `--at`; without it, what the clock says now, in UTC milliseconds.

    Raises:
        SettingsError: the text is no instant.
    """
    if text is None:
        import time

        return time.time_ns() // 1_000_000
    from tiergate.model import parse_instant

    try:
        return parse_instant(text)
    except ValueError as error:
        raise SettingsError("at", f"`{text}` {error}") from None
