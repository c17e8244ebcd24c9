"""Rows about entitlement tests: cases per second, and the time to read them."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from benchmarks.table import Row
from benchmarks.workload import write_catalog
from tiergate.policytest.results import Status
from tiergate.policytest.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FEATURES = 100
_PLANS = 50
_USED = (0, 10, 1_000, 100_000, 10**13)


def suite_rows(directory: Path, rounds: int) -> Iterator[Row]:
    """Run a suite of 11,250 different cases, each time without caches of the previous run."""
    home = directory / "suites"
    home.mkdir(parents=True, exist_ok=True)
    write_catalog(home / "catalog.yaml", _FEATURES, _PLANS)
    (home / "large_test.yaml").write_text(_suite(), encoding="utf-8")
    rates, readings = [], []
    count = passed = 0
    for _ in range(rounds):
        runner = Runner()
        runner.read_suites([home])
        start = time.process_time()
        loaded = runner.read_suites([home])
        between = time.process_time()
        report = runner.run(loaded)
        end = time.process_time()
        count, passed = sum(1 for _ in report.cases()), report.count(Status.PASSED)
        readings.append(between - start)
        rates.append(count / (end - between))
    text = f"{count:,} cases, {passed:,} of them as stated; {_FEATURES} features, {_PLANS} plans"
    yield Row("cases of entitlement tests a second of processor time", statistics.median(rates), 2_000, text, "/s")
    reading = statistics.median(readings)
    yield Row("reading them again, the catalog unchanged", reading, None, f"{count:,} cases", "s", most=True)


def _suite() -> str:
    """Return a suite: a customer of each plan checks each feature, each quantity at five counts; most are allowed."""
    subjects = ", ".join(f"c{plan}" for plan in range(_PLANS))
    quantities = ", ".join(f"f{i}" for i in range(1, _FEATURES, 4))
    lines = ["apiVersion: tiergate/v1", "catalog: catalog.yaml", "now: 2026-11-21T12:00:00Z", "holders:"]
    lines += [f"  c{plan}: [p{plan}]" for plan in range(_PLANS)]
    lines += [
        "tests:",
        "  - name: each feature",
        f"    subjects: [{subjects}]",
        f"    features: [{', '.join(f'f{i}' for i in range(_FEATURES))}]",
        "    expected: [{allowed: true}]",
        "  - name: each quantity",
        f"    subjects: [{subjects}]",
        f"    features: [{quantities}]",
        f"    requests: {{{', '.join(f'u{used}: {{used: {used}}}' for used in _USED)}}}",
        "    expected:",
        f"      - {{request: [{', '.join(f'u{used}' for used in _USED[:-1])}], allowed: true}}",
        f"      - {{request: u{_USED[-1]}, reason: limit_reached}}",
    ]
    return "\n".join(lines) + "\n"
