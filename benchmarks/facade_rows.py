"""Rows of OFREP and AuthZEN: repeated requests against the floor, and all flags of a large catalog at once."""

from __future__ import annotations

import http.client
import json
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Final

from benchmarks.http_rows import baseline, load, repeat_script, write_script
from benchmarks.outcome_rows import processor_seconds
from benchmarks.processes import ask, sidecar
from benchmarks.table import Row
from benchmarks.workload import SMALL, USUAL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.http_rows import Bench
    from benchmarks.processes import Sidecar

_HEAD: Final = 'wrk.method="POST"\nwrk.headers["Content-Type"]="application/json"\nwrk.headers["Host"]="localhost"\n'
_FLAG_PATH: Final = "/ofrep/v1/evaluate/flags/f0:allowed"
_FLAG: Final = '{"context":{"targetingKey":"c1"}}'
_EVALUATION_PATH: Final = "/access/v1/evaluation"
_EVALUATION: Final = (
    '{"subject":{"type":"customer","id":"c1"},"action":{"name":"access"},"resource":{"type":"feature","id":"f0"}}'
)
_BULK_PATH: Final = "/ofrep/v1/evaluate/flags"
_CUSTOMERS: Final = 300
_REPEATS: Final = 2_000


def facade_rows(bench: Bench) -> Iterator[Row]:
    """Measure repeated single requests, then all flags of customers not seen before, and of one again.

    All flags are 200 kB: their rows are the sidecar's processor time, because the client's is in any other.
    """
    with ExitStack() as stack:
        car = stack.enter_context(sidecar(*bench.files(SMALL)))
        head, body = ask(car.port, '{"subject":"c1","feature":"f0"}')
        floor = baseline(stack, bench, "floor", head + body)
        same = repeat_script(bench.directory)
        flag = _script(bench, "flag", _FLAG_PATH, _FLAG)
        evaluation = _script(bench, "evaluation", _EVALUATION_PATH, _EVALUATION)
        seconds = bench.seconds
        base, flags, evaluations = bench.rates(
            lambda: load(floor, same, seconds),
            lambda: load(car.port, flag, seconds),
            lambda: load(car.port, evaluation, seconds),
        )
    yield Row("OFREP: a repeated flag / floor", flags / base, 0.6, f"{flags:,.0f} / {base:,.0f} requests/s")
    yield Row("AuthZEN: a repeated evaluation / floor", evaluations / base, 0.5, f"{evaluations:,.0f} requests/s")
    with ExitStack() as stack:
        car = stack.enter_context(sidecar(*bench.files(USUAL)))
        yield from _bulk_rows(car)


def _bulk_rows(car: Sidecar) -> Iterator[Row]:
    with closing(http.client.HTTPConnection("127.0.0.1", car.port, timeout=30)) as connection:
        _all_flags(connection, _CUSTOMERS)  # what a generation needs once
        begun = processor_seconds(car.process.pid)
        for customer in range(_CUSTOMERS):
            tag = _all_flags(connection, customer)
        each = (processor_seconds(car.process.pid) - begun) / _CUSTOMERS * 1e3
        what = "OFREP: all flags of 400 features, a customer not seen before"
        yield Row(what, each, 5.0, f"processor time, of {_CUSTOMERS} customers", unit="ms", most=True)
        for known, name in ((None, "repeated"), (tag, "not modified")):
            begun = processor_seconds(car.process.pid)
            for _ in range(_REPEATS):
                _all_flags(connection, _CUSTOMERS - 1, known)
            each = (processor_seconds(car.process.pid) - begun) / _REPEATS * 1e3
            yield Row(f"… {name}", each, 0.3, "processor time", unit="ms", most=True)


def _all_flags(connection: http.client.HTTPConnection, customer: int, known: str | None = None) -> str:
    """Request all flags, and return their entity tag."""
    headers = {"Content-Type": "application/json"} | ({} if known is None else {"If-None-Match": known})
    connection.request("POST", _BULK_PATH, f'{{"context":{{"targetingKey":"c{customer}"}}}}', headers)
    answer = connection.getresponse()
    content = answer.read()
    if known is None and customer == 0 and len(json.loads(content)["flags"]) != 2 * USUAL.features:
        msg = f"not all flags: {content[:300]!r}"
        raise RuntimeError(msg)
    if (answer.status == 304) != (known is not None):
        msg = f"status {answer.status}"
        raise RuntimeError(msg)
    return answer.headers["ETag"]


def _script(bench: Bench, name: str, path: str, body: str) -> Path:
    return write_script(bench.directory, name, f"{_HEAD}wrk.path='{path}'\nwrk.body='{body}'\n")
