"""Rows of outcomes that services report: the processor time of each, and what they cost the checks beside them.

Everything is the sidecar's processor time, all its threads, because the disk and other programs decide how long a sync
takes. The rate of checks beside outcomes is how many the sidecar answers in a second of its processor time in which it
also counts 20,000 outcomes.
"""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.http_rows import load, repeat_script, write_script
from benchmarks.processes import sidecar
from benchmarks.table import Row
from benchmarks.wrk import drive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.http_rows import Bench
    from benchmarks.processes import Sidecar

_FEATURES: Final = 20
_PER_SECOND: Final = 20_000
_BATCH: Final = 1_000
_CONNECTIONS: Final = 64
_CATALOG: Final = (
    "apiVersion: tiergate/v1\nfeatures:\n"
    + "".join(
        f"  - {{id: f{number}, type: switch, service_level: {{availability: 99.9, latency_ms: 300}}}}\n"
        for number in range(_FEATURES)
    )
    + "items:\n  - {id: pro, kind: plan, entitlements: {f0: true}}\n"
)
_ONE: Final = """
math.randomseed(os.time())
local head = "POST /v1/outcomes HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Type: application/json\\r\\nContent-Length: "
function request()
  local body = string.format('{"feature":"f%d","ok":true,"duration_ms":%.2f}',
    math.random(0, FEATURES - 1), math.random() * 400)
  return head .. #body .. "\\r\\n\\r\\n" .. body
end
"""


def outcome_rows(bench: Bench) -> Iterator[Row]:
    """Measure single outcomes, batches, and repeated checks with and without 20,000 outcomes a second beside them."""
    home = bench.directory / "outcomes"
    home.mkdir(exist_ok=True)
    catalog, subjects = home / "catalog.yaml", home / "subjects.ndjson"
    catalog.write_text(_CATALOG, encoding="utf-8")
    subjects.write_text('{"type":"customer","id":"c1"}\n', encoding="utf-8")
    one = write_script(bench.directory, "outcome", _ONE.replace("FEATURES", str(_FEATURES)))
    same = repeat_script(bench.directory)
    with sidecar(catalog, subjects, home / "data") as car:

        def single() -> float:
            seconds = max(1, round(bench.seconds))
            return _cost(car, lambda: drive(car.port, one, seconds, _CONNECTIONS).rate * seconds)

        def batches() -> float:
            return _cost(car, lambda: _report(car, bench.seconds, None))

        def check_alone() -> float:
            return _cost(car, lambda: load(car.port, same, bench.seconds) * max(1, round(bench.seconds)))

        def check_beside() -> float:
            reporting = threading.Thread(target=_report, args=(car, bench.seconds, _PER_SECOND))
            reporting.start()
            try:
                return check_alone()
            finally:
                reporting.join()

        alone, beside, each, many = bench.rates(check_alone, check_beside, single, batches)
    text = f"{1e6 / each:,.0f} a second of a core"
    yield Row(f"processor time of a single outcome, {_CONNECTIONS} connections", each, 50.0, text, "µs", most=True)
    text = f"{1e6 / many:,.0f} a second of a core"
    yield Row(f"… of one in batches of {_BATCH}", many, 2.5, text, "µs", most=True)
    text = f"{beside:.2f} / {alone:.2f} µs of processor time a check"
    yield Row("repeated checks beside 20,000 outcomes a second / alone", alone / beside, 0.95, text)


def _cost(car: Sidecar, work: Callable[[], float]) -> float:
    """Return the sidecar's microseconds of processor time for each request or outcome of some work."""
    before = processor_seconds(car.process.pid)
    done = work()
    return (processor_seconds(car.process.pid) - before) / done * 1e6


def _report(car: Sidecar, seconds: float, per_second: int | None) -> int:
    """Report batches of outcomes for some seconds: all that it takes, or so many in its processor seconds."""
    outcomes = [
        {"feature": f"f{number % _FEATURES}", "ok": number % 50 > 0, "duration_ms": round(number * 0.7, 1)}
        for number in range(_BATCH)
    ]
    body = json.dumps({"outcomes": outcomes}, separators=(",", ":"))
    connection = http.client.HTTPConnection("127.0.0.1", car.port, timeout=10)
    until, used, sent = time.monotonic() + seconds, processor_seconds(car.process.pid), 0
    while time.monotonic() < until:
        if per_second is not None and sent > (processor_seconds(car.process.pid) - used) * per_second:
            time.sleep(0.002)
            continue
        connection.request("POST", "/v1/outcomes", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        if response.status != http.HTTPStatus.OK:
            raise RuntimeError(f"an outcome was answered with {response.status}")
        sent += _BATCH
    connection.close()
    return sent


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process so far, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
