"""Outcomes that sidecars deliver: taken in once for each batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from tiergate.store.outcomes import add_batch

if TYPE_CHECKING:
    from tiergate.status.outcome_book import Pending
    from tiergate.store import WriteUnit

AHEAD_MS: Final = 24 * 3_600_000
"""How far in the future a minute may begin, in milliseconds: a day. A sidecar's clock cannot be that wrong."""

_log = structlog.get_logger(__name__)


def take_in(unit: WriteUnit, batch: Pending) -> bool:
    """Add the outcomes of a batch, and judge their hours; return whether it came for the first time.

    What a repeated batch has is in effect already. Minutes that begin too far in the future are left out.
    """
    sums = [one for one in batch.sums if one.minute <= unit.now + AHEAD_MS]
    if len(sums) < len(batch.sums):
        _log.warning("outcomes of the future are left out: a sidecar's clock is wrong", source=batch.source)
    return add_batch(unit, batch.source, batch.number, sums)
