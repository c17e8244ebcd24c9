"""The Go client compiles, does what it does by itself, and answers as the conformance suite says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.clients.programs import run
from tests.conformance_cases import FILES, FOLDER
from tests.system.processes import sidecar
from tests.unit.cli.conftest import SAMPLE
from tiergate.catalog import load_catalog
from tiergate.codegen.generator import generate
from tiergate.codegen.language import Language

if TYPE_CHECKING:
    from tests.system.processes import Process

CLIENT: Final = Path(__file__).parents[2] / "clients" / "go"
MODULE: Final = """\
module example.com/service

go 1.22

require github.com/tiergate/tiergate/clients/go v0.0.0

replace github.com/tiergate/tiergate/clients/go => {client}
"""
USE: Final = """\
package main

import (
\t"example.com/service/entitlements"
\ttiergate "github.com/tiergate/tiergate/clients/go"
)

func check(level entitlements.SupportLevel) tiergate.Check {
\treturn tiergate.NewCheck(tiergate.Customer("ada"), entitlements.FeatureSupport, tiergate.Level(level))
}

func main() { check(%s) }
"""

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="no `go` on the path")


def test_the_go_client_conforms(tmp_path: Path) -> None:
    """Its own tests, and the suite against real sidecars."""
    assert run("gofmt", "-l", CLIENT, folder=tmp_path) == ""
    run("go", "vet", "./...", folder=CLIENT)
    with (
        sidecar(*FILES, "--data", tmp_path / "one") as checked,
        sidecar(*FILES, "--data", tmp_path / "two") as counting,
    ):
        environment = {
            "TIERGATE_URL": _url(checked),
            "TIERGATE_USAGE_URL": _url(counting),
            "TIERGATE_CONFORMANCE": str(FOLDER),
        }
        told = run("go", "test", "-count=1", "-v", "./...", folder=CLIENT, environment=environment)
    assert "SKIP" not in told
    assert len(re.findall(r"^--- PASS: Test", told, re.MULTILINE)) == 14


def test_a_misspelt_level_does_not_compile(tmp_path: Path) -> None:
    """Code with the generated constants compiles, and not with one that does not exist, or of another feature."""
    (tmp_path / "go.mod").write_text(MODULE.format(client=CLIENT), encoding="utf-8")
    (tmp_path / "entitlements").mkdir()
    catalog = load_catalog([SAMPLE / "catalog.yaml"]).catalog
    generated = tmp_path / "entitlements" / "entitlements.go"
    generated.write_text(generate(catalog, Language.GO), encoding="utf-8")
    assert run("gofmt", "-l", generated, folder=tmp_path) == ""
    program = tmp_path / "main.go"
    for level, compiles in (("SupportLevelPhone", True), ("SupportLevelFax", False), ("PlanGold", False)):
        program.write_text(USE % f"entitlements.{level}", encoding="utf-8")
        built = subprocess.run(
            ["go", "vet", "."], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
        )
        assert (built.returncode == 0) is compiles, built.stderr


def _url(process: Process) -> str:
    return str(process.event("listening")["api"])
