"""The showcase: this project's own guards, roles and samples, tested as their authors would, by the command itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(*args: str) -> subprocess.CompletedProcess[str]:
    """Run `tiergate test` in a process of its own, at the top of the repository."""
    command = [sys.executable, "-m", "tiergate", "test", *args, "--coverage", "--fail-under", "100"]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_what_is_shipped_and_the_samples_are_covered() -> None:
    """Guards, overrides, reasons, roles, the guards of keys, rules and sample catalogs: to the last unit."""
    done = run("policies", "examples", "--shipped")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\ncoverage: 100.00 % (" in done.stdout
    kinds = ("entitlements", "levels", "guards", "overrides", "reasons", "rules", "roles", "scopes of keys")
    assert all(f"\n  {kind} " in done.stdout for kind in kinds)
    assert "shipped, not counted" not in done.stdout


def test_the_sample_is_covered_by_its_own_tests() -> None:
    """As whoever takes it for a start finds it: what is shipped with Tiergate does not count."""
    done = run("examples/streaming")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\ncoverage: 100.00 % (" in done.stdout
    assert "\nshipped, not counted: " in done.stdout
