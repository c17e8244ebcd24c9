"""Rows of repeated checks over HTTP: each is a median of alternating runs of Tiergate and of its baseline."""

from __future__ import annotations

import json
import statistics
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from benchmarks.processes import ask, free_port, running, sidecar
from benchmarks.table import Row
from benchmarks.workload import SMALL, Size, check_bodies, write_catalog, write_subjects
from benchmarks.wrk import drive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_SWITCH = '{"subject":"c1","feature":"f0"}'
_HEAD = 'wrk.method="POST"\nwrk.headers["Content-Type"]="application/json"\nwrk.headers["Host"]="localhost"\n'


def write_script(directory: Path, name: str, text: str) -> Path:
    """Write a script for wrk; return its path."""
    path = directory / f"{name}.lua"
    path.write_text(text, encoding="utf-8")
    return path


def repeat_script(directory: Path) -> Path:
    """Return wrk's script that repeats one switch check."""
    return write_script(directory, "repeat", f"{_HEAD}wrk.path='/v1/check'\nwrk.body='{_SWITCH}'\n")


def _header_script(directory: Path, name: str, value: str) -> Path:
    text = f"""
math.randomseed(os.time())
local body = '{_SWITCH}'
local head = "POST /v1/check HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Type: application/json\\r\\n"
local tail = "\\r\\nContent-Length: " .. #body .. "\\r\\n\\r\\n" .. body
function request()
  return head .. "{name}: " .. {value} .. tail
end
"""
    return write_script(directory, name.lower(), text)


_TRACE = 'string.format("00-%08x%08x%08x%08x-%08x%08x-01", ' + ", ".join(["math.random(0, 0x7fffffff)"] * 6) + ")"
_REQUEST_ID = 'string.format("%08x%08x", math.random(0, 0x7fffffff), math.random(0, 0x7fffffff))'


def load(port: int, script: Path, seconds: float) -> float:
    """Return the requests per second of one run of wrk."""
    return drive(port, script, seconds).rate


class Bench:
    """A directory for files, the duration of each run, and the number of runs."""

    def __init__(self, directory: Path, seconds: float, rounds: int) -> None:
        self.directory = directory
        self.seconds = seconds
        self.rounds = rounds

    def files(self, size: Size) -> tuple[Path, Path, Path]:
        """Return the catalog, the subjects and a data directory of a size; create them once."""
        home = self.directory / f"{size.features}x{size.plans}x{size.customers}"
        home.mkdir(parents=True, exist_ok=True)
        catalog, subjects = home / "catalog.yaml", home / "subjects.ndjson"
        if not subjects.exists():
            write_catalog(catalog, size.features, size.plans)
            write_subjects(subjects, size.customers, size.plans)
        return catalog, subjects, home / "data"

    def rates(self, *runs: Callable[[], float]) -> list[float]:
        """Run everything once to warm up, then `rounds` times in turn; return the median of each."""
        for run in runs:
            run()
        results: list[list[float]] = [[] for _ in runs]
        for _ in range(self.rounds):
            for found, run in zip(results, runs, strict=True):
                found.append(run())
        return [statistics.median(found) for found in results]


def baseline(stack: ExitStack, bench: Bench, kind: str, content: bytes) -> int:
    """Run a baseline that answers with constant bytes until the stack closes; return its port."""
    answer = bench.directory / f"{kind}.answer"
    answer.write_bytes(content)
    port = free_port()
    stack.enter_context(running([sys.executable, "-m", "benchmarks.servers", kind, str(port), str(answer)], port))
    return port


def repeat_rows(bench: Bench) -> Iterator[Row]:
    """Measure a repeated switch check: bare, with headers that differ in each request, and against Starlette."""
    with ExitStack() as stack:
        car = stack.enter_context(sidecar(*bench.files(SMALL)))
        head, body = ask(car.port, _SWITCH)
        floor = baseline(stack, bench, "floor", head + body)
        star = baseline(stack, bench, "starlette", body)
        same = repeat_script(bench.directory)
        trace = _header_script(bench.directory, "traceparent", _TRACE)
        request_id = _header_script(bench.directory, "X-Request-ID", _REQUEST_ID)
        seconds = bench.seconds
        base, ours, traced, named, theirs = bench.rates(
            lambda: load(floor, same, seconds),
            lambda: load(car.port, same, seconds),
            lambda: load(car.port, trace, seconds),
            lambda: load(car.port, request_id, seconds),
            lambda: load(star, same, seconds),
        )
    yield Row("a repeated switch check / floor", ours / base, 0.9, f"{ours:,.0f} / {base:,.0f} requests/s")
    yield Row("… with its own traceparent each / floor", traced / base, 0.35, f"{traced:,.0f} requests/s")
    yield Row("… with its own X-Request-ID each / floor", named / base, 0.35, f"{named:,.0f} requests/s")
    yield Row("a repeated switch check / Starlette", ours / theirs, 3.0, f"Starlette {theirs:,.0f} requests/s")


def batch_rows(bench: Bench) -> Iterator[Row]:
    """Measure requests with 100 repeated checks each, in a new mix."""
    pool = list(check_bodies(SMALL, 2_000, 3))
    quoted = ",\n".join(json.dumps(body) for body in pool)
    text = f"""
math.randomseed(os.time())
local pool = {{{quoted}}}
local head = "POST /v1/checks HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Type: application/json\\r\\nContent-Length: "
function request()
  local mix = {{}}
  for i = 1, 100 do mix[i] = pool[math.random(1, #pool)] end
  local body = '{{"checks":[' .. table.concat(mix, ",") .. ']}}'
  return head .. #body .. "\\r\\n\\r\\n" .. body
end
"""
    with ExitStack() as stack:
        car = stack.enter_context(sidecar(*bench.files(SMALL)))
        for begin in range(0, len(pool), 100):
            for _ in range(3):
                ask(car.port, '{"checks":[' + ",".join(pool[begin : begin + 100]) + "]}", "/v1/checks")
        head, body = ask(car.port, _SWITCH)
        floor = baseline(stack, bench, "floor", head + body)
        script = write_script(bench.directory, "batch", text)
        base, ours = bench.rates(
            lambda: load(floor, repeat_script(bench.directory), bench.seconds),
            lambda: load(car.port, script, bench.seconds) * 100,
        )
    yield Row("checks/s in batches of 100 / floor requests/s", ours / base, 2.5, f"{ours:,.0f} checks/s")
