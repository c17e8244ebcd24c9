"""The result of a semantic diff: what changes in meaning, what does not, and what is not proven.

`semantic_diff` makes it. Each difference has a counterexample.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from tiergate.catalog.writing.value_changes import ValueChange
from tiergate.impact.diff.counterexample import Counterexample
from tiergate.impact.diff.representative_subjects import HolderGroup, HoldingPattern
from tiergate.impact.single_subject_engine import EntitlementValue
from tiergate.model import FeatureType, Instant

if TYPE_CHECKING:
    from tiergate.model import Feature


class ChangeDirection(StrEnum):
    """How an entitlement changes. `OTHER`: neither is more, as with levels that cannot be ordered."""

    GAINS = "gains"
    LOSES = "loses"
    MORE = "more"
    LESS = "less"
    OTHER = "other"


class EntitlementDifference(msgspec.Struct, frozen=True):
    """The change of one feature for a subject with one item.

    `beside`: the items held with it because it requires them; their values count too. `bearing`: one of it, two, or one
    in each of two subscriptions. `audience`: which holders, `None` for all without a pin. `[since, until)`: when;
    `None` for from now on, and for ever.
    """

    item: str
    feature: str
    bearing: HoldingPattern
    audience: HolderGroup | None
    since: Instant | None
    until: Instant | None
    kind: ChangeDirection
    before: EntitlementValue
    after: EntitlementValue
    shown_by: Counterexample
    beside: tuple[str, ...] = ()


class ItemChange(msgspec.Struct, frozen=True):
    """An item that only one side has: `change` is `added` or `removed`; `kind` and `id` as in the catalog."""

    kind: str
    id: str
    change: str


class FeatureChange(msgspec.Struct, frozen=True):
    """A feature that is decided differently for everybody: `change` is `added`, `removed` or `changed`.

    `details`: the changed fields that decide. `cases`: how many decided cases differ by it alone. `shown_by`: a check
    that becomes denied, if there is one; `also_by`: one that becomes allowed.
    """

    id: str
    change: str
    details: tuple[ValueChange, ...]
    cases: int
    shown_by: Counterexample | None = None
    also_by: Counterexample | None = None


class DecisionChange(msgspec.Struct, frozen=True):
    """Checks of a feature that rules decide differently although the values are equal.

    `items`: the items that holders need for it, if any. `rules`: those that decided the counterexample.
    """

    feature: str
    allowed_before: bool
    reason_before: str
    allowed_after: bool
    reason_after: str
    items: tuple[str, ...]
    rules: tuple[str, ...]
    cases: int
    shown_by: Counterexample


class UnprovenChange(msgspec.Struct, frozen=True):
    """What may differ although no decided case does. `what`: a rule or a feature; `why` starts in lower case."""

    what: str
    why: str


class CosmeticChange(msgspec.Struct, frozen=True):
    """Changed fields of a feature, an item or a ladder that decide nothing."""

    kind: str
    id: str
    details: tuple[ValueChange, ...]


class SemanticDiff(msgspec.Struct, frozen=True):
    """The result of a comparison.

    `cases`: how many checks were decided on both sides. `ruled`: for how many features rules were compared. `now`: from
    which instant on.
    """

    cases: int
    ruled: int = 0
    now: Instant = 0
    items: tuple[ItemChange, ...] = ()
    differences: tuple[EntitlementDifference, ...] = ()
    features: tuple[FeatureChange, ...] = ()
    turns: tuple[DecisionChange, ...] = ()
    unproved: tuple[UnprovenChange, ...] = ()
    notes: tuple[CosmeticChange, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether some decision differs."""
        return bool(self.items or self.differences or self.features or self.turns)

    @property
    def is_same(self) -> bool:
        """Whether it is proven that no decision differs."""
        return not self.differs and not self.unproved


def classify_change(
    before: EntitlementValue, after: EntitlementValue, baseline: Feature | None, candidate: Feature | None
) -> ChangeDirection:
    """Return how an unequal value changes; `baseline`, `candidate`: the feature on each side."""
    if before.is_nothing:
        return ChangeDirection.GAINS
    if after.is_nothing:
        return ChangeDirection.LOSES
    if baseline is None or candidate is None or baseline.type is not candidate.type:
        return ChangeDirection.OTHER
    if candidate.type is FeatureType.CUSTOM:
        could, can = _reached(before, baseline), _reached(after, candidate)
        return ChangeDirection.MORE if could < can else ChangeDirection.LESS if can < could else ChangeDirection.OTHER
    return ChangeDirection.MORE if _size(after) > _size(before) else ChangeDirection.LESS


def _reached(value: EntitlementValue, feature: Feature) -> set[str]:
    """Return the levels that a check may request; each side has its own order of levels."""
    return {*feature.labels[: feature.rank(str(value.value))]}


def _size(held: EntitlementValue) -> tuple[Decimal, Decimal]:
    """Return how much may be used, overage included, then the value itself."""
    endless = Decimal("Infinity")
    if held.unlimited:
        return endless, endless
    value = Decimal(held.value) if isinstance(held.value, int | Decimal) else Decimal(0)
    if not held.soft:
        return value, value
    return endless if held.overage_max is None else value + held.overage_max, value
