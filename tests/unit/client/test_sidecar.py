from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from tiergate.client import Answer, Sidecar
from tiergate.errors import CheckError, RequestError, SettingsError, SidecarUnreachableError, UnknownFeatureError
from tiergate.model import Check, Subject, SubjectType

if TYPE_CHECKING:
    from pathlib import Path

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


def test_a_list_may_be_of_some_features(server: Server) -> None:
    """A page that shows three needs no answer about hundreds; one that is unknown is a mistake."""
    answer(server, {"entitlements": [GRANTED]})
    with Sidecar(server.url) as sidecar:
        sidecar.entitlements("acme", features=["movies", "seats"])
    assert server.requests[0][1] == "/v1/entitlements?subject=acme&type=customer&feature=movies%2Cseats"


def test_text_that_is_no_unicode_is_a_mistake_of_the_caller(server: Server) -> None:
    """Half of a surrogate pair cannot be asked; it is refused without a request."""
    with Sidecar(server.url) as sidecar, pytest.raises(RequestError, match="surrogate"):
        sidecar.check("acme\ud800", "movies")
    assert server.requests == []


def test_a_call_carries_the_ids_by_which_others_find_it(server: Server) -> None:
    """Of the request and its trace; the answer has the decision's."""
    answer(server, GRANTED)
    server.headers = {"Tiergate-Decision-Id": "0c3f"}
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with Sidecar(server.url) as sidecar:
        found = sidecar.check("acme", "movies", request_id="req-7", traceparent=trace)
        assert sidecar.allows("acme", "movies", otherwise=False, request_id="req-8", traceparent=trace)
    assert found.decision_id == "0c3f"
    assert [headers["x-request-id"] for _, _, headers, _ in server.requests] == ["req-7", "req-8"]
    assert server.requests[0][2]["traceparent"] == trace


def test_each_answer_of_a_batch_has_a_decision_id(server: Server) -> None:
    """By its place, as the decision log has it; and the batch carries its ids, too."""
    answer(server, {"results": [GRANTED, UNKNOWN, GRANTED]})
    server.headers = {"Tiergate-Decision-Id": "0c3f"}
    checks = [Check(Subject("acme"), feature) for feature in ("movies", "moovies", "movies")]
    with Sidecar(server.url) as sidecar:
        first, _, third = sidecar.checks(checks, request_id="req-7")
    assert isinstance(first, Answer)
    assert isinstance(third, Answer)
    assert (first.decision_id, third.decision_id) == ("0c3f.0", "0c3f.2")
    assert server.requests[0][2]["x-request-id"] == "req-7"


@pytest.mark.parametrize("unsafe", ["a\r\nHost: evil", "ä", "", " a", "a\x00"])
def test_an_id_that_cannot_stand_in_a_header_is_left_out(server: Server, unsafe: str) -> None:
    """It came from somebody else's request, and must not break this one."""
    answer(server, GRANTED)
    with Sidecar(server.url) as sidecar:
        assert sidecar.allows("acme", "movies", otherwise=False, request_id=unsafe, traceparent=unsafe)
    assert not {"x-request-id", "traceparent"} & server.requests[0][2].keys()


def test_whoever_gets_no_answer_hears_of_it(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Each time through the hook and in the count; in the log once a minute."""
    heard: list[str] = []
    server.status = 503
    with Sidecar(server.url, on_no_answer=lambda error: heard.append(error.url)) as sidecar:
        assert sidecar.allows("acme", "movies", otherwise=True)
        assert not sidecar.allows("acme", "movies", otherwise=False)
        with pytest.raises(SidecarUnreachableError):
            sidecar.check("acme", "movies")
        assert (heard, sidecar.no_answers) == ([server.url] * 3, 3)
        answer(server, {**GRANTED, "allowed": False})
        assert not sidecar.allows("acme", "movies", otherwise=True)
        assert sidecar.no_answers == 3
    assert len([record for record in caplog.records if "no answer" in record.message]) == 1


def test_a_hook_that_fails_changes_no_answer(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """What goes wrong in it is logged."""

    def fail(_: object) -> None:
        raise RuntimeError("the metrics are down")

    server.status = 503
    with Sidecar(server.url, on_no_answer=fail) as sidecar:
        assert sidecar.allows("acme", "movies", otherwise=True)
    assert any("hook" in record.message for record in caplog.records)


def test_a_service_may_choose_to_go_on_after_a_mistake(server: Server) -> None:
    """With `on_mistake`, which gets the error: the catalog's authors may have removed the feature."""
    heard: list[Exception] = []
    answer(server, UNKNOWN, 404)
    with Sidecar(server.url, on_mistake=heard.append) as sidecar:
        assert sidecar.allows("acme", "moovies", otherwise=True)
        assert not sidecar.allows("acme", "movies", otherwise=False, amount=True)
        with pytest.raises(UnknownFeatureError):
            sidecar.check("acme", "moovies")
        assert sidecar.no_answers == 0
    assert [type(error) for error in heard] == [UnknownFeatureError, CheckError]


@pytest.mark.parametrize(
    "other",
    [
        {**GRANTED, "feature": "analytics"},
        {"results": [GRANTED, GRANTED]},
        {"results": [{**GRANTED, "feature": "analytics"}]},
        {"decision": {**GRANTED, "feature": "analytics"}, "sentences": []},
        {"subject": {"type": "customer", "id": "bob"}, "entitlements": [GRANTED]},
        {"subject": {"type": "customer", "id": "acme", "user": "ann"}, "entitlements": [GRANTED]},
    ],
)
def test_an_answer_to_another_question_is_no_answer(server: Server, other: dict[str, object]) -> None:
    """However it came about: nobody's decision is taken for another's, and its connection is not used again."""
    answer(server, other)
    with Sidecar(server.url) as sidecar:
        for ask in (
            lambda: sidecar.check("acme", "movies"),
            lambda: sidecar.checks([Check(Subject("acme"), "movies")]),
            lambda: sidecar.explain("acme", "movies"),
            lambda: sidecar.entitlements("acme"),
        ):
            with pytest.raises(SidecarUnreachableError):
                ask()
        assert sidecar.no_answers == 4
    assert server.connections == 4


def test_a_list_is_about_its_subject_however_that_is_spelled(server: Server) -> None:
    """The sidecar answers in the normal form C."""
    answer(server, {"subject": {"type": "customer", "id": "\u00c4rger"}, "entitlements": [{**GRANTED, "scale": 2}]})
    with Sidecar(server.url) as sidecar:
        (found,) = sidecar.entitlements("A\u0308rger")
    assert found.scale == 2


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (UUID("6fa459ea-ee8a-3ca4-894e-db77e160355e"), "6fa459ea-ee8a-3ca4-894e-db77e160355e"),
        (42, "42"),
        ("auth0|64af", "auth0|64af"),
    ],
)
def test_ids_may_be_what_services_have(server: Server, given: str | int | UUID, written: str) -> None:
    """Text, whole numbers and UUIDs, as the subject and inside it."""
    answer(server, GRANTED)
    with Sidecar(server.url) as sidecar:
        assert sidecar.allows(given, "movies", otherwise=False)
        assert sidecar.allows(Subject(given, user=given), "movies", otherwise=False)  # type: ignore[arg-type]
    asked = [json.loads(body)["subject"] for *_, body in server.requests]
    assert asked == [written, {"type": "customer", "id": written, "user": written}]


class Marked(str):
    """Text of another type, as that of template engines."""

    __slots__ = ()


class Named(str, Enum):  # noqa: UP042 - its text as a `str` is another than its value
    """Text that is a member of an enumeration."""

    NAME = "movies"


@pytest.mark.parametrize("text", [Marked("movies"), Named.NAME])
def test_text_of_any_type_is_its_text(server: Server, text: str) -> None:
    """As an id, a feature and a level, in bodies and in queries."""
    answer(server, GRANTED)
    with Sidecar(server.url) as sidecar:
        assert sidecar.allows(Subject(text, user=text), text, level=text, otherwise=False)
        with suppress(SidecarUnreachableError):  # the answer is none about usage
            sidecar.usage(text, text)
    (_, _, _, body), (_, target, *_) = server.requests
    subject = {"type": "customer", "id": "movies", "user": "movies"}
    assert json.loads(body) == {"subject": subject, "feature": "movies", "level": "movies"}
    assert target.endswith("?subject=movies&type=customer&feature=movies")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"subject": None}, "/subject"),
        ({"subject": True}, "/subject"),
        ({"subject": b"acme"}, "/subject"),
        ({"subject": {"id": "acme"}}, "/subject"),
        ({"subject": ""}, "/subject"),
        ({"subject": 1.5}, "/subject"),
        ({"subject": Subject(None)}, "/subject/id"),  # type: ignore[arg-type]
        ({"subject": Subject("acme", user=7.0)}, "/subject/user"),  # type: ignore[arg-type]
        ({"subject": Subject("acme", "team")}, "/subject/type"),  # type: ignore[arg-type]
        ({"feature": None}, "/feature"),
        ({"feature": 7}, "/feature"),
        ({"level": 7}, "/level"),
        ({"amount": "1"}, "/amount"),
        ({"amount": True}, "/amount"),
        ({"used": float("nan")}, "/used"),
        ({"used": Decimal("Infinity")}, "/used"),
        ({"value": [1]}, "/value"),
        ({"user_used": 1j}, "/user_used"),
    ],
)
def test_an_argument_of_a_wrong_type_is_a_mistake_that_names_it(
    server: Server, fields: dict[str, object], field: str
) -> None:
    """Of `check` and `allows` alike, before anything is sent; never an `AttributeError`."""
    asked: dict[str, Any] = {"subject": "acme", "feature": "movies"} | fields
    with Sidecar(server.url) as sidecar:
        for ask in (sidecar.check, partial(sidecar.allows, otherwise=True), sidecar.explain):
            with pytest.raises(CheckError) as caught:
                ask(**asked)
            assert caught.value.field == field
    assert server.requests == []


def test_what_is_no_check_among_checks_is_named(server: Server) -> None:
    """By its place."""
    wrong: list[Any] = [Check(Subject("acme"), "movies"), "movies"]
    with Sidecar(server.url) as sidecar, pytest.raises(CheckError) as caught:
        sidecar.checks(wrong)
    assert caught.value.field == "/checks/1"
    with Sidecar(server.url) as sidecar, pytest.raises(CheckError) as caught:
        sidecar.checks([Check(Subject("acme"), "movies", amount="1")])  # type: ignore[arg-type]
    assert caught.value.field == "/checks/0/amount"


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (0.1, b"0.1"),
        (0.1 + 0.2, b"0.30000000000000004"),
        (1e22, b"1E+22"),
        (2.0, b"2.0"),
        (Decimal("1.50"), b"1.50"),
        (2**50, b"1125899906842624"),
        (10**30, b"1000000000000000000000000000000"),
    ],
)
def test_a_number_is_sent_as_it_reads(server: Server, number: float | Decimal, written: bytes) -> None:
    """A float is the shortest decimal that is read back as it, nothing is rounded on the way."""
    answer(server, GRANTED)
    with Sidecar(server.url) as sidecar:
        sidecar.check("acme", "movies", used=number)
    assert server.requests[0][3].endswith(b'"used":' + written + b"}")


def test_a_token_file_is_read_again_when_it_changes(server: Server, tmp_path: Path) -> None:
    """So that a token can be changed under a running service; a file that is away for a moment changes nothing."""
    answer(server, GRANTED)
    file = tmp_path / "token"
    file.write_text("old\nlater lines are for the sidecar\n")
    with Sidecar(server.url, token_file=file) as sidecar:
        sidecar.check("acme", "movies")
        (tmp_path / "new").write_text("new\nold\n")
        (tmp_path / "new").rename(file)
        sidecar.check("acme", "movies")
        file.unlink()
        sidecar.check("acme", "movies")
        file.write_text("newest")
        sidecar.check("acme", "movies")
    shown = [headers["authorization"] for _, _, headers, _ in server.requests]
    assert shown == ["Bearer old", "Bearer new", "Bearer new", "Bearer newest"]


@pytest.mark.parametrize("content", [None, "", "\n", "t\u00f6ken"])
def test_a_token_file_without_a_token_is_refused_at_once(content: str | None, tmp_path: Path) -> None:
    """As a token that is none, and as two places for one."""
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match="token_file"):
        Sidecar(token_file=file)
    with pytest.raises(SettingsError, match="token_file"):
        Sidecar(token="a", token_file=file)
