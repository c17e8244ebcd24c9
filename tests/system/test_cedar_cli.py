"""The official Cedar command line on what `tiergate explain --export` writes.

Needs `cedar` on the path: `cargo install cedar-policy-cli --locked`. Without it, the same is shown through Cedar's
plain string interface in tests/unit/cli/commands/test_explain.py.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tiergate.cli.invocation import run

CEDAR = shutil.which("cedar")
SAMPLE = Path(__file__).parents[2] / "examples" / "streaming"
FILES = [
    *("--catalog", str(SAMPLE / "catalog.yaml")),
    *("--subjects", str(SAMPLE / "subjects.yaml")),
    *("--rules", str(SAMPLE / "rules")),
]
QUESTIONS = [
    "ada analytics",
    "ada movies --used 69",
    "ada movies --used 70",
    "initech api-requests --value 1000",
    "ada support --level phone",
    "cleo watch-party",
    "dan movies",
    "eva analytics",
    "gus movies",
    "sub-initech support --subscription --user ann",
]


@pytest.mark.skipif(CEDAR is None, reason="no `cedar` on the path")
@pytest.mark.parametrize("question", QUESTIONS)
def test_the_cedar_command_line_decides_the_same(
    question: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands in the README of an export give the decision, and name the policies that decided."""
    run(["explain", *question.split(), *FILES, "--export", str(tmp_path), "--json"])
    decision = json.loads(capsys.readouterr().out)["decision"]
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
    answers = [
        subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False).stdout
        for command in commands
    ]
    assert answers[0].split()[0] == ("ALLOW" if decision["allowed"] else "DENY")
    named = [line.strip() for line in answers[-1].splitlines() if line.startswith("  ")]
    assert sorted(named) == decision["policies"]
