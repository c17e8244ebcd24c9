from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiergate.cedar import Uid, format_text, parse_policies
from tiergate.compiler.literals import find_entity_literals, find_identifiers, nesting_depth, quote_string

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
AWKWARD = st.text(
    st.sampled_from(list('ab"\\\n\r\t\0\x7f\x85\u2028\u202e\u200d\ufeff\U000e0041\U0001f600é/;{}u')), max_size=20
)


def policy(annotation: str) -> str:
    """A policy with an annotation, as literal text."""
    return f"@value({annotation})\npermit (principal, action, resource);\n"


@given(st.one_of(TEXTS, AWKWARD))
def test_cedar_reads_back_what_was_quoted(text: str) -> None:
    """Any text survives being written as a literal and read by Cedar."""
    [parsed] = parse_policies(policy(quote_string(text)))
    assert parsed.annotations == {"value": text}


@given(st.one_of(TEXTS, AWKWARD))
def test_a_literal_is_one_line_without_tricks(text: str) -> None:
    """A literal holds no character that breaks its line, hides or turns the text around it."""
    literal = quote_string(text)
    assert len(literal.splitlines()) == 1
    assert not any(unicodedata.category(it) in {"Cc", "Zl", "Zp"} for it in literal)
    assert not {unicodedata.bidirectional(it) for it in literal} & {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI"}


@given(AWKWARD)
def test_the_formatter_leaves_a_literal_alone(text: str) -> None:
    """Cedar's own formatter writes the same literal."""
    formatted = format_text(policy(quote_string(text)))
    assert f"@value({quote_string(text)})\n" in formatted


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("50 movies/month", '"50 movies/month"'),
        ("Größe – “XL” ✓", '"Größe – “XL” ✓"'),
        ('24" screens', r'"24\" screens"'),
        ("a\\b", r'"a\\b"'),
        ("two\nlines\tand\r\0", r'"two\nlines\tand\r\0"'),
        ("abc\u202edef", r'"abc\u{202e}def"'),
    ],
)
def test_what_people_can_read_stays_as_it_is(text: str, literal: str) -> None:
    """Only what must be escaped is."""
    assert quote_string(text) == literal


@given(st.one_of(TEXTS, AWKWARD))
def test_an_entity_literal_is_found_with_its_id(text: str) -> None:
    """An entity literal that Cedar understands is found, with the id that Cedar reads."""
    written = f"permit (principal == Customer::{quote_string(text)}, action, resource);"
    place = written.index("Customer")
    assert list(find_entity_literals(written)) == [(place, Uid("Customer", text))]
    assert parse_policies(written)[0].references()[0].uid == Uid("Customer", text)


def test_every_spelling_of_an_entity_literal_is_found() -> None:
    """Spaces, line breaks, namespaces and Cedar's escapes do not hide a literal."""
    text = 'principal in [Shop :: Region::"e\\u{75}", A\n::\n"\\x42\\\'"] && context.x == B::"\\"c\\""'
    assert [uid for _, uid in find_entity_literals(text)] == [
        Uid("Shop::Region", "eu"),
        Uid("A", "B'"),
        Uid("B", '"c"'),
    ]


def test_comments_and_strings_hold_no_literals() -> None:
    """What merely looks like a literal is none."""
    text = '// Item::"a"\n"Item::\\"b\\"" == "c" // Item::"d"\n'
    assert list(find_entity_literals(text)) == []
    assert list(find_identifiers(text)) == []


def test_words_are_found_outside_of_literals() -> None:
    """Identifiers and types can be found by their names."""
    text = 'resource is Shop::Thing && Item::"x" has y'
    assert [word for _, word in find_identifiers(text)] == ["resource", "is", "Shop::Thing", "has", "y"]


def test_nesting_counts_brackets_but_not_those_in_strings() -> None:
    """Brackets count where they are brackets."""
    assert nesting_depth('a(b[c{d}], "((((((") // (((((') == 3
    assert nesting_depth("Set<Set<Long>>") == 0
    assert nesting_depth("Set<Set<Long>>", "<") == 2
