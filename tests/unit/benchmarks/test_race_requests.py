from __future__ import annotations

import json

from benchmarks.race.facts import Facts, Question
from benchmarks.race.requests import Request

FACTS = Facts(limits=((10,), (20,), (30,)), subscriptions=((1, 2), (0,)))
REQUEST = Request("/f$feature", '{"c":"c$customer","used":$used,"all":$plans,"first":"$plan"}', {"X-Key": "k"})


def test_placeholders_are_filled_in() -> None:
    """Numbers, the list of plans, and the first plan stand in path and body."""
    path, body = REQUEST.fill(Question(customer=0, feature=7, used=5), FACTS)
    assert path == "/f7"
    assert json.loads(body) == {"c": "c0", "used": 5, "all": ["p1", "p2"], "first": "p1"}


def test_the_repeated_script_sends_the_filled_in_request() -> None:
    """The script has one request as a whole, with its own headers and the body's length."""
    question = Question(customer=1, feature=7, used=5)
    path, body = REQUEST.fill(question, FACTS)
    script = REQUEST.repeated_script(question, FACTS)
    text = json.loads(script.removeprefix("local text = ").partition("\n")[0])
    assert text == (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-Key: k\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )


def test_the_varying_script_puts_the_same_request_together() -> None:
    """Placeholders become Lua variables, drawn from the facts' customers and features."""
    script = REQUEST.varying_script(FACTS)
    assert "local customer, feature = random(0, 1), random(0, 0)" in script
    assert r"""local body = "{\"c\":\"c" .. customer .. "\",\"used\":" .. used .. ",\"all\":" .. plans""" in script
    assert r"""return "POST " .. "/f" .. feature .. " HTTP/1.1\r\n""" in script
    assert 'plan = {"p1","p0"}' in script


def test_the_varying_script_has_the_plans_only_where_they_are_sent() -> None:
    """A system that looks up the plans itself does not make wrk do it."""
    assert "plan" not in Request("/check", '{"c":$customer}').varying_script(FACTS)
