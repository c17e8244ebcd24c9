"""What callers do wrong leaves a trace in the log, and never fills it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.serving import Service, customer, get, post
from tests.wire import Connection
from tiergate.sidecar.api.request_limits import Access
from tiergate.sidecar.api.tokens import Tokens
from tiergate.sidecar.caller_errors import CallerErrorLog

if TYPE_CHECKING:
    import pytest


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged of mistakes."""
    return [record.message for record in caplog.records if record.name == "tiergate.sidecar.caller_errors"]


def test_the_same_mistake_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """And again in the next."""
    now = [0.0]
    mistakes = CallerErrorLog(lambda: now[0])
    for at in (0.0, 1.0, 59.9, 60.0, 61.0):
        now[0] = at
        mistakes.note("check", 404, "unknown-feature", "no feature `moovies` in the catalog")
    assert said(caplog) == ["request rejected: check: 404 unknown-feature: no feature `moovies` in the catalog"] * 2


def test_of_many_mistakes_ten_are_logged_and_the_others_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever asks nonsense does not fill a disk."""
    now = [0.0]
    mistakes = CallerErrorLog(lambda: now[0])
    for number in range(1_000):
        mistakes.note("check", 404, "unknown-feature", f"no feature `f{number}` in the catalog")
    assert len(said(caplog)) == 10
    now[0] = 60.0
    mistakes.note("check", 401, "unauthorized", "a token is needed")
    assert said(caplog)[10:] == [
        "requests rejected in the last minute and not logged: 990",
        "request rejected: check: 401 unauthorized: a token is needed",
    ]


def test_what_is_logged_is_one_line_of_a_bounded_length(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever was asked."""
    CallerErrorLog().note("check", 400, "invalid-request", "`/level`: `a\nb\x1b[31m" + "x" * 5_000)
    (line,) = said(caplog)
    assert line.isprintable()
    assert len(line) < 400


def test_what_the_operator_must_mend_is_no_mistake(caplog: pytest.LogCaptureFixture) -> None:
    """It has messages of its own."""
    CallerErrorLog().note("check", 503, "cannot-decide", "nothing is loaded yet")
    assert said(caplog) == []


def test_every_refusal_leaves_a_trace(caplog: pytest.LogCaptureFixture) -> None:
    """An unknown feature alone and in a batch, a wrong field, no JSON, a foreign host, no token, another method."""
    service = Service(customer("acme"))
    with service.serve() as where, Connection(where.connect()) as connection:
        connection.ask(post("/v1/check", {"subject": "acme", "feature": "moovies"}))
        connection.ask(post("/v1/checks", {"checks": [{"subject": "acme", "feature": "analitics"}]}))
        connection.ask(post("/v1/check", {"subject": "acme", "feature": "movies", "amount": 0}))
        connection.ask(post("/v1/check", "{", headers={"Content-Type": "text/plain"}))
        connection.ask(get("/v1/entitlements?subject=%20"))
        connection.ask(post("/v1/check", {}, headers={"Host": "evil.example"}))
        connection.ask(get("/v1/check"))
    with (
        Service(customer("acme"), access=Access(tokens=Tokens(b"secret"))).serve() as where,
        Connection(where.connect()) as connection,
    ):
        connection.ask(post("/v1/check", {"subject": "acme", "feature": "movies"}))
    slugs = [line.split(": ")[1:3] for line in said(caplog)]
    assert slugs == [
        ["check", "404 unknown-feature"],
        ["checks", "404 unknown-feature"],
        ["check", "400 invalid-request"],
        ["other", "415 unsupported-media-type"],
        ["entitlements", "400 invalid-request"],
        ["other", "421 foreign-host"],
        ["other", "405 method-not-allowed"],
        ["other", "401 unauthorized"],
    ]
    assert "`moovies`" in said(caplog)[0]
    assert "secret" not in "".join(said(caplog))
