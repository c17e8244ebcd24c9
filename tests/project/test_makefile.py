"""What `make` and `.ci/run` promise."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def make(*arguments: str) -> str:
    """Run make as from a fresh shell, also from within `make test`, and give its output."""
    inherited = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "ARGS"}
    environment = {name: value for name, value in os.environ.items() if name not in inherited}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize(
    "target",
    ["demo", "test", "bench", "race", "performance", "lint", "docs", "format", "properties", "lock", "image", "clean"],
)
def test_make_alone_lists_the_target(target: str) -> None:
    """Plain `make` says of each target what it does."""
    assert re.search(rf"^  make {target} +\w", make(), re.MULTILINE)


def test_every_listed_target_can_be_planned() -> None:
    """No listed target depends on a file or target that does not exist."""
    for target in re.findall(r"^  make ([a-z-]+)", make(), re.MULTILINE):
        make("--dry-run", target)


def test_ci_calls_targets_that_exist() -> None:
    """Every make target in `.ci/run` is one of the Makefile's."""
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    called = set(re.findall(r"""(?:(?:" |^ +)make|" tests) ([a-z-]+)""", script, re.MULTILINE))
    assert called >= {"test", "lint-code", "lint-types", "lint-imports", "docs-check"}
    assert called <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
