from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal, TypeVar

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.example_counts import part_of_examples
from tests.unit.catalog.marked import load, load_people
from tests.unit.catalog.models import catalogs, records
from tests.unit.catalog.samples import CATALOG, SUBJECTS, PyYaml
from tiergate.catalog import dump_catalog, dump_subject_lines, dump_subjects, sort_catalog
from tiergate.model import Catalog

if TYPE_CHECKING:
    from tiergate.model import SubjectRecord

Form = Literal["yaml", "json"]
Entry = TypeVar("Entry")

FEWER = settings(max_examples=part_of_examples(4))
"""Whole catalogs take long to draw."""


def test_a_catalog_is_printed_as_a_person_writes_it(tmp_path: Path) -> None:
    """Short things stand on one line, items in blocks, text in quotes only where it must."""
    assert dump_catalog(load(tmp_path, CATALOG)) == CATALOG


def test_subjects_are_printed_as_a_person_writes_them(tmp_path: Path) -> None:
    """Short things stand on one line, subscriptions in blocks."""
    catalog = load(tmp_path, CATALOG)
    people = load_people(tmp_path, catalog, SUBJECTS)
    assert dump_subjects(people.values(), catalog.index()) == SUBJECTS


def test_long_entitlements_stand_on_a_line_each(tmp_path: Path) -> None:
    """A change of one number is a change of one line."""
    ids = [f"feature-with-a-long-name-{number}" for number in range(5)]
    text = (
        "apiVersion: tiergate/v1\nfeatures:\n"
        + "".join(f"  - {{id: {id_}, type: quantity}}\n" for id_ in ids)
        + "items:\n  - id: p\n    kind: plan\n    version: 1\n    entitlements:\n"
        + "".join(f"      {id_}: 5\n" for id_ in ids)
    )
    assert dump_catalog(load(tmp_path, text)) == text


def test_characters_that_nobody_sees_are_escaped(tmp_path: Path) -> None:
    """Line separators and marks survive printing, in YAML and JSON, and stand there to be seen."""
    text = "a\u2028b\ufeffc\n\td"
    catalog = load(tmp_path, CATALOG.replace("name: Analytics", f"description: {json.dumps(text)}"))
    assert catalog.features["analytics"].description == text
    for form in ("yaml", "json"):
        printed = dump_catalog(catalog, form)
        assert '"a\\u2028b\\ufeffc\\n\\td"' in printed
        assert load(tmp_path, printed, f"again.{form}") == catalog


def reload(catalog: Catalog, form: Form) -> Catalog:
    """The catalog, printed and loaded again."""
    with TemporaryDirectory() as folder:
        return load(Path(folder), dump_catalog(catalog, form), f"catalog.{form}")


@FEWER
@given(catalogs(), st.sampled_from(["yaml", "json"]))
def test_a_printed_catalog_reads_back_equal(catalog: Catalog, form: Form) -> None:
    """Loading is the inverse of printing."""
    again = reload(catalog, form)
    assert again == catalog
    assert repr(again) == repr(catalog)


@FEWER
@given(catalogs())
def test_loading_puts_a_catalog_into_order(catalog: Catalog) -> None:
    """What `sort_catalog` does to a catalog is what the loader does."""
    backwards = Catalog(_backwards(catalog.features), _backwards(catalog.items), catalog.ladders[::-1], catalog.plans)
    assert repr(reload(backwards, "yaml")) == repr(sort_catalog(backwards)) == repr(catalog)


def _backwards(entries: dict[str, Entry]) -> dict[str, Entry]:
    return dict(reversed(entries.items()))


@FEWER
@given(catalogs())
def test_other_yaml_readers_agree(catalog: Catalog) -> None:
    """What is printed means the same to PyYAML, which knows YAML 1.1 with all its booleans."""
    printed = yaml.load(dump_catalog(catalog), Loader=PyYaml)
    assert printed == json.loads(dump_catalog(catalog, "json"))


@FEWER
@given(st.data(), st.sampled_from(["yaml", "json", "ndjson"]))
def test_printed_subjects_read_back_equal(data: st.DataObject, form: Literal["yaml", "json", "ndjson"]) -> None:
    """Loading is the inverse of printing, in every format."""
    catalog = data.draw(catalogs())
    people: dict[str, SubjectRecord] = data.draw(records(catalog))
    if form == "ndjson":
        text = "".join(dump_subject_lines(people.values(), catalog.index()))
    else:
        text = dump_subjects(people.values(), catalog.index(), form)
    with TemporaryDirectory() as folder:
        assert load_people(Path(folder), catalog, text, f"subjects.{form}") == people
