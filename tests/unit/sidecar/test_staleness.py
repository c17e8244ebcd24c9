from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import CATALOG, NOW, Service, customer, disabled
from tiergate.model import FOREVER, Feature, FeatureType
from tiergate.sidecar.request_context import NO_CONTEXT
from tiergate.sidecar.staleness import FeatureSelection, select_features

if TYPE_CHECKING:
    from collections.abc import Sequence

FEATURES = {
    "sso": Feature(id="sso", type=FeatureType.SWITCH, tags=("security", "beta")),
    "audit": Feature(id="audit", type=FeatureType.SWITCH, tags=("security",)),
    "movies": Feature(id="movies", type=FeatureType.QUANTITY),
}
GRANTED = b'{"subject": "acme", "feature": "movies"}'
LIMITED = b'{"subject": "acme", "feature": "movies", "used": 50}'


@pytest.mark.parametrize(
    ("words", "chosen", "unknown"),
    [
        ((), set(), ()),
        (("movies",), {"movies"}, ()),
        (("tag:security",), {"sso", "audit"}, ()),
        (("tag:beta", "movies"), {"sso", "movies"}, ()),
        (("*",), {"sso", "audit", "movies"}, ()),
        (("security", "tag:movies", "sso"), {"sso"}, ("security", "tag:movies")),
    ],
)
def test_features_are_chosen_by_id_by_tag_or_all(
    words: Sequence[str], chosen: set[str], unknown: tuple[str, ...]
) -> None:
    """What names none of them is told apart."""
    assert select_features(words, FEATURES) == FeatureSelection(frozenset(chosen), unknown)


def stale_service(*words: str, rules: tuple[tuple[str, str], ...] = ()) -> Service:
    """A sidecar whose data has been stale for a second, and what it denies then."""
    service = Service(customer("acme"), stale_deny=words, rules=rules)
    service.state.set_stale_at(NOW - 1_000)
    return service


def answer(service: Service, check: bytes) -> dict[str, Any]:
    """The answer to a check."""
    found: dict[str, Any] = json.loads(service.check(check).body)
    return found


def test_stale_data_is_served_unless_something_else_was_chosen() -> None:
    """It only says so."""
    found = answer(stale_service(), GRANTED)

    assert (found["allowed"], found["reason"], found["stale"]) == (True, "granted", True)


@pytest.mark.parametrize("words", [("movies",), ("*",), ("storage", "movies")])
@pytest.mark.parametrize("check", [GRANTED, LIMITED])
def test_a_chosen_feature_is_denied_once_the_data_is_stale(words: tuple[str, ...], check: bytes) -> None:
    """Whatever the decision would have been, but with what is held."""
    found = answer(stale_service(*words), check)

    assert (found["allowed"], found["reason"], found["stale"], found["policies"]) == (False, "stale_data", True, [])
    assert found["entitlement"]["value"] == 50
    assert found["sources"]


def test_other_features_are_not_denied() -> None:
    """The choice is by feature."""
    assert answer(stale_service("storage", "tag:reports"), GRANTED)["reason"] == "granted"


def test_an_unknown_subject_comes_before_stale_data() -> None:
    """As design's section 2 orders the reasons."""
    assert answer(stale_service("*"), GRANTED.replace(b"acme", b"nobody"))["reason"] == "unknown_subject"


def test_an_evaluation_error_comes_before_stale_data() -> None:
    """Nobody must take it for something that passes with the next sync."""
    rule = '@id("broken") forbid(principal, action == Action::"consume", resource) '
    rule += "when { context.used + 9223372036854775807 > 0 };"
    service = stale_service("*", rules=(("broken.cedar", rule),))

    assert answer(service, LIMITED)["reason"] == "evaluation_error"


def test_nothing_is_denied_as_stale_while_the_data_is_fresh() -> None:
    """Until the very instant, and again as soon as it was synchronized, in spite of what is remembered."""
    service = Service(customer("acme"), stale_deny=("movies",))
    service.state.set_stale_at(NOW + 1_000)
    reasons = []
    for now in (NOW, NOW + 999, NOW + 1_000, NOW + 5_000):
        service.clock.now = now
        reasons += [answer(service, GRANTED)["reason"] for _ in range(2)]
    service.state.set_stale_at(NOW + 9_000)
    reasons.append(answer(service, GRANTED)["reason"])

    assert reasons == ["granted"] * 4 + ["stale_data"] * 4 + ["granted"]


def test_a_denial_for_stale_data_does_not_say_until_when() -> None:
    """That is for the next sync to say, though what is held may change before; and then the answer does."""
    service = Service(customer("acme", overrides=(disabled("movies", NOW + 10, FOREVER),)), stale_deny=("*",))
    service.state.set_stale_at(NOW)
    found = []
    for now in (NOW, NOW + 9, NOW + 10):
        service.clock.now = now
        found.append(answer(service, GRANTED))

    assert not any("valid_until" in it for it in found)
    assert [it["entitlement"]["value"] for it in found] == [50, 50, 0]


def test_batches_and_lists_deny_the_same() -> None:
    """Each entry by its own feature."""
    service = stale_service("movies")
    batch = asyncio.run(service.native.batches.respond(b'{"checks": [%b]}' % GRANTED, NO_CONTEXT))
    listing = json.loads(asyncio.run(service.native.entitlements.respond(b"subject=acme")).body)
    entries = {entry["feature"]: entry for entry in listing["entitlements"]}

    assert json.loads(batch.body)["results"][0]["reason"] == "stale_data"
    assert {name: entry["reason"] for name, entry in entries.items() if not entry["allowed"]} == {
        "movies": "stale_data"
    }
    assert entries["movies"]["entitlement"]["value"] == 50
    assert listing["stale"]


def test_what_the_catalog_does_not_know_is_a_warning_when_it_comes_into_force(caplog: pytest.LogCaptureFixture) -> None:
    """Once, and again with each later catalog that does not know it either."""
    service = Service(customer("acme"), stale_deny=("moovies", "movies", "tag:nothing"))
    service.state.set_stale_at(NOW)
    service.state.set_stale_at(FOREVER)
    told = [len(caplog.messages)]
    service.publish(
        customer("acme"), catalog=CATALOG.replace("id: movies", "id: moovies").replace("movies: ", "moovies: ")
    )

    assert told == [2]
    assert ["`moovies`" in message for message in caplog.messages] == [True, False, False, False]
    assert "`movies`" in caplog.messages[2]
