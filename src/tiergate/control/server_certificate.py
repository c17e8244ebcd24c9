"""The control plane's certificate, followed: whoever renews it need not tell.

Files are looked at, not waited for: what a volume of Kubernetes shows changes by a link behind a link.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_EVERY: Final = 30.0
"""Seconds between two looks: certificates are renewed days before their end."""


async def watch_certificate(files: Sequence[Path], renew: Callable[[], bool], *, every: float = _EVERY) -> None:
    """Call `renew` whenever one of the files has changed, and again until it says that it was good; never return.

    A certificate and its key are two files: between the exchange of one and of the other they do not fit. `every` is in
    seconds.
    """
    seen = _states(files)
    while True:
        await asyncio.sleep(every)
        found = _states(files)
        if found != seen and renew():
            seen = found


def _states(files: Sequence[Path]) -> list[tuple[int, int, int] | None]:
    """What tells a changed file from the one before; none where there is no file."""
    return [_state(file) for file in files]


def _state(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
