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

import json
import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import unquote_to_bytes

import msgspec

from tiergate.errors import CheckError, RequestError
from tiergate.model import Check, Subject, SubjectType, parse_instant
from tiergate.naming import nearest, normalize_subject_id
from tiergate.text_normalization import to_nfc
from tiergate.wire.check import MAX_CHECKS, CheckBody, SubjectBody
from tiergate.wire.decision import UNSET

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.model import Instant, Number

CHECK_FIELDS = ("subject", "feature", "amount", "used", "user_used", "value", "level")
SUBJECT_FIELDS = ("type", "id", "user")
_NUMBERS = ("amount", "used", "user_used", "value")
_AT = "at"
_QUERY_FIELDS = ("subject", "type", "user")

_MAX_NUMBER = 64
_MAX_SHOWN = 60
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _AboutBody(msgspec.Struct):
    subject: str | SubjectBody


_decode_check = msgspec.json.Decoder(CheckBody).decode
_decode_about = msgspec.json.Decoder(_AboutBody).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_CHECKS_HEAD = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"checks"[ \t\r\n]*:[ \t\r\n]*(?=\[)')
_CHECKS_TAIL = re.compile(rb"[ \t\r\n]*\}[ \t\r\n]*\Z")
_TYPES = {"customer": SubjectType.CUSTOMER, "subscription": SubjectType.SUBSCRIPTION}


def read_check(body: bytes, at: str = "") -> Check:
    """Read the JSON of one check. `at` is the pointer to it if it is part of a larger body."""
    check = _read_quickly(body)
    return check if check is not None else _check_of(_parse(body), at, CHECK_FIELDS)


def read_check_at(body: bytes) -> tuple[Check, Instant | None]:
    """Read the JSON of a check and its instant `at`, if it has one."""
    whole = _parse(body)
    check = _check_of(whole, "", (*CHECK_FIELDS, _AT))
    if not isinstance(whole, dict) or _AT not in whole:
        return check, None
    try:
        return check, parse_instant(_string(whole[_AT], f"/{_AT}"))
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
    whole = _parse(body)
    _expect_fields(whole, "", ("checks",), ("checks",))
    checks_field = whole["checks"] if isinstance(whole, dict) else None
    if not isinstance(checks_field, list):
        raise CheckError("/checks", f"must be a list, not {_kind(checks_field)}")
    if len(checks_field) > MAX_CHECKS:
        raise CheckError("/checks", f"must have at most {MAX_CHECKS} checks, not {len(checks_field)}")
    return _split_thoroughly(body)


def read_query(query: bytes) -> Subject:
    """Read the subject from a query such as `subject=acme&type=customer&user=u1`."""
    found: dict[str, str] = {}
    for pair in query.split(b"&"):
        if not pair:
            continue
        name, _, value = (_unquote(part) for part in pair.partition(b"="))
        if name not in _QUERY_FIELDS:
            raise CheckError(name[:_MAX_SHOWN], "is not a parameter here", nearest(name, _QUERY_FIELDS))
        if name in found:
            raise CheckError(name, "is given twice")
        found[name] = value
    if not found.get("subject"):
        raise CheckError("subject", "is required")
    kind = _TYPES.get(found.get("type", "customer"))
    if kind is None:
        raise CheckError("type", f"must be `customer` or `subscription`, not `{found['type'][:_MAX_SHOWN]}`")
    user = found.get("user")
    return Subject(normalize_subject_id(found["subject"]), kind, None if user is None else normalize_subject_id(user))


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
    colons = 2
    amount = used = user_used = value = None
    try:
        check = _decode_check(body)
        if check.amount is not UNSET:
            amount = _number_quickly(check.amount)
            colons += 1
        if check.used is not UNSET:
            used = _number_quickly(check.used)
            colons += 1
        if check.user_used is not UNSET:
            user_used = _number_quickly(check.user_used)
            colons += 1
        if check.value is not UNSET:
            value = _number_quickly(check.value)
            colons += 1
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    level = None
    if check.level is not UNSET:
        colons += 1
        level = to_nfc(check.level)
    subject = check.subject
    if isinstance(subject, str):
        about = Subject(normalize_subject_id(subject))
    else:
        colons += 1 + (subject.type is not UNSET) + (subject.user is not UNSET)
        about = Subject(
            normalize_subject_id(subject.id),
            SubjectType.CUSTOMER if subject.type is UNSET else _TYPES[subject.type],
            None if subject.user is UNSET else normalize_subject_id(subject.user),
        )
    # A repeated field has a second colon, besides those in strings.
    more = body.count(b":") - colons
    if more and (b"\\" in body or more != sum(text.count(":") for text in (about.id, about.user, level) if text)):
        return None
    if not (about.id and check.feature) or "" in (level, about.user):
        return None
    return Check(about, check.feature, amount, used, user_used, value, level)


def _number_quickly(raw: msgspec.Raw) -> Number:
    text = bytes(raw)
    if text.isdigit() and len(text) <= _MAX_NUMBER:
        return int(text)
    number = _number(text.decode("ascii")) if text[0] in b"-0123456789" else None
    if number is None:
        raise ValueError(text)  # left to the thorough reader
    return number


# ── the thorough reading ─────────────────────────────────────────────────────────────────────────────────────────────


class _Object(dict[str, object]):
    """An object of the body; `repeated` is a field that it has twice."""

    __slots__ = ("repeated",)

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        self.repeated: str | None = None
        if len(self) != len(pairs):
            seen: set[str] = set()
            for name, _ in pairs:
                if name in seen:
                    self.repeated = name
                    break
                seen.add(name)


class _Unusable(msgspec.Struct):
    """A number that cannot be read exactly."""

    detail: str


def _number(text: str) -> Number | None:
    """Return the exact value of a JSON number; nothing if it is too long or too large to mean anything."""
    if len(text) > _MAX_NUMBER:
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _read_number(text: str) -> Number | _Unusable:
    number = _number(text)
    return _Unusable(f"`{text[:20]}…` is out of every range") if number is None else number


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"`{name}` is not a JSON value")


def _parse(body: bytes) -> object:
    try:
        return json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_Object,
            parse_int=_read_number,
            parse_float=_read_number,
            parse_constant=_reject_constant,
        )
    except UnicodeDecodeError as error:
        raise _malformed(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        if not body.strip():
            raise _malformed("the body is empty") from None
        detail = error.msg[:1].lower() + error.msg[1:]
        raise _malformed(f"line {error.lineno} column {error.colno}: {detail}") from None
    except ValueError as error:
        raise _malformed(str(error)) from None
    except RecursionError:
        raise _malformed("it is nested too deeply") from None


def _malformed(detail: str) -> RequestError:
    return RequestError(400, "malformed JSON", detail)


def _check_of(whole: object, at: str, known: Iterable[str]) -> Check:
    _expect_fields(whole, at, known, ("subject", "feature"))
    if not isinstance(whole, dict):  # pragma: no cover - refused above
        raise CheckError(at, "must be an object")
    about = _subject(whole["subject"], f"{at}/subject")
    feature = _string(whole["feature"], f"{at}/feature")
    amount, used, user_used, value = (
        _number_field(whole[name], f"{at}/{name}") if name in whole else None for name in _NUMBERS
    )
    level = to_nfc(_string(whole["level"], f"{at}/level")) if "level" in whole else None
    return Check(about, feature, amount, used, user_used, value, level)


def _split_thoroughly(body: bytes) -> list[bytes]:
    """Return the raw checks of a body that is known to be valid."""
    try:
        raw = msgspec.json.decode(body, type=dict[str, list[msgspec.Raw]])
    except _UNREADABLE as error:
        raise _malformed(str(error)) from None
    return [bytes(check) for check in raw["checks"]]


def _subject(value: object, at: str) -> Subject:
    if isinstance(value, str):
        return Subject(normalize_subject_id(_string(value, at)))
    if not isinstance(value, dict):
        raise CheckError(at, f"must be a string or an object, not {_kind(value)}")
    _expect_fields(value, at, SUBJECT_FIELDS, ("id",))
    kind = SubjectType.CUSTOMER
    if "type" in value:
        name = _string(value["type"], f"{at}/type")
        if name not in _TYPES:
            detail = f"must be `customer` or `subscription`, not `{name[:_MAX_SHOWN]}`"
            raise CheckError(f"{at}/type", detail, nearest(name, _TYPES))
        kind = _TYPES[name]
    user = normalize_subject_id(_string(value["user"], f"{at}/user")) if "user" in value else None
    return Subject(normalize_subject_id(_string(value["id"], f"{at}/id")), kind, user)


def _expect_fields(value: object, at: str, known: Iterable[str], required: Iterable[str]) -> None:
    if not isinstance(value, _Object):
        raise CheckError(at, f"must be an object, not {_kind(value)}")
    if value.repeated is not None:
        raise CheckError(f"{at}/{_escape(value.repeated)}", "is given twice")
    for name in value:
        if name not in known:
            raise CheckError(f"{at}/{_escape(name)}", "is not a field here", nearest(name, known))
    for name in required:
        if name not in value:
            raise CheckError(f"{at}/{name}", "is required")


def _string(value: object, at: str) -> str:
    if not isinstance(value, str):
        raise CheckError(at, f"must be a string, not {_kind(value)}")
    if not value:
        raise CheckError(at, "must not be empty")
    if not _is_text(value):
        raise CheckError(at, "has half of a surrogate pair, which is not a character")
    return value


def _number_field(value: object, at: str) -> Number:
    if isinstance(value, _Unusable):
        raise CheckError(at, value.detail)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise CheckError(at, f"must be a number, not {_kind(value)}")
    return value


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | Decimal() | _Unusable():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _escape(name: str) -> str:
    """Return a name as a part of a JSON Pointer (RFC 6901, section 3): shortened, and always valid text."""
    shown = name[:_MAX_SHOWN].replace("~", "~0").replace("/", "~1")
    return shown.encode("utf-8", "replace").decode("utf-8")


def _unquote(part: bytes) -> str:
    try:
        return unquote_to_bytes(part.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        raise RequestError(400, "malformed query", "a parameter is not percent-encoded UTF-8") from None
