"""What a comparison of two bundles comes to, as values: what changes in meaning, what does not, what is not proved.

Values only; `meaning` finds them. Each difference carries a check that shows it, so that nobody needs to believe it.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tiergate.catalog.writing.value_changes import ValueChange
from tiergate.impact.diff.counterexample import Counterexample
from tiergate.impact.diff.representative_subjects import HolderGroup, HoldingPattern
from tiergate.impact.single_subject_engine import EntitlementValue
from tiergate.model import Instant


class ChangeDirection(StrEnum):
    """What becomes of what is held. `OTHER`: neither is more, as of two ranges of levels that cannot be compared."""

    GAINS = "gains"
    LOSES = "loses"
    MORE = "more"
    LESS = "less"
    OTHER = "other"


class EntitlementDifference(msgspec.Struct, frozen=True):
    """What a holder of one item alone comes to get of one feature.

    `beside`: what is held with it because it needs that to count, on one side at least; its values count too.
    `bearing`: whether it holds one of it, two, or one in each of two subscriptions. `audience`: which holders, `None`
    for all that are pinned to no version. `[since, until)`: when; `None` for from now on, and for ever.
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
    """A feature that is decided otherwise whoever holds it: `change` is `added`, `removed` or `changed`.

    `details`: what is said otherwise of it, of all that decides. `cases`: how many decided cases differ by it alone.
    `shown_by`: a check that it denies, if there is one; `also_by`: one that it allows.
    """

    id: str
    change: str
    details: tuple[ValueChange, ...]
    cases: int
    shown_by: Counterexample | None = None
    also_by: Counterexample | None = None


class DecisionChange(msgspec.Struct, frozen=True):
    """Checks of a feature that turn out otherwise although as much is held: rules do that.

    `items`: holders of which, empty where it takes none. `rules`: those that decided the check that shows it.
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
    """What may differ although no decided case does: `what` is a rule or a feature, `why` begins in lower case."""

    what: str
    why: str


class CosmeticChange(msgspec.Struct, frozen=True):
    """What is said otherwise and decides nothing: of a feature, an item or a ladder."""

    kind: str
    id: str
    details: tuple[ValueChange, ...]


class SemanticDiff(msgspec.Struct, frozen=True):
    """All that a comparison found.

    `cases`: how many checks were decided on both sides. `ruled`: of how many features the rules were compared. `now`:
    from which instant on.
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
        """Say whether some decision differs."""
        return bool(self.items or self.differences or self.features or self.turns)

    @property
    def is_same(self) -> bool:
        """Say whether it is proved that no decision differs."""
        return not self.differs and not self.unproved
