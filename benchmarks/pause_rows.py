"""Rows about pauses: the longest turn of the event loop while checks are answered, with and without a reload.

In one process, without sockets: what a client, the network and another process cost is not in the figures.
"""

from __future__ import annotations

import asyncio
import sys
import time
from array import array
from typing import TYPE_CHECKING

from benchmarks.table import Row
from benchmarks.workload import Size, check_bodies, write_catalog, write_subjects
from tiergate.process.garbage_collection import GarbageCollection
from tiergate.sidecar.api.app import NativeApi
from tiergate.sidecar.api_server import SWITCH_INTERVAL
from tiergate.sidecar.check_service import CheckService
from tiergate.sidecar.metrics import Metrics
from tiergate.sidecar.replica.data_directory import DataDirectory
from tiergate.sidecar.replica.file_source.follower import FileFollower
from tiergate.sidecar.replica.file_source.source_files import Sources
from tiergate.sidecar.request_context import NO_CONTEXT
from tiergate.sidecar.state import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_SIZE = Size(features=400, plans=200, customers=10_000)
_CHECKS = 200_000
_TURN = 20
_clock = time.perf_counter_ns


def pause_rows(directory: Path) -> Iterator[Row]:
    """Measure the longest turn of the event loop over 200,000 checks that were never asked before."""
    home = directory / "pause"
    home.mkdir(parents=True, exist_ok=True)
    write_catalog(home / "catalog.yaml", _SIZE.features, _SIZE.plans)
    write_subjects(home / "subjects.ndjson", _SIZE.customers, _SIZE.plans)
    return iter(asyncio.run(_measure(home)))


class _Turns:
    """Answers checks in turns of the event loop, and notes how long each check and each turn takes."""

    def __init__(self, api: NativeApi) -> None:
        self._answer = api.checks.respond_now
        self._bodies = [body.encode() for body in check_bodies(_SIZE, _CHECKS, 6)]
        self._next = 0
        self.checks = array("q")  # not a list, whose every element a collection would visit
        self.longest = 0

    async def take(self) -> None:
        """Answer some checks in one turn, and let the loop do what else there is."""
        begun = _clock()
        before = begun
        for _ in range(_TURN):
            body = self._bodies[self._next % _CHECKS]
            self._next += 1
            self._answer(body, NO_CONTEXT)
            now = _clock()
            self.checks.append(now - before)
            before = now
        await asyncio.sleep(0)
        self.longest = max(self.longest, *self.checks[-_TURN:], _clock() - before)

    def reset(self) -> array[int]:
        """Return the sorted durations so far, in nanoseconds, and begin anew."""
        found, self.checks, self.longest = array("q", sorted(self.checks)), array("q"), 0
        return found


async def _measure(home: Path) -> list[Row]:
    sys.setswitchinterval(SWITCH_INTERVAL)  # as the sidecar
    state = State(lambda: time.time_ns() // 1_000_000)
    catalog = home / "catalog.yaml"
    directory = DataDirectory.open(home / "data")
    follower = FileFollower(Sources((str(catalog),), (str(home / "subjects.ndjson"),)), directory, state)
    state.report = follower.report
    turns = _Turns(NativeApi(CheckService(state, Metrics())))
    following = asyncio.create_task(follower.run())
    try:
        while state.current is None or follower.report().loading:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.05)
        GarbageCollection(lambda: len(turns.checks)).begin()
        while len(turns.checks) < _CHECKS:
            await turns.take()
        longest = turns.longest
        quiet = turns.reset()
        generation = state.current
        (home / "next.yaml").write_bytes(b"")
        write_catalog(home / "next.yaml", _SIZE.features, _SIZE.plans, changed_plan=3)
        (home / "next.yaml").replace(catalog)
        while state.current is generation:
            await turns.take()
        loaded = len(turns.checks)
        while len(turns.checks) < loaded + _CHECKS // 10:
            await turns.take()
        after = sorted(turns.checks[-_CHECKS // 10 :])
        pause = turns.longest
    finally:
        following.cancel()
        await asyncio.wait([following])
        directory.close()
    text = f"p99 of a check {_p99(quiet):.0f} µs"
    again = f"p99 of the {len(after):,} checks after it {_p99(after):.0f} µs"
    return [
        Row("longest pause over 200,000 checks", longest / 1e6, 5.0, text, unit="ms", most=True),
        Row("… while a catalog of 400 × 200 is loaded again", pause / 1e6, 5.0, again, unit="ms", most=True),
    ]


def _p99(durations: Sequence[int]) -> float:
    return durations[int(len(durations) * 0.99)] / 1e3
