"""Waking the follower soon after the kernel reports a change near the watched files.

Notifications make a reload fast, but are not relied on: network file systems send none, and the machine may have no
watches left. So this only wakes the follower, which compares stamps, and which also polls. It runs in a thread that
nobody waits for, because a file system that does not answer would block it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
import watchfiles

from tiergate.process.detached_threads import run_detached
from tiergate.sidecar.replica.file_source.source_files import Watched, entries_to_watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CHECK_INTERVAL: Final = 1.0
"""Seconds between polls."""

_GROUP_MS: Final = 50
_LONGEST_GROUP_MS: Final = 400

_log = structlog.get_logger(__name__)


async def watch(paths: Sequence[Path], wake: asyncio.Event, end: asyncio.Event) -> None:
    """Set `wake` when `paths` may have changed, until `end` is set or this is cancelled."""
    loop = asyncio.get_running_loop()
    stop = threading.Event()

    def call() -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(wake.set)

    watching = run_detached(lambda: _watch(paths, call, stop), "watch")
    try:
        await end.wait()
    finally:
        stop.set()
        watching.cancel()


def _watch(paths: Sequence[Path], wake: Callable[[], None], stop: threading.Event) -> None:
    trouble: str | None = None
    while not stop.is_set():
        try:
            _watch_entries(entries_to_watch(paths), paths, wake, stop)
        except (OSError, RuntimeError) as error:  # no watches left, a folder has just gone, no file system events
            if str(error) != trouble:
                trouble = str(error)
                _log.warning("file notifications do not work; polling for changes", error=trouble)
            wake()
            stop.wait(CHECK_INTERVAL)


def _watch_entries(
    entries: frozenset[Watched], paths: Sequence[Path], wake: Callable[[], None], stop: threading.Event
) -> None:

    def matters(_: watchfiles.Change, path: str) -> bool:
        folder, name = os.path.split(path)
        return Watched(Path(folder), name) in entries or Watched(Path(folder), None) in entries

    changes = watchfiles.watch(
        *{entry.folder for entry in entries},
        watch_filter=matters,
        stop_event=stop,
        step=_GROUP_MS,
        debounce=_LONGEST_GROUP_MS,
        rust_timeout=int(CHECK_INTERVAL * 1000),
        yield_on_timeout=True,
        recursive=False,
        ignore_permission_denied=True,
    )
    for _ in changes:
        wake()
        if entries_to_watch(paths) != entries:
            return
