"""Writes that say as of when they are so (`as_of`): applied in that order, whatever the order in which they come.

An elder write than one that was applied is acknowledged, and changes nothing: `"applied": false`. One of the same
instant is applied, so that a write that is sent again does what it did. One without `as_of` is applied as it comes, and
moves nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.control.bodies import part_of
from tiergate.errors import BodyError, BodyProblem
from tiergate.model import SubjectType, format_instant, parse_instant
from tiergate.store.as_of import Known, Side, is_elder, known_as_of, remember

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tiergate.control.working import Data
    from tiergate.model import Instant
    from tiergate.store import ReadUnit, WriteUnit

__all__ = ["MAX_AHEAD", "Ordered", "as_of_data", "ordered"]

MAX_AHEAD: Final = 5 * 60 * 1000
"""How far a write may say that it is so ahead of the store's clock: clocks differ, and nothing elder came after."""

_read_text = msgspec.json.Decoder(str).decode


@dataclass(frozen=True, slots=True)
class Ordered:
    """What a write of one subject says of its order, and what is known of those before it."""

    unit: WriteUnit
    kind: SubjectType
    id: str
    as_of: Instant | None
    known: Mapping[Side, Known]

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


def ordered(unit: WriteUnit, body: bytes, kind: SubjectType, id_: str) -> Ordered:
    """What a body says of its order. For whoever holds the lock of the subject, if there is such a one.

    Raises:
        BodyError: `as_of` is no instant, or one ahead of the store's clock.
    """
    as_of = _as_of(body, unit.now)
    known = {} if as_of is None else known_as_of(unit.session, kind, [id_]).get(id_, {})
    return Ordered(unit, kind, id_, as_of, known)


def _as_of(body: bytes, now: Instant) -> Instant | None:
    part = part_of(body, "as_of")
    if part is None:
        return None
    try:
        found = parse_instant(_read_text(part))
    except (ValueError, msgspec.DecodeError):
        message = "must be an instant such as 2026-11-01T00:00:00Z, with its offset"
        raise BodyError([BodyProblem("/as_of", "bad-instant", message)]) from None
    if found > now + MAX_AHEAD:
        message = f"must not be ahead of the store's clock, which is at {format_instant(now)}"
        raise BodyError([BodyProblem("/as_of", "as-of-ahead", message)])
    return found


def as_of_data(unit: ReadUnit, kind: SubjectType, ids: Sequence[str]) -> dict[str, Data]:
    """What answers say of what is known of some subjects, by id."""
    found: dict[str, Data] = {}
    for id_, known in known_as_of(unit.session, kind, ids).items():
        own = Side.BILLING if kind is SubjectType.SUBSCRIPTION else Side.PEOPLE
        found[id_] = {
            "as_of" if side is own else f"{side.value}_as_of": format_instant(one.as_of) for side, one in known.items()
        }
    return found
