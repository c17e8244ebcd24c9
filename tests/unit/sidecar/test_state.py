from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.serving import NOW, Clock, Subjects, bundle, customer
from tiergate.engine import CachedEvaluator, Evaluator
from tiergate.model import FOREVER, Check, Customer, Subject, SubjectRecord, SubjectType
from tiergate.sidecar.state import Generation, State

if TYPE_CHECKING:
    from collections.abc import Callable


def generation(number: int) -> Generation:
    """A generation without subjects."""
    compiled = bundle()
    return Generation(number, CachedEvaluator(Evaluator(compiled, Subjects())), 1, compiled.revision, NOW)


def test_a_state_is_ready_from_its_first_generation_on() -> None:
    """Before anything was loaded nothing can be decided."""
    state = State(Clock())

    before = state.ready
    state.install(generation(1))

    assert (before, state.ready) == (False, True)


@pytest.mark.parametrize("allows", [False, True])
def test_a_state_that_gives_up_waiting_has_started_and_is_stale_until_there_is_something(allows: bool) -> None:
    """Whoever asks is answered without data, and by data as soon as there is some; it never goes back to none.

    Without data it is ready only if something is allowed then.
    """
    state = State(Clock())
    state.ready_unloaded = allows
    seen: list[tuple[bool, bool, bool, bool]] = []

    steps: list[Callable[[], None]] = [
        lambda: None,
        state.serve_unloaded,
        lambda: state.install(generation(1)),
        state.serve_unloaded,
    ]
    for step in steps:
        step()
        seen.append((state.started, state.ready, state.unloaded, state.stale))

    loaded = (True, True, False, False)
    assert seen == [(False, False, False, False), (True, allows, True, True), loaded, loaded]


def test_giving_up_does_not_make_a_draining_state_ready() -> None:
    """What ends is not to be asked."""
    state = State(Clock())
    state.drain()
    state.serve_unloaded()
    assert not state.ready


def test_installing_a_generation_makes_subscribers_forget() -> None:
    """They are told after it is in force, so that what they remember next is of the new one."""
    state = State(Clock())
    seen: list[int] = []
    state.subscribe(lambda: seen.append(state.current.number if state.current else 0))

    state.install(generation(1))
    state.install(generation(2))

    assert seen == [1, 2]


@pytest.mark.parametrize("number", [1, 2])
def test_an_older_generation_never_replaces_a_newer_one(number: int) -> None:
    """Nor does one of the same number; the one in force stays."""
    state = State(Clock())
    state.install(generation(2))

    with pytest.raises(ValueError, match="does not follow 2"):
        state.install(generation(number))

    assert state.current is not None
    assert state.current.number == 2


def test_a_subject_that_changed_is_read_anew() -> None:
    """The customer as well as each of its subscriptions, by an engine that has read them before."""
    subjects = Subjects(customer("acme"))
    state = State(Clock())
    compiled = bundle()
    engine = CachedEvaluator(Evaluator(compiled, subjects))
    state.install(Generation(1, engine, 1, compiled.revision, NOW))
    both = (Subject("acme"), Subject("sub-acme", SubjectType.SUBSCRIPTION))
    for _ in range(3):
        assert all(engine.decide(Check(subject, "movies"), NOW).allowed for subject in both)

    subjects.records["acme"] = SubjectRecord(Customer("acme"))
    state.subject_changed("acme", ["sub-acme"])

    assert [engine.decide(Check(subject, "movies"), NOW).reason for subject in both] == [
        "subscription_inactive",
        "unknown_subject",
    ]


def test_a_change_before_anything_is_loaded_outdates_all_the_same() -> None:
    """Whoever follows changes need not know whether something is in force yet."""
    state = State(Clock())
    edition = state.subject_versions.of(Subject("acme"))

    state.subject_changed("acme", [])

    assert edition.is_outdated


def test_usage_that_moves_outdates_what_draws_on_it() -> None:
    """And with a cap for everybody together, what rests on it of others."""
    catalog = """
apiVersion: tiergate/v1
features:
  - {id: credits, type: quantity, metered: {reset: month}}
  - {id: calls, type: quantity, metered: {reset: month}, caps: {total: 5}}
items: []
"""
    state = State(Clock())
    compiled = bundle(catalog)
    state.install(Generation(1, Evaluator(compiled, Subjects()), 1, compiled.revision, NOW))
    versions = state.subject_versions
    mine, others = versions.of_usage(Subject("acme"), "calls", everybody=["calls"]), versions.of(Subject("other"))
    other = versions.of_usage(Subject("other"), "calls", everybody=["calls"])

    state.usage_changed("acme", [], ["calls"])

    assert (mine.is_outdated, other.is_outdated, others.is_outdated) == (True, True, False)


def test_answers_are_not_stale_unless_somebody_expects_them_to_be() -> None:
    """With files there is nothing that data could lag behind."""
    assert State(Clock()).stale_at == FOREVER


@pytest.mark.parametrize(
    ("before", "after", "forgets"),
    [
        (NOW + 1_000, NOW + 2_000, False),
        (NOW + 2_000, NOW + 1_000, True),
        (NOW, NOW + 1_000, True),
        (NOW - 1, FOREVER, True),
    ],
)
def test_what_is_remembered_is_forgotten_where_staleness_makes_it_wrong(
    before: int, after: int, *, forgets: bool
) -> None:
    """Fresh data that stays fresh for longer makes nothing wrong; data that was stale, or is so earlier, does."""
    state = State(Clock())
    state.set_stale_at(before)
    told: list[None] = []
    state.subscribe(lambda: told.append(None))

    state.set_stale_at(after)

    assert bool(told) is forgets


def test_a_draining_state_is_not_ready() -> None:
    """Who routes requests looks elsewhere from then on."""
    state = State(Clock())
    state.install(generation(1))

    state.drain()

    assert (state.ready, state.draining) == (False, True)
