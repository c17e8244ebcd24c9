"""What mypy says of code that uses the generated names: nothing, unless something is misspelt."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.unit.cli.conftest import SAMPLE
from tiergate.catalog import load_catalog
from tiergate.codegen.generator import generate
from tiergate.codegen.language import Language

if TYPE_CHECKING:
    from pathlib import Path

USE = """\
from entitlements import Entitlements, Feature, Plan, SupportLevel
from tiergate.client import Answer, Consumption, Sidecar

sidecar: Entitlements = Sidecar()
plan: str = Plan.GOLD
answer: Answer = sidecar.check("ada", Feature.MOVIES, amount=1, used=3)
allowed: bool = sidecar.allows("ada", Feature.WATCH_PARTY, otherwise=False)
level: bool = sidecar.allows("ada", Feature.SUPPORT, level=SupportLevel.PHONE, otherwise=True)
counted: Consumption = sidecar.consume("ada", Feature.MOVIES)
"""
MISTAKES = (
    "sidecar.check('ada', Feature.MOOVIES)",
    "sidecar.check('ada', 'movies')",
    "sidecar.check('ada', Feature.WATCH_PARTY, amount=1)",
    "sidecar.allows('ada', Feature.SUPPORT, level=SupportLevel.FAX, otherwise=True)",
    "sidecar.allows('ada', Feature.SUPPORT, level='phone', otherwise=True)",
    "sidecar.allows('ada', Feature.API_REQUESTS, level=SupportLevel.CHAT, otherwise=True)",
    "sidecar.allows('ada', Feature.ANALYTICS)",
    "sidecar.consume('ada', Feature.DOWNLOADS)",
)


@pytest.mark.slow
def test_a_misspelt_feature_or_level_does_not_pass(tmp_path: Path) -> None:
    """Each line with a mistake is an error, and no other line is."""
    catalog = load_catalog([SAMPLE / "catalog.yaml"]).catalog
    (tmp_path / "entitlements.py").write_text(generate(catalog, Language.PYTHON), encoding="utf-8")
    (tmp_path / "use.py").write_text(USE + "\n".join(MISTAKES) + "\n", encoding="utf-8")
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "use.py", "entitlements.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    lines = {int(line) for line in re.findall(r"^use\.py:(\d+): error", checked.stdout, re.MULTILINE)}
    first = USE.count("\n") + 1
    assert lines == set(range(first, first + len(MISTAKES))), checked.stdout
    assert not re.search(r"^entitlements\.py:", checked.stdout, re.MULTILINE), checked.stdout
