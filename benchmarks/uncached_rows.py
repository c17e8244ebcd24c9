"""Rows of checks over HTTP that were never asked before, so that no cache of decisions has them."""

from __future__ import annotations

import http.client
import json
import statistics
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from benchmarks.http_rows import baseline, load, repeat_script, write_script
from benchmarks.processes import ask, sidecar
from benchmarks.table import Row
from benchmarks.workload import LARGE, SMALL, USUAL, Size, check_bodies, lua_batches, lua_checks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.http_rows import Bench
    from benchmarks.processes import Sidecar

_BATCH = 100
_LISTS = 500
_HOT = 1_000


def uncached_rows(bench: Bench) -> Iterator[Row]:
    """Measure new checks, batches of them, and lists of customers not seen before, with 200 plans."""
    with ExitStack() as stack:
        car = _started(stack, bench, USUAL)
        times = _list_times(car)  # first: afterwards every customer was seen
        text = f"median of {len(times)} customers; p99 {statistics.quantiles(times, n=100)[98]:.1f} ms"
        what = "GET /v1/entitlements, 400 features, a customer not seen before"
        yield Row(what, statistics.median(times), 4.0, text, unit="ms", most=True)
        floor = _floor(stack, bench, car, USUAL)
        checks = write_script(bench.directory, "uncached", lua_checks(USUAL))
        batches = write_script(bench.directory, "uncached-batch", lua_batches(USUAL, _BATCH))
        base, single, batched = bench.rates(
            lambda: load(floor, repeat_script(bench.directory), bench.seconds),
            lambda: load(car.port, checks, bench.seconds),
            lambda: load(car.port, batches, bench.seconds) * _BATCH,
        )
    text = f"{single:,.0f} / {base:,.0f} requests/s"
    yield Row("a check never asked before, 400 × 200, 10,000 customers / floor", single / base, 0.25, text)
    what = f"checks/s in batches of {_BATCH} never asked before / floor requests/s"
    yield Row(what, batched / base, 0.5, f"{batched:,.0f} checks/s")


def full_size_rows(bench: Bench) -> Iterator[Row]:
    """Measure new checks at full size, and also memory and start-up."""
    with ExitStack() as stack:
        first = _started(stack, bench, LARGE)
        yield Row("first start to ready, 1 million subjects", first.ready, None, "", unit="s")
    with ExitStack() as stack:
        car = _started(stack, bench, LARGE)
        yield Row("start to ready from disk, 1 million subjects", car.ready, 3.0, "", unit="s", most=True)
        floor = _floor(stack, bench, car, LARGE)
        script = write_script(bench.directory, "full-size", lua_checks(LARGE))
        base, ours = bench.rates(
            lambda: load(floor, repeat_script(bench.directory), bench.seconds),
            lambda: load(car.port, script, bench.seconds),
        )
        text = f"{ours:,.0f} / {base:,.0f} requests/s"
        yield Row("a check never asked before, 400 × 1,000, 1 million customers / floor", ours / base, 0.12, text)
        load(car.port, script, max(10.0, bench.seconds))
        yield Row("RSS, 1 million subjects, caches full", car.rss() / 2**20, 150, "", unit="MB", most=True)


def growth_rows(bench: Bench) -> Iterator[Row]:
    """Compare the cost of a new check at full size and with ten features, ten plans and 1,000 customers.

    Both are asked about 1,000 customers only, so that the caches of customers are of equal use.
    """
    with ExitStack() as stack:
        small, large = _started(stack, bench, SMALL), _started(stack, bench, LARGE)
        scripts = {
            size: write_script(bench.directory, f"growth-{size.features}", lua_checks(size, users=True, hot=_HOT))
            for size in (SMALL, LARGE)
        }
        few, many = bench.rates(
            lambda: load(small.port, scripts[SMALL], bench.seconds),
            lambda: load(large.port, scripts[LARGE], bench.seconds),
        )
    text = f"{1e6 / few:,.0f} µs → {1e6 / many:,.0f} µs"
    what = "a new check about 1,000 of 1 million customers, 400 × 1,000 / about 1,000 of 1,000, 10 × 10"
    yield Row(what, few / many, 1.15, text, most=True)


def _started(stack: ExitStack, bench: Bench, size: Size) -> Sidecar:
    return stack.enter_context(sidecar(*bench.files(size)))


def _floor(stack: ExitStack, bench: Bench, car: Sidecar, size: Size) -> int:
    """Run the floor with the bytes of an answer of this sidecar; return its port."""
    head, body = ask(car.port, next(check_bodies(size, 1, 1)))
    return baseline(stack, bench, "floor", head + body)


def _list_times(car: Sidecar) -> list[float]:
    """Return how long the list of entitlements takes for each of some customers, in milliseconds."""
    times = []
    with closing(http.client.HTTPConnection("127.0.0.1", car.port, timeout=30)) as connection:
        for customer in range(_LISTS):
            begun = time.perf_counter()
            connection.request("GET", f"/v1/entitlements?subject=c{customer}")
            content = connection.getresponse().read()
            times.append((time.perf_counter() - begun) * 1e3)
            if customer == 0 and len(json.loads(content)["entitlements"]) != USUAL.features:
                msg = f"not a list of all features: {content[:300]!r}"
                raise RuntimeError(msg)
    return times
