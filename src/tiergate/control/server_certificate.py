"""Watch the files of a server certificate, so that a renewed one is served.

Files are polled: in a Kubernetes volume they change by a link behind a link.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_EVERY: Final = 30.0
"""Seconds between two polls: certificates are renewed days before they expire."""


async def watch_certificate(files: Sequence[Path], renew: Callable[[], bool], *, every: float = _EVERY) -> None:
    """Call `renew` whenever a file has changed, and again until it returns true; never return.

    A certificate and its key are two files, which do not fit until both are replaced. `every` is in seconds.
    """
    seen = _states(files)
    while True:
        await asyncio.sleep(every)
        current = _states(files)
        if current != seen and renew():
            seen = current


def _states(files: Sequence[Path]) -> list[tuple[int, int, int] | None]:
    """Return what differs if a file changes; `None` for a missing file."""
    return [_state(file) for file in files]


def _state(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
