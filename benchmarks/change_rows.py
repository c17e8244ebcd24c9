"""Rows about changes of subscriptions over HTTP, on SQLite and PostgreSQL, while sidecars follow; and what they cost.

Each connection sends one change after the other, as fast as it is answered. The sidecars' own status says how far they
are behind. Everything runs on one machine and one clock.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.change_parts import part_rows
from benchmarks.control_planes import ControlPlane, control_plane, synced_sidecar
from benchmarks.sync_rows import lag_of
from benchmarks.table import Row
from benchmarks.workload import write_catalog

if TYPE_CHECKING:
    from collections.abc import Iterator

CUSTOMERS: Final = 1_000
PLANS: Final = 10

_CONNECTIONS: Final = 16
_FOLLOWERS: Final = 20
_WARM_UP: Final = 2.0
_BETWEEN_LOOKS: Final = 0.05
_TARGETS: Final = {"SQLite": 1_000.0, "PostgreSQL": 500.0}


def changes_rows(directory: Path, seconds: float) -> Iterator[Row]:
    """Measure changes a second at 16 connections, the furthest that a sidecar is behind, and the parts of a change."""
    yield from _rows(directory / "changes-sqlite", "SQLite", seconds, None)
    with postgresql() as database:
        yield from _rows(directory / "changes-postgresql", "PostgreSQL", seconds, database)
    yield from part_rows(f"sqlite:///{directory / 'changes-sqlite' / 'store.sqlite'}", change_body)


def _rows(home: Path, name: str, seconds: float, database: str | None) -> Iterator[Row]:
    with ExitStack() as stack:
        plane = stack.enter_context(control_plane(home, *sample(home), database))
        cars = [stack.enter_context(synced_sidecar(plane, f"follow-{n}")) for n in range(_FOLLOWERS)]
        _load(plane, 1, _WARM_UP)
        alone, _ = _load(plane, 1, max(5.0, seconds))
        _load(plane, _CONNECTIONS, _WARM_UP)
        lags: list[float] = []
        end = threading.Event()

        def look() -> None:
            while not end.is_set():
                for car in cars:
                    lags.append(lag_of(plane, car))
                    end.wait(_BETWEEN_LOOKS)

        looking = threading.Thread(target=look)
        looking.start()
        rate, cost = _load(plane, _CONNECTIONS, max(10.0, 3 * seconds))
        end.set()
        looking.join()
    text = (
        f"{_CONNECTIONS} connections, {_FOLLOWERS} sidecars; {cost:.2f} ms of processor time each; {alone:.0f} at one"
    )
    yield Row(f"subscription changes a second on {name}", rate, _TARGETS[name], text)
    looks = f"{len(lags)} looks at {_FOLLOWERS} sidecars"
    yield Row(f"… {name}: the furthest any sidecar is behind", max(lags), 1.0, looks, unit="s", most=True)


def _load(plane: ControlPlane, connections: int, seconds: float) -> tuple[float, float]:
    """Change subscriptions; return changes a second, and the server's milliseconds of processor time for each."""
    before, begun = _processor_seconds(plane.pid), time.monotonic()
    done = asyncio.run(_send_all(plane, connections, seconds))
    took = time.monotonic() - begun
    return done / took, (_processor_seconds(plane.pid) - before) / max(1, done) * 1e3


async def _send_all(plane: ControlPlane, connections: int, seconds: float) -> int:
    until = time.monotonic() + seconds
    return sum(await asyncio.gather(*(_send(plane, n, connections, until) for n in range(connections))))


async def _send(plane: ControlPlane, number: int, of: int, until: float) -> int:
    """Change one subscription after another, each by one connection alone; return how many."""
    host, _, port = plane.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    done = 0
    while time.monotonic() < until:
        customer = (done * of + number) % CUSTOMERS
        body = change_body(customer)
        head = f"PATCH /v1/subscriptions/s{customer} HTTP/1.1\r\nHost: {host}\r\n"
        head += f"Authorization: {plane.headers['authorization']}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        lines = answer.lower().split(b"\r\n")
        length = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
        content = await reader.readexactly(length)
        if not lines[0].endswith(b"200 ok"):
            raise RuntimeError(content.decode())
        done += 1
    writer.close()
    return done


def sample(home: Path) -> tuple[Path, Path]:
    """Write a catalog, and customers with one plan each; return the two files."""
    home.mkdir(parents=True, exist_ok=True)
    catalog, subjects = home / "catalog.yaml", home / "subjects.ndjson"
    write_catalog(catalog, 10, PLANS)
    with subjects.open("w", encoding="utf-8") as file:
        for i in range(CUSTOMERS):
            subscription = {"type": "subscription", "id": f"s{i}", "customer": f"c{i}", "status": "active"}
            lines = ({"type": "customer", "id": f"c{i}"}, subscription | {"items": [{"item": f"p{i % PLANS}"}]})
            file.writelines(json.dumps(line) + "\n" for line in lines)
    return catalog, subjects


_quantities: dict[int, int] = {}


def change_body(customer: int) -> str:
    """Return a change of a customer's subscription: one more of its plan, so that nobody loses anything."""
    quantity = _quantities[customer] = _quantities.get(customer, 1) + 1
    return json.dumps({"items": [{"item": f"p{customer % PLANS}", "quantity": quantity}]})


@contextmanager
def postgresql() -> Iterator[str]:
    """Run a PostgreSQL server that syncs every commit to the disk; yield the URL of an empty database."""
    from tests.databases import PostgresServer  # noqa: PLC0415 - the tests' server, only for this row

    with PostgresServer.run() as server:
        for name in ("fsync", "full_page_writes"):
            server.execute(f"ALTER SYSTEM SET {name} = on")
        server.execute("SELECT pg_reload_conf()")
        with server.database() as url:
            yield url


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
