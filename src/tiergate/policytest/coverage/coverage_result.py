"""The result of coverage: every target with its mark, and percentages. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from tiergate.policytest.coverage.targets import Target, TargetKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tiergate.policytest.coverage.target_sets import CatalogTargets, RoleTargets, TargetSource
    from tiergate.policytest.suites import Case

_HUNDREDTH = Decimal("0.01")
_PLACE = {kind: place for place, kind in enumerate(TargetKind)}


class Mark(StrEnum):
    """Whether a case would fail without the target; whether one at least uses it."""

    COVERED = "covered"
    REACHED = "reached"
    MISSED = "missed"


class MeasuredTarget(NamedTuple):
    """A target and its mark. `case`: the first that covered it, else the first that reached it."""

    target: Target
    subject: TargetSource
    mark: Mark
    case: Case | None


@dataclass(frozen=True)
class Coverage:
    """Every target, in order: by kind, then by file and position.

    `uncounted`: shipped targets that do not count. They are in none of the numbers but `shipped`.
    """

    measured: tuple[MeasuredTarget, ...]
    uncounted: tuple[MeasuredTarget, ...] = ()

    @property
    def total(self) -> int:
        """The number of targets."""
        return len(self.measured)

    @property
    def covered(self) -> int:
        """The number of covered targets."""
        return sum(entry.mark is Mark.COVERED for entry in self.measured)

    @property
    def percent(self) -> Decimal:
        """The covered part in percent, rounded down to two digits. Of no targets, none are covered."""
        return _percent(self.covered, self.total)

    def reaches(self, percent: Decimal | float) -> bool:
        """Return whether at least this percentage is covered, for `--fail-under`."""
        wanted = Decimal(str(percent))
        return self.total > 0 and self.covered * 100 >= wanted * self.total

    @property
    def by_kind(self) -> Mapping[TargetKind, Coverage]:
        """The coverage of each kind that there is."""
        kinds = dict.fromkeys(value.target.kind for value in self.measured)
        return {kind: Coverage(tuple(it for it in self.measured if it.target.kind is kind)) for kind in kinds}

    @property
    def shipped(self) -> Coverage:
        """The coverage of what is shipped with Tiergate, counted or not."""
        return Coverage(tuple(it for it in self.measured + self.uncounted if it.subject.is_shipped))

    @property
    def missing(self) -> Sequence[MeasuredTarget]:
        """The targets that are not covered."""
        return [it for it in self.measured if it.mark is not Mark.COVERED]


def measure_coverage(
    target_sets: Iterable[CatalogTargets | RoleTargets],
    covered: Mapping[Target, Case],
    reached: Mapping[Target, Case],
    *,
    shipped: bool,
) -> Coverage:
    """Combine all targets with the covered ones. A level is covered by whatever grants it.

    `shipped`: also count what comes with Tiergate.
    """
    result: dict[Target, MeasuredTarget] = {}
    for target_set in target_sets:
        for target, subject in target_set.targets.items():
            givers = target_set.levels.get(target, [target])
            by = next((covered[it] for it in givers if it in covered), None)
            near = next((reached[giver] for giver in givers if giver in reached), None)
            mark = Mark.COVERED if by else Mark.REACHED if near else Mark.MISSED
            if not by and not target_set.has_effect(target):
                continue
            # A table of roles in a file may be word for word the shipped one: then it is the author's.
            if target not in result or result[target].subject.is_shipped:
                result[target] = MeasuredTarget(target, subject, mark, by or near)
    measured = sorted(result.values(), key=_order)
    if shipped:
        return Coverage(tuple(measured))
    counted = tuple(it for it in measured if not it.subject.is_shipped)
    return Coverage(counted, tuple(it for it in measured if it.subject.is_shipped))


def _order(measured: MeasuredTarget) -> tuple[int, str, tuple[int, ...]]:
    place = measured.subject.place
    return _PLACE[measured.target.kind], measured.subject.file, place[1:] if place else ()


def _percent(part: int, total: int) -> Decimal:
    if not total:
        return Decimal(0).quantize(_HUNDREDTH)
    return (Decimal(100 * part) / total).quantize(_HUNDREDTH, ROUND_DOWN)
