from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tests.unit.catalog.marked import expect, unmark
from tiergate.catalog.reading.document import BROKEN, Listing, Mapping, Node, SourceText
from tiergate.catalog.reading.problem_report import ProblemLog, TextReport
from tiergate.catalog.reading.yaml_reader import MAX_DEPTH, read_yaml

if TYPE_CHECKING:
    from tiergate.model import Problem


def read(text: str) -> tuple[Node, list[Problem]]:
    """The document of a text, and what is wrong with it."""
    log = ProblemLog()
    node, _ = read_yaml(text, TextReport(log, SourceText("f", text)))
    return node, log.sorted()


def plain(node: Node) -> object:
    """The document without its places."""
    if isinstance(node, Mapping):
        return {key: plain(value) for key, value in node.entries.items()}
    if isinstance(node, Listing):
        return [plain(entry) for entry in node.entries]
    return node


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-12", -12),
        ("1.50", Decimal("1.50")),
        ("1e3", Decimal("1e3")),
        ("0.1", Decimal("0.1")),
        ("12345678901234567890.123456789", Decimal("12345678901234567890.123456789")),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("OFF", "OFF"),
        ("y", "y"),
        ("2026-11-01", "2026-11-01"),
        ("2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z"),
        ("1:30", "1:30"),
        ("1.2.3", "1.2.3"),
        ("7eleven", "7eleven"),
        ("Falsehood", "Falsehood"),
        ("-", ["null"]),
        ("'5'", "5"),
        ('"true"', "true"),
        ('"\\u00e9\\n"', "é\n"),
        ("|\n  5\n", "5\n"),
        (">\n  a\n  b\n", "a b\n"),
        ("Infinity", "Infinity"),
    ],
)
def test_a_scalar_is_what_it_says(text: str, value: object) -> None:
    """Unquoted words are booleans, null and JSON's numbers in one spelling each; all else is text."""
    node, problems = read(text)
    assert not problems
    if text != "-":
        assert plain(node) == value
        assert type(plain(node)) is type(value)


@pytest.mark.parametrize(
    "word",
    [
        "True",
        "FALSE",
        "Null",
        "NULL",
        "0x1F",
        "0o17",
        "0b1",
        "010",
        "00",
        "+1",
        "1_000",
        ".5",
        "5.",
        "-.5",
        "1__0",
        "+1.5e3",
    ],
)
def test_a_word_that_readers_take_for_different_things_is_refused(word: str) -> None:
    """It is not guessed, but it may be quoted."""
    text, marks = unmark(f"a: ^{word}\nb: ['{word}']\n")
    expect(read(text)[1], marks, "unclear-scalar")


@pytest.mark.parametrize("word", [".inf", "-.Inf", "+.INF", ".nan", ".NaN"])
def test_a_number_that_is_not_finite_is_refused(word: str) -> None:
    """The message says so."""
    (problem,) = read(f"a: {word}")[1]
    assert problem.message == f"`{word}` is not a finite number"


def test_keys_are_text_whatever_they_look_like() -> None:
    """A key is never a boolean, a number or null."""
    node, problems = read("true: 1\n5: 2\nnull: 3\nno: 4\n~: 5\n")
    assert not problems
    assert plain(node) == {"true": 1, "5": 2, "null": 3, "no": 4, "~": 5}


def test_places_are_kept() -> None:
    """Each key and value knows where it stands."""
    text = "a:\n  - b: 1\n    c: [x, {d: e}]\n"
    node, _ = read(text)
    assert isinstance(node, Mapping)
    listing = node.entries["a"]
    assert isinstance(listing, Listing)
    inner = listing.entries[0]
    assert isinstance(inner, Mapping)
    source = SourceText("f", text)
    assert source.position(node.value_place("a")) == ("f", 2, 3)
    assert source.position(listing.places[0]) == ("f", 2, 5)
    assert source.position(inner.key_place("c")) == ("f", 3, 5)
    assert source.position(inner.value_place("c")) == ("f", 3, 8)


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("a: 1\nb: 2\n^a: 3\n", "duplicate-key"),
        ("{a: 1, ^'a': {b: 1, ^b: 2}}", "duplicate-key duplicate-key"),
        ("a: ^&x 1\nb: ^*x\n", "anchor alias"),
        ("a: ^&x {b: 1}\nc:\n  ^<<: ^*x\n", "anchor merge-key alias"),
        ("^*x : 1\n", "alias"),
        ("a: ^!!str 5\nb: ^!thing {}\n", "tag tag"),
        ("a: ^!!python/object/apply:os.system [ls]\n", "tag"),
        ("? ^[a, b]\n: 1\nc: 2\n", "bad-key"),
        ("? ^{a: b}\n: {c: 1}\n", "bad-key"),
        ("a: 1\n^---\nb: 2\n", "second-document"),
        ("a:\n^\t- b\n", "bad-yaml"),
        ("a: ^'b\n", "bad-yaml"),
        ("a: b^: c\n", "bad-yaml"),
        ("a:\n ^[1,\n 2\n", "bad-yaml"),
        ("a: ^@x\n", "bad-yaml"),
        ("a: ^%x\n", "bad-yaml"),
        ("a: ^}\n", "bad-yaml"),
        ("a: b\n  ^c: d\n", "bad-yaml"),
        ('a: "^\\q"\n', "bad-yaml"),
        ("a: ^\x00\n", "bad-character"),
        ("a: ^\x07\n", "bad-character"),
        ("a: ^\ufffe\n", "bad-character"),
        ("%YAML 3.0^\n---\na: 1\n", "bad-yaml"),
    ],
)
def test_what_is_not_understood_is_a_problem_with_a_place(text: str, codes: str) -> None:
    """Nothing is passed over, nothing crashes."""
    clean, marks = unmark(text)
    problems = read(clean)[1]
    if codes == "bad-yaml":
        # The exact place is libyaml's to choose; the line is the one to look at.
        assert [(problem.code, problem.line) for problem in problems] == [(codes, marks[0][0])], problems
    else:
        expect(problems, marks, codes)


def test_one_document_may_be_marked_as_one() -> None:
    """A beginning and an end of the document are no second one."""
    assert plain(read("%YAML 1.2\n---\na: 1\n...\n")[0]) == {"a": 1}


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_depth_is_bounded(opening: str) -> None:
    """A file that nests without end ends at once."""
    node, problems = read(opening * 100_000)
    assert node is BROKEN
    assert [problem.code for problem in problems] == ["too-deep"]


def test_some_depth_is_allowed() -> None:
    """The bound is far beyond what the formats need."""
    node, problems = read("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert not problems
    assert isinstance(node, Listing)


def test_a_tab_is_named() -> None:
    """The most common mistake of all has its own words."""
    (problem,) = read("a:\n\tb: 1\n")[1]
    assert problem.message == "a tab cannot indent YAML: use spaces"


def test_aliases_cannot_grow() -> None:
    """An alias is refused where it stands, so that no document is larger than its text."""
    text = "a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(50))
    node, problems = read(text)
    assert {problem.code for problem in problems} == {"anchor", "alias"}
    assert isinstance(node, Mapping)
