from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import ROOT, examples
from tiergate.catalog import dump_catalog, load_catalog
from tiergate.catalog.pricing2yaml import import_pricings

if TYPE_CHECKING:
    from tests.conftest import Golden

FOLDER = Path(__file__).parents[2] / "golden" / "pricing2yaml"
SOURCES = sorted(FOLDER.glob("*.yml"))


@pytest.mark.parametrize("source", SOURCES, ids=[source.stem for source in SOURCES])
def test_a_pricing_becomes_its_catalog(source: Path, golden: Golden) -> None:
    """Each made-up pricing becomes the catalog file that stands beside it, which loads as what was imported."""
    expected = source.with_suffix(".catalog.yaml")
    catalog = import_pricings([source])
    golden(expected, dump_catalog(catalog))
    assert load_catalog([expected]).catalog == catalog


def test_pricings_become_one_catalog_with_a_prefix(golden: Golden) -> None:
    """All made-up pricings become one catalog, in which each has its own ids."""
    expected = FOLDER / "all-with-prefix.catalog.yaml"
    catalog = import_pricings([source for source in SOURCES if source.stem != "every-kind-of-value"], prefix=True)
    golden(expected, dump_catalog(catalog))
    assert load_catalog([expected]).catalog == catalog


def test_the_example_of_the_page_is_what_comes_out(tmp_path: Path) -> None:
    """The catalog that the how-to shows is what its pricing becomes."""
    pricing, catalog = (
        example.text
        for example in examples(ROOT / "docs" / "how-to" / "import-pricings.md")
        if example.language == "yaml"
    )
    source = tmp_path / "pricing.yml"
    source.write_text(pricing, encoding="utf-8")
    assert dump_catalog(import_pricings([source])) == catalog
