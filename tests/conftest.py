"""What every test has: Hypothesis profiles, golden files, databases (`tests/databases.py`).

`short`, the default profile, takes seconds; `ci` is what a change must pass to be merged; `long` (`make properties`)
looks much harder. A property that is worth more examples than others asks for a multiple,
`@settings(max_examples=5 * settings.default.max_examples)`, so that all profiles keep their meaning.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import TYPE_CHECKING, Protocol

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["tests.databases"]

# Time says nothing about correctness on a machine that runs several tests at once.
settings.register_profile(
    "ci", max_examples=25, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("short", parent=settings.get_profile("ci"), max_examples=10)
settings.register_profile("long", parent=settings.get_profile("ci"), max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))

# Whoever starts the tests in the background may have SIGINT ignored, which every process that they start would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Golden(Protocol):
    """Compare a text with what a file says that it should be."""

    def __call__(self, path: Path, actual: str) -> None:
        """Fail if `actual` is not the content of `path`; with `--update-goldens`, write it there."""


def pytest_xdist_auto_num_workers() -> int:
    """Run one test more at once than there are cores: some wait for servers and processes. Each runner collects all."""
    return 1 + (os.cpu_count() or 1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the one flag that updates expected outputs."""
    parser.addoption("--update-goldens", action="store_true", help="write expected outputs instead of comparing")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line with everything that was skipped, so that nothing is skipped silently."""
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[reason.removeprefix("Skipped: ")] += 1
    if reasons:
        parts = (f"{reason} ({count} test{'s' * (count > 1)})" for reason, count in sorted(reasons.items()))
        terminalreporter.write_line("omitted: " + "; ".join(parts), yellow=True)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Give the comparison with a golden file."""
    update = bool(request.config.getoption("--update-goldens"))

    def compare(path: Path, actual: str) -> None:
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(actual, encoding="utf-8")
        assert path.exists(), f"no {path}: write it with `make goldens` or `make docs`"
        assert actual == path.read_text(encoding="utf-8")

    return compare
