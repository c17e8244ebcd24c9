"""Rows about files: catalog to bundle, a change of one plan, and checks during a reload."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from benchmarks.processes import sidecar
from benchmarks.table import Row
from benchmarks.workload import Size, write_catalog, write_subjects

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_COMPILE = """
import json, resource, sys, time
from pathlib import Path
from tiergate.bundle import write_bundle
from tiergate.catalog import load_catalog
from tiergate.compiler import compile_catalog
from tiergate.model import Rules
from tiergate.publish.incremental_compiler import IncrementalCompiler
catalog, changed, out = (Path(arg) for arg in sys.argv[1:])
begun = time.perf_counter()
loaded = load_catalog([catalog])
files = compile_catalog(loaded.catalog, Rules(), positions=loaded.positions)
write_bundle(files, out)
whole = time.perf_counter() - begun
again = load_catalog([changed])
compiler = IncrementalCompiler()
compiler.compile(loaded.catalog, Rules())
begun = time.perf_counter()
compiler.compile(again.catalog, Rules())
one = time.perf_counter() - begun
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps([whole, one, peak]))
"""


def compile_rows(directory: Path) -> Iterator[Row]:
    """Measure the way from catalog file to bundle, and a change of one plan after parsing."""
    for plans, seconds in ((200, 3), (1_000, 15)):
        home = directory / f"compile-{plans}"
        home.mkdir(parents=True, exist_ok=True)
        catalog, changed = home / "catalog.yaml", home / "changed.yaml"
        write_catalog(catalog, 400, plans)
        write_catalog(changed, 400, plans, changed_plan=plans // 2)
        done = subprocess.run(
            [sys.executable, "-c", _COMPILE, str(catalog), str(changed), str(home / "bundle")],
            capture_output=True,
            text=True,
            check=True,
        )
        whole, one, peak = json.loads(done.stdout)
        yield Row(f"catalog file to bundle, 400 × {plans:,}", whole, seconds, "", unit="s", most=True)
        yield Row("… a change of one plan, after parsing", one, 0.25, "", unit="s", most=True)
        yield Row("… peak memory", peak / 2**20, 1_000, "", unit="MB", most=True)


def reload_rows(directory: Path) -> Iterator[Row]:
    """Measure the latency of checks while a catalog of 400 × 200 is loaded again."""
    size = Size(features=400, plans=200, customers=10_000)
    home = directory / "reload"
    home.mkdir(parents=True, exist_ok=True)
    catalog, subjects = home / "catalog.yaml", home / "subjects.ndjson"
    write_catalog(catalog, size.features, size.plans)
    write_subjects(subjects, size.customers, size.plans)
    with sidecar(catalog, subjects, home / "data") as car:
        times: list[float] = []
        stop = threading.Event()

        def hammer() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", car.port, timeout=10)
            turn = 0
            while not stop.is_set():
                turn += 1
                body = json.dumps({"subject": f"c{turn % size.customers}", "feature": f"f{turn % 100 * 4}"})
                begun = time.perf_counter()
                connection.request("POST", "/v1/check", body, {"Content-Type": "application/json"})
                connection.getresponse().read()
                times.append(time.perf_counter() - begun)

        def publication() -> int:
            connection = http.client.HTTPConnection("127.0.0.1", car.probe_port, timeout=10)
            connection.request("GET", "/status")
            found: int = json.loads(connection.getresponse().read())["publication"]
            return found

        before = publication()
        thread = threading.Thread(target=hammer)
        thread.start()
        time.sleep(2)
        calm = len(times)
        write_catalog(home / "next.yaml", size.features, size.plans, changed_plan=3)
        (home / "next.yaml").replace(catalog)
        deadline = time.monotonic() + 120
        while publication() == before and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(0.5)
        stop.set()
        thread.join()
        if publication() == before:
            msg = "the sidecar did not follow its catalog"
            raise RuntimeError(msg)
    quiet, busy = sorted(times[:calm]), sorted(times[calm:])

    def p99(found: list[float]) -> float:
        return found[int(len(found) * 0.99)] * 1e3

    text = f"{p99(busy):.2f} ms / {p99(quiet):.2f} ms; worst {busy[-1] * 1e3:.1f} ms of {len(busy):,}"
    yield Row("p99 of checks during a reload / without", p99(busy) / p99(quiet), 1.3, text, most=True)
    yield Row("… how much more that is", p99(busy) - p99(quiet), 3.0, "", unit="ms", most=True)
