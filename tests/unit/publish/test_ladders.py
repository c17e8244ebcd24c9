"""Ladders at publish: what newly breaks one is refused, whatever was broken before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.publishing import Press, opened
from tiergate.catalog import load_catalog_texts
from tiergate.errors import PublishError
from tiergate.publish.catalog_change import SourcePositions
from tiergate.publish.validation import validate_catalog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.model import Problem

PLANS = """
apiVersion: tiergate/v1
features:
  - {id: movies, type: quantity}
  - {id: support, type: custom, levels: [email, phone]}
items:
  - {id: free, kind: plan, entitlements: {movies: 5}}
  - {id: gold, kind: plan, entitlements: {movies: 50, support: phone}}
  - {id: platinum, kind: plan, entitlements: {movies: unlimited, support: phone}}
"""
LADDERS = "ladders:\n  - {id: all, plans: [free, gold, platinum]}\n"
ITEM = "  - {id: other, kind: plan, entitlements: {movies: 1}}\n"
CATALOG = PLANS + LADDERS


@pytest.fixture
def press(sqlite_url: str) -> Iterator[Press]:
    """A store with an unbroken ladder in force."""
    with opened(sqlite_url) as found:
        found.apply(CATALOG)
        yield found


def refused(press: Press, text: str) -> list[Problem]:
    """What stands against applying a text."""
    with pytest.raises(PublishError) as caught:
        press.apply(text)
    return list(caught.value.problems)


def test_a_plan_that_comes_to_give_less_than_the_one_below_is_refused(press: Press) -> None:
    """The problem names both plans, the feature, both values and the ladder, at the author's line."""
    (problem,) = refused(press, CATALOG.replace("movies: 5}", "movies: 60}"))
    assert problem.code == "broken-ladder"
    assert problem.message == (
        "`gold` gives `50` of `movies`, less than `free` below it on the ladder `all`, which gives `60`"
    )
    assert press.publisher.store.read(press.publisher.published_state).sequence == 1


def test_a_level_that_is_not_given_any_more_breaks_a_ladder(press: Press) -> None:
    """Giving nothing is giving less."""
    (problem,) = refused(press, CATALOG.replace("unlimited, support: phone", "unlimited"))
    assert problem.message == (
        "`platinum` gives nothing of `support`, less than `gold` below it on the ladder `all`, which gives `phone`"
    )


def test_a_ladder_that_is_broken_from_the_start_is_refused(sqlite_url: str) -> None:
    """Declaring a ladder is a promise about the plans as they are."""
    with opened(sqlite_url) as press:
        assert [it.code for it in refused(press, CATALOG.replace("[free, gold", "[gold, free"))] == [
            "broken-ladder"
        ] * 2


def test_what_was_broken_before_keeps_nobody_from_anything_else(press: Press) -> None:
    """Of two breaks, the one that is in force already is not refused."""
    broken = CATALOG.replace("movies: 5}", "movies: 60}")
    worse = broken.replace("unlimited, support: phone", "unlimited")
    old, same, more = (
        load_catalog_texts({"c.yaml": text}).catalog
        for text in (broken, broken.replace(LADDERS, ITEM + LADDERS), worse)
    )
    read = press.store.read
    assert read(lambda unit: validate_catalog(unit, old, same, SourcePositions())) == []
    found = read(lambda unit: validate_catalog(unit, old, more, SourcePositions()))
    assert [it.file for it in found if it.code == "broken-ladder"] == ["items/platinum/versions/1"]
