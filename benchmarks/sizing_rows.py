"""Rows for sizing: memory and disk of sidecars and control planes of several sizes.

Other load on the machine affects times, but hardly memory and bytes. docs/operations/sizing.md shows these figures.
"""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING

from benchmarks.control_planes import control_plane, synced_sidecar
from benchmarks.processes import ask, rss
from benchmarks.table import Row
from benchmarks.workload import write_catalog, write_subjects

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.processes import Sidecar

_SIZES = ((10, 10, 1_000), (400, 200, 10_000), (400, 200, 100_000), (400, 200, 1_000_000))
_BATCHES = 200
_BATCH = 1_000
_MIB = 2**20


def sizing_rows(directory: Path) -> Iterator[Row]:
    """Measure memory and disk of a control plane on SQLite and of a sidecar that follows it."""
    for features, plans, customers in _SIZES:
        home = directory / f"sizing-{customers}"
        home.mkdir(parents=True, exist_ok=True)
        catalog, subjects = home / "catalog.yaml", home / "subjects.ndjson"
        write_catalog(catalog, features, plans)
        write_subjects(subjects, customers, plans)
        what = f"{customers:,} customers, {features} × {plans}"
        begun = time.monotonic()
        with control_plane(home, catalog, subjects) as plane:
            loaded = time.monotonic() - begun
            with synced_sidecar(plane, "car") as car:
                ready, calm = car.ready, car.rss()
                _fill_caches(car, customers, features)
                text = f"{calm / _MIB:.0f} MB before anything was asked"
                yield Row(f"{what}: sidecar, caches full", car.rss() / _MIB, None, text, unit="MB")
                yield Row("… its data folder", _bytes(home / "cars" / "car") / _MIB, None, "", unit="MB")
                yield Row("… its first start", ready, None, "", unit="s")
            with synced_sidecar(plane, "car") as car:
                yield Row("… a restart", car.ready, None, "", unit="s")
            text = f"loading the store took {loaded:.0f} s; at most {rss(plane.pid, 'VmHWM') / _MIB:.0f} MB meanwhile"
            yield Row("… control plane", rss(plane.pid) / _MIB, None, text, unit="MB")
        size = sum(path.stat().st_size for path in home.glob("store.sqlite*")) / _MIB
        yield Row("… its store", size, None, "SQLite, ended", unit="MB")


def _fill_caches(car: Sidecar, customers: int, features: int) -> None:
    """Send many different checks, twice each, to fill the caches."""
    draw = random.Random(1)
    for _ in range(_BATCHES):
        checks = [
            {"subject": f"c{draw.randrange(customers)}", "feature": f"f{draw.randrange(features)}"}
            for _ in range(_BATCH)
        ]
        body = json.dumps({"checks": checks})
        for _ in range(2):
            ask(car.port, body, "/v1/checks")


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
