"""Which thresholds usage has reached (design, section 10). Pure.

INVARIANT (once per window): what has fired in a window is stored with the window and does not fire in it again, however
the limit or the usage moves. INVARIANT (never forgotten): a level fires whenever usage is at or above it and it has not
fired, whichever of the two moved; it needs no passing from below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tiergate.model import Interval, Threshold
    from tiergate.usage.accounts import Account


class ReachedThreshold(NamedTuple):
    """A threshold that usage of an account has reached in a window, with the usage and the limit then, in units."""

    account: Account
    window: Interval
    threshold: Threshold
    used: int
    limit: int | None


def newly_reached(
    thresholds: Sequence[Threshold], fired: Collection[str], used: int, limit: int | None
) -> list[Threshold]:
    """Return the thresholds that are reached and have not fired. `limit`: `None` if unlimited: percentages are not."""
    return [it for it in thresholds if it.key not in fired and _is_reached(it, used, limit)]


def _is_reached(threshold: Threshold, used: int, limit: int | None) -> bool:
    if used <= 0:
        return False
    if threshold.percent is None:
        return threshold.units is not None and used >= threshold.units
    return limit is not None and used * 100 >= threshold.percent * limit
