"""What the endpoints about subjects share of reading bodies: what an answer has beside the form, and partial edits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from tiergate.catalog import apply_merge_patch
from tiergate.errors import BodyError, BodyProblem, RequestError
from tiergate.naming import is_id, parse_subject_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.catalog import PlainData
    from tiergate.control.api.request import AdminRequest

MERGE_PATCH: Final = ("application/json", "application/merge-patch+json")
"""The media types of a partial edit."""

_BESIDE: Final = frozenset(
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

_ORDER: Final = frozenset({"as_of"})

T = TypeVar("T")

_read_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_read_text = msgspec.json.Decoder(str).decode


def form_of(body: bytes) -> bytes:
    """A body without what stands beside the form: what answers say, so that they can be sent back edited, and `as_of`.

    A body that says a key twice stays as it is, to be refused.
    """
    return _without(body, _BESIDE)


strip_answer_members = form_of


def unordered(body: bytes) -> bytes:
    """A body without `as_of`, which stands beside the form, and nothing else taken out."""
    return _without(body, _ORDER)


def _without(body: bytes, keys: frozenset[str]) -> bytes:
    found = _entries(body)
    if keys.isdisjoint(found) or _has_twins(body):
        return body
    return msgspec.json.encode({key: value for key, value in found.items() if key not in keys})


def _has_twins(body: bytes) -> bool:
    counts = (0, 0)

    def count(pairs: list[tuple[str, object]]) -> None:
        nonlocal counts
        counts = len(pairs), len(dict(pairs))  # at last, of the outermost object

    try:
        json.loads(body, object_pairs_hook=count, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return True
    return counts[0] != counts[1]


def decode_parts(request: AdminRequest, form: type[T]) -> T:
    """Read a body into a structure that keeps parts of it (`msgspec.Raw`) for other readers.

    Raises:
        BodyError: it does not say such a structure, or such a part is nested too deep to be told from what follows.
    """
    try:
        return request.decode(form)
    except RecursionError:
        raise BodyError([BodyProblem("", "too-deep", "nested too deep")]) from None


def patch_form(body: bytes, onto: dict[str, PlainData], parts: Iterable[str]) -> tuple[str, frozenset[str]]:
    """Apply a merge patch to a form, and say which of its `parts` it leaves as they stand.

    These are taken out: what a patch does not name is not read again, so that what was allowed once, and is no longer,
    does not stand in the way of other changes.

    Raises:
        BodyError: the patch is no JSON object.
    """
    named = _entries(body)
    kept = frozenset(part for part in parts if part not in named)
    return apply_merge_patch(form_of(body), {key: value for key, value in onto.items() if key not in kept}), kept


def peek(body: bytes, key: str) -> str:
    """The id of a subject under a key of a body, before it is read; none, which nobody is called, where it has none."""
    try:
        found = _read_text(_entries(body).get(key, msgspec.Raw(b"null")))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    try:
        return parse_subject_id(found)
    except ValueError:
        return ""


def named_in(body: bytes) -> frozenset[str]:
    """The keys of a body; none where it is no object."""
    return frozenset(_entries(body))


def part_of(body: bytes, key: str) -> msgspec.Raw | None:
    """What stands under a key of a body, before it is read; none where nothing does."""
    return _entries(body).get(key)


def tags_of(request: AdminRequest) -> tuple[str, ...]:
    """The tags that are asked for, `?tag=eu,beta`: all of them.

    Raises:
        RequestError: 400, one is no tag.
    """
    text = request.query.get("tag")
    tags = text.split(",") if text else []
    for tag in tags:
        if not is_id(tag):
            raise RequestError(400, "invalid request", f"`tag` must be tags with commas between them, not `{text}`")
    return tuple(tags)


def _entries(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _read_object(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
