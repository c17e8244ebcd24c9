"""Rows about the parts of a change of a subscription: processor time in this process, in transactions of 16 changes.

The parts are timed where they are called, in the thread that runs the changes: permissions by roles, the audit log, the
feed, events with the entitlements that differ, and the store with everything that it reads and writes. The key is timed
by itself.
"""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

from benchmarks.table import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiergate.store import Store

_TOGETHER: Final = 16
_TIMES: Final = 60
_RECALLS: Final = 20_000


class _Timer:
    """Adds up the processor time of calls by part; what one part does inside another counts for the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside = False

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same, and is timed."""

        def run(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - whatever the function takes
            if self._inside:
                return function(*args, **options)
            self._inside, begun = True, time.thread_time()
            try:
                return function(*args, **options)
            finally:
                self._inside = False
                self.seconds[part] = self.seconds.get(part, 0.0) + time.thread_time() - begun

        return run


def part_rows(url: str, change_body: Callable[[int], str]) -> Iterator[Row]:
    """Measure the parts of one change, in microseconds, in the store of an earlier run.

    `change_body` returns the next change of the subscription with a number.
    """
    from tiergate.admin.clock import Clock  # noqa: PLC0415
    from tiergate.admin.usage_bounds import PublishedBounds  # noqa: PLC0415
    from tiergate.permissions import RolePolicies  # noqa: PLC0415 - what is measured is imported as late as possible
    from tiergate.store import Store, WriteUnit, shared_changes  # noqa: PLC0415
    from tiergate.store.change_queue import ChangeQueue  # noqa: PLC0415
    from tiergate.store.database import Database  # noqa: PLC0415
    from tiergate.store.shared_changes import SharedChanges  # noqa: PLC0415
    from tiergate.store.usage_ledger import UsageLedger  # noqa: PLC0415

    parts: dict[str, list[tuple[object, str]]] = {
        "roles": [(RolePolicies, "allows")],
        "audit": [(WriteUnit, "audit"), (SharedChanges, "_write_audit")],
        "feed": [(WriteUnit, "_changed_records"), (SharedChanges, "_write_feed")],
        "events": [(SharedChanges, "_watch_records"), (shared_changes, "write_events")],
        "store": [(SharedChanges, "read_ahead"), (SharedChanges, "write_subjects"), (Database, "commit")],
    }
    total, timer = _Timer(), _Timer()
    run_together = getattr(ChangeQueue, "_run_together")  # noqa: B009 - only timed
    with mock.patch.object(ChangeQueue, "_run_together", total.timed("all", run_together)):
        store = Store.open(url)  # its queue takes what is patched now
    ledger = UsageLedger(store, PublishedBounds())
    Clock(store, ledger)  # watches changes, as in a control plane
    try:
        _run(store, change_body, _TIMES // 3)
        total.seconds.clear()
        _run(store, change_body, _TIMES)
        whole = total.seconds["all"] / (_TIMES * _TOGETHER) * 1e6
        for part, methods in parts.items():
            for owner, name in methods:
                mock.patch.object(owner, name, timer.timed(part, getattr(owner, name))).start()
        _run(store, change_body, _TIMES)
        mock.patch.stopall()
        text = f"in transactions of {_TOGETHER}, without HTTP"
        yield Row("… a change of a subscription, processor time", whole, None, text, unit="µs")
        for part, seconds in timer.seconds.items():
            yield Row(f"… of it {part}", seconds / (_TIMES * _TOGETHER) * 1e6, None, "", unit="µs")
        yield Row("… before it, the key", _key_seconds(store) * 1e6, None, "of a caller that is known", unit="µs")
    finally:
        ledger.close()
        store.close()


def _run(store: Store, change_body: Callable[[int], str], times: int) -> None:
    """Change subscriptions, as requests do, in transactions of `_TOGETHER` changes."""
    from tiergate.control.api import subscriptions  # noqa: PLC0415
    from tiergate.control.api.request import AdminRequest  # noqa: PLC0415
    from tiergate.permissions import Caller, CallerKind, shipped_roles  # noqa: PLC0415
    from tiergate.store import SYSTEM  # noqa: PLC0415
    from tiergate.store.change_queue import Change  # noqa: PLC0415

    roles, caller = shipped_roles(), Caller("key/benchmark", CallerKind.KEY, frozenset({"admin"}))
    path = "/v1/subscriptions/{subscription}"
    endpoint = next(it for it in subscriptions.endpoints() if (it.method, it.path) == ("PATCH", path))

    def change(number: int) -> Change[object]:
        request = AdminRequest(
            method="PATCH",
            path=path,
            params={"subscription": f"s{number}"},
            query={},
            headers={},
            body=change_body(number).encode(),
            caller=caller,
            request_id="benchmark",
            store=store,
            allows=lambda action, resource: roles.allows(caller, action, resource),
        )

        def work(unit: Any) -> object:  # noqa: ANN401 - a unit
            within = request.within(unit)
            within.require(endpoint.action, endpoint.resource(within))  # type: ignore[arg-type, operator, misc]
            return endpoint.handler(within)

        return Change(work=work, actor=request.actor.author, subscriptions=[f"s{number}"])

    for turn in range(times):
        gate = threading.Event()
        store.submit(Change(work=partial(_wait, gate), actor=SYSTEM), lambda _: None)
        running: list[Future[Any]] = [Future() for _ in range(_TOGETHER)]
        for number, done in enumerate(running, start=turn * _TOGETHER):
            store.submit(change(number % 1_000), done.set_result)
        gate.set()
        for done in running:
            done.result().get()


def _wait(gate: threading.Event, _: object) -> None:
    gate.wait()


def _key_seconds(store: Store) -> float:
    """Return the processor time of recalling the caller of an API key."""
    from tiergate.admin.roles import PublishedRoles  # noqa: PLC0415
    from tiergate.control.auth.authentication import Authenticator, TokenVerifier  # noqa: PLC0415
    from tiergate.control.auth.recent_callers import RecentCallers  # noqa: PLC0415
    from tiergate.store import SYSTEM  # noqa: PLC0415
    from tiergate.store.keys import create_key  # noqa: PLC0415

    token = store.change(lambda unit: create_key(unit, "benchmark", ["admin"]), SYSTEM).text
    known = RecentCallers(store, Authenticator(store, TokenVerifier([])), PublishedRoles(store))

    async def measure() -> float:
        reading = asyncio.create_task(known.run())
        while known.recall(token) is None:
            known.remember(token, known.admit(token)[0])
            await asyncio.sleep(0.01)
        begun = time.thread_time()
        for _ in range(_RECALLS):
            known.recall(token)
        seconds = time.thread_time() - begun
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        return seconds / _RECALLS

    return asyncio.run(measure())
