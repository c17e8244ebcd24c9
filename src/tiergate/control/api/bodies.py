"""Read the bodies of requests: remove the members of answers, and keep parts for other readers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from tiergate.admin.json_members import members
from tiergate.errors import BodyError, BodyProblem

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest

__all__ = ["MERGE_PATCH", "decode_parts", "strip_answer_members", "strip_as_of"]

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
