"""A small project of a policy author on disk: a catalog, subjects, a test file; and real runs of pytest in it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: reports, type: switch}
  - {id: movies, type: quantity, unit: movies/month}
items:
  - {id: gold, kind: plan, entitlements: {reports: true, movies: 50}}
"""

SUBJECTS = """\
apiVersion: tiergate/v1
customers: [{id: ada}]
subscriptions: [{id: sub-ada, customer: ada, status: active, items: [{item: gold}]}]
"""

SUITE = """\
apiVersion: tiergate/v1
suite: Gold
catalog: catalog.yaml
now: 2026-11-21T12:00:00Z
subjects: subjects.yaml
tests:
  - name: movies
    subjects: [ada, eve]
    features: [movies]
    requests:
      the last one: {used: 49}
      one too many: {used: 50}
    expected:
      - {subject: ada, request: the last one, allowed: true, value: 50}
      - {subject: ada, request: one too many, reason: limit_reached}
      - {subject: eve, reason: unknown_subject}
  - name: reports
    skip: waits for the new reports
    subjects: [ada]
    features: [reports]
    expected: [{reason: granted}]
"""

INI = """\
[pytest]
filterwarnings = error
strict_markers = true
strict_config = true
"""


def write(folder: Path, files: dict[str, str] | None = None) -> Path:
    """Write the project, with these files besides or instead; give its folder."""
    whole = {"catalog.yaml": CATALOG, "subjects.yaml": SUBJECTS, "gold_test.yaml": SUITE, "pytest.ini": INI}
    for name, text in (whole | (files or {})).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def pytest_in(folder: Path, *args: str, installed: bool = False) -> subprocess.CompletedProcess[str]:
    """Run pytest there in a process of its own, as its author would.

    `installed`: with every plugin that is installed, ours by its entry point; else with ours alone, which is quicker.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    plugins: tuple[str, ...] = ()
    if not installed:
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        plugins = ("-p", "tiergate.policytest.plugin")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", *plugins, *args],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
