from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tiergate.errors import CallerError, CheckError, RequestError
from tiergate.model import Check, Subject, SubjectType, parse_instant
from tiergate.wire import strict_reader, usage_reader
from tiergate.wire.usage import CLOUD_EVENT, CLOUD_EVENTS, MAX_RECORDS
from tiergate.wire.usage_reader import (
    choose_key,
    media_type_of,
    read_commit,
    read_consume,
    read_key_header,
    read_records,
    read_release,
    read_reserve,
    read_usage_query,
)

JSON = "application/json"
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e1",
    "source": "/meter",
    "type": "api.call",
    "subject": "acme",
    "time": "2026-05-01T10:00:00Z",
    "data": {"feature": "calls", "amount": 2.5},
}


def body(**fields: Any) -> bytes:  # noqa: ANN401 - JSON
    """Return the JSON of a body with a subject and a feature."""
    return json.dumps({"subject": "acme", "feature": "calls"} | fields).encode()


def test_a_consumption_is_a_check_with_a_key() -> None:
    """The amount is exact, and the key is optional."""
    assert read_consume(body()) == (Check(Subject("acme"), "calls"), None)
    assert read_consume(body(amount=2, key="k 1")) == (Check(Subject("acme"), "calls", 2), "k 1")
    subject = {"type": "subscription", "id": "s1", "user": "u1"}
    expected = Check(Subject("s1", SubjectType.SUBSCRIPTION, "u1"), "calls", Decimal("0.5"))
    assert read_consume(body(subject=subject, amount=0.5)) == (expected, None)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"used": 3}, "/used"),
        ({"amount": "3"}, "/amount"),
        ({"amount": True}, "/amount"),
        ({"key": ""}, "/key"),
        ({"key": "a\nb"}, "/key"),
        ({"key": " a"}, "/key"),
        ({"key": "x" * 257}, "/key"),
        ({"key": "tg:1"}, "/key"),
        ({"subject": {"id": "a", "typ": "customer"}}, "/subject/typ"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], pointer: str) -> None:
    """By a JSON Pointer."""
    for read in (read_consume, read_reserve, lambda text: read_records(text, JSON)):
        with pytest.raises(CheckError) as raised:
            read(body(**fields))
        assert raised.value.field == pointer


def test_a_near_miss_is_named() -> None:
    """A misspelt field comes with the probable one."""
    with pytest.raises(CheckError) as raised:
        read_consume(body(amout=1))
    assert raised.value.suggestion == "amount"


VALUES = st.sampled_from(
    ['"acme"', '"a:b"', '""', "1", "1.5", "-1", "true", "null", '"tg:x"', '"k\\u003a"', '{"id":"s","user":"u:"}', "{}"]
)
NAMES = st.sampled_from(["subject", "feature", "amount", "key", "at", "used", "k\\u0065y"])


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6))
@example([("subject", '"a"'), ("feature", '"b"'), ("key", '"x:"'), ("key", '"y"')])
def test_the_quick_reading_reads_as_the_thorough_one(pairs: list[tuple[str, str]]) -> None:
    """Whatever it accepts; the rest it leaves to it."""
    text = ("{" + ",".join(f'"{name}":{value}' for name, value in pairs) + "}").encode()
    quick = usage_reader._read_quickly(text)
    if quick is not None:
        fields = usage_reader._object(strict_reader.parse_json(text), "", usage_reader.CONSUME_FIELDS)
        assert repr(quick) == repr((usage_reader._check_of(fields, ""), usage_reader._key_of(fields, "")))


def test_an_ordinary_consumption_is_read_quickly() -> None:
    """The thorough reading costs several times as much."""
    assert usage_reader._read_quickly(body(amount=1, key="a:b")) is not None


class TestReserve:
    def test_the_expiry_is_in_whole_seconds(self) -> None:
        """Up to a day."""
        assert read_reserve(body(expires_in=30))[2] == 30
        assert read_reserve(body())[2] is None
        for wrong in (0, 86_401, 1.5, "30"):
            with pytest.raises(CheckError) as raised:
                read_reserve(body(expires_in=wrong))
            assert raised.value.field == "/expires_in"

    def test_a_commit_may_name_a_part(self) -> None:
        """Without an amount it is all."""
        assert read_commit(b"") is None
        assert read_commit(b"{}") is None
        assert read_commit(b'{"amount": 0.5}') == Decimal("0.5")
        with pytest.raises(CheckError):
            read_commit(b'{"amount": null}')

    def test_a_release_names_nothing(self) -> None:
        """All of it is released."""
        read_release(b"")
        read_release(b"{}")
        with pytest.raises(CheckError):
            read_release(b'{"amount": 1}')


class TestRecords:
    def test_one_record(self) -> None:
        """With the instant at which it happened."""
        records, several = read_records(body(amount=3, at="2026-05-01T10:00:00Z", key="k"), JSON)
        assert not several
        (record,) = records
        assert not isinstance(record, CheckError)
        assert (record.check.amount, record.key, record.source) == (3, "k", "")
        assert record.at == parse_instant("2026-05-01T10:00:00Z")

    def test_several_records_are_read_on_their_own(self) -> None:
        """One that is wrong does not keep the others from counting."""
        text = json.dumps({"usage": [{"subject": "acme", "feature": "calls"}, {"subject": "acme"}]}).encode()
        records, several = read_records(text, JSON)
        assert several
        assert not isinstance(records[0], CheckError)
        assert isinstance(records[1], CheckError)
        assert records[1].field == "/usage/1/feature"

    def test_too_many_records_are_refused(self) -> None:
        """As a whole."""
        with pytest.raises(CheckError):
            read_records(json.dumps({"usage": [{}] * (MAX_RECORDS + 1)}).encode(), JSON)

    def test_an_event(self) -> None:
        """Its source and id are its key, its time is when it happened."""
        (record,), several = read_records(json.dumps(EVENT).encode(), CLOUD_EVENT)
        assert not several
        assert not isinstance(record, CheckError)
        assert record.check == Check(Subject("acme"), "calls", Decimal("2.5"))
        assert (record.source, record.key) == ("/meter", "e1")
        assert record.at == parse_instant(EVENT["time"])

    def test_an_event_without_data_is_one_unit_of_its_type(self) -> None:
        """Extension attributes are ignored."""
        event = {name: value for name, value in EVENT.items() if name not in ("data", "time")} | {"traceparent": "x"}
        (record,), several = read_records(json.dumps([event]).encode(), CLOUD_EVENTS)
        assert several
        assert not isinstance(record, CheckError)
        assert record.check == Check(Subject("acme"), "api.call")
        assert (record.at, record.feature_field) == (None, "/0/type")

    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"specversion": "0.3"}, "/specversion"),
            ({"id": None}, "/id"),
            ({"source": ""}, "/source"),
            ({"subject": 3}, "/subject"),
            ({"time": "yesterday"}, "/time"),
            ({"data": [1]}, "/data"),
            ({"data": {"amount": "1"}}, "/data/amount"),
            ({"data": {"amont": 1}}, "/data/amont"),
            ({"data": {"subject": ""}}, "/data/subject"),
            ({"data_base64": "AA=="}, "/data_base64"),
            ({"datacontenttype": "text/xml"}, "/datacontenttype"),
        ],
    )
    def test_what_is_wrong_with_an_event_is_named(self, changes: dict[str, Any], pointer: str) -> None:
        """By a JSON Pointer into the event."""
        with pytest.raises(CheckError) as raised:
            read_records(json.dumps(EVENT | changes).encode(), CLOUD_EVENT)
        assert raised.value.field == pointer

    def test_a_malformed_body_is_refused(self) -> None:
        """As a whole."""
        for media_type in (JSON, CLOUD_EVENT, CLOUD_EVENTS):
            with pytest.raises(RequestError):
                read_records(b"{", media_type)
            with pytest.raises(CallerError):
                read_records(b"3", media_type)

    @pytest.mark.parametrize(
        ("header", "expected"),
        [
            (b"application/json", JSON),
            (b'Application/JSON; charset="UTF-8"', JSON),
            (b"application/cloudevents+json; charset=utf-8", CLOUD_EVENT),
            (b"application/cloudevents-batch+json", CLOUD_EVENTS),
            (b"text/plain", None),
            (b"application/json; charset=latin-1", None),
        ],
    )
    def test_the_media_type_says_the_form(self, header: bytes, expected: str | None) -> None:
        """Others are not read."""
        assert media_type_of([header]) == expected
        assert media_type_of([header, header]) is None


class TestKeys:
    @pytest.mark.parametrize(
        ("header", "expected"),
        [(b"abc", "abc"), (b' "abc" ', "abc"), (b'"a\\"b"', 'a"b'), ("\u0142".encode(), "\u0142"), (b'"', '"')],
    )
    def test_a_header_may_be_quoted(self, header: bytes, expected: str) -> None:
        """As a structured field has it."""
        assert read_key_header([header]) == expected

    @pytest.mark.parametrize("headers", [[b""], [b"\xff"], [b'""'], [b"a", b"a"], [b"tg:a"]])
    def test_a_header_that_is_no_key_is_named(self, headers: list[bytes]) -> None:
        """By its name."""
        with pytest.raises(CheckError) as raised:
            read_key_header(headers)
        assert raised.value.field == "Idempotency-Key"

    def test_header_and_body_must_agree(self) -> None:
        """Two keys are a mistake."""
        assert (choose_key("a", None), choose_key(None, "a"), choose_key("a", "a")) == ("a", "a", "a")
        assert choose_key(None, None) is None
        with pytest.raises(CheckError):
            choose_key("a", "b")


def test_a_query_names_a_subject_and_perhaps_a_feature() -> None:
    """Other parameters are mistakes."""
    assert read_usage_query(b"subject=acme") == (Subject("acme"), None)
    assert read_usage_query(b"subject=s&type=subscription&user=u&feature=calls") == (
        Subject("s", SubjectType.SUBSCRIPTION, "u"),
        "calls",
    )
    for query in (b"", b"subject=", b"subject=a&feature=", b"subject=a&featur=x", b"subject=a&subject=b"):
        with pytest.raises(CheckError):
            read_usage_query(query)
