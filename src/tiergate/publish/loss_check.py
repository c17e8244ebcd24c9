"""The loss gate: a publication takes from customers exactly the loss that its caller accepted, or is rejected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.errors import LossError
from tiergate.impact.preview.loss_token import customer_count
from tiergate.publish.publication_plan import StalePlanError

if TYPE_CHECKING:
    from tiergate.publish.loss_estimate import ImpactLine, LossEstimate
    from tiergate.store import WriteUnit

_MAX_FEATURES: Final = 5
_EFFECTS: Final = (
    ("loses", "loses it", "lose it"),
    ("less", "gets less", "get less"),
    ("other", "gets something else", "get something else"),
    ("unproved", "may lose something", "may lose something"),
)


class LossCheck(NamedTuple):
    """What a publication takes: its estimate, the tally (`impact`, with `loss`), and the token of the accepted loss."""

    estimate: LossEstimate
    impact: ImpactLine
    accepted: str

    def require_accepted(self, unit: WriteUnit, position: int) -> None:
        """Require that only the accepted loss happens; also for subjects that changed after a feed position.

        Raises:
            LossError: another loss.
            StalePlanError: a subject changed meanwhile, and would lose something.
        """
        loss = self.impact["loss"]
        if count_losing_customers(self.impact) and loss != self.accepted:
            detail = f"{describe_loss(self.impact)}: to accept exactly this, give `accept_loss` as `{loss}`"
            if self.accepted:
                count = customer_count(self.accepted)
                customers = "1 customer" if count == 1 else f"{count:,} customers"
                detail += f"; the accepted loss is another one, of {customers}"
            raise LossError(detail, self.impact, loss)
        if unit.head().position != position and self.estimate.takes_from_changed(unit, position):
            raise StalePlanError


def count_losing_customers(impact: ImpactLine | None) -> int:
    """Return how many customers lose something or get less."""
    return 0 if impact is None else int(impact["customers"]["take"])


def describe_loss(impact: ImpactLine) -> str:
    """Return e.g. `3 customers would lose something or get less (movies: 1 loses it, 2 get less)`."""
    count = count_losing_customers(impact)
    features = []
    for tally in impact["features"]:
        effects = [
            f"{number:,} {singular if number == 1 else plural}"
            for effect, singular, plural in _EFFECTS
            if (number := max(tally["customers"][effect], tally["subscriptions"][effect]))
        ]
        if effects:
            features.append(f"`{tally['feature']}`: {', '.join(effects)}")
    shown = "; ".join(features[:_MAX_FEATURES])
    if len(features) > _MAX_FEATURES:
        shown += f"; and {len(features) - _MAX_FEATURES} more features"
    return f"{count:,} {'customer' if count == 1 else 'customers'} would lose something or get less ({shown})"
