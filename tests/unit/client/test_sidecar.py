from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tiergate.client import Sidecar
from tiergate.errors import CheckError, RequestError, SidecarUnreachableError, UnknownFeatureError
from tiergate.model import Check, Subject, SubjectType

if TYPE_CHECKING:
    from tests.unit.client.conftest import Server

GRANTED = {"allowed": True, "reason": "granted", "feature": "movies", "type": "quantity", "entitlement": {"value": 50}}
UNKNOWN = {
    "type": "urn:tiergate:problem:unknown-feature",
    "title": "unknown feature",
    "status": 404,
    "detail": "no feature `moovies` in the catalog, did you mean `movies`?",
    "field": "/feature",
    "suggestion": "movies",
}
INVALID = {
    "type": "urn:tiergate:problem:invalid-request",
    "title": "invalid request",
    "status": 400,
    "detail": "`/amount`: must be positive",
    "field": "/amount",
}
FORBIDDEN = {"type": "urn:tiergate:problem:unauthorized", "title": "unauthorized", "status": 401, "detail": "no token"}


def answer(server: Server, body: object, status: int = 200) -> None:
    """Have the server answer with this body."""
    server.status, server.body = status, json.dumps(body).encode()


def test_a_check_is_asked_with_what_was_given_and_no_more(server: Server) -> None:
    """Members that are not asked are left out, decimals keep their digits."""
    answer(server, GRANTED)
    with Sidecar(server.url) as sidecar:
        assert sidecar.check("acme", "movies", amount=Decimal("0.1"), used=12).entitlement.value == 50
    method, path, headers, body = server.requests[0]
    assert (method, path, headers["content-type"]) == ("POST", "/v1/check", "application/json")
    assert body == b'{"subject":"acme","feature":"movies","amount":0.1,"used":12}'
    assert "authorization" not in headers


def test_a_subject_of_another_type_is_named_in_full(server: Server) -> None:
    """A subscription, or a user inside a customer, is asked about as an object."""
    answer(server, GRANTED)
    with Sidecar(server.url) as sidecar:
        sidecar.check(Subject("sub_1", SubjectType.SUBSCRIPTION), "movies")
        sidecar.check(Subject("acme", user="ann"), "movies")
    asked = [json.loads(body)["subject"] for *_, body in server.requests]
    assert asked == [{"type": "subscription", "id": "sub_1"}, {"type": "customer", "id": "acme", "user": "ann"}]


def test_the_token_goes_with_every_request(server: Server) -> None:
    """A sidecar that wants a token is shown it."""
    answer(server, GRANTED)
    with Sidecar(server.url, token="s3cret") as sidecar:
        sidecar.check("acme", "movies")
    assert server.requests[0][2]["authorization"] == "Bearer s3cret"


def test_an_unknown_feature_keeps_its_suggestion(server: Server) -> None:
    """A problem document becomes the error that it was in the sidecar."""
    answer(server, UNKNOWN, 404)
    with Sidecar(server.url) as sidecar, pytest.raises(UnknownFeatureError) as caught:
        sidecar.check("acme", "moovies")
    assert (caught.value.feature, caught.value.suggestion) == ("moovies", "movies")


def test_a_wrong_field_is_named(server: Server) -> None:
    """An invalid request says which field, and what is wrong with it."""
    answer(server, INVALID, 400)
    with Sidecar(server.url) as sidecar, pytest.raises(CheckError) as caught:
        sidecar.check("acme", "movies", amount=0)
    assert (caught.value.field, caught.value.detail) == ("/amount", "must be positive")


def test_another_refusal_keeps_its_status_and_words(server: Server) -> None:
    """What is none of these is told as it came."""
    answer(server, FORBIDDEN, 401)
    with Sidecar(server.url) as sidecar, pytest.raises(RequestError) as caught:
        sidecar.check("acme", "movies")
    assert (caught.value.status, caught.value.title, caught.value.detail) == (401, "unauthorized", "no token")


@pytest.mark.parametrize(
    ("status", "body"),
    [(503, b'{"status": 503, "detail": "nothing is loaded yet"}'), (500, b"{}"), (200, b"<html>"), (404, b"not found")],
)
def test_whoever_cannot_decide_counts_as_unreachable(server: Server, status: int, body: bytes) -> None:
    """A sidecar without data, and anything that is no sidecar, are the same to a caller: no answer."""
    server.status, server.body = status, body
    with Sidecar(server.url) as sidecar, pytest.raises(SidecarUnreachableError):
        sidecar.check("acme", "movies")


@pytest.mark.parametrize("otherwise", [True, False])
def test_allows_answers_otherwise_where_nobody_can_decide(server: Server, otherwise: bool) -> None:
    """How a feature fails is the caller's choice, made with the question."""
    server.status = 503
    with Sidecar(server.url) as sidecar:
        assert sidecar.allows("acme", "movies", otherwise=otherwise) is otherwise


@pytest.mark.parametrize("allowed", [True, False])
def test_allows_answers_as_the_sidecar_does(server: Server, allowed: bool) -> None:
    """A decision is never overruled by the caller's default."""
    answer(server, {**GRANTED, "allowed": allowed})
    with Sidecar(server.url) as sidecar:
        assert sidecar.allows("acme", "movies", otherwise=not allowed, amount=1) is allowed


def test_a_mistake_is_not_covered_up_by_a_default(server: Server) -> None:
    """`allows` raises for an unknown feature, whatever its default."""
    answer(server, UNKNOWN, 404)
    with Sidecar(server.url) as sidecar, pytest.raises(UnknownFeatureError):
        sidecar.allows("acme", "moovies", otherwise=True)


def test_many_checks_are_answered_in_order_with_errors_in_their_places(server: Server) -> None:
    """A wrong check among many does not spoil the others."""
    answer(server, {"results": [GRANTED, UNKNOWN, {**GRANTED, "allowed": False}]})
    checks = [Check(Subject("acme"), feature) for feature in ("movies", "moovies", "movies")]
    with Sidecar(server.url) as sidecar:
        first, second, third = sidecar.checks(checks)
    assert isinstance(second, UnknownFeatureError)
    assert not isinstance(first, Exception)
    assert not isinstance(third, Exception)
    assert (first.allowed, third.allowed) == (True, False)
    assert server.requests[0][1] == "/v1/checks"


def test_an_explanation_is_asked_for_at_a_moment(server: Server) -> None:
    """It has the answer, the sentences, and all members as they came."""
    answer(server, {"decision": GRANTED, "sentences": ["Yes."], "known": True})
    with Sidecar(server.url) as sidecar:
        found = sidecar.explain("acme", "movies", used=3, at=datetime(2026, 11, 17, 14, 3, tzinfo=UTC))
    assert (found.answer.reason, found.sentences, found.reasoning["known"]) == ("granted", ("Yes.",), True)
    _, path, _, body = server.requests[0]
    assert path == "/v1/explain"
    assert json.loads(body) == {"subject": "acme", "feature": "movies", "used": 3, "at": "2026-11-17T14:03:00+00:00"}


def test_a_moment_without_an_offset_is_a_mistake(server: Server) -> None:
    """It would be read as another moment on another machine."""
    with Sidecar(server.url) as sidecar, pytest.raises(CheckError, match="offset"):
        sidecar.explain("acme", "movies", at=datetime(2026, 11, 17, 14, 3))  # noqa: DTZ001 - that is the mistake
    assert server.requests == []


@pytest.mark.parametrize("body", [{"sentences": []}, {"decision": GRANTED}, []])
def test_what_is_no_explanation_is_no_sidecar(server: Server, body: object) -> None:
    """As with every answer."""
    answer(server, body)
    with Sidecar(server.url) as sidecar, pytest.raises(SidecarUnreachableError):
        sidecar.explain("acme", "movies")


def test_results_that_are_missing_are_no_answers(server: Server) -> None:
    """Fewer results than checks is not silently accepted."""
    answer(server, {"results": [GRANTED]})
    with Sidecar(server.url) as sidecar, pytest.raises(SidecarUnreachableError):
        sidecar.checks([Check(Subject("acme"), "movies")] * 2)


def test_everything_that_a_subject_holds_is_listed(server: Server) -> None:
    """The entitlements of a subject come as answers, and the subject goes into the query."""
    answer(server, {"entitlements": [GRANTED]})
    with Sidecar(server.url) as sidecar:
        (found,) = sidecar.entitlements(Subject("sub_1", SubjectType.SUBSCRIPTION, "ann"))
    assert found.feature == "movies"
    assert server.requests[0][:2] == ("GET", "/v1/entitlements?subject=sub_1&type=subscription&user=ann")


def test_text_that_is_no_unicode_is_a_mistake_of_the_caller(server: Server) -> None:
    """Half of a surrogate pair cannot be asked; it is refused without a request."""
    with Sidecar(server.url) as sidecar, pytest.raises(RequestError, match="surrogate"):
        sidecar.check("acme\ud800", "movies")
    assert server.requests == []
