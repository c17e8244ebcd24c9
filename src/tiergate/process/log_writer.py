"""A log handler that never blocks: a thread writes lines from a bounded queue.

The standard error of a container is a pipe, whose reader may stop; an event loop that writes to it would block. Lines
that do not fit into the queue are dropped, and the next line has their number.
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
"""How long the exit of the process waits for remaining lines."""


class LogWriter(logging.Handler):
    """Writes records as lines to a stream, in a daemon thread."""

    def __init__(self, stream: TextIO, capacity: int = 10_000) -> None:
        """Queue at most `capacity` lines."""
        super().__init__()
        self._descriptor = stream.fileno()
        self.dropped = 0
        self._capacity = capacity
        self._lines: deque[str] = deque()
        self._some = threading.Event()
        self._written = threading.Condition()
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - as every handler of the standard library does
            self.handleError(record)
            return
        if len(self._lines) >= self._capacity:
            self.dropped += 1
            return
        self._lines.append(line)
        if self._thread is None:  # not earlier, because a fork does not copy threads
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()
        self._some.set()

    def flush(self) -> None:
        """Wait a moment until all lines are written."""
        until = time.monotonic() + _LAST_SECONDS
        with self._written:
            self._written.wait_for(lambda: not self._lines, max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        reported = 0
        while True:
            self._some.wait()
            self._some.clear()
            while self._lines:
                self._write(self._lines[0])
                self._lines.popleft()
                if self.dropped > reported:
                    more, reported = self.dropped - reported, self.dropped
                    self._lines.appendleft(self.format(_dropped(more)))
            with self._written:
                self._written.notify_all()

    def _write(self, line: str) -> None:
        """Write a line without the buffer of the stream, whose lock would delay the exit of the process."""
        left = memoryview(f"{line}\n".encode(errors="backslashreplace"))
        with suppress(OSError):  # no reader
            while left:
                try:
                    left = left[os.write(self._descriptor, left) :]
                except BlockingIOError:  # another process made it non-blocking
                    select.select([], [self._descriptor], [])


def _dropped(lines: int) -> logging.LogRecord:
    message = "%d log lines dropped: standard error is not read"
    return logging.LogRecord("tiergate.log", logging.WARNING, "", 0, message, (lines,), None)
