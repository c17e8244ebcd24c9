"""`docs/reference/catalog-file.md` and `subjects-file.md` against the loaders."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.docs.pages import ROOT, Example, examples, spans
from tests.unit.catalog.codes import codes_in
from tests.unit.catalog.samples import PyYaml
from tiergate.catalog import (
    LoadedCatalog,
    TotalBounds,
    catalog_schema,
    lint,
    load_catalog,
    load_subjects,
    subjects_line_schema,
    subjects_schema,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tiergate.catalog.schemas.parts import Schema

CATALOG_PAGE = ROOT / "docs" / "reference" / "catalog-file.md"
SUBJECTS_PAGE = ROOT / "docs" / "reference" / "subjects-file.md"
SOURCE = ROOT / "src" / "tiergate" / "catalog"


def write(folder: Path, page: Path) -> list[Path]:
    """Write each example of a page into a file."""
    found = []
    for example in examples(page):
        path = folder / f"{page.stem}-{example.line}.{example.language}"
        path.write_text(example.text, encoding="utf-8")
        found.append(path)
    return found


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedCatalog:
    """The catalog that the page's examples make together."""
    return load_catalog(write(tmp_path, CATALOG_PAGE))


def test_the_examples_of_a_catalog_are_one(loaded: LoadedCatalog) -> None:
    """They load, and lint finds nothing."""
    assert lint(loaded) == []
    assert {"movies", "storage"} <= loaded.catalog.features.keys()


def test_the_examples_of_subjects_go_with_it(loaded: LoadedCatalog, tmp_path: Path) -> None:
    """They load against the examples of the catalog."""
    catalog = loaded.catalog
    people = load_subjects(write(tmp_path, SUBJECTS_PAGE), catalog.index(), TotalBounds.of(catalog))
    assert people.keys() == {"acme", "globex", "hooli", "initech"}


def documents(page: Path, schema: Schema, line_schema: Schema) -> Iterator[tuple[Example, Any, Schema]]:
    """The documents of a page's examples, each with its schema."""
    for example in examples(page):
        if example.language == "ndjson":
            for line in example.text.splitlines():
                yield example, json.loads(line), line_schema
        else:
            yield example, yaml.load(example.text, Loader=PyYaml), schema


@pytest.mark.parametrize(
    ("page", "schema"),
    [(CATALOG_PAGE, catalog_schema()), (SUBJECTS_PAGE, subjects_schema())],
    ids=["catalog", "subjects"],
)
def test_the_examples_hold_to_the_schemas(page: Path, schema: Schema) -> None:
    """An editor underlines nothing in them."""
    for _, document, its_schema in documents(page, schema, subjects_line_schema()):
        Draft202012Validator(its_schema).validate(document)


@pytest.mark.parametrize(
    ("page", "schema"),
    [(CATALOG_PAGE, catalog_schema()), (SUBJECTS_PAGE, subjects_schema())],
    ids=["catalog", "subjects"],
)
def test_every_key_of_the_format_is_on_its_page(page: Path, schema: Schema) -> None:
    """What the schema knows, the page names, in a table, in prose or in braces."""
    words = set(re.findall(r"[A-Za-z_]+", " ".join(spans(page))))
    assert set(_keys(schema)) - words == set()


def _keys(schema: Any) -> Iterator[str]:  # noqa: ANN401 - a schema is any JSON
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for inner in schema.values():
            yield from _keys(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _keys(inner)


def test_every_code_of_a_problem_is_on_the_page() -> None:
    """The table names the codes that the loaders use, and no others."""
    table = CATALOG_PAGE.read_text(encoding="utf-8").partition("\n## Problems\n")[2]
    named = {
        code for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for code in re.findall(r"`([^`]+)`", cell)
    }
    folders = (SOURCE, *(SOURCE / name for name in ("reading", "entries", "checks", "writing")))
    assert named == {code for folder in folders for file in folder.glob("*.py") for code in codes_in(file)}
