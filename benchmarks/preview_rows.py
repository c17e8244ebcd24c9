"""Rows about previews: the customers that a change affects, among many, including the reading of files."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from benchmarks.table import Row
from benchmarks.workload import write_catalog, write_subjects

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FEATURES = 40
_CUSTOMERS = 1_000_000
_SECONDS = 60.0
_MEGABYTES = 500.0
_NUMBER = re.compile(r"^(      f1: )([0-9]+)$", re.MULTILINE)


def preview_rows(directory: Path) -> Iterator[Row]:
    """Measure `tiergate preview` of files: one plan of a thousand changes, a feature of all plans, and of ten."""
    for plans, what in ((1_000, "one plan of 1,000"), (10, "every plan of 10"), (1_000, "every plan of 1,000")):
        home = directory / f"preview-{plans}"
        home.mkdir(parents=True, exist_ok=True)
        old, new, subjects = home / "old.yaml", home / "new.yaml", home / "subjects.ndjson"
        write_catalog(old, _FEATURES, plans)
        if what.startswith("one"):
            write_catalog(new, _FEATURES, plans, changed_plan=plans // 2)
        else:
            new.write_text(_NUMBER.sub(_halved, old.read_text(encoding="utf-8")), encoding="utf-8")
        if not subjects.exists():
            write_subjects(subjects, _CUSTOMERS, plans)
        seconds, said = _previewed(old, new, subjects)
        customers = said["impact"]["customers"]
        text = f"{customers['touched']:,} customers touched, {customers['take']:,} get less"
        yield Row(f"preview for {_CUSTOMERS:,} customers, {what}", seconds, _SECONDS, text, unit="s", most=True)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        yield Row("… peak memory, of all so far", peak, _MEGABYTES, "", unit="MB", most=True)


def _halved(match: re.Match[str]) -> str:
    return f"{match[1]}{max(1, int(match[2]) // 2)}"


def _previewed(old: Path, new: Path, subjects: Path) -> tuple[float, dict[str, dict[str, dict[str, int]]]]:
    command = [sys.executable, "-m", "tiergate", "preview", "--json"]
    command += ["--catalog-old", str(old), "--catalog", str(new), "--subjects", str(subjects)]
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - begun, json.loads(done.stdout)
