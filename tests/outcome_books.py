"""What a book of outcomes has of a feature, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.status.outcome_minutes import Minutes, MinuteSum

if TYPE_CHECKING:
    from tiergate.model import Instant
    from tiergate.status.outcome_book import OutcomeBook


def found(book: OutcomeBook, feature: str, start: Instant) -> list[MinuteSum]:
    """Return it by minute."""
    sums = Minutes()
    sums.add_all(one for one in book.search(feature, start) if one is not None)
    return sorted(sums, key=lambda one: one.minute)
