"""The options of commands that call a running sidecar, and its client."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.client import Sidecar

_TIMEOUT: Final = 5.0


SidecarUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The sidecar: `http(s)://host:port` or `unix:/path`; default: localhost:8437."),
]
TokenFile = Annotated[Path | None, typer.Option(metavar="FILE", help="The sidecar's token.")]


class SidecarOptions(NamedTuple):
    """Which sidecar is called."""

    url: SidecarUrl = None
    token_file: TokenFile = None

    @contextmanager
    def open(self) -> Iterator[Sidecar]:
        """Open a client."""
        from tiergate.client import DEFAULT_URL, Sidecar

        text = self.token_file.read_text(encoding="utf-8", errors="replace") if self.token_file else None
        token = None if text is None else text.partition("\n")[0].strip()
        logger = logging.getLogger("tiergate.client")
        level = logger.level
        logger.setLevel(logging.ERROR)  # the command reports by itself that the sidecar does not answer
        try:
            with Sidecar(self.url or DEFAULT_URL, token=token, timeout=_TIMEOUT) as sidecar:
                yield sidecar
        finally:
            logger.setLevel(level)
