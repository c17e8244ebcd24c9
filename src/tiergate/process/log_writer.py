"""A handler of logs that holds up nobody: lines wait in a bounded queue for a thread that writes them.

A container's standard error is a pipe, and whoever reads it may stop. An event loop that logged into it directly would
then stop too. What does not fit is dropped; how much that was is the next line that is written.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

_LAST_SECONDS = 1.0
"""How long the end of the process waits for what is left."""


class LogWriter(logging.Handler):
    """Writes records as lines to a stream, in a thread that the end of the process does not wait for."""

    def __init__(self, stream: TextIO, capacity: int = 10_000) -> None:
        """Keep at most `capacity` lines that wait."""
        super().__init__()
        self._descriptor = stream.fileno()
        self.dropped = 0
        self._capacity = capacity
        self._lines: deque[str] = deque()
        self._some = threading.Event()
        self._written = threading.Condition()
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Leave a record to be written."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - as every handler of the standard library does
            self.handleError(record)
            return
        if len(self._lines) >= self._capacity:
            self.dropped += 1
            return
        self._lines.append(line)
        if self._thread is None:  # not before: a process that forks first must have its own
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()
        self._some.set()

    def flush(self) -> None:
        """Wait for a moment until everything is written."""
        until = time.monotonic() + _LAST_SECONDS
        with self._written:
            self._written.wait_for(lambda: not self._lines, max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        told = 0
        while True:
            self._some.wait()
            self._some.clear()
            while self._lines:
                self._write(self._lines[0])
                self._lines.popleft()
                if self.dropped > told:
                    more, told = self.dropped - told, self.dropped
                    self._lines.appendleft(self.format(_dropped(more)))
            with self._written:
                self._written.notify_all()

    def _write(self, line: str) -> None:
        """Write a line past the stream's own buffer, whose lock would hold up the end of the process."""
        left = memoryview(f"{line}\n".encode(errors="backslashreplace"))
        with suppress(OSError):  # its reader is gone
            while left:
                try:
                    left = left[os.write(self._descriptor, left) :]
                except BlockingIOError:  # somebody else who has it open wants it so
                    select.select([], [self._descriptor], [])


def _dropped(lines: int) -> logging.LogRecord:
    words = "%d lines of the log were dropped, because nobody read it"
    return logging.LogRecord("tiergate.log", logging.WARNING, "", 0, words, (lines,), None)
