from __future__ import annotations

import hashlib

import pytest

from tiergate import naming
from tiergate.model import ItemKind


@pytest.mark.parametrize("text", ["a", "7", "gold", "A.b_c-9", "x" * 100, "5e5", "a..b"])
def test_an_id_begins_with_a_letter_or_digit_and_has_at_most_a_hundred_characters(text: str) -> None:
    """Letters, digits, dots, underscores and hyphens make an id."""
    assert naming.is_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".a",
        "-a",
        "_a",
        "a b",
        "a/b",
        "a@1",
        "x" * 101,
        "é",
        "a\n",
        "\na",
        "a\x00",
        '"',
        "a\\",
        "\N{FULLWIDTH DIGIT FOUR}",
        "\N{FULLWIDTH LATIN SMALL LETTER A}",
        "a\u200b",
        "\ud800",
    ],
)
def test_anything_else_is_no_id(text: str) -> None:
    """No other character, no other length, no Unicode digit, and no line break at the end."""
    assert not naming.is_id(text)


def test_references_are_written_as_the_design_writes_them() -> None:
    """An item, a version, a permit and a rule each have one form."""
    assert naming.item_ref(ItemKind.PLAN, "pro") == "plan/pro"
    assert naming.version_ref(ItemKind.ADDON, "pro", 7) == "addon/pro@7"
    assert naming.policy_id("plan/pro@7", "seats") == "plan/pro@7/seats"
    assert naming.rule_id("house", "no-robots") == "rule/house/no-robots"
    assert naming.item_uid("plan/pro") == {"type": "Item", "id": "plan/pro"}


def test_each_kind_of_file_has_its_place_in_a_bundle() -> None:
    """Paths are built from references and file names."""
    assert naming.item_policies_path("plan/pro@7") == "policies/items/plan/pro@7.cedar"
    assert naming.item_entities_path("plan/pro@7") == "entities/items/plan/pro@7.json"
    assert naming.rule_policies_path("house") == "policies/rules/house.cedar"
    assert naming.rule_entities_path("house") == "entities/rules/house.json"


def test_a_revision_is_the_hash_of_the_manifest() -> None:
    """The same content has the same revision, and says by which function."""
    assert naming.revision(b"{}") == naming.content_hash(b"{}") == "sha256:" + hashlib.sha256(b"{}").hexdigest()


def test_a_near_miss_is_told_from_a_far_one() -> None:
    """The likeliest of the near words is named, whatever their order; nothing is made up."""
    assert naming.nearest("movise", ["seats", "movies", "move"]) == "movies"
    assert naming.nearest("movise", ["move", "movies", "seats"]) == "movies"
    assert naming.nearest("zebra", ["seats", "movies"]) is None
    assert naming.nearest("x", []) is None


def test_a_near_miss_is_found_among_thousands() -> None:
    """Whether it is in the beginning or in the end of the word, the likely id is the one that is otherwise alike."""
    known = [f"feature-{number:05}-seats" for number in range(10_000)]
    assert naming.nearest("featrue-04711-seats", known) == "feature-04711-seats"
    assert naming.nearest("feature-04711-saets", known) == "feature-04711-seats"
    assert naming.nearest("zebra", known) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Straße", "STRASSE"),
        ("ŁUKASZ", "łukasz"),
        ("\ufb01n", "FIN"),
        ("\uff21\uff22", "ab"),
        ("e\u0301", "\u00c9"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
    ],
)
def test_texts_that_differ_by_case_or_encoding_have_one_search_key(one: str, other: str) -> None:
    """Whatever the script, the width or the composition of the letters."""
    assert naming.search_key(one) == naming.search_key(other)
    assert naming.search_key(naming.search_key(one)) == naming.search_key(one)
