from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.unit.cli.conftest import CATALOG, SAMPLE
from tiergate.bundle import Bundle
from tiergate.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Cli


def test_a_catalog_becomes_a_bundle(cli: Cli, tmp_path: Path) -> None:
    """What `compile` writes opens as a bundle, and its revision is the last line."""
    ran = cli("compile", CATALOG, "--rules", SAMPLE / "rules", "-o", tmp_path / "bundle")
    bundle = Bundle.open(tmp_path / "bundle")
    assert ran.code == 0
    assert ran.out.splitlines()[-1] == bundle.revision
    assert "policies/rules/sanctions.cedar" in bundle.paths("policies/rules/")


def test_the_result_is_json_where_a_program_asked(cli: Cli, tmp_path: Path) -> None:
    """With `--json` the revision and the sizes are one document."""
    document = json.loads(cli("compile", CATALOG, "-o", tmp_path / "bundle", "--json").out)
    assert document["revision"] == Bundle.open(tmp_path / "bundle").revision
    assert (document["features"], document["items"], document["versions"]) == (6, 9, 9)


def test_a_folder_with_other_things_is_left_alone(cli: Cli, tmp_path: Path) -> None:
    """A bundle never replaces what is no bundle."""
    (tmp_path / "precious").write_text("", encoding="utf-8")
    ran = cli("compile", CATALOG, "-o", tmp_path)
    assert ran.code == ExitCode.OPERATOR
    assert "is not a bundle" in ran.err
    assert (tmp_path / "precious").exists()


def test_the_output_is_required(cli: Cli) -> None:
    """Without `-o` nothing is written anywhere."""
    assert cli("compile", CATALOG).code == ExitCode.USAGE
