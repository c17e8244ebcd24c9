"""Writes that say as of when they are so (`as_of`): applied in that order, whatever the order in which they come.

An elder write than one that was applied is acknowledged, and changes nothing: `"applied": false`. One of the same
instant is applied, so that a write that is sent again does what it did. One without `as_of` is applied as it comes, and
moves nothing here. A body says it as a member, and `DELETE`, which has none, in the query.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.control.api.bodies import part_of
from tiergate.errors import BodyError, BodyProblem, RequestError
from tiergate.model import SubjectType, format_instant, parse_instant
from tiergate.store.write_order import Known, Side, deleted_as_of, is_elder, known_as_of, remember

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tiergate.admin.results import Data
    from tiergate.control.api.request import AdminRequest
    from tiergate.model import Instant
    from tiergate.store import ReadUnit

AS_OF: Final = "as_of"
"""The parameter of a query."""

MAX_AHEAD: Final = 5 * 60 * 1000
"""How far a write may say that it is so ahead of the store's clock: clocks differ, and nothing elder came after."""

_read_text = msgspec.json.Decoder(str).decode


@dataclass(frozen=True, slots=True)
class Ordered:
    """What a write of one subject says of its order, and what is known of those before it."""

    unit: ReadUnit
    kind: SubjectType
    id: str
    as_of: Instant | None
    known: Mapping[Side, Known]
    deleted: Instant | None = None

    def makes_again(self) -> bool:
        """Say whether the write is no newer than the deletion of the subject, which it would undo."""
        return self.as_of is not None and self.deleted is not None and self.as_of <= self.deleted

    def deleted_at(self) -> Instant:
        """As of when the subject is gone, if this write deletes it: it says so, or it is so by the store's clock."""
        latest = max((one.as_of for one in self.known.values()), default=self.unit.now)
        return max(self.unit.now, latest) if self.as_of is None else self.as_of

    def passes_over(self, sides: Collection[Side]) -> bool:
        """Say whether the write is elder than one of these sides that was applied."""
        return is_elder(self.as_of, sides, self.known)

    def applied(self, sides: Collection[Side]) -> None:
        """Take down that the write of these sides was applied."""
        if self.as_of is not None:
            changed = [side for side in sides if side not in self.known or self.known[side].as_of != self.as_of]
            remember(self.unit.session, self.kind, [(self.id, changed, self.as_of)], self.unit.now)

    def data(self, *, applied: bool) -> Data:
        """What an answer says of it."""
        return {} if self.as_of is None else {"applied": applied}

    def passed_over(self) -> Data:
        """What answers a write that was passed over, of what is no subject by itself."""
        found = self.data(applied=False)
        if self.deleted is not None:
            return found | {"deleted": True, "as_of": format_instant(self.deleted)}
        return found | as_of_data(self.unit, self.kind, [self.id]).get(self.id, {})


def ordered(unit: ReadUnit, request: AdminRequest, kind: SubjectType, id_: str) -> Ordered:
    """What a request says of its order. For whoever holds the lock of the subject, if there is such a one.

    Raises:
        BodyError, RequestError: `as_of` is no instant, or one ahead of the store's clock.
    """
    as_of = _in_query(request, unit.now) if request.method == "DELETE" else _in_body(request.body, unit.now)
    if as_of is None and request.method != "DELETE":
        return Ordered(unit, kind, id_, as_of, {})
    known = known_as_of(unit.session, kind, [id_]).get(id_, {})
    return Ordered(unit, kind, id_, as_of, known, deleted_as_of(unit.session, kind, [id_]).get(id_))


def _in_query(request: AdminRequest, now: Instant) -> Instant | None:
    text = request.query.get(AS_OF)
    if text is None:
        return None
    try:
        found = parse_instant(text)
    except ValueError as error:
        raise RequestError(400, "invalid request", f"`{AS_OF}` {error}") from None
    if found > now + MAX_AHEAD:
        raise RequestError(400, "invalid request", f"`{AS_OF}` {_ahead(now)}")
    return found


def _in_body(body: bytes, now: Instant) -> Instant | None:
    part = part_of(body, AS_OF)
    if part is None:
        return None
    try:
        found = parse_instant(_read_text(part))
    except (ValueError, msgspec.DecodeError):
        message = "must be an instant such as 2026-11-01T00:00:00Z, with its offset"
        raise BodyError([BodyProblem("/as_of", "bad-instant", message)]) from None
    if found > now + MAX_AHEAD:
        raise BodyError([BodyProblem("/as_of", "as-of-ahead", _ahead(now))])
    return found


def _ahead(now: Instant) -> str:
    return f"must not be ahead of the store's clock, which is at {format_instant(now)}"


def as_of_data(unit: ReadUnit, kind: SubjectType, ids: Sequence[str]) -> dict[str, Data]:
    """What answers say of what is known of some subjects, by id."""
    found: dict[str, Data] = {}
    for id_, known in known_as_of(unit.session, kind, ids).items():
        own = Side.BILLING if kind is SubjectType.SUBSCRIPTION else Side.PEOPLE
        found[id_] = {
            "as_of" if side is own else f"{side.value}_as_of": format_instant(one.as_of) for side, one in known.items()
        }
    return found
