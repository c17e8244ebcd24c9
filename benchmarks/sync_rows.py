"""Rows about the control plane: from publish to active, a first full sync.

The sidecars' own status has the instant of each activation, so observing them does not slow them down. Everything runs
on one machine and one clock.
"""

from __future__ import annotations

import json
import statistics
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import httpx

from benchmarks.control_planes import ControlPlane, control_plane, synced_sidecar
from benchmarks.processes import ask
from benchmarks.table import Row
from benchmarks.workload import write_catalog, write_subjects

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchmarks.processes import Sidecar

_CUSTOMERS = 1_000
_SIDECARS = 50
_MANY = 1_000_000


def publish_rows(directory: Path, rounds: int) -> Iterator[Row]:
    """Measure from the publish request until the sidecars decide with it: one sidecar, then fifty."""
    with control_plane(directory / "publish", *_sample(directory / "publish", 10, 10, _CUSTOMERS)) as plane:
        for sidecars, share, bound in ((1, 0.5, 50.0), (_SIDECARS, 0.99, 500.0)):
            with ExitStack() as stack:
                cars = [stack.enter_context(synced_sidecar(plane, f"{sidecars}-{n}")) for n in range(sidecars)]
                taken = [wait for turn in range(max(5, 2 * rounds)) for wait in _publish(plane, cars, turn)]
            taken.sort()
            figure = taken[min(len(taken) - 1, int(len(taken) * share))]
            name = f"publish to effective on {sidecars} sidecar{'s' * (sidecars > 1)}, p{share * 100:.0f}"
            text = f"median {statistics.median(taken):.0f}, worst {taken[-1]:.0f} of {len(taken)}"
            yield Row(name, figure, bound, text, unit="ms", most=True)


def _publish(plane: ControlPlane, cars: Sequence[Sidecar], turn: int) -> list[float]:
    """Publish once; return the milliseconds of each sidecar."""
    draft = {"entitlements": {"f1": time.time_ns() // 1_000_000 + turn}}  # more than before, so nobody loses
    plane.client.patch("/v1/items/p1/draft", json=draft).raise_for_status()
    begun = time.time_ns() // 1_000_000
    answer = plane.client.post("/v1/publish", json={})
    answer.raise_for_status()
    sequence = int(answer.json()["publication"])
    return [max(0, _activated_at(car, sequence) - begun) for car in cars]


def _activated_at(car: Sidecar, sequence: int) -> float:
    """Return when a sidecar activated a publication, in milliseconds since 1970."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        status = _status(car)
        if status.get("publication") == sequence:
            return _millis(str(status["generation_at"]))
        time.sleep(0.2)
    msg = f"publication {sequence} was not activated"
    raise RuntimeError(msg)


def lag_of(plane: ControlPlane, car: Sidecar) -> float:
    """Return the age of the oldest change that a sidecar has not applied, in seconds."""
    now = time.time()
    position = _status(car)["position"]
    lines = plane.sync.get("/v1/sync/changes", params={"after": str(position), "limit": 1}).text.splitlines()
    first = json.loads(lines[0])
    return max(0.0, now - first["at"] / 1000) if "at" in first else 0.0


def first_sync_rows(directory: Path) -> Iterator[Row]:
    """Measure a first full sync of a million subjects, one change, and a restart."""
    home = directory / "million"
    begun = time.monotonic()
    with control_plane(home, *_sample(home, 400, 200, _MANY)) as plane:
        loaded = time.monotonic() - begun
        with synced_sidecar(plane, "car") as car:
            text = f"loading them into the store took {loaded:.0f} s; RSS {car.rss() / 2**20:.0f} MB"
            yield Row("first full sync, 1 million subjects", car.ready, 60.0, text, unit="s", most=True)
            taken = sorted(_applied(plane, car, turn) for turn in range(21))
            text = f"worst {taken[-1]:.0f} of {len(taken)}, from the request on"
            yield Row("… a change applied, median", statistics.median(taken), 50.0, text, unit="ms", most=True)
        with synced_sidecar(plane, "car") as car:
            yield Row("… a restart ready", car.ready, 3.0, "", unit="s", most=True)


def _applied(plane: ControlPlane, car: Sidecar, turn: int) -> float:
    """Remove or restore a customer's plan; return the milliseconds until a check shows it."""
    status = "expired" if turn % 2 == 0 else "active"
    begun = time.monotonic()
    plane.client.patch("/v1/subscriptions/s7", json={"status": status}).raise_for_status()
    while True:
        _, body = ask(car.port, '{"subject":"c7","feature":"f4"}')
        if (json.loads(body)["reason"] == "subscription_inactive") == (status == "expired"):
            return (time.monotonic() - begun) * 1e3


def _sample(home: Path, features: int, plans: int, customers: int) -> tuple[Path, Path]:
    home.mkdir(parents=True, exist_ok=True)
    catalog, subjects = home / "catalog.yaml", home / f"subjects-{customers}.ndjson"
    write_catalog(catalog, features, plans)
    if not subjects.is_file():
        write_subjects(subjects, customers, plans)
    return catalog, subjects


def _status(car: Sidecar) -> dict[str, object]:
    found: dict[str, object] = _PROBES.get(f"http://127.0.0.1:{car.probe_port}/status").json()
    return found


_PROBES = httpx.Client(timeout=10)


def _millis(instant: str) -> float:
    from tiergate.model import parse_instant  # noqa: PLC0415 - the only import from Tiergate in this module

    return parse_instant(instant)
