"""Rows about the store, by processor time: a first publication, one changed number, what is pending, an import."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.table import Row
from benchmarks.workload import write_catalog, write_subjects

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FEATURES = 400
_PLANS = 200
_CUSTOMERS = 100_000
_MILLION = 1_000_000


def store_rows(directory: Path) -> Iterator[Row]:
    """Measure a first publication of 400 × 200, from file to store; then one changed number, and what is pending."""
    catalog, database = _prepared(directory / "store")
    taken = _measure("publish", str(catalog), database)
    size = f"{_FEATURES} × {_PLANS}"
    yield Row(f"a first publication of {size}, from its file", taken["whole"], 2.0, "", unit="s", most=True)
    yield Row("… one changed number, published", taken["change"] * 1e3, 100.0, "", unit="ms", most=True)
    text = f"nothing pending: {taken['idle'] * 1e3:.1f} ms"
    yield Row("… one changed number, pending", taken["pending"] * 1e3, 50.0, text, unit="ms", most=True)


def import_rows(directory: Path) -> Iterator[Row]:
    """Measure an import of new customers with a subscription each, and scale it to a million of them."""
    home = directory / "import"
    catalog, database = _prepared(home)
    subjects = home / f"subjects-{_CUSTOMERS}.ndjson"
    if not subjects.is_file():
        write_subjects(subjects, _CUSTOMERS, _PLANS)
    taken = _measure("import", str(catalog), str(subjects), database)
    seconds = taken["seconds"] * _MILLION / taken["subjects"]
    text = f"{taken['seconds'] / taken['lines'] * 1e6:.0f} µs a line of {taken['lines']:,.0f}"
    yield Row("import of a million customers, each with a subscription", seconds, 120.0, text, unit="s", most=True)
    yield Row("… peak memory", taken["memory"] / 2**20, 500, "", unit="MB", most=True)


def _prepared(home: Path) -> tuple[Path, str]:
    """Return a catalog file, and the URL of a database that does not exist yet."""
    home.mkdir(parents=True, exist_ok=True)
    for old in home.glob("store.sqlite*"):
        old.unlink()
    catalog = home / "catalog.yaml"
    write_catalog(catalog, _FEATURES, _PLANS)
    return catalog, f"sqlite:///{home / 'store.sqlite'}"


def _measure(*arguments: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.store_process", *arguments]
    result: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return result
