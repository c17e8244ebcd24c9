from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.cli.test_application import PRICING
from tiergate.catalog import load_catalog
from tiergate.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Cli


def source(tmp_path: Path, text: str = PRICING, name: str = "pricing.yml") -> Path:
    """Write a pricing."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_pricing_becomes_a_catalog_on_standard_output(cli: Cli, tmp_path: Path) -> None:
    """Without `-o` the catalog is what the command writes, ready for a pipe."""
    ran = cli("import", "pricing2yaml", source(tmp_path))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("apiVersion: tiergate/v1\n")


def test_the_catalog_that_is_written_loads(cli: Cli, tmp_path: Path) -> None:
    """What `-o` names is a catalog file."""
    ran = cli("import", "pricing2yaml", source(tmp_path), "-o", tmp_path / "catalog.yaml")
    assert ran.code == 0
    assert set(load_catalog([tmp_path / "catalog.yaml"]).catalog.items) == {"FREE", "PRO"}


def test_prefixed_pricings_stand_side_by_side(cli: Cli, tmp_path: Path) -> None:
    """With `--prefix` two versions of a pricing make one catalog; without, their ids collide."""
    both = (source(tmp_path), source(tmp_path, PRICING.replace('version: "1"', 'version: "2"'), "next.yml"))
    assert cli("import", "pricing2yaml", *both).code == ExitCode.INPUT
    ran = cli("import", "pricing2yaml", *both, "--prefix", "-o", tmp_path / "catalog.yaml")
    assert ran.code == 0
    assert len(load_catalog([tmp_path / "catalog.yaml"]).catalog.items) == 4


def test_a_source_with_problems_writes_nothing(cli: Cli, tmp_path: Path) -> None:
    """A pricing that names a feature which it does not have is refused with the place."""
    broken = source(tmp_path, PRICING.replace("{sharing: {value: true}}", "{sharin: {value: true}}"))
    ran = cli("import", "pricing2yaml", broken, "-o", tmp_path / "catalog.yaml")
    assert ran.code == ExitCode.INPUT
    assert f"{broken}:10:" in ran.err
    assert not (tmp_path / "catalog.yaml").exists()
