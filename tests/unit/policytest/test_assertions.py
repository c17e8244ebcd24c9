from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import CATALOG, NOW, Service, Subjects, bundle, customer, disabled
from tests.unit.policytest.projects import pytest_in, write
from tiergate.client import Sidecar
from tiergate.engine import Evaluator
from tiergate.errors import CheckError, UnknownFeatureError
from tiergate.model import FOREVER, format_instant
from tiergate.policytest.assertions import assert_decision

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tiergate.policytest.assertions import DecisionClient


@pytest.fixture(scope="module")
def service() -> Service:
    """Give a sidecar's parts, with one customer of the plan Gold and one of Platinum."""
    return Service(customer("acme"), customer("rich", "platinum"))


@pytest.fixture(scope="module", params=["engine", "sidecar"])
def decider(request: pytest.FixtureRequest, service: Service) -> Iterator[Evaluator | DecisionClient]:
    """Give an engine, and a client of a real sidecar: what is asserted of the one holds of the other."""
    if request.param == "engine":
        yield Evaluator(bundle(CATALOG), service.subjects)
        return
    with service.serve() as where, Sidecar(where.url, timeout=10) as client:
        yield client


def when(decider: Evaluator | DecisionClient) -> dict[str, Any]:
    """The instant, where it can be chosen."""
    return {"now": NOW} if isinstance(decider, Evaluator) else {}


GOOD: list[tuple[str, str, dict[str, object], dict[str, Any]]] = [
    ("acme", "movies", {"used": 49}, {"allowed": True, "value": 50, "remaining": 1, "sources": ["plan/gold@3"]}),
    ("acme", "movies", {"used": 50}, {"reason": "limit_reached", "policies": ["reason/limit-reached"]}),
    ("acme", "storage", {"amount": 1.5}, {"allowed": True, "value": Decimal("10.000")}),
    ("acme", "support", {"level": "phone"}, {"allowed": True, "value": "phone"}),
    ("acme", "analytics", {}, {"allowed": True, "value": True, "valid_until": None}),
    ("rich", "movies", {"used": 10**6}, {"reason": "granted", "value": "unlimited"}),
    ("rich", "support", {}, {"allowed": False, "value": None}),
    ("nobody", "movies", {}, {"reason": "unknown_subject"}),
]


@pytest.mark.parametrize(("subject", "feature", "asked", "stated"), GOOD)
def test_what_is_so_can_be_asserted(
    decider: Evaluator | DecisionClient, subject: str, feature: str, asked: dict[str, object], stated: dict[str, Any]
) -> None:
    """Every field can be stated, in the words of a test file, and the decision comes back."""
    decision = assert_decision(decider, subject, feature, asked, **when(decider), **stated)
    assert decision.feature == feature


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"allowed": False}, "allowed false", "allowed true (granted)"),
    ({"reason": "limit_reached"}, "allowed false, reason limit_reached", "allowed true, reason granted"),
    ({"allowed": True, "value": 60}, "value 60", "value 50 (granted)"),
    ({"allowed": True, "value": "unlimited"}, "value unlimited", "value 50 (granted)"),
    ({"allowed": True, "value": None}, "value null", "value 50 (granted)"),
    ({"allowed": True, "remaining": 0.5}, "remaining 0.5", "remaining 38 (granted)"),
    ({"allowed": True, "sources": []}, "sources []", "sources [plan/gold@3] (granted)"),
    ({"allowed": True, "policies": ["x"]}, "policies [x]", "policies [plan/gold@3/movies] (granted)"),
    (
        {"allowed": True, "valid_until": "2027-01-01T00:00:00Z"},
        "valid_until 2027-01-01T00:00:00.000Z",
        "valid_until null (granted)",
    ),
]


@pytest.mark.parametrize(("stated", "expected", "actual"), BAD)
def test_what_is_not_so_is_shown_side_by_side(
    decider: Evaluator | DecisionClient, stated: dict[str, Any], expected: str, actual: str
) -> None:
    """The message names the question, and of the expectation only what differs."""
    with pytest.raises(AssertionError) as raised:
        assert_decision(decider, "acme", "movies", {"used": 12}, **when(decider), **stated)
    lines = str(raised.value).splitlines()
    assert lines[:3] == [
        "acme · movies · used 12 is not decided as expected",
        f"expected  {expected}",
        f"actual    {actual}",
    ]
    assert lines[3].startswith("why       ")


def test_a_denial_of_nobody_shows_nothing(decider: Evaluator | DecisionClient) -> None:
    """Whoever does not exist is denied everything: that is stated by its reason, or a mistake."""
    with pytest.raises(AssertionError, match="unknown_subject"):
        assert_decision(decider, "nobody", "movies", {}, **when(decider), allowed=False)


def test_a_switch_that_is_on_is_not_the_number_one(decider: Evaluator | DecisionClient) -> None:
    """However alike Python holds them."""
    assert_decision(decider, "acme", "analytics", allowed=True, value=True, **when(decider))
    with pytest.raises(AssertionError, match="value 1"):
        assert_decision(decider, "acme", "analytics", allowed=True, value=1, **when(decider))


def test_a_decision_is_explained(decider: Evaluator | DecisionClient) -> None:
    """The numbers behind the decision stand in the message, be it an engine's or a sidecar's."""
    with pytest.raises(AssertionError, match=r"Plan gold, version 3, gives 50 movies/month"):
        assert_decision(decider, "acme", "movies", {"used": 50}, **when(decider), allowed=True)


@pytest.mark.parametrize(
    "now",
    [
        NOW,
        format_instant(NOW),
        datetime.fromtimestamp(NOW / 1000, UTC),
        datetime.fromtimestamp(NOW / 1000, timezone(timedelta(hours=9))),
    ],
    ids=["milliseconds", "text", "datetime", "other zone"],
)
def test_an_instant_can_be_said_in_several_ways(now: Any) -> None:  # noqa: ANN401 - all of them
    """All of them are the same millisecond: the last one before an override begins is not the one after."""
    subjects = Subjects(customer("acme", overrides=(disabled("movies", NOW + 1, FOREVER),)))
    engine = Evaluator(bundle(CATALOG), subjects)
    assert_decision(engine, "acme", "movies", now=now, allowed=True, valid_until=format_instant(NOW + 1))
    assert_decision(engine, "acme", "movies", now=NOW + 1, reason="override_denied")


MISTAKES: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({}, ValueError, "state `allowed` or `reason`"),
    ({"value": 50}, ValueError, "state `allowed` or `reason`"),
    ({"allowed": True, "reason": "limit_reached"}, ValueError, "`limit_reached` is not the reason of a decision"),
    ({"reason": "limit-reached"}, ValueError, r"no reason `limit-reached`, did you mean `limit_reached`\?"),
    ({"reason": None}, ValueError, "no reason `None`"),
    ({"allowed": True, "remaining": None}, ValueError, "`remaining` is a number, not `None`"),
    ({"allowed": True, "remaining": "38"}, ValueError, "`remaining` is a number, not `38`"),
    ({"allow": True}, TypeError, "an expectation has no `allow`: it may state `allowed`"),
    ({"request": {"usd": 3}, "allowed": True}, ValueError, "a check has no field `usd`: a request may say `amount`"),
    ({"allowed": True, "policies": "plan/gold@3/movies"}, ValueError, "`policies` is a list of names, not one text"),
    ({"allowed": True, "now": datetime(2026, 1, 1)}, ValueError, "has no time zone"),  # noqa: DTZ001 - as it must not be
    ({"request": {"used": -1}, "allowed": True}, CheckError, "must not be negative"),
    ({"feature": "moovies", "allowed": True}, UnknownFeatureError, "did you mean `movies`"),
]


@pytest.mark.parametrize(("call", "error", "said"), MISTAKES)
def test_a_mistake_in_the_call_is_no_failed_assertion(
    service: Service, call: dict[str, Any], error: type[Exception], said: str
) -> None:
    """What could never be met, or says nothing, is refused: it must not pass, nor look like a denial."""
    engine = Evaluator(bundle(CATALOG), service.subjects)
    whole: dict[str, Any] = {"subject": "acme", "feature": "movies", "now": NOW} | call
    with pytest.raises(error, match=said):
        assert_decision(engine, **whole)


def test_a_sidecar_has_its_own_clock() -> None:
    """An instant cannot be chosen for a running sidecar, and asking for one is refused before anything is sent."""
    with Sidecar("http://127.0.0.1:9") as client, pytest.raises(ValueError, match="decides by its own clock"):
        assert_decision(client, "acme", "movies", now=NOW, allowed=True)


def test_the_failure_points_at_the_callers_line(tmp_path: Path) -> None:
    """Pytest shows the assertion of the test, and no line of this package."""
    test = """
from tiergate.policytest.assertions import assert_decision

def test_it(tiergate_engine):
    assert_decision(tiergate_engine, "ada", "movies", {"used": 50}, now="2026-11-21T12:00:00Z", allowed=True)
"""
    ini = "[pytest]\ntiergate_catalog = catalog.yaml\ntiergate_subjects = subjects.yaml\n"
    ran = pytest_in(write(tmp_path, {"test_it.py": test, "pytest.ini": ini}), "test_it.py")
    assert "test_it.py:5: AssertionError" in ran.stdout
    assert "assertions.py" not in ran.stdout
