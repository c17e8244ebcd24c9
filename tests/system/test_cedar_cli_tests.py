"""The official Cedar command line on the tests that `tiergate test --export-cedar` writes.

Needs `cedar` on the path: `cargo install cedar-policy-cli --locked`. Without it, the same tests are run through cedarpy
in tests/unit/policytest/test_cedar_export.py.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tiergate.policytest.cedar_export import export_cedar
from tiergate.policytest.runner import Runner

if TYPE_CHECKING:
    from tiergate.policytest.cedar_export import CedarSuite

CEDAR = shutil.which("cedar")
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(CEDAR is None, reason="no `cedar` on the path")


def export(folder: Path) -> tuple[CedarSuite, ...]:
    """Write the tests of the guards, the roles and the samples."""
    return export_cedar(Runner().read_suites([ROOT / "policies", ROOT / "examples"]), folder)


def commands(folder: Path) -> list[str]:
    """The commands that the README names."""
    blocks = re.findall(r"```sh\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return [command for block in blocks for command in re.split(r"\n(?=cedar )", block.strip())]


def test_the_cedar_command_line_passes_the_showcase(tmp_path: Path) -> None:
    """Every test of every suite, by the commands in the README; and it reads as many as were written."""
    suites = export(tmp_path)
    passed = 0
    for command in commands(tmp_path):
        run = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert run.returncode == 0, f"{command}\n{run.stdout}\n{run.stderr}"
        counts = re.search(r"results: (\d+) passed, 0 failed", run.stdout)
        assert counts is not None
        passed += int(counts[1])
    assert passed == sum(it.tests + it.reasons for it in suites)


def test_the_cedar_command_line_notices_a_guard_that_is_gone(tmp_path: Path) -> None:
    """The tests that are written would fail without what they test."""
    export(tmp_path)
    policies = tmp_path / "guards" / "policies.cedar"
    text = policies.read_text(encoding="utf-8")
    policies.write_text(re.sub(r"when \{ context\.suspended \}", "when { false }", text), encoding="utf-8")
    (command,) = [it for it in commands(tmp_path) if "guards/policies.cedar" in it]
    command = re.sub(r"--schema \S+ \\\n\s*", "", command)
    run = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "in its last millisecond" in "".join(line for line in run.stdout.splitlines() if "fail" in line)
