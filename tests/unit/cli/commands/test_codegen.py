"""`tiergate codegen`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.cli.conftest import SAMPLE
from tiergate.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Cli

CATALOG = str(SAMPLE / "catalog.yaml")


@pytest.mark.parametrize("language", ["python", "typescript", "go"])
def test_what_is_written_is_checked(cli: Cli, tmp_path: Path, language: str) -> None:
    """A pipeline notices a file that nobody generated again."""
    file = tmp_path / "generated"
    words = ("codegen", "--language", language, CATALOG)
    assert cli(*words, "--check", "--output", str(file)).code == ExitCode.NO
    assert not file.exists()
    assert cli(*words, "--output", str(file)).code == ExitCode.OK
    assert cli(*words).out == file.read_text(encoding="utf-8")
    assert cli(*words, "--check", "--output", str(file)).code == ExitCode.OK
    file.write_text(file.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert cli(*words, "--check", "--output", str(file)).code == ExitCode.NO


@pytest.mark.parametrize(
    ("words", "named"),
    [(["go", "--check"], "check"), (["go", "--package", "type"], "package")],
    ids=str,
)
def test_a_mistake_is_named(cli: Cli, words: list[str], named: str) -> None:
    """The option is in the error."""
    ran = cli("codegen", "--language", *words, CATALOG)
    assert ran.code == ExitCode.USAGE
    assert f"`{named}`" in ran.err


def test_a_catalog_with_a_mistake_is_no_catalog(cli: Cli, tmp_path: Path) -> None:
    """Nothing is written."""
    wrong = tmp_path / "catalog.yaml"
    wrong.write_text("apiVersion: tiergate/v1\nfeatures: [{id: a}]\n", encoding="utf-8")
    ran = cli("codegen", "--language", "go", str(wrong), "--output", str(tmp_path / "out"))
    assert ran.code == ExitCode.INPUT
    assert not (tmp_path / "out").exists()
