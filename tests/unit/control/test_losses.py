"""What takes something from one customer is refused until exactly that loss is accepted; support may not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.control.subjects import ENDPOINTS, NOW, made, served, taken
from tiergate.control.api import imports
from tiergate.model import format_instant

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin
    from tests.unit.control.subjects import Ticking
    from tiergate.store import Store

SOON, LATER, END = (format_instant(NOW + days * 86_400_000) for days in (1, 30, 60))
HELD = {"id": "s1", "status": "active", "items": [{"item": "gold"}, {"item": "extra-movies"}]}
CUSTOMER, SUBSCRIPTION = "/v1/customers/acme", "/v1/subscriptions/s1"
GIVEN = {"feature": "movies", "value": 99, "reason": "a promise"}


@pytest.fixture
def api(sqlite_url: str) -> Iterator[tuple[Admin, Store, Ticking]]:
    """An API with a customer who holds gold and an add-on."""
    with served(sqlite_url) as found:
        client = found[0].as_("admin")
        made(client.post("/v1/customers", json={"id": "acme"}))
        made(client.post(f"{CUSTOMER}/subscriptions", json=HELD))
        yield found


@pytest.fixture
def admin(api: tuple[Admin, Store, Ticking]) -> httpx.Client:
    """A client that may do everything."""
    return api[0].as_("admin")


def lost(answer: httpx.Response) -> list[tuple[str, object, object, str]]:
    """What a refusal says is lost: feature, from, to, since."""
    assert answer.status_code == 409, answer.text
    problem = answer.json()
    assert problem["type"] == "urn:tiergate:problem:customers-would-lose"
    return [
        (one["feature"], one["before"]["value"], one["after"]["value"], one["since"])
        for feature in problem["impact"]["features"]
        for one in feature["examples"]
    ]


AT_ONCE = format_instant(NOW)


@pytest.mark.parametrize("path", [CUSTOMER, SUBSCRIPTION])
@pytest.mark.parametrize(
    ("override", "losses"),
    [
        ({"feature": "movies", "value": 3}, [("movies", 60, 3, AT_ONCE)]),
        ({"feature": "movies", "value": 0}, [("movies", 60, 0, AT_ONCE)]),
        ({"feature": "analytics", "value": False}, [("analytics", True, False, AT_ONCE)]),
        ({"feature": "support", "value": "email"}, [("support", "chat", "email", AT_ONCE)]),
        ({"feature": "storage", "value": 2.499}, [("storage", 2.5, 2.499, AT_ONCE)]),
        ({"feature": "movies", "value": 3, "from": SOON}, [("movies", 60, 3, SOON)]),
        ({"feature": "movies", "value": 3, "from": SOON, "until": LATER}, [("movies", 60, 3, SOON)]),
        ({"feature": "movies", "mode": "disabled"}, [("movies", 60, 0, AT_ONCE)]),
    ],
)
def test_an_override_that_lowers_anything_is_refused_and_says_what(
    api: tuple[Admin, Store, Ticking], admin: httpx.Client, path: str, override: dict[str, Any], losses: list[object]
) -> None:
    """Every type, now and at an instant to come, on customers and subscriptions; nothing is written."""
    body = override | {"reason": "courtesy"}
    assert lost(admin.post(f"{path}/overrides", json=body)) == losses
    assert admin.get(f"{path}/overrides").json()["items"] == []
    support = api[0].as_("customer-support").post(f"{path}/overrides", json=body)
    assert support.status_code == 403
    made(taken(admin, "POST", f"{path}/overrides", json=body))


@pytest.mark.parametrize("path", [CUSTOMER, SUBSCRIPTION])
def test_a_boost_stays_one_request(api: tuple[Admin, Store, Ticking], path: str) -> None:
    """What takes nothing needs no acceptance, by whomever."""
    support = api[0].as_("customer-support")
    for override in (
        {"feature": "movies", "value": 61},
        {"feature": "support", "value": "phone"},
        {"feature": "api-limit", "value": 10},
        {"feature": "storage", "mode": "at_least", "value": 3, "until": SOON},
    ):
        made(support.post(f"{path}/overrides", json=override | {"reason": "r"}))


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", f"{SUBSCRIPTION}/overrides/given", None),
        ("DELETE", f"{CUSTOMER}/overrides/given", None),
        ("PUT", f"{SUBSCRIPTION}/overrides/given", GIVEN | {"value": 98}),
        ("PUT", f"{CUSTOMER}/overrides/given", GIVEN | {"until": SOON}),
        ("PATCH", SUBSCRIPTION, {"overrides": []}),
        ("PATCH", CUSTOMER, {"overrides": []}),
        ("PUT", CUSTOMER, {"overrides": []}),
        ("PUT", SUBSCRIPTION, {"status": "active", "items": HELD["items"], "overrides": []}),
    ],
)
def test_an_override_is_not_taken_by_accident(
    admin: httpx.Client, method: str, path: str, body: dict[str, Any] | None
) -> None:
    """By whatever request it goes or gives less."""
    of = CUSTOMER if path.startswith(CUSTOMER) else SUBSCRIPTION
    made(admin.post(f"{of}/overrides", json=GIVEN | {"id": "given"}))
    send: dict[str, Any] = {} if body is None else {"json": body}
    ((feature, before, _, _),) = lost(admin.request(method, path, **send))
    assert (feature, before) == ("movies", 99)
    assert taken(admin, method, path, **send).status_code in {200, 204}


@pytest.mark.parametrize(
    ("method", "path", "body", "losses"),
    [
        ("DELETE", f"{SUBSCRIPTION}/items/extra-movies", None, [("movies", 60, 50, AT_ONCE)]),
        ("PATCH", f"{SUBSCRIPTION}/items/extra-movies", {"until": LATER}, [("movies", 60, 50, LATER)]),
        ("PATCH", f"{SUBSCRIPTION}/items/extra-movies", {"from": LATER}, [("movies", 60, 50, AT_ONCE)]),
        ("PATCH", SUBSCRIPTION, {"items": [{"item": "gold"}]}, [("movies", 60, 50, AT_ONCE)]),
        (
            "PUT",
            f"{SUBSCRIPTION}/items/gold/pin",
            {"version": 1},
            [
                ("analytics", True, False, AT_ONCE),
                ("movies", 60, 50, AT_ONCE),
                ("storage", 2.5, 0, AT_ONCE),
                ("support", "chat", None, AT_ONCE),
            ],
        ),
        ("PATCH", f"{SUBSCRIPTION}/items/gold", {"version": 1}, None),
    ],
)
def test_an_item_or_its_version_is_not_taken_by_accident(
    admin: httpx.Client, method: str, path: str, body: dict[str, Any] | None, losses: list[object] | None
) -> None:
    """Taken out, in a smaller quantity, until a date, or pinned to an older version."""
    send: dict[str, Any] = {} if body is None else {"json": body}
    found = lost(admin.request(method, path, **send))
    assert losses is None or found == losses
    made(taken(admin, method, path, **send), 200)


def test_a_smaller_quantity_is_a_loss(admin: httpx.Client) -> None:
    """From three to two."""
    made(admin.patch(f"{SUBSCRIPTION}/items/extra-movies", json={"quantity": 3}), 200)
    refused = admin.patch(f"{SUBSCRIPTION}/items/extra-movies", json={"quantity": 2})
    assert lost(refused) == [("movies", 80, 70, AT_ONCE)]


def test_a_pin_that_goes_can_take_something(admin: httpx.Client) -> None:
    """Where the version in force gives less than the pinned one."""
    made(admin.post(f"{CUSTOMER}/subscriptions", json={"id": "s2", "status": "active", "items": [{"item": "silver"}]}))
    made(taken(admin, "PUT", f"{SUBSCRIPTION}/items/gold/pin", json={"version": 1}), 200)
    made(admin.delete(f"{SUBSCRIPTION}/items/gold/pin"), 200)  # version 2 gives more


def test_only_the_loss_that_was_shown_is_accepted(admin: httpx.Client) -> None:
    """Another loss has another token; a plain yes is none."""
    path = f"{CUSTOMER}/overrides"
    token = admin.post(path, json=GIVEN | {"value": 3}).json()["accept_loss"]
    refused = admin.post(path, params={"accept_loss": token}, json=GIVEN | {"value": 2})
    assert refused.status_code == 409
    assert refused.json()["accept_loss"] != token
    for said in ("true", "yes", "", "loss-1-zz"):
        assert admin.post(path, params={"accept_loss": said}, json=GIVEN | {"value": 3}).status_code == 400
    made(admin.post(path, params={"accept_loss": token}, json=GIVEN | {"value": 3}))


@pytest.mark.parametrize(
    ("step", "body"),
    [("pause", {}), ("past-due", {}), ("cancel", {"end": SOON}), ("end", {}), ("trial", {"trial_end": SOON})],
)
def test_the_life_of_a_subscription_is_not_weighed(admin: httpx.Client, step: str, body: dict[str, str]) -> None:
    """To end what is no longer paid is what steps are for, by whatever request."""
    made(admin.post(f"{SUBSCRIPTION}/{step}", json=body), 200)
    made(admin.patch(SUBSCRIPTION, json={"status": "canceled", "end": SOON}), 200)


@pytest.mark.parametrize("step", ["pause", "past-due"])
def test_what_would_be_lost_once_a_subscription_counts_again_is_lost(
    api: tuple[Admin, Store, Ticking], admin: httpx.Client, step: str
) -> None:
    """While it is paused, nothing can be taken from it unseen either."""
    made(admin.post(f"{SUBSCRIPTION}/{step}", json={}), 200)
    body = {"feature": "movies", "value": 3, "reason": "r"}
    assert lost(admin.post(f"{SUBSCRIPTION}/overrides", json=body)) == [("movies", 60, 3, AT_ONCE)]
    assert api[0].as_("customer-support").post(f"{SUBSCRIPTION}/overrides", json=body).status_code == 403
    assert lost(admin.delete(f"{SUBSCRIPTION}/items/extra-movies")) == [("movies", 60, 50, AT_ONCE)]


def test_support_takes_nothing_from_what_has_ended_either(
    api: tuple[Admin, Store, Ticking], admin: httpx.Client
) -> None:
    """It could be made active again; who may edit entitlements needs no acceptance for what is over."""
    made(admin.post(f"{SUBSCRIPTION}/end", json={}), 200)
    body = {"feature": "movies", "value": 3, "reason": "r"}
    assert api[0].as_("customer-support").post(f"{SUBSCRIPTION}/overrides", json=body).status_code == 403
    made(admin.post(f"{SUBSCRIPTION}/overrides", json=body))


def test_support_is_told_what_would_be_taken(api: tuple[Admin, Store, Ticking]) -> None:
    """The denial names the feature, from what to what, and when; a token does not help."""
    support = api[0].as_("customer-support")
    body = GIVEN | {"value": 3, "from": SOON}
    refused = support.post(f"{CUSTOMER}/overrides", json=body)
    assert refused.status_code == 403
    assert f"`movies` from 60 to 3, from {SOON} on" in refused.json()["detail"]
    token = api[0].as_("admin").post(f"{CUSTOMER}/overrides", json=body).json()["accept_loss"]
    assert support.post(f"{CUSTOMER}/overrides", params={"accept_loss": token}, json=body).status_code == 403


def test_support_cannot_displace_a_better_override(api: tuple[Admin, Store, Ticking], admin: httpx.Client) -> None:
    """A later replacement acts in place of the one before: a lower one takes something."""
    made(admin.post(f"{CUSTOMER}/overrides", json=GIVEN | {"value": 500}))
    body = GIVEN | {"value": 70, "from": format_instant(NOW), "id": "zz"}
    assert api[0].as_("customer-support").post(f"{CUSTOMER}/overrides", json=body).status_code == 403


def test_tags_that_decide_rollouts_are_weighed(admin: httpx.Client) -> None:
    """A tag that no rollout reads is changed at will."""
    made(admin.patch(CUSTOMER, json={"tags": ["eu"]}), 200)
    made(admin.patch(CUSTOMER, json={"tags": []}), 200)


# ── Overrides without effect ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", [CUSTOMER, SUBSCRIPTION])
@pytest.mark.parametrize(
    ("override", "why"),
    [
        ({"mode": "at_least", "value": 50}, "without it the value is 60"),
        ({"mode": "at_least", "value": 60}, "without it the value is 60"),
        ({"value": 60}, "without it the value is 60"),
        ({"value": 70, "until": "2026-01-01T00:00:00Z"}, "it ended at 2026-01-01T00:00:00.000Z"),
    ],
)
def test_an_override_that_can_do_nothing_is_refused(
    admin: httpx.Client, path: str, override: dict[str, Any], why: str
) -> None:
    """The refusal says what is there without it."""
    body = {"feature": "movies", "reason": "r", "id": "new"} | override
    refused = admin.post(f"{path}/overrides", json=body)
    assert refused.status_code == 409
    assert refused.json()["type"] == "urn:tiergate:problem:override-without-effect"
    assert refused.json()["detail"] == f"the override `new` has no effect: {why}"


@pytest.mark.parametrize(
    ("stands", "new", "why"),
    [
        ({"mode": "disabled"}, {"value": 100}, "the override `old` (disabled) decides instead"),
        ({"mode": "disabled"}, {"mode": "at_least", "value": 100}, "the override `old` (disabled) decides instead"),
        ({"value": 100, "from": SOON}, {"value": 90, "from": SOON, "id": "a"}, "the override `old` (replace 100)"),
        ({"mode": "at_least", "value": 100}, {"mode": "at_least", "value": 99}, "the override `old` (at_least 100)"),
        ({"value": "unlimited"}, {"mode": "at_least", "value": 99}, "the override `old` (replace unlimited)"),
    ],
)
@pytest.mark.parametrize("path", [CUSTOMER, SUBSCRIPTION])
def test_the_refusal_names_the_override_that_stands_in_the_way(
    admin: httpx.Client, path: str, stands: dict[str, Any], new: dict[str, Any], why: str
) -> None:
    """Beside one that acts in its place, an override does nothing."""
    base = {"feature": "movies", "reason": "r"}
    first = admin.post(f"{path}/overrides", json=base | {"id": "old"} | stands)
    if first.status_code == 409:
        made(taken(admin, "POST", f"{path}/overrides", json=base | {"id": "old"} | stands))
    refused = admin.post(f"{path}/overrides", json=base | {"id": "new"} | new)
    assert refused.status_code == 409, refused.text
    assert why in refused.json()["detail"]


def test_an_override_under_one_of_the_customer_does_nothing(admin: httpx.Client) -> None:
    """The customer's stands in place of the total; the refusal says whose it is."""
    made(admin.post(f"{CUSTOMER}/overrides", json=GIVEN | {"id": "top"}))
    refused = admin.post(f"{SUBSCRIPTION}/overrides", json=GIVEN | {"value": 80})
    assert "the customer's override `top` (replace 99) decides instead" in refused.json()["detail"]


def test_an_override_that_acts_later_is_no_idle_one(admin: httpx.Client) -> None:
    """Once the other one has ended, it does something; so it may be given."""
    made(admin.post(f"{CUSTOMER}/overrides", json=GIVEN | {"until": LATER, "id": "a"}))
    made(admin.post(f"{CUSTOMER}/overrides", json=GIVEN | {"until": END, "id": "b"}))
    assert admin.post(f"{CUSTOMER}/overrides", json=GIVEN | {"until": SOON, "id": "c"}).status_code == 409


def test_a_paused_subscription_and_a_suspended_feature_can_be_given_overrides(admin: httpx.Client) -> None:
    """What they do shows once the subscription counts again, and the feature is resumed."""
    made(admin.post(f"{SUBSCRIPTION}/pause", json={}), 200)
    made(admin.post(f"{SUBSCRIPTION}/suspensions", json={"feature": "movies", "reason": "r"}))
    made(admin.post(f"{SUBSCRIPTION}/overrides", json=GIVEN))


def test_a_customer_who_holds_nothing_yet_can_be_given_any_override(admin: httpx.Client) -> None:
    """What it will stand against is not known."""
    made(admin.post("/v1/customers", json={"id": "new"}))
    made(admin.post("/v1/customers/new/overrides", json={"feature": "movies", "value": 0, "reason": "r"}))


def test_the_list_says_what_each_override_does(api: tuple[Admin, Store, Ticking], admin: httpx.Client) -> None:
    """Raised, lowered, scheduled, ended, or nothing and why."""
    path = f"{SUBSCRIPTION}/overrides"
    for body in (
        {"id": "up", "feature": "support", "value": "phone"},
        {"id": "later", "feature": "movies", "value": 70, "from": LATER},
        {"id": "brief", "feature": "movies", "value": 65, "until": SOON},
        {"id": "least", "feature": "storage", "mode": "at_least", "value": 3},
        {"id": "more", "feature": "storage", "mode": "at_least", "value": 4},
    ):
        made(admin.post(path, json=body | {"reason": "r"}))
    made(taken(admin, "POST", path, json={"id": "off", "feature": "analytics", "mode": "disabled", "reason": "r"}))

    def effects() -> dict[str, dict[str, Any]]:
        return {one["id"]: one["effect"] for one in admin.get(path).json()["items"]}

    assert effects() == {
        "up": {"state": "raises", "from": "chat", "to": "phone"},
        "later": {"state": "scheduled"},
        "brief": {"state": "raises", "from": 60, "to": 65},
        "least": {"state": "none", "because": "the override `more` (at_least 4) decides instead"},
        "more": {"state": "raises", "from": 3, "to": 4},
        "off": {"state": "lowers", "from": True, "to": False},
    }
    api[2].now += 2 * 86_400_000
    assert effects()["brief"] == {"state": "ended"}
    made(admin.post(f"{SUBSCRIPTION}/pause", json={}), 200)
    assert effects()["up"] == {"state": "none", "because": "the subscription `s1` does not count now (paused)"}
    entry = admin.get(path).json()["items"][0]
    made(admin.put(f"{path}/up", json=entry), 200)  # what a list shows can be sent back


def test_the_id_of_a_deleted_override_is_not_given_again(admin: httpx.Client) -> None:
    """So a deletion that comes late hits nothing else; not even where the customer itself is made again."""
    first = made(admin.post(f"{CUSTOMER}/overrides", json=GIVEN))["id"]
    taken(admin, "DELETE", f"{CUSTOMER}/overrides/{first}")
    second = made(admin.post(f"{CUSTOMER}/overrides", json=GIVEN))["id"]
    assert second != first
    assert admin.delete(SUBSCRIPTION).status_code == 204
    assert admin.delete(CUSTOMER).status_code == 204
    made(admin.post("/v1/customers", json={"id": "acme"}))
    third = made(admin.post(f"{CUSTOMER}/overrides", json=GIVEN))["id"]
    assert third not in {first, second}


def test_an_import_is_no_way_to_take_something(sqlite_url: str) -> None:
    """Who may give overrides and edit customers, but not edit entitlements, takes nothing by a file either."""
    with served(sqlite_url, [*ENDPOINTS, *imports.endpoints()]) as (admin, _, _):
        client = admin.as_("admin")
        made(client.post("/v1/customers", json={"id": "acme"}))
        made(client.post(f"{CUSTOMER}/subscriptions", json=HELD))
        narrow = admin.as_("admin", actions=["override", "editCustomer", "editSubscription"])

        def brought_in(value: int) -> httpx.Response:
            override = {"id": "o", "feature": "movies", "value": value, "reason": "r"}
            lines = [{"apiVersion": "tiergate/v1"}, {"type": "customer", "id": "acme", "overrides": [override]}]
            body = "\n".join(json.dumps(line) for line in lines)
            return narrow.post("/v1/import/subjects", content=body, headers={"content-type": "application/x-ndjson"})

        refused = brought_in(3)
        assert refused.status_code == 403
        assert "`movies` from 60 to 3" in refused.json()["detail"]
        assert brought_in(70).status_code == 200
