"""Monitoring the data folder: its size, the free space of its disk, and whether it can be written."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from tiergate.process.detached_threads import run_detached
from tiergate.sidecar.replica.disk_room import folder_size
from tiergate.sidecar.replica.read_only_fallback import write_error

if TYPE_CHECKING:
    from pathlib import Path

    from tiergate.sidecar.replica.data_directory import DataDirectory

_CHECK_INTERVAL: Final = 30.0

_log = structlog.get_logger(__name__)


class DiskReport(NamedTuple):
    """`folder`: the configured one, or a temporary one; `used`, `free`: bytes on its disk.

    `writable`: whether it can be written; if not, `stand_in` may be the folder in use. `limit`: the bytes that it may
    take, if they are limited.
    """

    folder: Path
    used: int
    free: int
    writable: bool
    stand_in: Path | None = None
    limit: int | None = None


class DiskMonitor:
    """Monitors a data directory. Belongs to the event loop's thread."""

    def __init__(self, directory: DataDirectory, limit: int | None = None) -> None:
        self._directory = directory
        self._limit = limit
        self.report: DiskReport | None = None

    async def run(self) -> None:
        """Check periodically, until cancelled. If the disk does not answer, the report stays as it was."""
        while True:
            report = await run_detached(self._check, "data")
            if not report.writable and (self.report is None or self.report.writable):
                _log.error("cannot write the data folder", folder=str(report.folder))
            elif report.writable and self.report is not None and not self.report.writable:
                _log.info("data folder is writable again", folder=str(report.folder))
            self.report = report
            await asyncio.sleep(_CHECK_INTERVAL)

    def _check(self) -> DiskReport:
        named, root = self._directory.named, self._directory.root
        free = 0
        with suppress(OSError):
            found = os.statvfs(root)
            free = found.f_bavail * found.f_frsize
        return DiskReport(
            folder=named,
            used=folder_size(root),
            free=free,
            writable=write_error(named) is None,
            stand_in=None if root == named else root,
            limit=self._limit,
        )
