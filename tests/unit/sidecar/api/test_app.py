"""What the API answers, whichever way a request takes (see `conftest.WAYS`)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from msgspec.structs import replace

from tests.ids import OPAQUE, SPELLINGS
from tests.serving import CATALOG, NOW, bundle, customer, disabled, get, post
from tiergate.model import SubjectRecord, format_instant

if TYPE_CHECKING:
    from tests.unit.sidecar.conftest import Ask


def test_a_decision_has_the_members_of_the_design(ask: Ask) -> None:
    """Section 5 of it, to the letter."""
    answer = ask(post("/v1/check", {"subject": "acme", "feature": "movies", "amount": 1, "used": 12}))

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "allowed": True,
        "reason": "granted",
        "feature": "movies",
        "type": "quantity",
        "entitlement": {"value": 50, "unlimited": False, "unit": "movies/month", "used": 12, "remaining": 38},
        "sources": [
            {"item": "plan/gold", "version": 3, "quantity": 1, "subscription": "sub-acme", "value": 50},
        ],
        "policies": ["plan/gold@3/movies"],
        "publication": 1,
        "revision": bundle().revision,
        "stale": False,
    }


@pytest.mark.parametrize(
    ("check", "allowed", "reason"),
    [
        ({"subject": "acme", "feature": "analytics"}, True, "granted"),
        ({"subject": "bob", "feature": "analytics"}, False, "not_entitled"),
        ({"subject": "acme", "feature": "movies", "used": 50}, False, "limit_reached"),
        ({"subject": "acme", "feature": "movies", "used": 49, "amount": 1e0}, True, "granted"),
        ({"subject": "acme", "feature": "api-limit", "value": 800}, True, "granted"),
        ({"subject": "acme", "feature": "api-limit", "value": 801}, False, "out_of_range"),
        ({"subject": "acme", "feature": "support", "level": "phone"}, True, "granted"),
        ({"subject": "acme", "feature": "support", "level": "priority-phone"}, False, "level_too_low"),
        ({"subject": "acme", "feature": "storage", "amount": 1.5, "used": 8.5}, True, "granted"),
        ({"subject": "acme", "feature": "storage", "amount": 1.25}, False, "amount_invalid"),
        ({"subject": {"type": "subscription", "id": "sub-acme"}, "feature": "analytics"}, True, "granted"),
        ({"subject": {"id": "acme", "user": "u1"}, "feature": "analytics"}, True, "granted"),
        ({"subject": "nobody", "feature": "analytics"}, False, "unknown_subject"),
    ],
)
def test_allow_and_deny_are_decisions(ask: Ask, check: dict[str, Any], reason: str, *, allowed: bool) -> None:
    """Both are 200, and an unknown subject is one too."""
    answer = ask(post("/v1/check", check))

    assert answer.status == 200
    assert (answer.json()["allowed"], answer.json()["reason"]) == (allowed, reason)


@pytest.mark.parametrize(
    ("check", "status", "field", "suggestion"),
    [
        ({"subject": "acme", "feature": "moves"}, 404, "/feature", "movies"),
        ({"subject": "acme", "feature": "✂"}, 404, "/feature", None),
        ({"subject": "acme", "feature": "movies", "amuont": 1}, 400, "/amuont", "amount"),
        ({"subject": "acme", "feature": "movies", "amount": 0}, 400, "/amount", None),
        ({"subject": "acme", "feature": "movies", "amount": -1}, 400, "/amount", None),
        ({"subject": "acme", "feature": "movies", "amount": 0.5}, 400, "/amount", None),
        ({"subject": "acme", "feature": "movies", "value": 1}, 400, "/value", None),
        ({"subject": "acme", "feature": "support", "level": "phon"}, 400, "/level", "phone"),
        ({"subject": " a", "feature": "movies"}, 400, "/subject", None),
        ({"subject": {"id": "ext:crm:7"}, "feature": "movies"}, 400, "/subject/id", None),
        ({"subject": {"id": "acme", "user": "u\t1"}, "feature": "movies"}, 400, "/subject/user", None),
        ({"feature": "movies"}, 400, "/subject", None),
    ],
)
def test_a_mistake_is_a_problem_that_names_the_field(
    ask: Ask, check: dict[str, Any], status: int, field: str, suggestion: str | None
) -> None:
    """And, for a near miss, what was probably meant (RFC 9457)."""
    answer = ask(post("/v1/check", check))

    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    problem = answer.json()
    assert problem["status"] == status
    assert (problem["field"], problem.get("suggestion")) == (field, suggestion)
    assert problem["type"].startswith("urn:tiergate:problem:")


@pytest.mark.parametrize("id_", OPAQUE)
def test_whoever_has_an_id_of_another_system_is_known_by_it(ask: Ask, id_: str) -> None:
    """As a customer, as a subscription, as a user, in a check, a batch, a list and an explanation."""
    about = customer(id_)
    held = replace(about.subscriptions[0], id=id_)
    ask.service.publish(SubjectRecord(about.customer, (held,)))
    subjects: list[Any] = [id_, {"type": "subscription", "id": id_}, {"id": id_, "user": id_}]

    for subject in subjects:
        check = {"subject": subject, "feature": "movies", "used": 12}
        decision = ask(post("/v1/check", check)).json()
        assert (decision["allowed"], decision["sources"][0]["subscription"]) == (True, id_)
        assert ask(post("/v1/checks", {"checks": [check]})).json() == {"results": [decision]}
        explained = ask(post("/v1/explain", check)).json()
        assert explained["decision"] == decision
        assert ask(post("/v1/check", json.dumps(check))).json() == decision  # with escapes
    query = urlencode({"subject": id_, "user": id_})
    listing = ask(get(f"/v1/entitlements?{query}")).json()
    assert listing["subject"] == {"type": "customer", "id": id_, "user": id_}
    assert listing["entitlements"][0]["allowed"] is True
    assert (
        ask(post("/v1/check", {"subject": f"{id_[:255]}x", "feature": "movies"})).json()["reason"] == "unknown_subject"
    )


@pytest.mark.parametrize(("id_", "spelling"), SPELLINGS)
def test_two_spellings_of_an_id_are_one_subject(ask: Ask, id_: str, spelling: str) -> None:
    """They get the same answer, to the byte, whichever was asked for first."""
    ask.service.publish(customer(id_))
    answers = [
        ask(post("/v1/check", {"subject": {"id": one, "user": one}, "feature": "movies"})).body
        for one in (spelling, id_, spelling)
    ]

    assert len(set(answers)) == 1
    assert json.loads(answers[0])["allowed"] is True
    listings = {ask(get(f"/v1/entitlements?{urlencode({'subject': one})}")).body for one in (spelling, id_)}
    assert len(listings) == 1


@pytest.mark.parametrize(
    ("used", "said"),
    [
        ("1125899906842624", "1125899906842624"),
        ("1000000000000001", "1000000000000001"),
        ("999999999999999999", "999999999999999999"),
        ("1.0", "1"),
        ("1e0", "1"),
        ("1e3", "1000"),
        ("0.000e999999999", "0"),
    ],
)
def test_a_number_is_read_to_its_last_digit(ask: Ask, used: str, said: str) -> None:
    """Whatever a binary float would make of it, and answered exactly."""
    answer = ask(post("/v1/check", f'{{"subject":"acme","feature":"movies","used":{used}}}'))

    assert answer.status == 200
    assert f'"used":{said},'.encode() in answer.body


@pytest.mark.parametrize(
    ("feature", "used", "detail"),
    [
        ("storage", "0.30000000000000004", "has more than 3 decimal digits: the scale of `storage` is 3"),
        ("movies", "0.5", "must be a whole number: the scale of `movies` is 0"),
        ("movies", "1e-999999999", "must be a whole number: the scale of `movies` is 0"),
        ("movies", "1000000000000000001", "is larger than 1000000000000000000"),
        ("movies", "1e999999999", "is larger than 1000000000000000000"),
        ("storage", "1000000000000001", "is larger than 1000000000000000"),
    ],
)
def test_a_number_that_does_not_fit_its_feature_says_which_scale_would(
    ask: Ask, feature: str, used: str, detail: str
) -> None:
    """So that whoever asks can round; a huge exponent costs nothing."""
    answer = ask(post("/v1/check", f'{{"subject":"acme","feature":"{feature}","used":{used}}}'))

    assert (answer.status, answer.json()["detail"]) == (400, f"`/used`: {detail}")


def test_a_list_says_how_many_digits_a_number_may_have(ask: Ask) -> None:
    """Of quantities and ranges, so that whoever asks can round."""
    listing = ask(get("/v1/entitlements?subject=acme")).json()["entitlements"]

    scales = {entry["feature"]: entry.get("scale") for entry in listing}
    assert scales == {"analytics": None, "api-limit": 0, "movies": 0, "storage": 3, "support": None}


def test_what_is_no_json_is_a_problem(ask: Ask) -> None:
    """It says where it stops being JSON."""
    answer = ask(post("/v1/check", '{"subject": "acme",}'))

    assert answer.status == 400
    assert answer.json()["title"] == "malformed JSON"
    assert "line 1 column 20" in answer.json()["detail"]


def test_a_decision_id_travels_in_a_header(ask: Ask) -> None:
    """Every answer has its own, which `ask` sees to."""
    answer = ask(post("/v1/check", {"subject": "acme", "feature": "movies"}))

    assert len(answer.headers["tiergate-decision-id"]) >= 20


def test_a_safe_request_id_is_echoed(ask: Ask) -> None:
    """So that a caller finds its answer."""
    answer = ask(post("/v1/check", {"subject": "bob", "feature": "movies"}, headers={"X-Request-ID": "a/b:c=1"}))

    assert answer.headers["x-request-id"] == "a/b:c=1"


@pytest.mark.parametrize("unsafe", ["a b", "a" * 129, "<script>", "ä", "a,b"])
def test_an_unsafe_request_id_is_not_echoed(ask: Ask, unsafe: str) -> None:
    """It might be an attack on whoever shows it."""
    answer = ask(post("/v1/check", {"subject": "bob", "feature": "movies"}, headers={"X-Request-ID": unsafe}))

    assert (answer.status, "x-request-id" in answer.headers) == (200, False)


def test_a_batch_has_its_results_in_order(ask: Ask) -> None:
    """Each a decision or a problem, whose pointer leads from the top of the body."""
    checks = [
        {"subject": "acme", "feature": "analytics"},
        {"subject": "acme", "feature": "analytic"},
        {"subject": "bob", "feature": "analytics"},
        {"subject": "bob"},
        7,
        {"subject": " a", "feature": "movies"},
    ]
    answer = ask(post("/v1/checks", {"checks": checks}))

    assert answer.status == 200
    results = answer.json()["results"]
    assert [result.get("allowed", result.get("status")) for result in results] == [True, 404, False, 400, 400, 400]
    assert [result.get("field") for result in results] == [
        None,
        "/checks/1/feature",
        None,
        "/checks/3/feature",
        "/checks/4",
        "/checks/5/subject",
    ]


def test_a_large_batch_is_answered_whole(ask: Ask) -> None:
    """A thousand different checks, of which none was asked before."""
    checks = [{"subject": "acme", "feature": "movies", "used": used} for used in range(1_000)]
    answer = ask(post("/v1/checks", {"checks": checks}))

    assert [result["allowed"] for result in answer.json()["results"]] == [used < 50 for used in range(1_000)]


def test_a_batch_of_the_same_checks_answers_as_each_alone(ask: Ask) -> None:
    """Whatever was remembered from one endpoint serves the other."""
    check = {"subject": "acme", "feature": "movies", "used": 3}
    alone = ask(post("/v1/check", check)).json()
    together = ask(post("/v1/checks", {"checks": [check, check]})).json()

    assert together == {"results": [alone, alone]}


def test_too_many_checks_are_a_problem(ask: Ask) -> None:
    """A thousand is the most."""
    answer = ask(post("/v1/checks", {"checks": [{}] * 1_001}))

    assert (answer.status, answer.json()["field"]) == (400, "/checks")


def test_entitlements_of_some_features(ask: Ask) -> None:
    """As in the whole list, with a tag of their own; an unknown one is a mistake, and so is none."""
    whole = ask(get("/v1/entitlements?subject=bob"))
    names = [entry["feature"] for entry in whole.json()["entitlements"]]
    some = ask(get(f"/v1/entitlements?subject=bob&feature={names[1]},{names[0]}"))
    assert some.json()["entitlements"] == whole.json()["entitlements"][:2]
    assert some.json().keys() == whole.json().keys()
    assert some.headers["etag"] != whole.headers["etag"]
    again = ask(get(f"/v1/entitlements?subject=bob&feature={names[0]}%2C{names[1]}"))
    assert again.body == some.body
    assert ask(get("/v1/entitlements?subject=bob")).body == whole.body
    assert ask(get(f"/v1/entitlements?subject=bob&feature={names[0]},none")).status == 404
    assert ask(get("/v1/entitlements?subject=bob&feature=")).status == 400


def test_entitlements_list_every_feature(ask: Ask) -> None:
    """In the order of their ids, with what the subject holds of each."""
    answer = ask(get("/v1/entitlements?subject=bob"))

    assert answer.status == 200
    listing = answer.json()
    assert listing["subject"] == {"type": "customer", "id": "bob"}
    assert [(entry["feature"], entry["entitlement"].get("value")) for entry in listing["entitlements"]] == [
        ("analytics", False),
        ("api-limit", 0),
        ("movies", 30),
        ("storage", 0),
        ("support", "chat"),
    ]


def test_an_entity_tag_answers_that_nothing_changed(ask: Ask) -> None:
    """With 304 and no body, for the tag alone, among others, weak, or any."""
    tag = ask(get("/v1/entitlements?subject=bob")).headers["etag"]

    for tags in (tag, f'"x", {tag}', f"W/{tag}", "*"):
        answer = ask(get("/v1/entitlements?subject=bob", headers={"If-None-Match": tags}))
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", tag)
    assert ask(get("/v1/entitlements?subject=bob", headers={"If-None-Match": '"x"'})).status == 200


def test_an_entity_tag_differs_between_subjects(ask: Ask) -> None:
    """It names what is held, and by whom."""
    tags = {ask(get(f"/v1/entitlements?subject={name}")).headers["etag"] for name in ("acme", "bob", "nobody")}

    assert len(tags) == 3


def test_an_entity_tag_changes_with_time(ask: Ask) -> None:
    """When an override ends, though nobody did anything."""
    ask.service.publish(customer("acme", overrides=(disabled("movies", NOW - 1, NOW + 1_000),)))
    before = ask(get("/v1/entitlements?subject=acme"))
    ask.service.clock.now = NOW + 1_000
    after = ask(get("/v1/entitlements?subject=acme", headers={"If-None-Match": before.headers["etag"]}))

    assert before.json()["valid_until"] == format_instant(NOW + 1_000)
    assert after.status == 200
    assert after.headers["etag"] != before.headers["etag"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "subject"),
        ("?subject=%20a", "subject"),
        ("?subject=ext:crm:7", "subject"),
        ("?subject=a&user=%20", "user"),
        ("?subject=a&sub=b", "sub"),
    ],
)
def test_a_mistake_in_the_query_names_the_parameter(ask: Ask, query: str, field: str) -> None:
    """As a mistake in a body names the field."""
    answer = ask(get(f"/v1/entitlements{query}"))

    assert (answer.status, answer.json()["field"]) == (400, field)


def test_an_unknown_path_is_a_problem(ask: Ask) -> None:
    """Like every refusal."""
    answer = ask(get("/v1/chek"))

    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")


def test_an_unknown_method_is_a_problem_that_names_the_known_ones(ask: Ask) -> None:
    """In the header that HTTP has for it."""
    answer = ask(get("/v1/check"))

    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ('Application/JSON;charset="UTF-8"', 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json; charset=latin-1", 415),
        ("application/jsonp", 415),
        ("", 415),
    ],
)
def test_a_body_must_call_itself_json(ask: Ask, content_type: str, status: int) -> None:
    """A web page cannot do that without asking first."""
    body = {"subject": "acme", "feature": "movies"}
    answer = ask(post("/v1/check", body, headers={"Content-Type": content_type}))

    assert answer.status == status


def test_a_new_generation_changes_the_next_answer(ask: Ask) -> None:
    """Nothing that was remembered outlives the data it rests on."""
    request = post("/v1/check", {"subject": "acme", "feature": "movies"})
    before = ask(request).json()
    ask.service.publish(customer("acme", "silver"))
    after = ask(request).json()

    assert (before["entitlement"]["value"], before["publication"]) == (50, 1)
    assert (after["entitlement"]["value"], after["publication"]) == (30, 2)


def test_a_new_catalog_changes_the_next_answer(ask: Ask) -> None:
    """Also where the customer's data stays."""
    request = post("/v1/check", {"subject": "acme", "feature": "movies"})
    ask(request)
    changed = CATALOG.replace("movies: 50", "movies: 20")
    ask.service.publish(customer("acme"), catalog=changed)

    assert ask(request).json()["entitlement"]["value"] == 20


def test_what_ends_ends_at_its_instant(ask: Ask) -> None:
    """In spite of everything that is remembered, and back again when the clock steps back."""
    ask.service.publish(customer("acme", overrides=(disabled("movies", NOW + 1_000, NOW + 2_000),)))
    request = post("/v1/check", {"subject": "acme", "feature": "movies"})
    seen = []
    for now in (NOW, NOW + 999, NOW + 1_000, NOW + 1_999, NOW + 2_000, NOW + 1_500, NOW):
        ask.service.clock.now = now
        decision = ask(request).json()
        seen.append((decision["allowed"], decision.get("valid_until")))

    first, second = format_instant(NOW + 1_000), format_instant(NOW + 2_000)
    assert seen == [
        (True, first),
        (True, first),
        (False, second),
        (False, second),
        (True, None),
        (False, second),
        (True, first),
    ]


def test_answers_turn_stale_at_the_instant(ask: Ask) -> None:
    """Which is a change, so it is announced; and they turn back when fresh data is known."""
    request = post("/v1/check", {"subject": "acme", "feature": "movies"})
    ask.service.run(lambda: ask.service.state.set_stale_at(NOW + 1_000))
    seen = []
    for now in (NOW, NOW + 999, NOW + 1_000, NOW + 999):
        ask.service.clock.now = now
        decision = ask(request).json()
        seen.append((decision["stale"], decision.get("valid_until")))
    ask.service.clock.now = NOW + 5_000
    ask(request)
    ask.service.run(lambda: ask.service.state.set_stale_at(NOW + 9_000))

    announced = format_instant(NOW + 1_000)
    assert seen == [(False, announced), (False, announced), (True, None), (False, announced)]
    assert ask(request).json()["stale"] is False


def test_batches_and_entitlements_turn_stale_too(ask: Ask) -> None:
    """At the same instant."""
    ask.service.run(lambda: ask.service.state.set_stale_at(NOW + 1_000))
    batch = post("/v1/checks", {"checks": [{"subject": "acme", "feature": "movies"}]})
    listing = get("/v1/entitlements?subject=acme")
    seen = []
    for now in (NOW + 999, NOW + 1_000):
        ask.service.clock.now = now
        seen.append((ask(batch).json()["results"][0]["stale"], ask(listing).json()["stale"]))

    assert seen == [(False, False), (True, True)]


def test_what_was_decided_is_counted(ask: Ask) -> None:
    """Once for each answer, whichever way it took."""
    for _ in range(3):
        ask(post("/v1/check", {"subject": "acme", "feature": "movies"}))
        ask(post("/v1/checks", {"checks": [{"subject": "acme", "feature": "movies"}] * 5}))
    tallies = ask.service.metrics.reasons.values()

    alone = sum(tally.check_engine + tally.check_memo + tally.check_repeat for tally in tallies)
    together = sum(tally.checks_engine + tally.checks_memo for tally in tallies)
    times = 12 if ask.way in {"repeated", "traced", "unix"} else 3
    assert (alone, together) == (times, 5 * times)
    assert sum(ask.service.metrics.durations["check"].counts) == times


def test_the_fast_ways_are_taken(ask: Ask) -> None:
    """Otherwise the tests above would all test the same way."""
    for _ in range(3):
        ask(post("/v1/check", {"subject": "acme", "feature": "movies"}))
    tallies = ask.service.metrics.reasons.values()
    remembered = sum(tally.check_memo for tally in tallies)
    repeats = sum(tally.check_repeat for tally in tallies)

    assert (remembered > 0, repeats > 0) == {
        "long": (False, False),
        "piecewise": (True, False),
        "first": (True, True),
        "repeated": (True, True),
        "traced": (True, False),
        "unix": (True, True),
    }[ask.way]
