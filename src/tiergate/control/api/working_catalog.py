"""What the endpoints of the working catalog share: how refusals, filters and stamps are said."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tiergate.catalog import PlainData
from tiergate.control.api.request import Answer, etag_text
from tiergate.errors import ConflictError, RequestError
from tiergate.model import format_instant
from tiergate.naming import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from enum import StrEnum

    from tiergate.control.api.request import AdminRequest
    from tiergate.errors import BodyProblem
    from tiergate.model import CatalogIndex
    from tiergate.store.subjects import Stamp

Data = dict[str, PlainData]
"""A JSON object."""

_Choice = TypeVar("_Choice", bound="StrEnum")


def refuse_any(problems: Sequence[BodyProblem]) -> None:
    """Refuse an edit for which there are refusals.

    Raises:
        ConflictError: of the first one's code, with all of them.
    """
    if problems:
        placed = [problem for problem in problems if problem.pointer]
        raise ConflictError(problems[0].code, "; ".join(problem.sentence for problem in problems), placed)


def stamped(stamp: Stamp) -> Data:
    """What a row says of itself, as members of an answer."""
    return {
        "etag": etag_text(stamp.etag),
        "created_at": format_instant(stamp.created_at),
        "updated_at": format_instant(stamp.updated_at),
    }


def unchanged(request: AdminRequest, stamp: Stamp) -> Answer | None:
    """Answer that the caller has the present state already, if it has (`If-None-Match`)."""
    return Answer(304, headers={"etag": etag_text(stamp.etag)}) if request.is_fresh(stamp.etag) else None


def choice(request: AdminRequest, name: str, words: type[_Choice]) -> _Choice | None:
    """One of the words of an enumeration among the query's parameters.

    Raises:
        RequestError: 400, it is none of them.
    """
    text = request.query.get(name)
    return None if text is None else _chosen(text, name, words)


def _chosen(text: str, name: str, form: type[_Choice]) -> _Choice:
    words = [one.value for one in form]
    if text not in words:
        listed = ", ".join(f"`{word}`" for word in words)
        raise RequestError(400, "invalid request", f"`{name}` must be one of {listed}", nearest(text, words))
    return form(text)


def choices(request: AdminRequest, name: str, words: type[_Choice]) -> tuple[_Choice, ...]:
    """Some of the words of an enumeration among the query's parameters, with commas between them; none where none is.

    Raises:
        RequestError: 400, one is none of them.
    """
    text = request.query.get(name)
    if text is None:
        return ()
    return tuple(_chosen(one, name, words) for one in text.split(","))


def expect_known(request: AdminRequest, index: CatalogIndex) -> None:
    """See that the item and the feature that are asked for, and found nowhere, are in the catalog at all.

    Raises:
        RequestError: 400, one is not.
    """
    for name, known in (("item", index.items), ("feature", index.features)):
        asked = request.query.get(name)
        if asked is not None and asked not in known:
            detail = f"`{name}`: no {name} `{asked[:100]}`"
            raise RequestError(400, "invalid request", detail, nearest(asked, known))


def flag(request: AdminRequest, name: str) -> bool | None:
    """`true` or `false` among the query's parameters.

    Raises:
        RequestError: 400, it is neither.
    """
    text = request.query.get(name)
    if text not in {None, "true", "false"}:
        raise RequestError(400, "invalid request", f"`{name}` must be `true` or `false`")
    return None if text is None else text == "true"
