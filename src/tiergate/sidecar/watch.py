"""Says when to look at some files again: soon after the kernel reports a change near them, and every second anyway.

Reports of changes make a reload quick. They are not relied upon: network file systems send none, and a machine may have
run out of watches. So this only ever wakes somebody up, who compares stamps.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import structlog
import watchfiles

from tiergate.sidecar.sources import folders_to_watch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["LOOK_EVERY", "watch"]

LOOK_EVERY: Final = 1.0
"""Seconds after which one looks, reports or none."""

_GROUP_MS: Final = 50
_LONGEST_GROUP_MS: Final = 400

_log = structlog.get_logger(__name__)


async def watch(paths: Sequence[Path], wake: asyncio.Event) -> None:
    """Set `wake` whenever one should look at `paths` again, until cancelled."""
    trouble: str | None = None
    while True:
        folders = await asyncio.to_thread(folders_to_watch, paths)
        try:
            await _watch_folders(folders, paths, wake)
        except (
            OSError,
            RuntimeError,
        ) as error:  # no watches left, a folder has just gone, or a file system without them
            if str(error) != trouble:
                trouble = str(error)
                _log.warning("changes of files are noticed by looking only", error=trouble)
            wake.set()
            await asyncio.sleep(LOOK_EVERY)


async def _watch_folders(folders: frozenset[Path], paths: Sequence[Path], wake: asyncio.Event) -> None:
    """Watch until the folders that matter are others."""
    changes = watchfiles.awatch(
        *folders,
        watch_filter=None,
        step=_GROUP_MS,
        debounce=_LONGEST_GROUP_MS,
        rust_timeout=int(LOOK_EVERY * 1000),
        yield_on_timeout=True,
        recursive=False,
        ignore_permission_denied=True,
    )
    async with aclosing(changes):
        async for _ in changes:
            wake.set()
            if await asyncio.to_thread(folders_to_watch, paths) != folders:
                return
