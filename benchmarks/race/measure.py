"""Measure one peer: start, answers, memory, speed, and the effect of a change."""

from __future__ import annotations

import http.client
import os
import statistics
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.processes import end, free_port, pinned, rss
from benchmarks.race.answers import check_answers
from benchmarks.race.facts import Question
from benchmarks.race.peer import CHANGED_LIMIT
from benchmarks.race.results import PeerResult, Speed
from benchmarks.wrk import Load, drive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.race.peer import Peer

_ONE_CORE = {"GOMAXPROCS": "1", "TOKIO_WORKER_THREADS": "1", "ROCKET_WORKERS": "1"}
_START_SECONDS = 240
_EFFECT_SECONDS = 60
_WARM_UP_SECONDS = 2
REPEATED = Question(customer=1, feature=1, used=5)


@dataclass(frozen=True)
class Floor:
    """The running floor: its port, and wrk's script for it."""

    port: int
    script: Path


@dataclass(frozen=True)
class Length:
    """The duration of each run in seconds, and the number of runs of which the median counts."""

    seconds: float
    rounds: int


def measure(peer: Peer, floor: Floor, length: Length) -> PeerResult:
    """Measure a peer in turn with the floor. A peer that answers wrong or fails is not timed: its result says why."""
    peer.home.mkdir(parents=True, exist_ok=True)
    result = PeerResult(peer.name, "", peer.difference, same_work=peer.same_work)
    try:
        result.version = peer.version()
        result.remark = peer.prepare()
        with _started(peer) as server:
            result.start_s = server.start_s
            checked = check_answers(peer, server.port)
            if checked.wrong:
                result.problem = str(checked)
                return result
            result.asked = checked.asked
            repeated = _script(peer, "repeated", peer.request.repeated_script(REPEATED, peer.facts))
            varying = _script(peer, "varying", peer.request.varying_script(peer.facts))
            result.repeated = _speed(peer, server.port, repeated, floor, length)
            result.varying = _speed(peer, server.port, varying, floor, length)
            result.single_p99_ms = _load(peer, server.port, varying, length.seconds, connections=1).p99_ms
            result.rss_mb = rss(server.process.pid) / 2**20
            _measure_change(peer, server.port, result)
    except (OSError, http.client.HTTPException, RuntimeError, subprocess.SubprocessError) as error:
        result.problem = f"failed: {error}"
    return result


@dataclass(frozen=True)
class _Server:
    process: subprocess.Popen[bytes]
    port: int
    start_s: float


@contextmanager
def _started(peer: Peer) -> Iterator[_Server]:
    """Run a peer on the first core until the block ends; yield after its first right answer."""
    port = free_port()
    with (peer.home / "log.txt").open("wb") as log:
        begun = time.perf_counter()
        command = [*pinned(0), *peer.command(port)]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | _ONE_CORE)
        try:
            _wait_for_answer(peer, port, process, begun + _START_SECONDS)
            yield _Server(process, port, time.perf_counter() - begun)
        finally:
            end(process)


def _wait_for_answer(peer: Peer, port: int, process: subprocess.Popen[bytes], deadline: float) -> None:
    while time.perf_counter() < deadline:
        if process.poll() is not None:
            msg = f"it ended with status {process.returncode}; its output is in {peer.home / 'log.txt'}"
            raise RuntimeError(msg)
        if _ask(peer, port, REPEATED) is peer.expected(REPEATED):
            return
        time.sleep(0.005)
    msg = f"no right answer within {_START_SECONDS} s; its output is in {peer.home / 'log.txt'}"
    raise RuntimeError(msg)


def _ask(peer: Peer, port: int, question: Question) -> bool | None:
    """Ask a peer that may not be ready."""
    try:
        return peer.ask(port, question)
    except (OSError, http.client.HTTPException):
        return None


def _script(peer: Peer, name: str, text: str) -> Path:
    path = peer.home / f"{name}.lua"
    path.write_text(text, "utf-8")
    return path


def _load(peer: Peer, port: int, script: Path, seconds: float, connections: int = 16) -> Load:
    """Drive a peer.

    Raises:
        RuntimeError: No response within the run, which would otherwise look like a latency of 0.
    """
    load = drive(port, script, seconds, connections, any_status=peer.denial_status != 200)
    if not load.rate:
        msg = f"no response within {seconds:g} s; try a longer --seconds"
        raise RuntimeError(msg)
    return load


def _speed(peer: Peer, port: int, script: Path, floor: Floor, length: Length) -> Speed:
    """Run the floor and the peer in turn; the figures are medians, and the ratio is the median of the turns' ratios."""
    drive(port, script, _WARM_UP_SECONDS, any_status=peer.denial_status != 200)
    loads, shares = [], []
    for _ in range(length.rounds):
        base = drive(floor.port, floor.script, length.seconds)
        loads.append(_load(peer, port, script, length.seconds))
        shares.append(loads[-1].rate / base.rate)
    rate, p99 = statistics.median(load.rate for load in loads), statistics.median(load.p99_ms for load in loads)
    return Speed(rate, statistics.median(shares), p99)


def _measure_change(peer: Peer, port: int, result: PeerResult) -> None:
    """Time from a change of a plan until a check of its only customer says so."""
    question = Question(customer=0, feature=1, used=CHANGED_LIMIT)
    if not peer.same_work or peer.ask(port, question) is not True:
        return
    begun = time.perf_counter()
    way = peer.change(port)
    if way is None:
        return
    result.change = way
    while time.perf_counter() - begun < _EFFECT_SECONDS:
        if _ask(peer, port, question) is False:
            result.change_ms = (time.perf_counter() - begun) * 1e3
            return
        time.sleep(0.002)
    result.change = f"{way}: no effect within {_EFFECT_SECONDS} s"
