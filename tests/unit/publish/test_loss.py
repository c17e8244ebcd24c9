"""What a publication takes from customers, at the publisher: looked for, refused, accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.publishing import CATALOG, Press, opened
from tiergate.catalog import load_catalog_texts
from tiergate.errors import LossError
from tiergate.model import Override, OverrideMode, Unlimited
from tiergate.publish import loss
from tiergate.publish.applying import Application, apply_plan
from tiergate.store import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.publish.publisher import Outcome

LESS = CATALOG.replace("movies: 50", "movies: 40")


@pytest.fixture
def press(sqlite_url: str) -> Iterator[Press]:
    """A store with a small catalog in force, and nobody who holds anything."""
    with opened(sqlite_url) as found:
        found.apply()
        yield found


def applied(press: Press, text: str, *, accept_loss: bool = False) -> Outcome:
    """Apply a catalog file, with a look at who loses by it."""
    planner = apply_plan(Application(load_catalog_texts({"catalog.yaml": text})))
    return press.publisher.carry_out(
        planner, lambda work: press.store.change(work, SYSTEM), weigh=True, accept_loss=accept_loss
    )


def test_what_nobody_has_is_taken_from_nobody(press: Press) -> None:
    """Customers of other plans are not even asked about."""
    press.hold("acme", "free")
    outcome = applied(press, LESS)
    assert outcome.impact is not None
    assert (outcome.is_new, outcome.impact["examined"]) == (True, 0)


def test_a_loss_is_refused_and_leaves_everything_as_it_was(press: Press) -> None:
    """No row of any table is another one."""
    press.hold("acme", "gold")
    before = press.rows()
    with pytest.raises(LossError) as caught:
        applied(press, LESS)
    assert caught.value.impact["customers"] == {
        "touched": 1,
        "take": 1,
        "above": 0,
        "loses": 0,
        "less": 1,
        "other": 0,
        "more": 0,
        "gains": 0,
    }
    assert press.rows() == before
    assert applied(press, LESS, accept_loss=True).sequence == 2


def test_who_has_an_override_in_place_of_what_is_taken_loses_nothing(press: Press) -> None:
    """What is compared is what is allowed, not what the plan gives."""
    override = Override("o", "movies", OverrideMode.REPLACE, Unlimited())
    press.hold("acme", "gold", overrides=(override,))
    outcome = applied(press, LESS)
    assert outcome.impact is not None
    assert (outcome.impact["examined"], outcome.impact["customers"]["touched"]) == (1, 0)


def test_a_first_publication_takes_nothing(sqlite_url: str) -> None:
    """There is nothing in force that anybody could lose."""
    with opened(sqlite_url) as press:
        assert applied(press, CATALOG).impact is None


def test_without_being_asked_nothing_is_weighed(press: Press) -> None:
    """Suspensions, rollbacks and what is sold go through as before."""
    press.hold("acme", "gold")
    assert press.apply(LESS).impact is None


def test_many_holders_are_found_by_a_process_of_its_own(press: Press, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same tally; and it says how far it is."""
    for place in range(30):
        press.hold(f"c{place}", "gold")
    monkeypatch.setattr(loss, "MOST_HERE", 10)
    with pytest.raises(LossError) as caught:
        applied(press, LESS)
    assert caught.value.impact["customers"]["take"] == 30  # type: ignore[index]
