"""Reads checks and queries strictly: numbers are exact, nothing gets a default, unknown and repeated fields are errors.

A body is read at most twice. The fast reader accepts only what is certainly valid. The thorough reader decides about
the rest: it also accepts unusual forms, and names the wrong field. INVARIANT (quick is thorough): what the fast reader
accepts, the thorough one reads the same.

Ids of subjects and labels of levels are normalized to NFC, so that two spellings of an id are one subject.

Fields are named by JSON Pointers (RFC 6901) into the body, such as `/checks/3/subject/id`; query parameters by name.

A body that is not JSON is a `RequestError`. A field that is missing, unknown, repeated or of a wrong type is a
`CheckError`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, cast

import msgspec

from tiergate.errors import CheckError
from tiergate.model import Check, Subject, SubjectType, parse_instant
from tiergate.naming import nearest, normalize_subject_id
from tiergate.text_normalization import to_nfc
from tiergate.wire.check import MAX_CHECKS, CheckBody, SubjectBody
from tiergate.wire.decision import UNSET
from tiergate.wire.strict_reader import (
    MAX_SHOWN,
    expect_fields,
    kind_of,
    malformed_json,
    number_field,
    parse_json,
    read_number,
    read_query_fields,
    string_field,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tiergate.model import Instant, Number

CHECK_FIELDS = ("subject", "feature", "amount", "used", "user_used", "value", "level")
SUBJECT_FIELDS = ("type", "id", "user")
_NUMBERS = ("amount", "used", "user_used", "value")
_AT = "at"
QUERY_FIELDS = ("subject", "type", "user")

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _AboutBody(msgspec.Struct):
    subject: str | SubjectBody


_Whole = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]


class _WholeCheck(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A check as nearly all are: its numbers are integers, which msgspec reads exactly; it rejects `1.0` and `1e3`.

    A field that is absent is `None`; one that is `null` is rejected.
    """

    subject: str | SubjectBody
    feature: str
    amount: _Whole = cast("int", None)
    used: _Whole = cast("int", None)
    user_used: _Whole = cast("int", None)
    value: _Whole = cast("int", None)
    level: str = cast("str", None)


_decode_whole = msgspec.json.Decoder(_WholeCheck).decode
_decode_check = msgspec.json.Decoder(CheckBody).decode
_decode_about = msgspec.json.Decoder(_AboutBody).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_CHECKS_HEAD = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"checks"[ \t\r\n]*:[ \t\r\n]*(?=\[)')
_CHECKS_TAIL = re.compile(rb"[ \t\r\n]*\}[ \t\r\n]*\Z")
SUBJECT_TYPES = {"customer": SubjectType.CUSTOMER, "subscription": SubjectType.SUBSCRIPTION}


def read_check(body: bytes, at: str = "") -> Check:
    """Read the JSON of one check. `at` is the pointer to it if it is part of a larger body."""
    check = _read_quickly(body)
    return check if check is not None else _check_of(parse_json(body), at, CHECK_FIELDS)


def read_check_at(body: bytes) -> tuple[Check, Instant | None]:
    """Read the JSON of a check and its instant `at`, if it has one."""
    whole = parse_json(body)
    check = _check_of(whole, "", (*CHECK_FIELDS, _AT))
    if not isinstance(whole, dict) or _AT not in whole:
        return check, None
    try:
        return check, parse_instant(string_field(whole[_AT], f"/{_AT}"))
    except ValueError as error:
        raise CheckError(f"/{_AT}", str(error)) from None


def split_checks(body: bytes) -> list[bytes]:
    """Split `{"checks": […]}` into the JSON of each check, without reading the checks."""
    head = _CHECKS_HEAD.match(body)
    tail = _CHECKS_TAIL.search(body, max(0, len(body) - 64)) if head else None
    if head and tail:
        try:
            # INVARIANT (quick is thorough): a whole list between the braces leaves no room for a second field.
            checks = [bytes(raw) for raw in _decode_list(memoryview(body)[head.end() : tail.start()])]
        except _UNREADABLE:
            pass
        else:
            if len(checks) <= MAX_CHECKS:
                return checks
    whole = parse_json(body)
    expect_fields(whole, "", ("checks",), ("checks",))
    checks_field = whole["checks"] if isinstance(whole, dict) else None
    if not isinstance(checks_field, list):
        raise CheckError("/checks", f"must be a list, not {kind_of(checks_field)}")
    if len(checks_field) > MAX_CHECKS:
        raise CheckError("/checks", f"must have at most {MAX_CHECKS} checks, not {len(checks_field)}")
    return _split_thoroughly(body)


def read_list_query(query: bytes) -> tuple[Subject, frozenset[str]]:
    """Read the subject and the features of a query such as `subject=acme&feature=movies,seats`; none: all."""
    fields = read_query_fields(query, (*QUERY_FIELDS, "feature"))
    names = fields.get("feature")
    features = frozenset() if names is None else frozenset(names.split(","))
    if "" in features:
        raise CheckError("feature", "must be an id, or several with commas between them")
    return query_subject(fields), features


def query_subject(fields: Mapping[str, str]) -> Subject:
    """Return the subject of a query's `subject`, `type` and `user`."""
    if not fields.get("subject"):
        raise CheckError("subject", "is required")
    kind = SUBJECT_TYPES.get(fields.get("type", "customer"))
    if kind is None:
        raise CheckError("type", f"must be `customer` or `subscription`, not `{fields['type'][:MAX_SHOWN]}`")
    user = fields.get("user")
    return Subject(normalize_subject_id(fields["subject"]), kind, None if user is None else normalize_subject_id(user))


def locate(field: str, body: bytes, at: str = "") -> str:
    """Return the JSON Pointer, in this body, to a field that the engine names, such as `subject.id`."""
    if field.startswith("subject."):
        try:
            about = _decode_about(body)
        except _UNREADABLE:
            return f"{at}/{field.replace('.', '/')}"
        if isinstance(about.subject, str):
            field = "subject"
    return f"{at}/{field.replace('.', '/')}"


# ── the quick reading ────────────────────────────────────────────────────────────────────────────────────────────────


def _read_quickly(body: bytes) -> Check | None:
    try:
        whole = _decode_whole(body)
    except _UNREADABLE:
        return _read_decimals(body)
    return _certain(
        body, whole.subject, whole.feature, whole.amount, whole.used, whole.user_used, whole.value, whole.level
    )


def _read_decimals(body: bytes) -> Check | None:
    try:
        check = _decode_check(body)
        amount, used, user_used, value = (
            None if raw is UNSET else _number_quickly(raw)
            for raw in (check.amount, check.used, check.user_used, check.value)
        )
    except (*_UNREADABLE, ValueError):
        return None
    level = None if check.level is UNSET else check.level
    return _certain(body, check.subject, check.feature, amount, used, user_used, value, level)


def _certain(
    body: bytes,
    subject: str | SubjectBody,
    feature: str,
    amount: Number | None,
    used: Number | None,
    user_used: Number | None,
    value: Number | None,
    level: str | None,
) -> Check | None:
    """Return a check whose fields were read; `None` if it is not certain that the thorough reader accepts it."""
    # Each field is followed by a colon.
    colons = 2 + (amount is not None) + (used is not None) + (user_used is not None) + (value is not None)
    if level is not None:
        colons += 1
        level = to_nfc(level)
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
    more = body.count(b":") - colons
    if more and (b"\\" in body or more != sum(text.count(":") for text in (about.id, about.user, level) if text)):
        return None
    if not (about.id and feature) or "" in (level, about.user):
        return None
    return Check(about, feature, amount, used, user_used, value, level)


def _number_quickly(raw: msgspec.Raw) -> Number:
    text = bytes(raw)
    number = read_number(text.decode("ascii")) if text[0] in b"-0123456789" else None
    if number is None:
        raise ValueError(text)  # left to the thorough reader
    return number


# ── the thorough reading ─────────────────────────────────────────────────────────────────────────────────────────────


def _check_of(whole: object, at: str, known: Iterable[str]) -> Check:
    expect_fields(whole, at, known, ("subject", "feature"))
    if not isinstance(whole, dict):  # pragma: no cover - refused above
        raise CheckError(at, "must be an object")
    about = subject_field(whole["subject"], f"{at}/subject")
    feature = string_field(whole["feature"], f"{at}/feature")
    amount, used, user_used, value = (
        number_field(whole[name], f"{at}/{name}") if name in whole else None for name in _NUMBERS
    )
    level = to_nfc(string_field(whole["level"], f"{at}/level")) if "level" in whole else None
    return Check(about, feature, amount, used, user_used, value, level)


def _split_thoroughly(body: bytes) -> list[bytes]:
    """Return the raw checks of a body that is known to be valid."""
    try:
        raw = msgspec.json.decode(body, type=dict[str, list[msgspec.Raw]])
    except _UNREADABLE as error:
        raise malformed_json(str(error)) from None
    return [bytes(check) for check in raw["checks"]]


def subject_field(value: object, at: str) -> Subject:
    """Return the subject that a field is: the id of a customer, or an object."""
    if isinstance(value, str):
        return Subject(normalize_subject_id(string_field(value, at)))
    if not isinstance(value, dict):
        raise CheckError(at, f"must be a string or an object, not {kind_of(value)}")
    expect_fields(value, at, SUBJECT_FIELDS, ("id",))
    kind = SubjectType.CUSTOMER
    if "type" in value:
        name = string_field(value["type"], f"{at}/type")
        if name not in SUBJECT_TYPES:
            detail = f"must be `customer` or `subscription`, not `{name[:MAX_SHOWN]}`"
            raise CheckError(f"{at}/type", detail, nearest(name, SUBJECT_TYPES))
        kind = SUBJECT_TYPES[name]
    user = normalize_subject_id(string_field(value["user"], f"{at}/user")) if "user" in value else None
    return Subject(normalize_subject_id(string_field(value["id"], f"{at}/id")), kind, user)
