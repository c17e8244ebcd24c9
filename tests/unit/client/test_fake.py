"""The fake sidecar, beyond the conformance suite, which `tests/system` runs with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tiergate.client.fake import FakeFeature, FakeSidecar
from tiergate.client.local_outcomes import ReportedOutcome
from tiergate.errors import CheckError, RequestError, SidecarUnreachableError, UnknownFeatureError
from tiergate.model import Subject

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def sidecar() -> FakeSidecar:
    """A fake with a customer who has 3 of a metered feature."""
    fake = FakeSidecar({"calls": FakeFeature("quantity", metered=True), "analytics": FakeFeature()})
    fake.give("ada", "calls", 3)
    return fake


def test_it_can_be_down(sidecar: FakeSidecar) -> None:
    """So that a test sees what the service does then."""
    sidecar.is_down = True
    assert sidecar.allows("ada", "calls", otherwise=True)
    assert not sidecar.allows("ada", "calls", otherwise=False)
    with pytest.raises(SidecarUnreachableError):
        sidecar.consume("ada", "calls")
    assert sidecar.no_answers == 3
    sidecar.is_down = False
    assert sidecar.consume("ada", "calls")


def test_it_remembers_what_was_asked(sidecar: FakeSidecar) -> None:
    """For assertions."""
    sidecar.check("ada", "calls", amount=2)
    assert [(check.subject.id, check.feature, check.amount) for check in sidecar.asked] == [("ada", "calls", 2)]


def test_a_reservation_is_a_context_manager(sidecar: FakeSidecar) -> None:
    """Committed with what was used; released if the block raises."""
    with sidecar.reserve("ada", "calls", amount=3) as reservation:
        assert not sidecar.consume("ada", "calls")
        reservation.use(1)
    with pytest.raises(RuntimeError), sidecar.reserve("ada", "calls", amount=2):
        raise RuntimeError
    (usage,) = sidecar.usage("ada")
    assert (usage.used, usage.remaining) == (1, 2)
    with pytest.raises(CheckError):
        sidecar.end_reservation(reservation.id, "commit", 4)
    with pytest.raises(RequestError):
        sidecar.end_reservation("none", "release", None)


def test_misspelt_features_are_mistakes_in_a_test_too(sidecar: FakeSidecar) -> None:
    """Where something is given, and where it is asked for."""
    for wrong in (
        lambda: sidecar.give("ada", "cals", 1),
        lambda: sidecar.suspend("cals"),
        lambda: sidecar.check("ada", "cals"),
        lambda: sidecar.consume("ada", "cals"),
    ):
        with pytest.raises(UnknownFeatureError, match="did you mean `calls`"):
            wrong()


def test_misspelt_arguments_are_mistakes_in_a_test_too(sidecar: FakeSidecar) -> None:
    """As a sidecar's, so that no test passes with what fails in the service."""
    asks: tuple[Callable[..., object], ...] = (sidecar.check, sidecar.explain, sidecar.consume, sidecar.reserve)
    for ask in asks:
        with pytest.raises(TypeError, match="amout"):
            ask("ada", "calls", amout=2)
    listings: tuple[Callable[..., object], ...] = (sidecar.entitlements, sidecar.checks)
    for listing in listings:
        with pytest.raises(TypeError, match="features_"):
            listing("ada", features_=())


def test_a_reservation_that_is_repeated_is_one(sidecar: FakeSidecar) -> None:
    """With its key it has the same id, and its units are given back once."""
    first, second = (sidecar.reserve("ada", "calls", amount=2, key="k").id for _ in range(2))
    assert first == second
    for _ in range(2):
        sidecar.end_reservation(first, "commit", 1)
    with pytest.raises(RequestError):
        sidecar.end_reservation(first, "release", None)  # it has ended otherwise
    assert [it.used for it in sidecar.usage("ada")] == [1]


def test_nothing_is_answered_while_it_is_down(sidecar: FakeSidecar) -> None:
    """Neither what counts, nor what is repeated."""
    id_ = sidecar.reserve("ada", "calls", key="k").id
    sidecar.is_down = True
    for ask in (
        lambda: sidecar.usage("ada"),
        lambda: sidecar.report_usage("ada", "calls"),
        lambda: sidecar.reserve("ada", "calls", key="k"),
        lambda: sidecar.end_reservation(id_, "release", None),
    ):
        with pytest.raises(SidecarUnreachableError):
            ask()
    with pytest.raises(CheckError):
        sidecar.consume("ada", "analytics")


def test_it_remembers_what_was_reported(sidecar: FakeSidecar) -> None:
    """Of a service that reports outcomes; with an id, once."""
    at = datetime(2026, 11, 30, 12, 0, 30, tzinfo=UTC)
    assert sidecar.outcome("analytics", ok=True, duration_ms=1.23456, at=at, id="a") is None
    assert sidecar.outcome("analytics", ok=True, at=at, id="a", wait=True)
    assert not sidecar.outcome("analytics", ok=False, at=at.replace(second=59), wait=True)
    sidecar.flush_outcomes()
    with pytest.raises(RuntimeError), sidecar.measure("calls"):
        raise RuntimeError

    assert sidecar.reported[0] == ReportedOutcome("analytics", True, 1.235, at, "a")
    assert [(it.feature, it.ok) for it in sidecar.reported[1:]] == [("analytics", False), ("calls", False)]
    minutes = sidecar.outcomes("analytics", at.replace(second=0))
    assert [(it.minute, it.requests, it.failed) for it in minutes] == [("2026-11-30T12:00:00.000Z", 2, 1)]
    assert sidecar.outcomes("analytics", at) == []  # the minute began before
    assert [it.requests for it in sidecar.outcomes("calls")] == [1]
    with pytest.raises(UnknownFeatureError):
        sidecar.measure("cals")
    sidecar.is_down = True
    sidecar.outcome("calls", ok=True)
    with pytest.raises(SidecarUnreachableError):
        sidecar.outcome("calls", ok=True, wait=True)
    assert (len(sidecar.reported), sidecar.outcomes_lost) == (3, 1)


def test_usage_that_is_reported_again_counts_once(sidecar: FakeSidecar) -> None:
    """With its key; of a user, too, by whatever form of an id. A key is of one request."""
    sidecar.give("Zoe\u0308", "calls", 9)
    user = Subject("Zo\u00eb", user="u1")
    found = [sidecar.report_usage(user, "calls", amount=2, key="k").replayed for _ in range(2)]
    assert sidecar.consume(user, "calls", key="c")

    assert found == [False, True]
    assert [it.used for it in sidecar.usage("Zo\u00eb")] == [3]
    wrong: tuple[Callable[[], object], ...] = (
        lambda: sidecar.report_usage(user, "calls", amount=3, key="k"),
        lambda: sidecar.report_usage(user, "calls", key="c"),
        lambda: sidecar.consume(user, "calls", amount=2, key="k"),
    )
    for ask in wrong:
        with pytest.raises(RequestError):
            ask()
    assert [it.used for it in sidecar.usage(user)] == [3]
