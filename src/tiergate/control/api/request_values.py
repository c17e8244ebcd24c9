"""Read typed values of requests: parts of their bodies, and parameters of the query.

The members that only answers have are removed from bodies. Another value of a parameter is a `RequestError` 400.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from tiergate.admin.json_members import members
from tiergate.control.api.request import MAX_TEXT
from tiergate.errors import BodyError, BodyProblem, RequestError
from tiergate.naming import nearest

if TYPE_CHECKING:
    from enum import StrEnum

    from tiergate.control.api.request import AdminRequest


MERGE_PATCH: Final = ("application/json", "application/merge-patch+json")
"""The media types of a partial edit."""

_ANSWER_MEMBERS: Final = frozenset(
    {
        "etag",
        "created_at",
        "updated_at",
        "erased_at",
        "state",
        "as_of",
        "people_as_of",
        "applied",
        "scheduled_change",
        "ends",
        "effect",
    }
)
_AS_OF: Final = frozenset({"as_of"})

T = TypeVar("T")


def strip_answer_members(body: bytes) -> bytes:
    """Return a body without `as_of` and the members that only answers have, so that an answer can be sent back.

    A body that names a key twice stays as it is, and is rejected later.
    """
    return _without(body, _ANSWER_MEMBERS)


def strip_as_of(body: bytes) -> bytes:
    """Return a body without `as_of`, which is not part of the form."""
    return _without(body, _AS_OF)


def _without(body: bytes, keys: frozenset[str]) -> bytes:
    present = members(body)
    if keys.isdisjoint(present) or _has_duplicate_keys(body):
        return body
    return msgspec.json.encode({key: value for key, value in present.items() if key not in keys})


def _has_duplicate_keys(body: bytes) -> bool:
    has_duplicates = False

    def count(pairs: list[tuple[str, object]]) -> None:
        nonlocal has_duplicates
        has_duplicates = len(pairs) != len(dict(pairs))  # the last call is for the outermost object

    try:
        json.loads(body, object_pairs_hook=count, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return True
    return has_duplicates


def decode_parts(request: AdminRequest, form: type[T]) -> T:
    """Read a body into a structure that keeps parts of it (`msgspec.Raw`) for other readers; raises `BodyError`."""
    try:
        return request.decode(form)
    except RecursionError:
        raise BodyError([BodyProblem("", "too-deep", "nested too deep")]) from None


E = TypeVar("E", bound="StrEnum")


def enum_parameter(request: AdminRequest, name: str, enum: type[E]) -> E | None:
    """Return a value of an enumeration, or `None` without the parameter."""
    text = request.query.get(name)
    return None if text is None else _parse_enum(text, name, enum)


def enum_list_parameter(request: AdminRequest, name: str, enum: type[E]) -> tuple[E, ...]:
    """Return values of an enumeration, separated by commas; none without the parameter."""
    text = request.query.get(name)
    return () if text is None else tuple(_parse_enum(value, name, enum) for value in text.split(","))


def _parse_enum(text: str, name: str, enum: type[E]) -> E:
    values = [member.value for member in enum]
    if text not in values:
        listed = ", ".join(f"`{value}`" for value in values)
        raise RequestError(400, "invalid request", f"`{name}` must be one of {listed}", nearest(text, values))
    return enum(text)


def text_parameter(request: AdminRequest, name: str = "text") -> str:
    """Return a text that is searched for, or ''."""
    text = request.query.get(name, "")
    if len(text) > MAX_TEXT:
        raise RequestError(400, "invalid request", f"`{name}` may have at most {MAX_TEXT} characters")
    return text


def flag_parameter(request: AdminRequest, name: str) -> bool | None:
    """Return `true` or `false` of a parameter, or `None` without it."""
    text = request.query.get(name)
    if text not in {None, "true", "false"}:
        raise RequestError(400, "invalid request", f"`{name}` must be `true` or `false`")
    return None if text is None else text == "true"
