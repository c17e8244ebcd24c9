from __future__ import annotations

import hashlib
import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiergate import naming, text_normalization
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


OPAQUE = [
    "ann@acme.com",
    "auth0|64af",
    "google-oauth2|103",
    "org:123",
    "_V1StGXR8_Z5jdHi6B-my",
    "-myT_V1StGXR8Z5jdHi6B",
    "U_kgDOBw==",
    "urn:uuid:6fa459ea-ee8a-3ca4-894e-db77e160355e",
    "tenant/42",
    "a%2Fb",
    ".",
    "..",
    "%",
    "a b",
    'a"b\\c',
    "*",
    "ext",
    "EXT:a",
    "\u00c4rger",
    "\u0141ukasz",
    "\u05d0\u05d1",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "\U0001f469\u200d\U0001f680",
    "\U00010348" * 256,
    "a" * 256,
]


@pytest.mark.parametrize("text", OPAQUE)
def test_ids_from_other_systems_are_any_text(text: str) -> None:
    """What identity providers and generators give is an id as it stands, in any script."""
    assert naming.parse_subject_id(text) == text
    assert naming.is_subject_id(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "must not be empty"),
        ("a" * 257, "must have at most 256 characters, not 257"),
        ("a" * 100_000, "must have at most 256 characters, not 100000"),
        (" a", "must not begin or end with white space"),
        ("a\u3000", "must not begin or end with white space"),
        ("a\n", "must not begin or end with white space"),
        ("a\tb", "must not contain the invisible character U+0009"),
        ("a\x00", "must not contain the invisible character U+0000"),
        ("a\u2028b", "must not contain the invisible character U+2028"),
        ("a\u202eb", "must not contain the invisible character U+202E"),
        ("a\ufeff", "must not contain the invisible character U+FEFF"),
        ("\ud800", "must not contain the invisible character U+D800"),
        ("\U0001ffff", "must not contain the invisible character U+1FFFF"),
        ("ext:crm:7", "must not begin with `ext:`, which marks external ids"),
    ],
)
def test_an_id_from_elsewhere_that_is_none_says_why(text: str, why: str) -> None:
    """Each rule on opaque ids has a sentence of its own."""
    with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
        naming.parse_subject_id(text)
    assert not naming.is_subject_id(text)


def test_two_spellings_of_an_id_are_one() -> None:
    """An id is read in the normal form C, in which its length counts, too."""
    assert naming.parse_subject_id("A\u0308rger") == "\u00c4rger"
    assert naming.parse_subject_id("e\u0301" * 256) == "\u00e9" * 256
    assert not naming.is_subject_id("A\u0308rger")


@given(st.text(max_size=20))
def test_what_is_read_is_read_the_same_again(text: str) -> None:
    """Reading an id twice changes nothing, and every id of the catalog is one."""
    try:
        id_ = naming.parse_subject_id(text)
    except ValueError:
        assert not naming.is_id(text)
        return
    assert naming.parse_subject_id(id_) == id_
    assert re.search(naming.SUBJECT_ID_PATTERN, id_)


@pytest.mark.parametrize("text", OPAQUE)
def test_an_id_is_one_segment_of_a_path(text: str) -> None:
    """Encoded it has nothing that takes a path apart, and decoded it is what it was."""
    segment = naming.path_segment(text)
    assert re.fullmatch(r"[A-Za-z0-9._~%-]+", segment)
    assert segment not in {".", ".."}
    assert unquote(segment) == text


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
    assert text_normalization.search_key(one) == text_normalization.search_key(other)
    assert text_normalization.search_key(text_normalization.search_key(one)) == text_normalization.search_key(one)


MANY = [f"feature-{number}" for number in range(10_000)] + ["movies", "api-limit", "Analytics", "storage"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("moves", "movies"),
        ("ovies", "movies"),
        ("xmovies", "movies"),
        ("movie", "movies"),
        ("api_limit", "api-limit"),
        ("apilimit", "api-limit"),
        ("analytics", "Analytics"),
        ("feature-123x", "feature-123"),
        ("✂", None),
        ("", None),
        ("something else", None),
    ],
)
def test_a_near_miss_is_found_among_many(name: str, meant: str | None) -> None:
    """With a letter wrong, missing or too many, wherever it is."""
    assert naming.NearestNames(MANY).find(name) == meant


def test_nothing_is_near_where_nothing_is() -> None:
    """A catalog without features."""
    assert naming.NearestNames([]).find("movies") is None


def test_few_names_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ids there are, and each name once."""
    compared: list[int] = []

    def count(_: str, candidates: list[str], n: int, cutoff: float) -> list[str]:  # noqa: ARG001
        compared.append(len(candidates))
        return candidates[:n]

    monkeypatch.setattr("tiergate.naming.difflib.get_close_matches", count)
    names = naming.NearestNames(MANY)
    for _ in range(3):
        names.find("moves")

    assert len(compared) == 1
    assert compared[0] <= 48


def test_what_is_remembered_is_bounded() -> None:
    """Anybody may ask for anything."""
    names = naming.NearestNames(["movies"])
    for number in range(2_500):
        names.find(f"name {number}")

    assert len(names._results) <= 1_000
