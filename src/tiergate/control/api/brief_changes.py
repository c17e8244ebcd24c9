"""Runs requests that make one brief change in the store's queue of changes, and wakes them on the event loop.

The whole handler runs inside the transaction of the change, so that a request needs neither a thread nor transactions
of its own to find out whom it is about. Requests whose changes were committed together are woken together.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from tiergate.store.change_queue import Change

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.control.api.request import AdminRequest
    from tiergate.store import Store
    from tiergate.store.change_queue import Outcome

T = TypeVar("T")


class BriefChanges:
    """The brief changes of one API. Belongs to one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._finished: deque[tuple[asyncio.Future[Outcome[Any]], Outcome[Any]]] = deque()
        self._lock = threading.Lock()

    async def run(self, request: AdminRequest, handle: Callable[[AdminRequest], T]) -> T:
        """Handle a request inside the transaction of its change; return or raise once this is committed.

        `handle` may run several times, each time with a new copy of the request.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Outcome[T]] = loop.create_future()
        actor, params = request.actor, request.params
        change = Change(
            work=lambda unit: handle(request.within(unit)),
            actor=actor.author,
            request_id=actor.request_id,
            reason=actor.reason,
            customers=[params["customer"]] if "customer" in params else (),
            subscriptions=[params["subscription"]] if "subscription" in params else (),
        )
        self._store.submit(change, lambda outcome: self._finish(loop, done, outcome))
        return (await done).get()

    def _finish(
        self, loop: asyncio.AbstractEventLoop, done: asyncio.Future[Outcome[Any]], outcome: Outcome[Any]
    ) -> None:
        """Note an outcome, from any thread; the first one since the loop has looked wakes it."""
        with self._lock:
            self._finished.append((done, outcome))
            must_wake = len(self._finished) == 1
        if must_wake:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
                loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        with self._lock:
            finished, self._finished = self._finished, deque()
        for done, outcome in finished:
            if not done.done():
                done.set_result(outcome)
