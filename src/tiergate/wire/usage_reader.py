"""Reads bodies about usage as strictly as checks, and names the wrong field the same way (see `check_reader`).

Usage after the fact comes in four forms: one record, several under `usage`, and CloudEvents 1.0, one or a batch, by the
media type of the body.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import msgspec

from tiergate.errors import CheckError
from tiergate.model import Check, Subject, SubjectType, parse_instant
from tiergate.naming import normalize_subject_id
from tiergate.wire.check import SubjectBody
from tiergate.wire.check_reader import QUERY_FIELDS, SUBJECT_TYPES, query_subject, subject_field
from tiergate.wire.decision import UNSET
from tiergate.wire.strict_reader import (
    JsonObject,
    expect_fields,
    kind_of,
    number_field,
    parse_json,
    read_query_fields,
    string_field,
)
from tiergate.wire.usage import (
    CLOUD_EVENT,
    CLOUD_EVENTS,
    MADE_KEY_PREFIX,
    MAX_EXPIRY,
    MAX_KEY,
    MAX_RECORDS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tiergate.model import Instant, Number

CONSUME_FIELDS: Final = ("subject", "feature", "amount", "key")
RESERVE_FIELDS: Final = (*CONSUME_FIELDS, "expires_in")
RECORD_FIELDS: Final = (*CONSUME_FIELDS, "at")
EVENT_FIELDS: Final = ("specversion", "id", "source", "type", "subject", "time", "data")
_DATA_FIELDS: Final = ("subject", "feature", "amount")
_FEATURE: Final = "feature"
_HEADER: Final = "Idempotency-Key"

_KEY: Final = re.compile(r"[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?")
_QUOTED: Final = re.compile(rb'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError)


class _WholeConsume(msgspec.Struct, forbid_unknown_fields=True):
    """A consumption as nearly all are: of an integer, which msgspec reads exactly."""

    subject: str | SubjectBody
    feature: str
    amount: Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)] | msgspec.UnsetType = UNSET
    key: str | msgspec.UnsetType = UNSET


_decode_whole = msgspec.json.Decoder(_WholeConsume).decode


class UsageRecord(NamedTuple):
    """Usage after the fact. `source`: of its key; empty but for events. `at`: `None` for now. `pointer`: to it."""

    check: Check
    source: str
    key: str | None
    at: Instant | None
    pointer: str
    feature_field: str


def read_consume(body: bytes) -> tuple[Check, str | None]:
    """Read the body of a consumption: its check, and its idempotency key if it has one."""
    quick = _read_quickly(body)
    if quick is not None:
        return quick
    fields = _object(parse_json(body), "", CONSUME_FIELDS)
    return _check_of(fields, ""), _key_of(fields, "")


def read_reserve(body: bytes) -> tuple[Check, str | None, int | None]:
    """Read the body of a reservation: its check, its key, and the seconds until it expires."""
    fields = _object(parse_json(body), "", RESERVE_FIELDS)
    seconds: int | None = None
    if "expires_in" in fields:
        given = number_field(fields["expires_in"], "/expires_in")
        if not isinstance(given, int) or not 1 <= given <= MAX_EXPIRY:
            raise CheckError("/expires_in", f"must be a whole number of seconds from 1 to {MAX_EXPIRY}")
        seconds = given
    return _check_of(fields, ""), _key_of(fields, ""), seconds


def read_commit(body: bytes) -> Number | None:
    """Read the body of a commit: the amount, `None` for all. The body may be empty."""
    if not body:
        return None
    fields = parse_json(body)
    expect_fields(fields, "", ("amount",), ())
    return number_field(fields["amount"], "/amount") if isinstance(fields, dict) and "amount" in fields else None


def read_release(body: bytes) -> None:
    """Read the body of a release, which has no fields, and may be empty."""
    if body:
        expect_fields(parse_json(body), "", (), ())


def read_records(body: bytes, media_type: str) -> tuple[list[UsageRecord | CheckError], bool]:
    """Read usage after the fact; return each record, or what is wrong with it, and whether there may be several."""
    whole = parse_json(body)
    if media_type == CLOUD_EVENTS:
        return [_or_error(_event_of, event, f"/{place}") for place, event in enumerate(_list(whole, ""))], True
    if media_type == CLOUD_EVENT:
        return [_event_of(whole, "")], False
    if isinstance(whole, JsonObject) and "usage" in whole:
        expect_fields(whole, "", ("usage",), ("usage",))
        records = _list(whole["usage"], "/usage")
        return [_or_error(_record_of, record, f"/usage/{place}") for place, record in enumerate(records)], True
    return [_record_of(whole, "")], False


def read_usage_query(query: bytes) -> tuple[Subject, str | None]:
    """Read the subject and the feature, if there is one, of a query such as `subject=acme&feature=movies`."""
    fields = read_query_fields(query, (*QUERY_FIELDS, _FEATURE))
    if fields.get(_FEATURE) == "":
        raise CheckError(_FEATURE, "must not be empty")
    return query_subject(fields), fields.get(_FEATURE)


def read_key_header(values: Sequence[bytes]) -> str | None:
    """Read the header `Idempotency-Key`: a key, or one in quotes as a structured field (RFC 9651)."""
    if not values:
        return None
    if len(values) > 1:
        raise CheckError(_HEADER, "is given twice")
    value = values[0].strip()
    quoted = _QUOTED.fullmatch(value)
    if quoted is not None:
        value = re.sub(rb"\\(.)", rb"\1", quoted[1])
    try:
        return expect_key(value.decode("utf-8"), _HEADER)
    except UnicodeDecodeError:
        raise CheckError(_HEADER, "is not UTF-8") from None


def choose_key(header: str | None, body: str | None) -> str | None:
    """Return the key of a request that may have it in its header or in its body."""
    if header is not None and body is not None and header != body:
        raise CheckError("/key", f"differs from the header `{_HEADER}`")
    return header if body is None else body


def expect_key(key: str, field: str) -> str:
    """Return an idempotency key of a caller, if it is one."""
    if len(key) > MAX_KEY or _KEY.fullmatch(key) is None:
        detail = f"must be 1 to {MAX_KEY} characters without control characters, and without white space at either end"
        raise CheckError(field, detail)
    if key.startswith(MADE_KEY_PREFIX):
        raise CheckError(field, f"must not begin with `{MADE_KEY_PREFIX}`, as the keys that a sidecar makes")
    return key


def _read_quickly(body: bytes) -> tuple[Check, str | None] | None:
    """Read what is certainly valid. INVARIANT (quick is thorough)."""
    try:
        whole = _decode_whole(body)
        key = None if whole.key is UNSET else expect_key(whole.key, "/key")
    except (*_UNREADABLE, CheckError):
        return None
    amount = None if whole.amount is UNSET else whole.amount
    colons = 2 + (amount is not None) + (key is not None)  # each field is followed by one
    subject = whole.subject
    if isinstance(subject, str):
        about = Subject(subject if subject.isascii() else normalize_subject_id(subject))
    else:
        colons += 1 + (subject.type is not UNSET) + (subject.user is not UNSET)
        about = Subject(
            normalize_subject_id(subject.id),
            SubjectType.CUSTOMER if subject.type is UNSET else SUBJECT_TYPES[subject.type],
            None if subject.user is UNSET else normalize_subject_id(subject.user),
        )
    # A repeated field has a second colon, besides those in strings.
    rest = body.count(b":") - colons
    if rest and (b"\\" in body or rest != sum(text.count(":") for text in (about.id, about.user, key) if text)):
        return None
    if not (about.id and whole.feature) or about.user == "":
        return None
    return Check(about, whole.feature, amount), key


def _object(value: object, at: str, known: Iterable[str]) -> JsonObject:
    expect_fields(value, at, known, ("subject", "feature"))
    if not isinstance(value, JsonObject):  # pragma: no cover - refused above
        raise CheckError(at, "must be an object")
    return value


def _check_of(fields: JsonObject, at: str) -> Check:
    amount = number_field(fields["amount"], f"{at}/amount") if "amount" in fields else None
    subject = subject_field(fields["subject"], f"{at}/subject")
    return Check(subject, string_field(fields["feature"], f"{at}/feature"), amount)


def _key_of(fields: JsonObject, at: str) -> str | None:
    return expect_key(string_field(fields["key"], f"{at}/key"), f"{at}/key") if "key" in fields else None


def _record_of(value: object, at: str) -> UsageRecord:
    fields = _object(value, at, RECORD_FIELDS)
    instant = _instant(fields["at"], f"{at}/at") if "at" in fields else None
    return UsageRecord(_check_of(fields, at), "", _key_of(fields, at), instant, at, f"{at}/feature")


def _event_of(value: object, at: str) -> UsageRecord:
    """Read a CloudEvent. Attributes that it does not know are extensions, and ignored."""
    expect_fields(value, at, value if isinstance(value, JsonObject) else (), ("specversion", "id", "source", "type"))
    if not isinstance(value, JsonObject):  # pragma: no cover - refused above
        raise CheckError(at, "must be an object")
    if string_field(value["specversion"], f"{at}/specversion") != "1.0":
        raise CheckError(f"{at}/specversion", "must be `1.0`")
    media_type = value.get("datacontenttype", "application/json")
    if not isinstance(media_type, str) or media_type.partition(";")[0].strip().lower() != "application/json":
        raise CheckError(f"{at}/datacontenttype", "must be `application/json`")
    if "data_base64" in value:
        raise CheckError(f"{at}/data_base64", "is not read; the data must be JSON", "data")
    data = value["data"] if "data" in value else JsonObject([])
    expect_fields(data, f"{at}/data", _DATA_FIELDS, ())
    if not isinstance(data, JsonObject):  # pragma: no cover - refused above
        raise CheckError(f"{at}/data", "must be an object")
    subject_at, feature_at = f"{at}/data/subject", f"{at}/data/feature"
    about = data.get("subject")
    if "subject" not in data:
        if "subject" not in value:
            raise CheckError(f"{at}/subject", "is required, here or in the data")
        subject_at, about = f"{at}/subject", string_field(value["subject"], f"{at}/subject")
    feature = data.get("feature")
    if "feature" not in data:
        feature_at, feature = f"{at}/type", value["type"]
    amount = number_field(data["amount"], f"{at}/data/amount") if "amount" in data else None
    check = Check(subject_field(about, subject_at), string_field(feature, feature_at), amount)
    instant = _instant(value["time"], f"{at}/time") if "time" in value else None
    source = _identity(value["source"], f"{at}/source")
    return UsageRecord(check, source, _identity(value["id"], f"{at}/id"), instant, at, feature_at)


def _identity(value: object, at: str) -> str:
    text = string_field(value, at)
    if len(text) > MAX_KEY:
        raise CheckError(at, f"must be at most {MAX_KEY} characters")
    return text


def _instant(value: object, at: str) -> Instant:
    try:
        return parse_instant(string_field(value, at))
    except ValueError as error:
        raise CheckError(at, str(error)) from None


def _or_error(read: Callable[[object, str], UsageRecord], value: object, at: str) -> UsageRecord | CheckError:
    try:
        return read(value, at)
    except CheckError as error:
        return error


def _list(value: object, at: str) -> list[object]:
    if not isinstance(value, list):
        raise CheckError(at, f"must be a list, not {kind_of(value)}")
    if len(value) > MAX_RECORDS:
        raise CheckError(at, f"must have at most {MAX_RECORDS} records, not {len(value)}")
    return value


def media_type_of(values: Sequence[bytes]) -> str | None:
    """Return the media type of usage after the fact; `None` if it is none of them. JSON is UTF-8."""
    if len(values) != 1:
        return None
    name, _, parameters = values[0].decode("latin-1").lower().partition(";")
    name = name.strip()
    charset = parameters.replace('"', "").replace(" ", "").strip()
    if name not in ("application/json", CLOUD_EVENT, CLOUD_EVENTS) or charset not in ("", "charset=utf-8"):
        return None
    return name
