"""The cyclic garbage collector of a process that serves: pauses of a millisecond, not of a hundred.

Reference counts free what requests leave behind and what caches drop; the collector is only needed for cycles. It stops
every thread for about half a microsecond for each object that it visits, and a collection of the old generation visits
all objects that caches keep, which is hundreds of thousands. So:

- what exists when the process becomes ready is never visited again (`gc.freeze`);
- the young generations are collected every few milliseconds while requests come. Python does that by itself after so
  many allocations *more than deallocations*; a full cache frees one object for each new one, so that the youngest
  generation would grow to all that the cache keeps, and its collection would take as long as that of the old one;
- the old generation is collected only in a second without requests, or at the latest every few hours. INVARIANT (no
  cycles): requests, caches and replaced engines leave no cycles behind; tests hold them to that with the collector off.
  What is left for the old generation is what libraries forget, some kilobytes at a time.

Nothing is frozen after the start: connections and tasks of that moment would never be collected.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

YOUNG_OBJECTS: Final = 1_000
"""Objects after which the youngest generation is collected."""

_YOUNG_COLLECTIONS: Final = 2
"""Collections of the youngest generation after which the next one is collected with it."""

_BUSY_SECONDS: Final = 0.01
_IDLE_SECONDS: Final = 0.05
"""Seconds between two collections of the youngest generation, while requests come and else."""

_NEVER: Final = 2**31 - 1

_QUIET_EVERY: Final = 600.0
"""Seconds after which a quiet second is used to collect everything."""

_AT_LAST: Final = 6 * 3600.0


class GarbageCollection:
    """Decides when this process collects garbage. `requests` returns how many requests were received so far.

    `at_last`: seconds after which everything is collected although requests come.
    """

    def __init__(
        self, requests: Callable[[], int], clock: Callable[[], float] = time.monotonic, *, at_last: float = _AT_LAST
    ) -> None:
        self._requests = requests
        self._at_last = at_last
        self._clock = clock
        self._seen = self._seen_young = -1
        self._young_collections = 0
        self._collected_at = clock()

    def begin(self) -> None:
        """Collect everything, exclude what is left from every later collection, and avoid pauses from now on.

        Call it in the event loop, which then collects the young generations.
        """
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, _YOUNG_COLLECTIONS, _NEVER)
        self._collected_at = self._clock()
        self._collect_young()

    def _collect_young(self) -> None:
        """Collect the youngest generation, every third time with the next one, and plan the next time."""
        self._young_collections += 1
        gc.collect(0 if self._young_collections % (_YOUNG_COLLECTIONS + 1) else 1)
        seen, before = self._requests(), self._seen_young
        self._seen_young = seen
        pause = _IDLE_SECONDS if seen == before else _BUSY_SECONDS
        asyncio.get_running_loop().call_later(pause, self._collect_young)

    def look(self) -> bool:
        """Collect everything if it is time, and no request came since the last call; return whether that was done.

        Call it about once a second.
        """
        seen, before = self._requests(), self._seen
        self._seen = seen
        elapsed = self._clock() - self._collected_at
        if elapsed < _QUIET_EVERY or (seen != before and elapsed < self._at_last):
            return False
        gc.collect()
        self._collected_at = self._clock()
        return True
