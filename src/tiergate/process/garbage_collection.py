"""The cyclic garbage collector of a process that serves: pauses of a millisecond, not of a hundred.

Reference counts free what requests leave behind and what caches drop; the collector is only needed for cycles. It stops
every thread for about half a microsecond for each object that it visits, and a collection of the old generation visits
all objects that caches keep, which is hundreds of thousands. So:

- what exists when the process becomes ready is never visited again (`gc.freeze`);
- the two young generations are kept small, and are collected often;
- the old generation is collected only in a second without requests, or at the latest every few hours. INVARIANT (no
  cycles): requests, caches and replaced engines leave no cycles behind; tests hold them to that with the collector off.
  What is left for the old generation is what libraries forget, some kilobytes at a time.

Nothing is frozen after the start: connections and tasks of that moment would never be collected.
"""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

YOUNG_OBJECTS: Final = 1_000
"""Objects after which the youngest generation is collected."""

_YOUNG_COLLECTIONS: Final = 2
_NEVER: Final = 2**31 - 1

_QUIET_EVERY: Final = 600.0
"""Seconds after which a quiet second is used to collect everything."""

_AT_LAST: Final = 6 * 3600.0
"""Seconds after which everything is collected although requests come."""


class GarbageCollection:
    """Decides when this process collects garbage. `requests` returns how many requests were received so far."""

    def __init__(self, requests: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._requests = requests
        self._clock = clock
        self._seen = -1
        self._collected_at = clock()

    def begin(self) -> None:
        """Collect everything, exclude what is left from every later collection, and avoid pauses from now on."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, _YOUNG_COLLECTIONS, _NEVER)
        self._collected_at = self._clock()

    def look(self) -> bool:
        """Collect everything if it is time, and no request came since the last call; return whether that was done.

        Call it about once a second.
        """
        seen, before = self._requests(), self._seen
        self._seen = seen
        elapsed = self._clock() - self._collected_at
        if elapsed < _QUIET_EVERY or (seen != before and elapsed < _AT_LAST):
            return False
        gc.collect()
        self._collected_at = self._clock()
        return True
