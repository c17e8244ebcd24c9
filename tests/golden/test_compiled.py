"""What small catalogs compile to, file by file. `--update-goldens` writes it anew."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tiergate.bundle import Bundle
from tiergate.cedar import BUILTIN_POLICIES, format_text
from tiergate.publish import compile_bundle

if TYPE_CHECKING:
    from tests.conftest import Golden

CASES = sorted(path.parent for path in (Path(__file__).parent / "compiled").glob("*/catalog.yaml"))
BUILTIN = {f"policies/{name}.cedar" for name in BUILTIN_POLICIES}


def compiled(case: Path) -> dict[str, str]:
    """The files that a case compiles to, without those written by hand."""
    rules = case / "rules" if (case / "rules").exists() else None
    files = {path: content.decode() for path, content in compile_bundle([case / "catalog.yaml"], rules).items()}
    own_schema = rules is not None
    return {
        path: text
        for path, text in files.items()
        if path not in BUILTIN and (own_schema or path != "schema.cedarschema")
    }


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_catalog_compiles_to_what_stands_beside_it(
    case: Path, golden: Golden, request: pytest.FixtureRequest
) -> None:
    """Each catalog makes exactly the files in `bundle/` beside it."""
    if request.config.getoption("--update-goldens"):
        shutil.rmtree(case / "bundle", ignore_errors=True)
    files = compiled(case)
    for path, text in files.items():
        golden(case / "bundle" / path, text)
    found = {path.relative_to(case / "bundle").as_posix() for path in (case / "bundle").rglob("*") if path.is_file()}
    assert found == files.keys()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_compiled_file_is_formatted(case: Path) -> None:
    """Cedar's own formatter changes nothing in what the compiler wrote."""
    for path, text in compiled(case).items():
        if path.startswith("policies/items/") and text:
            assert format_text(text) == text


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_compiled_catalog_opens(case: Path) -> None:
    """Every definition of a compiled catalog can be read back from its bundle."""
    rules = case / "rules" if (case / "rules").exists() else None
    bundle = Bundle.from_files(compile_bundle([case / "catalog.yaml"], rules))
    for item in bundle.index.items.values():
        for version in item.versions:
            assert bundle.definition(f"{item.kind}/{item.id}@{version}").keys() <= bundle.index.features.keys()
