"""List what ends by the clock, the earliest first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tiergate.errors import ParameterError
from tiergate.model import format_instant
from tiergate.store.endings import Ending, EndingFilter, EndingKind, EndingPlace, list_endings

if TYPE_CHECKING:
    from tiergate.store import ReadUnit


def show_endings(
    unit: ReadUnit, wanted: EndingFilter, cursor: str | None, limit: int
) -> tuple[list[dict[str, object]], str | None]:
    """Return one page of ends, and the cursor of the next page.

    Raises:
        ParameterError: if the cursor is not one that a list gave out.
    """
    after = None if cursor is None else _read_place(cursor)
    found = list_endings(unit, wanted, after, limit + 1)
    page = found[:limit]
    return [_data(it) for it in page], json.dumps(page[-1].place) if len(found) > limit else None


def _data(ending: Ending) -> dict[str, object]:
    members = {name: getattr(ending, name) for name in ("customer", "subscription", "item", "feature", "id")}
    present = {name: value for name, value in members.items() if value is not None}
    return {"type": ending.kind.value, "at": format_instant(ending.at), **present}


def _read_place(cursor: str) -> EndingPlace:
    try:
        at, kind, holder, part = json.loads(cursor)
        place = EndingPlace(at, EndingKind(kind), holder, part)
    except (ValueError, TypeError):
        raise ParameterError("cursor", "is not one that a list gave out") from None
    if type(at) is not int or abs(at) >= 2**62 or not isinstance(holder, str) or not _is_part(place):
        raise ParameterError("cursor", "is not one that a list gave out")
    return place


def _is_part(place: EndingPlace) -> bool:
    if place.kind in {EndingKind.OVERRIDE, EndingKind.GRANT}:
        return isinstance(place.part, str)
    return type(place.part) is int and 0 <= place.part < 2**31
