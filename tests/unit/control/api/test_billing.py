"""What billing owns, written apart and in order; what people own, wiped by nobody; and the change of plan."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from tests.stores import put_in_force
from tests.unit.control.subjects import CATALOG, NOW, codes, made, served
from tiergate.model import FOREVER, parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin
    from tests.unit.control.subjects import Ticking
    from tiergate.model import Subscription
    from tiergate.store import Store

PATH, BILLING, CHANGE = "/v1/subscriptions/s1", "/v1/subscriptions/s1/billing", "/v1/subscriptions/s1/change"
GOLD = [{"item": "gold"}]
OVERRIDE = {"id": "o1", "feature": "movies", "value": 500, "mode": "at_least", "reason": "a deal"}
SUSPENSION = {"feature": "analytics", "reason": "abuse"}
FIRST, SECOND, THIRD = "2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z", "2027-01-03T00:00:00Z"
TERM = {"every": "month", "anchor": "2026-12-31T00:00:00Z"}
TERM_END = "2027-01-31T00:00:00Z"
DAY = 86_400_000


@pytest.fixture
def api(sqlite_url: str) -> Iterator[tuple[Admin, Store, Ticking]]:
    """An API on SQLite, with a customer."""
    with served(sqlite_url) as found:
        made(found[0].as_("admin").post("/v1/customers", json={"id": "acme"}))
        yield found


@pytest.fixture
def sales(api: tuple[Admin, Store, Ticking]) -> httpx.Client:
    """A client of a sales agent."""
    return api[0].as_("sales-agent")


def given(client: httpx.Client, **more: object) -> dict[str, object]:
    """A subscription to gold with everything that people own."""
    body = {"id": "s1", "status": "active", "items": [{"item": "gold", "version": 2}]}
    people = {"overrides": [OVERRIDE], "suspensions": [SUSPENSION], "metadata": {"owner": "eve"}}
    return made(client.post("/v1/customers/acme/subscriptions", json=body | people | more))


def stored(api: tuple[Admin, Store, Ticking]) -> Subscription:
    """The subscription as the store has it."""
    record = api[1].read(lambda unit: unit.record("acme"))
    assert record is not None
    return record.subscriptions[0]


# ── What billing owns ────────────────────────────────────────────────────────────────────────────────────────────────


def test_billing_touches_nothing_that_people_own(api: tuple[Admin, Store, Ticking], sales: httpx.Client) -> None:
    """Overrides, suspensions, the pin and the age of an item that stays, and what is written beside."""
    given(sales)
    before = stored(api)
    api[2].now += DAY
    body = {
        "status": "past_due",
        "grace_until": "2027-02-01T00:00:00Z",
        "items": [{"item": "gold", "quantity": 3}, {"item": "extra-movies"}],
        "term": TERM,
        "metadata": {"price": "p_1"},
        "external_ids": {"stripe": "sub_9"},
    }
    found = made(sales.put(BILLING, json=body), 200)
    assert (found["status"], found["state"], found["term"]) == ("past_due", "live", TERM)
    assert found["metadata"] == {"owner": "eve", "price": "p_1"}
    assert found["external_ids"] == {"stripe": "sub_9"}
    after = stored(api)
    assert (after.overrides, after.suspensions) == (before.overrides, before.suspensions)
    assert [(one.item, one.quantity, one.version, one.added_at) for one in after.items] == [
        ("gold", 3, 2, NOW),
        ("extra-movies", 1, None, NOW + DAY),
    ]
    made(sales.put(BILLING, json={"status": "active", "items": GOLD}), 200)
    assert (stored(api).grace_until, stored(api).term) == (None, after.term)


def test_billing_creates_what_is_not_there_for_its_customer_alone(sales: httpx.Client) -> None:
    """Neither a subscription without a customer, nor a customer who is made up."""
    body: dict[str, object] = {"status": "active", "items": GOLD, "as_of": FIRST}
    assert sales.put(BILLING, json=body).status_code == 404
    assert sales.put(BILLING, json=body | {"customer": "nobody"}).status_code == 404
    found = made(sales.put(BILLING, json=body | {"customer": "acme"}), 201)
    assert (found["applied"], found["as_of"]) == (True, "2027-01-01T00:00:00.000Z")
    assert codes(sales.put(BILLING, json=body | {"customer": "other"})) == [("/customer", "fixed-value")]


def test_billing_names_a_customer_by_the_id_that_it_has_there(sales: httpx.Client) -> None:
    """And finds the subscription by its own."""
    made(sales.patch("/v1/customers/acme", json={"external_ids": {"stripe": "cus_1"}}), 200)
    body = {"customer": "ext:stripe:cus_1", "status": "active", "items": GOLD, "external_ids": {"stripe": "sub_1"}}
    assert made(sales.put(BILLING, json=body), 201)["customer"] == "acme"
    late = body | {"status": "past_due"}
    assert made(sales.put("/v1/subscriptions/ext:stripe:sub_1/billing", json=late), 200)["state"] == "overdue"


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"overrides": []}, ("/overrides", "not-edited-here")),
        ({"suspensions": [SUSPENSION]}, ("/suspensions", "not-edited-here")),
        ({"items": [{"item": "gold", "version": 1}]}, ("/items/0/version", "not-edited-here")),
        ({"status": "trialing"}, ("", "missing-date")),
        ({"items": [{"item": "gold"}, {"item": "silver"}]}, ("/items/1", "excluded")),
        ({"as_of": "2027-01-15T08:05:01Z"}, ("/as_of", "as-of-ahead")),
        ({"as_of": 7}, ("/as_of", "bad-instant")),
    ],
)
def test_billing_that_says_too_much_or_too_little_is_refused(
    sales: httpx.Client, more: dict[str, object], problem: tuple[str, str]
) -> None:
    """With the place, and nothing is changed."""
    before = given(sales)
    assert problem in codes(sales.put(BILLING, json={"status": "active", "items": GOLD} | more))
    assert made(sales.get(PATH), 200) == before


def test_a_key_that_is_said_twice_is_refused_beside_an_order_too(sales: httpx.Client) -> None:
    """What of the two was meant, nobody knows."""
    given(sales)
    text = f'{{"status":"active","status":"expired","items":[],"as_of":"{FIRST}"}}'
    answer = sales.put(BILLING, content=text, headers={"content-type": "application/json"})
    assert "duplicate-key" in [code for _, code in codes(answer)]


def test_a_trial_that_billing_pauses_is_not_forgotten(api: tuple[Admin, Store, Ticking], sales: httpx.Client) -> None:
    """Nor is one that a patch pauses."""
    end = {"trial_end": "2027-02-01T00:00:00Z"}
    given(sales, status="trialing", **end)
    found = made(sales.put(BILLING, json={"status": "paused", "items": GOLD, **end}), 200)
    assert found["resumes_as"] == "trialing"
    made(sales.patch(PATH, json={"status": "active"}), 200)
    assert stored(api).resumes_as is None
    made(sales.patch(PATH, json={"status": "past_due"}), 200)
    assert made(sales.patch(PATH, json={"status": "paused"}), 200)["resumes_as"] == "past_due"


# ── In order ─────────────────────────────────────────────────────────────────────────────────────────────────────────

EVENTS: list[dict[str, object]] = [
    {"status": "active", "items": GOLD, "as_of": FIRST},
    {"status": "active", "items": [*GOLD, {"item": "extra-movies"}], "as_of": SECOND},
    {"status": "canceled", "end": THIRD, "items": GOLD, "as_of": THIRD},
]


@pytest.mark.parametrize("way", ["billing", "put", "patch"])
def test_events_come_to_the_same_in_every_order_and_twice(store_url: str, way: str) -> None:
    """What was last so stands, whatever came last; by every way in, on both databases."""
    with served(store_url) as (admin, _, _):
        client = admin.as_("admin")
        made(client.post("/v1/customers", json={"id": "acme"}))
        for number, order in enumerate(sorted({*permutations([0, 1, 2, 0])})):
            id_ = f"/v1/subscriptions/{way}{number}"
            for place, event in enumerate(EVENTS[it] for it in order):
                body = {"customer": "acme", **event}
                if way == "billing":
                    answer = client.put(f"{id_}/billing", json=body)
                elif way == "put" or place == 0:
                    answer = client.put(id_, json=body)
                else:
                    answer = client.patch(id_, json=event)
                assert answer.is_success, answer.text
            found = made(client.get(id_), 200)
            assert (found["status"], found["as_of"]) == ("canceled", "2027-01-03T00:00:00.000Z")
            assert [one["item"] for one in found["items"]] == ["gold"]  # type: ignore[attr-defined]


def test_an_elder_write_is_acknowledged_and_changes_nothing(api: tuple[Admin, Store, Ticking]) -> None:
    """Even where it could not be applied any more; the entity tag and the feed stay."""
    client = api[0].as_("admin")
    body = {"customer": "acme", "status": "active", "items": GOLD}
    made(client.put(PATH, json=body | {"as_of": SECOND}), 201)
    before, position = made(client.get(PATH), 200), api[1].read(lambda unit: unit.head().position)
    for late in (
        client.put(PATH, json={"status": "expired", "items": [{"item": "gone"}], "as_of": FIRST}),
        client.patch(PATH, json={"status": "expired", "as_of": FIRST}),
        client.post(f"{PATH}/cancel", json={"as_of": FIRST}),
        client.put(BILLING, json={"status": "expired", "items": GOLD, "as_of": FIRST}),
        client.patch(PATH, json={"overrides": [], "as_of": FIRST}),
    ):
        assert made(late, 200) == before | {"applied": False}
    assert api[1].read(lambda unit: unit.head().position) == position
    again = made(client.put(PATH, json=body | {"as_of": SECOND}), 200)
    assert again == before | {"applied": True}
    assert "applied" not in made(client.post(f"{PATH}/pause"), 200)


def test_what_people_write_does_not_hold_up_billing(api: tuple[Admin, Store, Ticking], sales: httpx.Client) -> None:
    """Each side has an order of its own: a newer word on overrides makes no status old."""
    given(sales)
    made(sales.patch(PATH, json={"metadata": {"owner": "bob"}, "as_of": THIRD}), 200)
    found = made(sales.put(BILLING, json={"status": "past_due", "items": GOLD, "as_of": SECOND}), 200)
    assert (found["applied"], found["status"], found["metadata"]) == (True, "past_due", {"owner": "bob"})
    assert found["people_as_of"] == "2027-01-03T00:00:00.000Z"
    late = made(sales.put(PATH, json={"status": "active", "items": GOLD, "as_of": "2027-01-02T12:00:00Z"}), 200)
    assert late["applied"] is False
    assert stored(api).status.value == "past_due"


def test_an_order_that_alone_has_changed_is_sent_again(api: tuple[Admin, Store, Ticking], sales: httpx.Client) -> None:
    """The entity tag is the same, and the answer says something else."""
    given(sales)
    api[2].now += 1
    tag = {"if-none-match": '"1"'}
    assert sales.get(PATH, headers=tag).status_code == 304
    made(sales.patch(PATH, json={"status": "active", "as_of": FIRST}), 200)
    assert made(sales.get(PATH, headers=tag), 200)["etag"] == '"1"'


def test_customers_are_written_in_order_too(store_url: str) -> None:
    """And by keys: what a body leaves out stays, what it empties goes; on both databases."""
    with served(store_url) as (admin, _, _):
        client, path = admin.as_("admin"), "/v1/customers/acme"
        made(client.put(path, json={"tags": ["eu"], "attributes": {"a": "b"}, "name": "Acme", "as_of": SECOND}), 201)
        late = made(client.put(path, json={"tags": [], "as_of": FIRST}), 200)
        assert (late["applied"], late["tags"]) == (False, ["eu"])
        assert made(client.patch(path, json={"name": "Old", "as_of": FIRST}), 200)["name"] == "Acme"
        kept = made(client.put(path, json={}), 200)
        assert (kept["tags"], kept["attributes"], kept["name"]) == (["eu"], {"a": "b"}, "Acme")
        newer = made(client.put(path, json={"tags": [], "as_of": THIRD}), 200)
        assert newer["applied"] is True
        assert "tags" not in newer
        assert made(client.get("/v1/customers"), 200)["items"][0]["as_of"] == "2027-01-03T00:00:00.000Z"  # type: ignore[index]


# ── What people own ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_whole_document_leaves_what_it_does_not_name(api: tuple[Admin, Store, Ticking], sales: httpx.Client) -> None:
    """Overrides, suspensions, pins, what is written beside; an empty value takes them away."""
    given(sales)
    before = stored(api)
    body: dict[str, object] = {"status": "active", "items": [{"item": "gold", "quantity": 2}]}
    made(sales.put(PATH, json=body), 200)
    made(sales.patch(PATH, json={"items": GOLD}), 200)
    assert stored(api) == before
    emptied = body | {"overrides": [], "suspensions": [], "metadata": {}}
    answer = sales.put(PATH, json=emptied)
    token = {"accept_loss": answer.json().get("accept_loss", "")} if answer.status_code == 409 else {}
    made(sales.put(PATH, params=token, json=emptied), 200)
    after = stored(api)
    assert (after.overrides, after.suspensions, after.metadata) == ((), (), {})
    assert after.items[0].version == 2
    made(sales.delete(f"{PATH}/items/gold/pin"), 200)
    assert stored(api).items[0].version is None


# ── What the catalog has made impossible ─────────────────────────────────────────────────────────────────────────────


def test_what_the_catalog_made_impossible_stands_in_nobodys_way(
    api: tuple[Admin, Store, Ticking], sales: httpx.Client
) -> None:
    """Neither of a late payment, a quantity, a schedule, nor of another item; what is made worse is refused."""
    given(sales, items=[{"item": "gold"}, {"item": "extra-movies"}])
    put_in_force(api[1], CATALOG.replace("available_for: [gold]", "available_for: [acme-only]"))
    both: list[dict[str, object]] = [{"item": "gold"}, {"item": "extra-movies", "quantity": 2}]
    made(sales.put(BILLING, json={"status": "past_due", "items": both}), 200)
    made(sales.put(PATH, json={"status": "active", "items": both}), 200)
    made(sales.patch(f"{PATH}/items/extra-movies", json={"quantity": 3}), 200)
    assert sales.patch(f"{PATH}/items/extra-movies", json={"until": "2027-06-01T00:00:00Z"}).status_code in {200, 409}
    made(sales.post(f"{PATH}/items", json={"item": "bundle"}))
    assert ("/items/3", "excluded") in codes(sales.post(f"{PATH}/items", json={"item": "silver"}))
    body = {"id": "s2", "status": "active", "items": both}
    assert codes(sales.post("/v1/customers/acme/subscriptions", json=body)) == [("/items/1", "not-available")]


# ── The change of plan ───────────────────────────────────────────────────────────────────────────────────────────────


def plans(api: tuple[Admin, Store, Ticking]) -> list[tuple[str, int, int | None, int]]:
    """The plans that are held: item, quantity, from when and until when, none and never as they are."""
    return [
        (one.item, one.quantity, None if one.start < 0 else one.start, one.until)
        for one in stored(api).items
        if one.item != "extra-movies"
    ]


def test_a_plan_changes_at_once(api: tuple[Admin, Store, Ticking], sales: httpx.Client) -> None:
    """It replaces the other, keeps the quantity, and a second click does nothing more."""
    given(sales, items=[{"item": "gold", "quantity": 2}])
    api[2].now += DAY
    found = made(sales.post(CHANGE, json={"to": "silver"}), 200)
    assert plans(api) == [("silver", 2, None, FOREVER)]
    assert stored(api).items[0].added_at == NOW + DAY
    assert made(sales.post(CHANGE, json={"to": "silver", "at": "now"}), 200) == found
    made(sales.post(CHANGE, json={"to": "gold", "quantity": 1}), 200)
    assert plans(api) == [("gold", 1, None, FOREVER)]


def test_a_plan_changes_at_the_end_of_the_term_without_gap_or_overlap(
    api: tuple[Admin, Store, Ticking], sales: httpx.Client
) -> None:
    """By itself; the answer shows it; billing that lists the plan as it is leaves it; another change replaces it."""
    given(sales, items=GOLD, term=TERM)
    end = parse_instant(TERM_END)
    found = made(sales.post(CHANGE, json={"to": "silver", "at": "term_end"}), 200)
    shown = {"from_item": "gold", "to": "silver", "quantity": 1, "at": "2027-01-31T00:00:00.000Z"}
    assert found["scheduled_change"] == shown
    assert plans(api) == [("gold", 1, None, end), ("silver", 1, end, FOREVER)]
    billed = made(sales.put(BILLING, json={"status": "active", "items": GOLD, "term": TERM}), 200)
    assert billed["scheduled_change"] == shown
    made(sales.post(CHANGE, json={"to": "silver", "at": "2027-01-20T00:00:00Z", "quantity": 4}), 200)
    at = parse_instant("2027-01-20T00:00:00Z")
    assert plans(api) == [("gold", 1, None, at), ("silver", 4, at, FOREVER)]
    tag = {"if-none-match": str(made(sales.get(PATH), 200)["etag"])}
    api[2].now = at
    assert "scheduled_change" not in made(sales.get(PATH, headers=tag), 200)


def test_a_scheduled_change_is_taken_back(api: tuple[Admin, Store, Ticking], sales: httpx.Client) -> None:
    """By its address, or by a change to what is held; there is nothing to take back twice."""
    given(sales, items=GOLD, term=TERM)
    made(sales.post(CHANGE, json={"to": "silver", "at": "term_end"}), 200)
    assert "scheduled_change" not in made(sales.delete(CHANGE), 200)
    assert plans(api) == [("gold", 1, None, FOREVER)]
    assert sales.delete(CHANGE).status_code == 404
    made(sales.post(CHANGE, json={"to": "silver", "at": "term_end"}), 200)
    made(sales.post(CHANGE, json={"to": "gold"}), 200)
    assert plans(api) == [("gold", 1, None, FOREVER)]
    made(sales.post(CHANGE, json={"to": "silver", "at": "term_end"}), 200)
    made(sales.put(BILLING, json={"status": "active", "items": [{"item": "silver"}]}), 200)
    assert plans(api) == [("silver", 1, None, FOREVER)]


def test_a_plan_that_was_left_and_taken_again_is_one_to_its_address(
    api: tuple[Admin, Store, Ticking], sales: httpx.Client
) -> None:
    """What is over is not meant."""
    given(sales, items=[{"item": "gold", "until": "2027-01-01"}, {"item": "gold", "from": "2027-01-02"}])
    made(sales.put(f"{PATH}/items/gold/pin", json={"version": 2}), 200)
    assert [one.version for one in stored(api).items] == [None, 2]
    made(sales.put(PATH, json={"status": "active", "items": GOLD}), 200)
    assert [one.version for one in stored(api).items] == [2]
    made(sales.post(CHANGE, json={"to": "gold", "quantity": 2}), 200)
    assert [(one.quantity, one.version) for one in stored(api).items] == [(2, 2)]


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({"to": "goldd"}, ("/to", "unknown-item")),
        ({"to": "extra-movies"}, ("/to", "not-a-plan")),
        ({"to": "silver", "at": "soon"}, ("/at", "bad-instant")),
        ({"to": "silver", "at": "2027-01-01"}, ("/at", "impossible-date")),
        ({"to": "silver", "at": "2028-06-01"}, ("/at", "impossible-date")),
        ({"to": "silver", "quantity": 0}, ("/quantity", "wrong-value")),
        ({"to": "silver", "when": "now"}, ("", "wrong-value")),
    ],
)
def test_a_change_that_cannot_be_is_refused(
    sales: httpx.Client, said: dict[str, object], wanted: tuple[str, str]
) -> None:
    """With the place, and nothing is changed."""
    before = given(sales, items=GOLD, end="2028-06-01T00:00:00Z")
    assert codes(sales.post(CHANGE, json=said)) == [wanted]
    assert made(sales.get(PATH), 200) == before


@pytest.mark.parametrize(
    ("items", "said", "code"),
    [
        (GOLD, {"to": "silver", "at": "term_end"}, "no-term"),
        ([], {"to": "silver"}, "no-plan"),
        (GOLD, {"to": "silver", "from_item": "silver"}, "no-plan"),
        ([{"item": "gold", "until": "2027-02-01"}], {"to": "silver", "at": "2027-03-01"}, "no-plan"),
    ],
)
def test_a_change_of_what_is_not_there_is_a_conflict(
    sales: httpx.Client, items: list[dict[str, object]], said: dict[str, object], code: str
) -> None:
    """It says what is held."""
    given(sales, items=items)
    answer = sales.post(CHANGE, json=said)
    assert (answer.status_code, answer.json()["type"]) == (409, f"urn:tiergate:problem:{code}")


@pytest.mark.parametrize("at", ["now", "2027-02-01T00:00:00Z"])
def test_an_add_on_that_would_lose_its_plan_is_named(sales: httpx.Client, at: str) -> None:
    """Whether the plan changes now or later: it is ended first, by whoever means that."""
    given(sales, items=[*GOLD, {"item": "extra-movies"}])
    assert codes(sales.post(CHANGE, json={"to": "silver", "at": at})) == [("/to", "not-available")]
    made(sales.delete(f"{PATH}/items/extra-movies"), 200)
    made(sales.post(CHANGE, json={"to": "silver", "at": at}), 200)


@pytest.mark.parametrize("at", ["now", "term_end"])
def test_an_add_on_ends_with_its_plan_where_that_is_said(
    api: tuple[Admin, Store, Ticking], sales: httpx.Client, at: str
) -> None:
    """And what depends on it; the answer says which, and so does the refusal of whoever does not say it."""
    given(sales, items=[*GOLD, {"item": "extra-movies"}, {"item": "bundle"}], term=TERM)
    refused = sales.post(CHANGE, json={"to": "silver", "at": at, "addons": "keep"})
    assert codes(refused) == [("/to", "not-available")]
    assert '`"addons": "end"` ends `extra-movies`, `bundle` with the plan' in refused.json()["errors"][0]["detail"]
    found = made(sales.post(CHANGE, json={"to": "silver", "at": at, "addons": "end"}), 200)
    assert found["ends"] == ["extra-movies", "bundle"]
    assert "ends" not in made(sales.get(PATH), 200)
    held = {one.item: one.until for one in stored(api).items}
    if at == "now":
        assert held == {"silver": FOREVER}
        assert "scheduled_change" not in found
    else:
        end = parse_instant(TERM_END)
        assert held == {"gold": end, "extra-movies": end, "bundle": end, "silver": FOREVER}
        shown = made(sales.get(PATH), 200)["scheduled_change"]
        assert isinstance(shown, dict)
        assert shown["ends"] == ["extra-movies", "bundle"]


def test_what_would_end_with_a_plan_stays_where_the_change_is_taken_back(
    api: tuple[Admin, Store, Ticking], sales: httpx.Client
) -> None:
    """Until whenever it would have; a change in its place and billing that knows nothing of it do as well."""
    until = "2027-09-01T00:00:00Z"
    given(sales, items=[*GOLD, {"item": "extra-movies", "until": until}, {"item": "bundle"}], term=TERM)
    before, end = stored(api).items, parse_instant(TERM_END)
    said = {"to": "silver", "at": "term_end", "addons": "end"}
    made(sales.post(CHANGE, json=said), 200)
    made(sales.delete(CHANGE), 200)
    assert stored(api).items == before
    made(sales.post(CHANGE, json=said), 200)
    listed = [*GOLD, {"item": "extra-movies"}, {"item": "bundle"}]
    made(sales.put(BILLING, json={"status": "active", "items": listed}), 200)
    assert {one.item: one.until for one in stored(api).items if one.item != "silver"} == {
        "gold": end,
        "extra-movies": end,
        "bundle": end,
    }
    made(sales.post(CHANGE, json={"to": "gold"}), 200)
    assert stored(api).items == before
    assert sales.delete(CHANGE).status_code == 404
    sent_back = made(sales.post(CHANGE, json=said), 200)
    made(sales.put(PATH, json={key: value for key, value in sent_back.items() if key != "overrides"}), 200)
    made(sales.delete(CHANGE), 200)
    assert stored(api).items == before


def test_what_has_ended_changes_no_plan(sales: httpx.Client) -> None:
    """It would have no effect."""
    given(sales, items=GOLD)
    made(sales.post(f"{PATH}/end"), 200)
    answer = sales.post(CHANGE, json={"to": "silver"})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:tiergate:problem:step-not-possible")


def test_who_may_not_edit_entitlements_changes_no_plan(api: tuple[Admin, Store, Ticking], sales: httpx.Client) -> None:
    """Support looks, and gives exceptions."""
    given(sales, items=GOLD)
    assert api[0].as_("customer-support").post(CHANGE, json={"to": "silver"}).status_code == 403
