"""Order the writes of one subject by the instant at which they are true (`as_of`), not by when they arrive.

A write older than one that was applied is acknowledged and changes nothing. A write of the same instant is applied, so
that a write can be repeated. A write without `as_of` is always applied, and is not recorded here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tiergate.admin.precondition import ANY_VERSION, Precondition
from tiergate.admin.results import Data, SubjectResult, View
from tiergate.model import SubjectType, format_instant
from tiergate.store.write_order import AppliedWrite, Side, deletion_instants, is_outdated, record_writes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tiergate.model import Instant
    from tiergate.store import ReadUnit, WriteUnit

MAX_AHEAD: Final = 5 * 60 * 1000
"""Milliseconds that `as_of` may be ahead of the store's clock, because clocks differ."""


@dataclass(frozen=True, slots=True)
class WriteConditions:
    """The conditions of a write of one subject.

    `expected`: the version that it replaces. `as_of`: the instant at which it is true, at most `MAX_AHEAD` after the
    store's clock. `accept_loss`: the token of the loss that the caller accepts, or ''.
    """

    expected: Precondition = ANY_VERSION
    as_of: Instant | None = None
    accept_loss: str = ""


@dataclass(frozen=True, slots=True)
class WriteOrder:
    """The instant of a write of one subject, and those of the writes applied before it."""

    unit: ReadUnit
    kind: SubjectType
    id: str
    as_of: Instant | None
    known: Mapping[Side, AppliedWrite]
    deleted: Instant | None = None

    def undoes_deletion(self) -> bool:
        """Return whether the write is not newer than the deletion of the subject."""
        return self.as_of is not None and self.deleted is not None and self.as_of <= self.deleted

    def deletion_instant(self) -> Instant:
        """Return the instant from which the subject is deleted, if this write deletes it."""
        latest = max((write.as_of for write in self.known.values()), default=self.unit.now)
        return max(self.unit.now, latest) if self.as_of is None else self.as_of

    def is_outdated(self, sides: Collection[Side]) -> bool:
        """Return whether a newer write of one of these sides was applied."""
        return is_outdated(self.as_of, sides, self.known)

    def record(self, unit: WriteUnit, sides: Collection[Side]) -> None:
        """Record that the write was applied to these sides."""
        if self.as_of is not None:
            changed = [side for side in sides if side not in self.known or self.known[side].as_of != self.as_of]
            record_writes(unit.side_writing_session, self.kind, [(self.id, changed, self.as_of)], unit.now)

    def result(self, view: View, *, applied: bool = True, created: bool = False) -> SubjectResult:
        """Return the result of the write; `view`: the subject after it."""
        return SubjectResult(view.data, view.stamp.etag, view.stamp, created, None if self.as_of is None else applied)

    def outdated_result(self, etag: int | None = None) -> SubjectResult:
        """Return the result of an outdated write that has no subject to show."""
        if self.deleted is not None:
            data: Data = {"deleted": True, "as_of": format_instant(self.deleted)}
        else:
            data = as_of_data(self.unit, self.kind, [self.id]).get(self.id, {})
        return SubjectResult(data, etag, applied=None if self.as_of is None else False)


def read_order(
    unit: ReadUnit, kind: SubjectType, id_: str, as_of: Instant | None, *, deletes: bool = False
) -> WriteOrder:
    """Read the order of writes of a subject. The caller holds the subject's lock, if it exists."""
    if as_of is None and not deletes:
        return WriteOrder(unit, kind, id_, as_of, {})
    known = unit.applied_writes(kind, [id_]).get(id_, {})
    return WriteOrder(unit, kind, id_, as_of, known, deletion_instants(unit.side_session, kind, [id_]).get(id_))


def as_of_data(unit: ReadUnit, kind: SubjectType, ids: Sequence[str]) -> dict[str, Data]:
    """Return the instants of the last writes of some subjects as members of an answer, by id."""
    found: dict[str, Data] = {}
    for id_, known in unit.applied_writes(kind, ids).items():
        own = Side.BILLING if kind is SubjectType.SUBSCRIPTION else Side.PEOPLE
        found[id_] = {
            "as_of" if side is own else f"{side.value}_as_of": format_instant(write.as_of)
            for side, write in known.items()
        }
    return found
