"""Reads JSON and queries strictly: numbers are exact, and repeated and unknown fields are errors.

Fields are named by JSON Pointers (RFC 6901) into the body; query parameters by name. A body that is not JSON is a
`RequestError`. A field that is missing, unknown, repeated or of a wrong type is a `CheckError`.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import unquote_to_bytes

import msgspec

from tiergate.errors import CheckError, RequestError
from tiergate.naming import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.model import Number

MAX_NUMBER = 64
"""The most characters of a number."""

MAX_SHOWN = 60
"""How many characters of a caller's text are shown."""


class JsonObject(dict[str, object]):
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


def read_number(text: str) -> Number | None:
    """Return the exact value of a JSON number; nothing if it is too long or too large to mean anything."""
    if len(text) > MAX_NUMBER:
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
    number = read_number(text)
    return _Unusable(f"`{text[:20]}…` is out of every range") if number is None else number


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"`{name}` is not a JSON value")


def parse_json(body: bytes) -> object:
    """Parse JSON; objects become `JsonObject`, numbers exact ones, or what `number_field` rejects."""
    try:
        return json.loads(
            body.decode("utf-8"),
            object_pairs_hook=JsonObject,
            parse_int=_read_number,
            parse_float=_read_number,
            parse_constant=_reject_constant,
        )
    except UnicodeDecodeError as error:
        raise malformed_json(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        if not body.strip():
            raise malformed_json("the body is empty") from None
        detail = error.msg[:1].lower() + error.msg[1:]
        raise malformed_json(f"line {error.lineno} column {error.colno}: {detail}") from None
    except ValueError as error:
        raise malformed_json(str(error)) from None
    except RecursionError:
        raise malformed_json("it is nested too deeply") from None


def malformed_json(detail: str) -> RequestError:
    """Return the error of a body that is not JSON."""
    return RequestError(400, "malformed JSON", detail)


def expect_fields(value: object, at: str, known: Iterable[str], required: Iterable[str]) -> None:
    """Check that a value is an object with these fields, each once, and with all required ones."""
    if not isinstance(value, JsonObject):
        raise CheckError(at, f"must be an object, not {kind_of(value)}")
    if value.repeated is not None:
        raise CheckError(f"{at}/{escape_pointer(value.repeated)}", "is given twice")
    for name in value:
        if name not in known:
            raise CheckError(f"{at}/{escape_pointer(name)}", "is not a field here", nearest(name, known))
    for name in required:
        if name not in value:
            raise CheckError(f"{at}/{name}", "is required")


def string_field(value: object, at: str) -> str:
    """Return a string that is not empty."""
    if not isinstance(value, str):
        raise CheckError(at, f"must be a string, not {kind_of(value)}")
    if not value:
        raise CheckError(at, "must not be empty")
    if not _is_text(value):
        raise CheckError(at, "has half of a surrogate pair, which is not a character")
    return value


def number_field(value: object, at: str) -> Number:
    """Return a number."""
    if isinstance(value, _Unusable):
        raise CheckError(at, value.detail)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise CheckError(at, f"must be a number, not {kind_of(value)}")
    return value


def kind_of(value: object) -> str:
    """Return the kind of a JSON value, with its article."""
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


def escape_pointer(name: str) -> str:
    """Return a name as a part of a JSON Pointer (RFC 6901, section 3): shortened, and always valid text."""
    shown = name[:MAX_SHOWN].replace("~", "~0").replace("/", "~1")
    return shown.encode("utf-8", "replace").decode("utf-8")


def unquote(part: bytes) -> str:
    """Decode a part of a query."""
    try:
        return unquote_to_bytes(part.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        raise RequestError(400, "malformed query", "a parameter is not percent-encoded UTF-8") from None


def read_query_fields(query: bytes, known: Iterable[str]) -> dict[str, str]:
    """Return the parameters of a query; raises `CheckError` if one is unknown or repeated."""
    found: dict[str, str] = {}
    for pair in query.split(b"&"):
        if not pair:
            continue
        name, _, value = (unquote(part) for part in pair.partition(b"="))
        if name not in known:
            raise CheckError(name[:MAX_SHOWN], "is not a parameter here", nearest(name, known))
        if name in found:
            raise CheckError(name, "is given twice")
        found[name] = value
    return found
