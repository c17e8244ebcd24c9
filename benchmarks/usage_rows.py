"""Rows of usage: durable consumptions over HTTP, and checks of a feature whose usage is counted."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from benchmarks.change_rows import postgresql
from benchmarks.http_rows import baseline, load, repeat_script, write_script
from benchmarks.processes import ask, sidecar
from benchmarks.table import Row
from benchmarks.wrk import drive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.http_rows import Bench

_CONNECTIONS: Final = 16
_CUSTOMERS: Final = 1_000
_RATE: Final = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)
_CATALOG: Final = """\
apiVersion: tiergate/v1
features:
  - {id: f0, type: switch}
  - {id: calls, type: quantity, unit: calls, metered: {reset: month}}
  - {id: seats, type: quantity}
items:
  - {id: pro, kind: plan, entitlements: {f0: true, calls: 1000000000, seats: 5}}
"""
_CONSUME: Final = """
math.randomseed(os.time())
local head = "POST /v1/consume HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Type: application/json\\r\\nContent-Length: "
function request()
  local body = string.format('{"subject":"c%d","feature":"calls"}', math.random(0, CUSTOMERS - 1))
  return head .. #body .. "\\r\\n\\r\\n" .. body
end
"""


def usage_rows(bench: Bench) -> Iterator[Row]:
    """Measure consumptions of many customers and of one, and repeated checks of a metered feature and of another."""
    home = bench.directory / "usage"
    home.mkdir(exist_ok=True)
    catalog, subjects = home / "catalog.yaml", home / "subjects.ndjson"
    catalog.write_text(_CATALOG, encoding="utf-8")
    with subjects.open("w", encoding="utf-8") as lines:
        for number in range(_CUSTOMERS):
            lines.write(json.dumps({"type": "customer", "id": f"c{number}"}) + "\n")
            held = {
                "type": "subscription",
                "id": f"s{number}",
                "customer": f"c{number}",
                "status": "active",
                "items": [{"item": "pro"}],
            }
            lines.write(json.dumps(held) + "\n")
    with ExitStack() as stack:
        car = stack.enter_context(sidecar(catalog, subjects, home / "data"))
        head, body = ask(car.port, '{"subject":"c1","feature":"f0"}')
        floor = baseline(stack, bench, "floor", head + body)
        consume = write_script(bench.directory, "consume", _CONSUME.replace("CUSTOMERS", str(_CUSTOMERS)))
        hot = write_script(bench.directory, "consume-hot", _CONSUME.replace("CUSTOMERS", "1"))
        metered, other = (_check_script(bench, feature) for feature in ("calls", "seats"))
        same = repeat_script(bench.directory)
        p99 = []

        def consumed() -> float:
            measured = drive(car.port, consume, bench.seconds, _CONNECTIONS)
            p99.append(measured.p99_ms)
            return measured.rate

        url = stack.enter_context(postgresql())
        _create_counters(url)
        base, ours, one, counted, plain, one_row, many_rows = bench.rates(
            lambda: load(floor, same, bench.seconds),
            consumed,
            lambda: load(car.port, hot, bench.seconds),
            lambda: load(car.port, metered, bench.seconds),
            lambda: load(car.port, other, bench.seconds),
            lambda: _updates(bench.directory, url, "0", bench.seconds),
            lambda: _updates(bench.directory, url, f"random(0, {_CUSTOMERS - 1})", bench.seconds),
        )
    yield Row("a durable consumption / floor", ours / base, 0.12, f"{ours:,.0f} / {base:,.0f} requests/s")
    yield Row("p99 of a durable consumption, 16 connections", sorted(p99)[len(p99) // 2], 10.0, "", "ms", most=True)
    text = f"{one:,.0f} / {one_row:,.0f} a second"
    yield Row("consumptions of one customer / UPDATE … RETURNING of one row in PostgreSQL", one / one_row, 20.0, text)
    text = f"{ours:,.0f} / {many_rows:,.0f} a second"
    yield Row("… of 1,000 customers / of 1,000 rows", ours / many_rows, None, text)
    text = f"{counted:,.0f} / {plain:,.0f} requests/s"
    yield Row("a repeated check of a metered feature / of another quantity", counted / plain, 0.95, text)


def _check_script(bench: Bench, feature: str) -> Path:
    body = json.dumps({"subject": "c1", "feature": feature, "amount": 2})
    head = 'wrk.method="POST"\nwrk.headers["Content-Type"]="application/json"\nwrk.headers["Host"]="localhost"\n'
    return write_script(bench.directory, f"check-{feature}", f"{head}wrk.path='/v1/check'\nwrk.body='{body}'\n")


def _create_counters(url: str) -> None:
    """Create a row for each customer in a database that makes each commit durable.

    Raises:
        RuntimeError: if the server answers before a commit is on disk.
    """
    import psycopg  # noqa: PLC0415 - only for these rows

    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            value = connection.execute(f"SHOW {setting}").fetchone()
            if value != ("on",):
                raise RuntimeError(f"{setting} is {value}: commits are not durable, so there is nothing to compare")
        connection.execute("CREATE TABLE used (customer int PRIMARY KEY, units bigint, most bigint)")
        connection.execute(f"INSERT INTO used SELECT n, 0, 1000000000 FROM generate_series(0, {_CUSTOMERS - 1}) n")


def _updates(directory: Path, url: str, customer: str, seconds: float) -> float:
    """Return how often a second 16 connections count in a table, a transaction each; `customer`: for pgbench.

    The client is pgbench, in C, over the server's Unix socket, with prepared statements. Server and client have both
    cores, where a sidecar has one.
    """
    from sqlalchemy import make_url  # noqa: PLC0415 - only for these rows

    from tests.databases import PROGRAMS  # noqa: PLC0415 - the tests' server

    script = directory / "update.pgbench"
    script.write_text(
        f"\\set n {customer}\n"
        "UPDATE used SET units = units + 1 WHERE customer = :n AND units + 1 <= most RETURNING units;\n",
        encoding="ascii",
    )
    place = make_url(url)
    command = [str(PROGRAMS / "bin" / "pgbench"), "--no-vacuum", "--protocol=prepared", f"--file={script}"]
    command += [f"--client={_CONNECTIONS}", f"--time={max(1, round(seconds))}", f"--username={place.username}"]
    command += [f"--host={place.query['host']}", str(place.database)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rate = _RATE.search(done.stdout)
    if rate is None:
        raise RuntimeError(f"pgbench printed no rate: {done.stdout[-300:]!r}")
    return float(rate[1])
