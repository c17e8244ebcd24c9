"""A thread that takes what waits in batches, so that items which arrive together share the cost of a transaction.

While a batch runs, more items arrive, and the next batch has them all. Callers that got a result often come again at
once: where a batch had several, the next one begins when as many wait, or after a moment. An item that nobody waits
beside is taken at once.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from tiergate.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_LINGER: Final = 0.01
"""Seconds for which a batch waits for callers that come again, and never longer than the one before took."""

T = TypeVar("T")


class BatchThread(Generic[T]):
    """Items that wait, and the thread that runs them. Safe to use from several threads."""

    def __init__(self, name: str, run_batch: Callable[[], int]) -> None:
        """`run_batch` takes items with `take`, runs them, and returns how many. Starts no thread yet."""
        self._name = name
        self._run_batch = run_batch
        self._waiting: deque[T] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._wanted = 1
        """The number of waiting items at which the thread must be woken."""

    @property
    def waiting(self) -> int:
        """The number of items that wait for their turn."""
        return len(self._waiting)

    @property
    def is_current(self) -> bool:
        """Whether the caller runs in this thread."""
        return threading.current_thread() is self._thread

    def submit(self, item: T) -> None:
        """Add an item.

        Raises:
            StoreError: if the store is closed.
        """
        with self._changed:
            if self._closing:
                raise StoreError("the store is closed")
            self._waiting.append(item)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            if len(self._waiting) >= self._wanted:
                self._changed.notify()

    def take(self, limit: int) -> list[T]:
        """Return the first items that wait, at most `limit`. Only `run_batch` may call it."""
        return [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]  # only this thread takes

    def close(self) -> None:
        """Wait until no item is left, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        expected, took = 1, 0.0
        while True:
            if expected > 1:
                self._wait(expected, min(took, _MAX_LINGER))
            if not self._wait(1, None):
                return
            begun = time.monotonic()
            expected = self._run_batch() + len(self._waiting)
            took = time.monotonic() - begun

    def _wait(self, wanted: int, seconds: float | None) -> bool:
        """Wait until so many items wait, or the store closes; return whether so many wait."""
        with self._changed:
            self._wanted = wanted
            self._changed.wait_for(lambda: len(self._waiting) >= wanted or self._closing, seconds)
            return len(self._waiting) >= wanted
