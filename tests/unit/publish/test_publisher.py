"""Preparing a publication and committing it, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.publishing import Press, opened
from tiergate.model import Amount, Value
from tiergate.publish.pending_planner import plan_pending_edits
from tiergate.publish.publication_plan import StalePlanError
from tiergate.store import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Iterator

BETTER: dict[str, Value] = {"movies": Amount(60)}


@pytest.fixture
def press(sqlite_url: str) -> Iterator[Press]:
    """A store with a small catalog that is published."""
    with opened(sqlite_url) as press:
        press.apply()
        yield press


def test_what_was_prepared_on_another_state_is_not_committed(press: Press) -> None:
    """Preparing writes nothing, and a commit writes nothing once an edit that it includes has changed."""
    press.draft("gold", BETTER)
    prepared = press.publisher.prepare(plan_pending_edits())
    assert press.sequence == 1
    press.draft("gold", {"movies": Amount(99)})
    with pytest.raises(StalePlanError):
        press.store.change(lambda unit: press.publisher.commit(unit, prepared), SYSTEM)
    assert (press.sequence, prepared.committed) == (1, None)


def test_what_was_prepared_is_committed(press: Press) -> None:
    """The result is that of publishing."""
    press.draft("gold", BETTER)
    prepared = press.publisher.prepare(plan_pending_edits())
    result = press.store.change(lambda unit: press.publisher.commit(unit, prepared), SYSTEM)
    assert (result.sequence, result.changes, press.sequence) == (2, prepared.changes, 2)
