from __future__ import annotations

import json
import unicodedata
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.catalog.marked import expect, unmark
from tests.unit.catalog.reading.test_yaml_reader import plain
from tiergate.catalog.reading.document import BROKEN, Mapping, Node, SourceText
from tiergate.catalog.reading.json_reader import MAX_DEPTH, read_json
from tiergate.catalog.reading.problem_report import ProblemLog, TextReport

if TYPE_CHECKING:
    from tiergate.model import Problem


def read(text: str) -> tuple[Node, list[Problem]]:
    """The document of a text, and what is wrong with it."""
    log = ProblemLog()
    node, _ = read_json(text, TextReport(log, SourceText("f", text)))
    return node, log.sorted()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        (" null ", None),
        ("-0", 0),
        ("1.50", Decimal("1.50")),
        ("1E+2", Decimal("1E+2")),
        ('"a\\n\\u00e9\\/\\ud83d\\ude00"', "a\né/😀"),
        ('{"a": [1, {}, [], "x"], "b\\"": {"c": false}}', {"a": [1, {}, [], "x"], 'b"': {"c": False}}),
        ('\t{\r\n"a"\t:\n1 }', {"a": 1}),
    ],
)
def test_json_is_what_it_says(text: str, value: object) -> None:
    """Every value of RFC 8259 is read, numbers exactly."""
    node, problems = read(text)
    assert not problems
    assert plain(node) == value


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("^", "bad-json"),
        ("  ^", "bad-json"),
        ("{^", "bad-json"),
        ('{"a"^', "bad-json"),
        ('{"a" ^1}', "bad-json"),
        ('{"a": 1^', "bad-json"),
        ('{"a": 1,^}', "bad-json"),
        ("[1,^]", "bad-json"),
        ("[1 ^2]", "bad-json"),
        ("[1]^]", "bad-json"),
        ("{} ^{}", "bad-json"),
        ("{^a: 1}", "bad-json"),
        ("{^1: 1}", "bad-json"),
        ("^'a'", "bad-json"),
        ("^nul", "bad-json"),
        ("[^NaN]", "bad-json"),
        ("[^Infinity, 1]", "bad-json"),
        ("[^-Infinity]", "bad-json"),
        ("[^01]", "bad-json"),
        ("[^+1]", "bad-json"),
        ("[^.5]", "bad-json"),
        ("[^1.]", "bad-json"),
        ("[^1e]", "bad-json"),
        ("[^0x10]", "bad-json"),
        ("// comment^", "bad-json"),
        ('^"abc', "bad-json"),
        ('[^"a\nb"]', "bad-json"),
        ('[^"a\\qb"]', "bad-json"),
        ('[^"\\u12"]', "bad-json"),
        ('[^"\\ud800"]', "bad-character"),
        ("[^\x00]", "bad-json"),
        ("[^\u00a01]", "bad-json"),
        ('{"a": 1, ^"a": 2, ^"\\u0061": 3}', "duplicate-key duplicate-key"),
        (f"[^{'1' * 101}, ^1e99999999999999999999]", "unclear-scalar unclear-scalar"),
    ],
)
def test_what_is_no_json_is_a_problem_with_a_place(text: str, codes: str) -> None:
    """Nothing is passed over, nothing crashes."""
    clean, marks = unmark(text.replace("// comment^", "^// comment"))
    expect(read(clean)[1], marks, codes)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_depth_is_bounded(opening: str) -> None:
    """A file that nests without end ends at once."""
    node, problems = read(opening * 100_000)
    assert node is BROKEN
    assert [problem.code for problem in problems] == ["too-deep"]


def test_some_depth_is_allowed() -> None:
    """The bound is far beyond what the formats need."""
    assert not read("[" * MAX_DEPTH + "]" * MAX_DEPTH)[1]


def test_places_are_kept() -> None:
    """Each key and value knows where it stands."""
    text = '{"a": 1,\n "\\u0062": {"c": "d"}}'
    node, _ = read(text)
    assert isinstance(node, Mapping)
    source = SourceText("f", text)
    assert source.position(node.value_place("a")) == ("f", 1, 7)
    assert source.position(node.key_place("b")) == ("f", 2, 2)
    inner = node.entries["b"]
    assert isinstance(inner, Mapping)
    assert source.position(inner.value_place("c")) == ("f", 2, 18)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=15,
)


def _has_twins(value: object) -> bool:
    """Whether two keys of one object are the same text in another spelling."""
    if isinstance(value, dict):
        keys = {unicodedata.normalize("NFC", key) for key in value}
        return len(keys) < len(value) or any(_has_twins(it) for it in value.values())
    return isinstance(value, list) and any(_has_twins(it) for it in value)


def _composed(value: object) -> object:
    if isinstance(value, dict):
        return {unicodedata.normalize("NFC", key): _composed(it) for key, it in value.items()}
    if isinstance(value, list):
        return [_composed(it) for it in value]
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value


@given(_JSON, st.booleans(), st.sampled_from([None, 1]))
def test_whatever_the_standard_library_writes_is_read(value: object, ascii_only: bool, indent: int | None) -> None:
    """The reader agrees with `json.loads`, an independent one, but for the normal form of texts."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    node, problems = read(text)
    assert bool(problems) == _has_twins(value)
    if not problems:
        assert plain(node) == _composed(json.loads(text))


def test_a_key_in_two_spellings_stands_twice() -> None:
    """It is one text, composed or not."""
    _, problems = read('{"\u00e9": 1, "e\u0301": 2}')
    assert [problem.code for problem in problems] == ["duplicate-key"]


@given(st.text(alphabet=st.sampled_from(list('{}[]:,"\\u0ae1.-+ \n\ttrufalsn')), max_size=30))
def test_the_reader_accepts_what_the_standard_library_accepts(text: str) -> None:
    """Neither more nor less, on anything that looks like JSON."""
    try:
        json.loads(text, object_pairs_hook=_unique)
        is_json = True
    except ValueError:
        is_json = False
    assert (not read(text)[1]) == is_json


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError(pairs)
    return dict(pairs)
