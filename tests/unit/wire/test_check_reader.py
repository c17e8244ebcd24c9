from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tiergate.errors import CallerError, CheckError, RequestError
from tiergate.model import Check, Subject, SubjectType
from tiergate.wire import check_reader, strict_reader
from tiergate.wire.check_reader import locate, read_check, read_list_query, split_checks


def test_a_subject_may_be_a_customers_id() -> None:
    """The short form asks about a customer."""
    assert read_check(b'{"subject": "acme", "feature": "movies"}') == Check(Subject("acme"), "movies")


def test_a_subject_may_be_told_in_full() -> None:
    """Its type, its id, and a user inside it."""
    body = b'{"feature": "movies", "subject": {"type": "subscription", "id": "sub_1", "user": "u1"}}'

    assert read_check(body).subject == Subject("sub_1", SubjectType.SUBSCRIPTION, "u1")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("-0", 0),
        ("0.1", Decimal("0.1")),
        ("1e2", Decimal("1e2")),
        ("123456789012345678", 123456789012345678),
        ("0.10000000000000000001", Decimal("0.10000000000000000001")),
    ],
)
def test_numbers_are_read_from_their_text(text: str, number: Decimal | int) -> None:
    """Never through a binary float."""
    amount = read_check(b'{"subject": "a", "feature": "b", "amount": %b}' % text.encode()).amount

    assert amount == number
    assert str(amount) == str(number)


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ('{"feature": "b"}', "/subject", "is required"),
        ('{"subject": "a"}', "/feature", "is required"),
        ('{"subject": "a", "feature": "b", "amont": 1}', "/amont", "did you mean `amount`?"),
        ('{"subject": "a", "feature": "b", "zzz": 1}', "/zzz", "is not a field here"),
        ('{"subject": "a", "feature": "b", "a/b~c": 1}', "/a~1b~0c", "is not a field here"),
        ('{"subject": "a", "feature": "b", "feature": "c"}', "/feature", "is given twice"),
        ('{"subject": {"id": "a", "id": "b"}, "feature": "b"}', "/subject/id", "is given twice"),
        ('{"subject": {"type": "customer"}, "feature": "b"}', "/subject/id", "is required"),
        ('{"subject": {"id": "a", "usr": "u"}, "feature": "b"}', "/subject/usr", "did you mean `user`?"),
        ('{"subject": {"id": "a", "type": "custmer"}, "feature": "b"}', "/subject/type", "did you mean `customer`?"),
        ('{"subject": {"id": "a", "type": 1}, "feature": "b"}', "/subject/type", "must be a string, not a number"),
        ('{"subject": 7, "feature": "b"}', "/subject", "must be a string or an object, not a number"),
        ('{"subject": null, "feature": "b"}', "/subject", "not null"),
        ('{"subject": "", "feature": "b"}', "/subject", "must not be empty"),
        ('{"subject": "a", "feature": ""}', "/feature", "must not be empty"),
        ('{"subject": {"id": "a", "user": ""}, "feature": "b"}', "/subject/user", "must not be empty"),
        ('{"subject": "a", "feature": ["b"]}', "/feature", "must be a string, not a list"),
        ('{"subject": "a", "feature": "b", "amount": true}', "/amount", "must be a number, not a boolean"),
        ('{"subject": "a", "feature": "b", "amount": "1"}', "/amount", "must be a number, not a string"),
        ('{"subject": "a", "feature": "b", "used": null}', "/used", "must be a number, not null"),
        ('{"subject": "a", "feature": "b", "value": {}}', "/value", "must be a number, not an object"),
        ('{"subject": "a", "feature": "b", "level": 3}', "/level", "must be a string, not a number"),
        ('{"subject": "a", "feature": "b", "level": ""}', "/level", "must not be empty"),
        ('{"subject": "a", "feature": "b", "level": "\\ud800"}', "/level", "half of a surrogate pair"),
        ('{"subject": "a", "feature": "b", "amount": 1e99999999999999999999}', "/amount", "out of every range"),
        ('{"subject": "a", "feature": "b", "amount": %s}' % ("9" * 5000), "/amount", "out of every range"),
        ('{"subject": "a", "feature": "b", "value": %s}' % ("9" * 65), "/value", "out of every range"),
        ('{"subject": "a", "feature": "b", "used": -%s}' % ("9" * 64), "/used", "out of every range"),
        ("[]", "", "must be an object, not a list"),
        ('"acme"', "", "must be an object, not a string"),
    ],
)
def test_a_mistake_is_named_with_its_field(body: str, field: str, words: str) -> None:
    """Nothing is guessed and nothing overlooked."""
    with pytest.raises(CheckError) as raised:
        read_check(body.encode())

    assert raised.value.field == field
    assert words in str(raised.value)


def test_a_mistake_in_a_batch_is_named_with_its_place() -> None:
    """Pointers lead from the body's top."""
    with pytest.raises(CheckError) as raised:
        read_check(b'{"subject": "a"}', "/checks/3")

    assert raised.value.field == "/checks/3/feature"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the body is empty"),
        (b"  ", "the body is empty"),
        (b"{", "line 1 column 2"),
        (b'{"subject": "a",\n "feature": }', "line 2 column 13"),
        (b'{"subject": "a", "feature": "b"} {}', "extra data"),
        (b'{"subject": "a", "feature": "b",}', "line 1"),
        (b'{"subject": "\xff", "feature": "b"}', "byte 13 is not UTF-8"),
        (b'{"subject": "\xed\xa0\x80", "feature": "b"}', "byte 13 is not UTF-8"),
        ('{"subject": "a"}'.encode("utf-16"), "is not UTF-8"),
        (b'\xef\xbb\xbf{"subject": "a", "feature": "b"}', "BOM"),
        (b'{"subject": "a", "feature": "b", "amount": NaN}', "`NaN` is not a JSON value"),
        (b'{"subject": "a", "feature": "b", "amount": -Infinity}', "`-Infinity` is not a JSON value"),
        (b'{"subject": "a", "feature": "b", "amount": 01}', "line 1"),
        (b'{"subject": "a\x00", "feature": "b"}', "control character"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"subject":' * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_json_is_said_to_be_none(body: bytes, words: str) -> None:
    """With the place where it stops being JSON."""
    with pytest.raises(RequestError) as raised:
        read_check(body)

    assert raised.value.status == 400
    assert words in raised.value.detail


def thorough(body: bytes) -> Check | str:
    """What the thorough reading says."""
    try:
        return check_reader._check_of(strict_reader.parse_json(body), "", check_reader.CHECK_FIELDS)
    except CallerError as error:
        return type(error).__name__


VALUES = st.one_of(
    st.sampled_from(["acme", "a:b", "", "movies", "customer", "subscription"]).map(json.dumps),
    st.text(max_size=3).map(json.dumps),
    st.text(max_size=3).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.integers().map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.floats().map(str),
    st.sampled_from(["null", "true", "[]", "{}", "NaN", "1e400", "-0", "0.1e-9", '"\\ud800"', '"\\u003a"', "-1", "+1"]),
)
NAMES = st.sampled_from(
    [*check_reader.CHECK_FIELDS, *check_reader.SUBJECT_FIELDS, "amont", "feature:", "f\\u0065ature"]
)


def braced(fields: list[str], space: str) -> str:
    """An object of these fields."""
    return "{" + f",{space}".join(fields) + "}"


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Objects that are nearly checks: right or wrong names and values, now and then twice."""

    def thing(values: st.SearchStrategy[str]) -> str:
        pairs = draw(st.lists(st.tuples(NAMES, values), max_size=5))
        space = draw(st.sampled_from(["", " ", "\n\t"]))
        return braced([f'"{name}"{space}:{space}{value}' for name, value in pairs], space)

    subject = draw(st.sampled_from(['"acme"', thing(VALUES)]))
    sound = ['"feature": "movies"', f'"subject": {subject}']
    extra = [f'"{name}": {draw(VALUES)}' for name in draw(st.lists(NAMES, max_size=3))]
    text = braced(draw(st.permutations(sound + extra)), " ")
    return draw(st.sampled_from([text, thing(VALUES)])).encode("utf-8", "surrogatepass")


@given(bodies() | st.binary(max_size=40))
@example(b'{"subject":{"id":"a","id":"b"},"feature":"b"}')
@example(b'{"subject":"a","feature":"b","feature":"b:"}')
def test_the_quick_reading_reads_as_the_thorough_one(body: bytes) -> None:
    """Whatever it accepts; the rest it leaves to it."""
    quick = check_reader._read_quickly(body)

    assert quick is None or repr(quick) == repr(thorough(body))


@given(st.builds(Check, st.builds(Subject, st.from_regex(r"[a-z0-9._-]{1,9}", fullmatch=True)), st.just("movies")))
def test_an_ordinary_check_is_read_quickly(check: Check) -> None:
    """The thorough reading costs several times as much."""
    body = json.dumps({"subject": check.subject.id, "feature": check.feature}).encode()

    assert check_reader._read_quickly(body) == check


def test_a_batch_is_split_into_the_json_of_its_checks() -> None:
    """Each as it stands, in order, and not read yet."""
    assert split_checks(b' {"checks" : [ {"a": 1} ,7,"x, ]}"]\n}') == [b'{"a": 1}', b"7", b'"x, ]}"']


def test_a_batch_may_be_empty() -> None:
    """Nothing asked, nothing answered."""
    assert split_checks(b'{"checks": []}') == []


def test_a_batch_may_have_a_thousand_checks_and_no_more() -> None:
    """More than that belongs into several requests."""
    assert len(split_checks(b'{"checks": [%b]}' % b",".join([b"1"] * 1_000))) == 1_000
    with pytest.raises(CheckError, match="must have at most 1000 checks, not 1001"):
        split_checks(b'{"checks": [%b]}' % b",".join([b"1"] * 1_001))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"[]", ""),
        (b"{}", "/checks"),
        (b'{"checks": {}}', "/checks"),
        (b'{"checks": null}', "/checks"),
        (b'{"check": []}', "/check"),
        (b'{"checks": [], "more": 1}', "/more"),
        (b'{"checks": [], "checks": []}', "/checks"),
        (b'{"checks": [1], "x": "\\"checks\\": [1]"}', "/x"),
    ],
)
def test_what_is_no_batch_is_refused(body: bytes, field: str) -> None:
    """It is one object with one list."""
    with pytest.raises(CheckError) as raised:
        split_checks(body)

    assert raised.value.field == field


@pytest.mark.parametrize("body", [b'{"checks": [1,]}', b'{"checks": [1]}}', b'{"checks": [1]', b'{"checks": [[}]}'])
def test_a_batch_that_is_no_json_is_refused(body: bytes) -> None:
    """As a whole, since nobody knows where its checks end."""
    with pytest.raises(RequestError):
        split_checks(body)


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(JSONS, max_size=6), st.sampled_from([None, 1]))
def test_splitting_loses_and_invents_nothing(checks: list[Any], indent: int | None) -> None:
    """The parts are the list's elements, however it is written."""
    body = json.dumps({"checks": checks}, indent=indent).encode()

    assert [json.loads(part) for part in split_checks(body)] == checks


def test_a_query_names_a_subject() -> None:
    """With its type and user."""
    assert read_list_query(b"subject=sub%5F1&type=subscription&user=u+1")[0] == Subject(
        "sub_1", SubjectType.SUBSCRIPTION, "u 1"
    )


def test_a_query_may_name_features() -> None:
    """All of them, where it names none."""
    assert read_list_query(b"subject=a&feature=x%2Cy")[1] == read_list_query(b"subject=a&feature=y,x")[1] == {"x", "y"}
    assert read_list_query(b"subject=a")[1] == frozenset()


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (b"", "subject"),
        (b"subject=", "subject"),
        (b"subject=a&subject=b", "subject"),
        (b"subject=a&type=x", "type"),
        (b"subject=a&type=", "type"),
        (b"subject=a&usr=x", "usr"),
        (b"subjct=a", "subjct"),
        (b"subject=a&feature=", "feature"),
        (b"subject=a&feature=x,,y", "feature"),
    ],
)
def test_a_mistake_in_a_query_is_named_with_its_parameter(query: bytes, field: str) -> None:
    """As in a body."""
    with pytest.raises(CheckError) as raised:
        read_list_query(query)

    assert raised.value.field == field


def test_a_query_is_percent_encoded_utf_8() -> None:
    """Nothing else can be read with certainty."""
    with pytest.raises(RequestError, match="UTF-8"):
        read_list_query(b"subject=%ff")


@pytest.mark.parametrize(
    ("field", "body", "pointer"),
    [
        ("amount", b'{"subject": "a", "feature": "b"}', "/checks/1/amount"),
        ("subject.id", b'{"subject": "a", "feature": "b"}', "/checks/1/subject"),
        ("subject.id", b'{"subject": {"id": "a"}, "feature": "b"}', "/checks/1/subject/id"),
    ],
)
def test_the_engines_names_of_fields_become_pointers(field: str, body: bytes, pointer: str) -> None:
    """To where the caller wrote what is wrong."""
    assert locate(field, body, "/checks/1") == pointer
