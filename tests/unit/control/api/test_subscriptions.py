from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tests.stored_lines import read_after
from tests.unit.control.subjects import NOW, codes, made, served, taken
from tiergate.model import FOREVER, SubscriptionItem, SubscriptionStatus
from tiergate.store import SYSTEM
from tiergate.store.customers import open_account

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin
    from tests.unit.control.subjects import Ticking
    from tiergate.model import Subscription
    from tiergate.store import Store, WriteUnit

GOLD = {"id": "s1", "status": "active", "items": [{"item": "gold"}]}


@pytest.fixture
def api(sqlite_url: str) -> Iterator[tuple[Admin, Store, Ticking]]:
    """An API on SQLite, with the customers `acme` and `beta`."""
    with served(sqlite_url) as found:
        client = found[0].as_("admin")
        for id_ in ("acme", "beta"):
            made(client.post("/v1/customers", json={"id": id_}))
        yield found


@pytest.fixture
def sales(api: tuple[Admin, Store, Ticking]) -> httpx.Client:
    """A client of a sales agent."""
    return api[0].as_("sales-agent")


def held(api: tuple[Admin, Store, Ticking], id_: str = "s1", customer: str = "acme") -> Subscription:
    """A subscription as the store has it."""
    record = api[1].read(lambda unit: unit.record(customer))
    assert record is not None
    return next(one for one in record.subscriptions if one.id == id_)


def test_a_subscription_is_created_read_and_told_to_sidecars(store_url: str) -> None:
    """What was written is what is read, in the feed too; on both databases."""
    with served(store_url) as (admin, store, _):
        client = admin.as_("sales-agent")
        made(client.post("/v1/customers", json={"id": "acme"}))
        override = {"feature": "storage", "value": 7.125, "reason": "a promise", "mode": "at_least"}
        suspension = {"feature": "analytics", "until": "2028-01-01T00:00:00Z", "reason": "abuse"}
        body = GOLD | {"start": "2027-01-01T00:00:00Z", "overrides": [override], "suspensions": [suspension]}
        answer = client.post("/v1/customers/acme/subscriptions", json=body)
        data = made(answer)
        assert data["overrides"] == [override | {"id": "storage-1", "author": "test/sales-agent"}]
        assert (data["items"], data["suspensions"]) == ([{"item": "gold", "quantity": 1}], [suspension])
        assert client.get(answer.headers["location"]).json() == data
        lines = store.read(lambda unit: read_after(unit.session, 2, 10))
        ((_, (subscription,)),) = [json.loads(entry.line)["record"] for entry in lines]
        assert subscription[:3] == ["s1", "acme", "active"]
        assert subscription[9] == [["storage-1", "storage", "at_least", ["n", 7125, None], -(2**62), 2**62, "", ""]]
        assert subscription[10][0][3] == ""


def test_a_subscription_needs_its_customer(sales: httpx.Client) -> None:
    """Nobody is made up from a reference."""
    answer = sales.post("/v1/subscriptions", json=GOLD | {"customer": "nobody"})
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:tiergate:problem:not-found")


def test_an_id_is_one_subscription_whoever_has_it(sales: httpx.Client) -> None:
    """Neither the same customer nor another one gets a second subscription of an id."""
    made(sales.post("/v1/customers/acme/subscriptions", json=GOLD))
    assert sales.post("/v1/customers/acme/subscriptions", json=GOLD).status_code == 409
    assert sales.post("/v1/customers/beta/subscriptions", json=GOLD).status_code == 409


def test_a_subscription_never_changes_its_customer(sales: httpx.Client) -> None:
    """A body that says another customer is refused."""
    made(sales.post("/v1/customers/acme/subscriptions", json=GOLD))
    body = {"customer": "beta", "status": "active", "items": []}
    assert codes(sales.put("/v1/subscriptions/s1", json=body)) == [("/customer", "fixed-value")]


@pytest.mark.parametrize(
    ("items", "problem"),
    [
        ([{"item": "extra-movies"}], ("/items/0", "not-available")),
        ([{"item": "gold"}, {"item": "bundle"}], ("/items/1", "missing-dependency")),
        ([{"item": "gold"}, {"item": "silver"}], ("/items/1", "excluded")),
        ([{"item": "gold", "version": 9}], ("/items/0", "unknown-version")),
        ([{"item": "golden"}], ("/items/0/item", "unknown-item")),
        ([{"item": "gold", "quantity": 0}], ("/items/0/quantity", "bad-number")),
        ([{"item": "huge", "quantity": 100}], ("/items", "total-too-large")),
    ],
)
def test_what_cannot_be_held_is_refused(
    sales: httpx.Client, items: list[dict[str, object]], problem: tuple[str, str]
) -> None:
    """By the published catalog."""
    assert problem in codes(sales.post("/v1/customers/acme/subscriptions", json=GOLD | {"items": items}))


def test_totals_of_all_subscriptions_together_stay_in_bounds(sales: httpx.Client) -> None:
    """Each by itself would be small enough."""
    for number in (1, 2):
        body = {"id": f"h{number}", "status": "active", "items": [{"item": "huge", "quantity": 20}]}
        made(sales.post("/v1/customers/acme/subscriptions", json=body))
    body = {"id": "h3", "status": "active", "items": [{"item": "huge", "quantity": 20}]}
    assert codes(sales.post("/v1/customers/acme/subscriptions", json=body)) == [("", "total-too-large")]
    assert sales.get("/v1/subscriptions/h3").status_code == 404
    made(sales.post("/v1/customers/beta/subscriptions", json=body))


@pytest.mark.parametrize("hidden", ["acme-only", "acme-extra"])
def test_an_item_private_to_another_customer_is_as_if_it_were_not_there(sales: httpx.Client, hidden: str) -> None:
    """The problem is that of an unknown item, to the letter, and no other item is proposed in its place."""
    found = []
    for item in (hidden, "acme-onlz"):
        body = GOLD | {"items": [{"item": item}]}
        answer = sales.post("/v1/customers/beta/subscriptions", json=body)
        found.append(answer.text.replace(item, "…"))
    assert found[0] == found[1]
    body = GOLD | {"items": [{"item": "acme-only"}, {"item": "acme-extra"}]}
    made(sales.post("/v1/customers/acme/subscriptions", json=body))


def test_items_are_added_changed_and_taken_out(api: tuple[Admin, Store, Ticking], sales: httpx.Client) -> None:
    """One by one, each time as the whole must be."""
    made(sales.post("/v1/customers/acme/subscriptions", json=GOLD))
    path = "/v1/subscriptions/s1/items"
    assert codes(sales.post(path, json={"item": "bundle"})) == [("/items/1", "missing-dependency")]
    api[2].now += 5
    added = made(sales.post(path, json={"item": "extra-movies", "quantity": 2}))
    assert added["etag"] == '"2"'
    assert held(api).items[1].added_at == NOW + 5
    edit = {"quantity": 3, "until": "2028-01-01T00:00:00Z"}
    made(taken(sales, "PATCH", f"{path}/extra-movies", json=edit), 200)
    assert (held(api).items[1].quantity, held(api).items[1].added_at) == (3, NOW + 5)
    made(sales.patch(f"{path}/extra-movies", json={"until": None}), 200)
    assert held(api).items[1].until == FOREVER
    assert codes(sales.delete(f"{path}/gold")) == [("/items/0", "not-available")]
    made(taken(sales, "DELETE", f"{path}/extra-movies"), 200)
    assert [one.item for one in held(api).items] == ["gold"]
    assert sales.delete(f"{path}/extra-movies").status_code == 404


def test_an_item_held_twice_is_not_guessed_at(sales: httpx.Client) -> None:
    """Which of the two entries is meant, nobody can know."""
    made(
        sales.post(
            "/v1/customers/acme/subscriptions",
            json=GOLD | {"items": [{"item": "gold"}, *[{"item": "extra-movies"}] * 2]},
        )
    )
    answer = sales.delete("/v1/subscriptions/s1/items/extra-movies")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:tiergate:problem:ambiguous-item")


def test_an_item_is_pinned_and_unpinned(api: tuple[Admin, Store, Ticking], sales: httpx.Client) -> None:
    """A pin holds until it is taken away."""
    made(sales.post("/v1/customers/acme/subscriptions", json=GOLD))
    path = "/v1/subscriptions/s1/items/gold/pin"
    assert codes(sales.put(path, json={"version": 7})) == [("/version", "unknown-version")]
    made(taken(sales, "PUT", path, json={"version": 1}), 200)
    assert held(api).items[0].version == 1
    made(sales.delete(path), 200)
    assert held(api).items[0].version is None


def test_what_was_held_keeps_when_it_was_added(api: tuple[Admin, Store, Ticking], sales: httpx.Client) -> None:
    """Writing the whole anew makes nobody a new customer of an item, and everybody one of a new item."""
    made(sales.post("/v1/customers/acme/subscriptions", json=GOLD))
    api[2].now += 1000
    items = [{"item": "gold"}, {"item": "extra-movies"}]
    made(sales.put("/v1/subscriptions/s1", json={"customer": "acme", "status": "active", "items": items}), 200)
    assert [one.added_at for one in held(api).items] == [NOW, NOW + 1000]
    made(sales.patch("/v1/subscriptions/s1", json={"items": [{"item": "gold", "quantity": 2}]}), 200)
    assert held(api).items[0].added_at == NOW


def test_the_steps_of_a_life(sales: httpx.Client) -> None:
    """Each sets the status and its date, and takes away the dates of the step before."""
    made(sales.post("/v1/customers/acme/subscriptions", json=GOLD))
    path, soon = "/v1/subscriptions/s1", "2027-02-01T00:00:00Z"
    steps: list[tuple[str, dict[str, str], dict[str, object]]] = [
        ("trial", {"trial_end": soon}, {"status": "trialing", "trial_end": soon}),
        ("activate", {}, {"status": "active"}),
        ("pause", {"resume_at": soon}, {"status": "paused", "resume_at": soon}),
        ("resume", {}, {"status": "active"}),
        ("pause", {}, {"status": "paused"}),
        ("resume", {}, {"status": "active"}),
        ("past-due", {"grace_until": soon}, {"status": "past_due", "grace_until": soon}),
        ("cancel", {"end": soon}, {"status": "canceled", "end": soon}),
        ("activate", {}, {"status": "active"}),
        ("end", {}, {"status": "active", "end": "2027-01-15T08:00:00Z"}),
        ("cancel", {}, {"status": "canceled", "end": "2027-01-15T08:00:00Z"}),
    ]
    for name, said, wanted in steps:
        found = made(sales.post(f"{path}/{name}", json=said), 200)
        dates = {"status", "end", "trial_end", "grace_until", "resume_at"}
        assert {key: value for key, value in found.items() if key in dates} == wanted, name


@pytest.mark.parametrize(
    ("step", "said", "problem"),
    [
        ("trial", {}, ("", "missing-key")),
        ("trial", {"trial_end": "soon"}, ("/trial_end", "bad-instant")),
        ("cancel", {"at": "2027-02-01"}, ("/at", "unknown-key")),
        ("end", {"end": "2026-01-01"}, ("/end", "impossible-date")),
    ],
)
def test_a_step_that_says_nothing_possible_is_refused(
    sales: httpx.Client, step: str, said: dict[str, str], problem: tuple[str, str]
) -> None:
    """With the pointer into what was said."""
    made(sales.post("/v1/customers/acme/subscriptions", json=GOLD | {"start": "2027-01-01"}))
    assert codes(sales.post(f"/v1/subscriptions/s1/{step}", json=said)) == [problem]


def test_what_is_held_and_no_longer_offered_does_not_hold_up_other_changes(
    api: tuple[Admin, Store, Ticking], sales: httpx.Client
) -> None:
    """A subscription whose items could not be sold any more can still be canceled."""
    made(sales.post("/v1/customers/acme/subscriptions", json=GOLD | {"items": [{"item": "acme-only"}]}))

    def rename(unit: WriteUnit) -> None:  # as a rollback of the catalog could leave it
        account = open_account(unit, "acme")
        old = account.subscription("s1").subscription
        account.write_subscription(replace(old, items=(SubscriptionItem("gone-plan"),)))

    api[1].change(rename, SYSTEM)
    made(sales.post("/v1/subscriptions/s1/cancel"), 200)
    assert held(api).status is SubscriptionStatus.CANCELED


def test_subscriptions_are_searched(store_url: str) -> None:
    """By customer, tag, text, status, item, pin and overridden feature; on both databases."""
    with served(store_url) as (admin, _, _):
        client = admin.as_("admin")
        made(client.post("/v1/customers", json={"id": "acme", "tags": ["eu"]}))
        made(client.post("/v1/customers", json={"id": "beta"}))
        override = {"feature": "movies", "value": 7, "reason": "a promise"}
        made(client.post("/v1/customers/acme/subscriptions", json=GOLD | {"overrides": [override]}))
        body = {"id": "s2", "status": "paused", "items": [{"item": "gold", "version": 1}]}
        made(client.post("/v1/customers/beta/subscriptions", json=body))
        for path, wanted in {
            "subscriptions?": ["s1", "s2"],
            "subscriptions?customer=acme": ["s1"],
            "customers/beta/subscriptions?": ["s2"],
            "subscriptions?tag=eu": ["s1"],
            "subscriptions?text=S2": ["s2"],
            "subscriptions?text=bet": ["s2"],
            "subscriptions?status=paused": ["s2"],
            "subscriptions?item=gold": ["s1", "s2"],
            "subscriptions?item=gold&version=1": ["s2"],
            "subscriptions?feature=movies": ["s1"],
            "subscriptions?text=%' OR '1'='1": [],
        }.items():
            found = client.get(f"/v1/{path}").json()
            assert [one["id"] for one in found["items"]] == wanted, path
