"""The steps of a subscription's life over the API, and what lists and the audit log then say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.admin import serving
from tests.stores import put_in_force
from tests.unit.control.subjects import CATALOG, ENDPOINTS, Ticking, codes, made, served
from tiergate.control.api import audit
from tiergate.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin

GOLD = {"id": "s1", "status": "active", "items": [{"item": "gold"}]}
PATH = "/v1/subscriptions/s1"
SOON, LATER = "2027-02-01T00:00:00Z", "2027-03-01T00:00:00Z"
DATES = {"status", "state", "end", "trial_end", "grace_until", "resume_at", "resumes_as"}
DAY = 86_400_000


@pytest.fixture
def api(sqlite_url: str) -> Iterator[tuple[Admin, Store, Ticking]]:
    """An API on SQLite, with a customer who holds gold."""
    with served(sqlite_url) as found:
        client = found[0].as_("admin")
        made(client.post("/v1/customers", json={"id": "acme"}))
        made(client.post("/v1/customers/acme/subscriptions", json=GOLD))
        yield found


@pytest.fixture
def sales(api: tuple[Admin, Store, Ticking]) -> httpx.Client:
    """A client of a sales agent."""
    return api[0].as_("sales-agent")


def step(client: httpx.Client, name: str, **said: str) -> dict[str, object]:
    """Take a step; what the subscription then is."""
    found = made(client.post(f"{PATH}/{name}", json=said), 200)
    return {key: value for key, value in found.items() if key in DATES}


def test_a_resumption_at_a_date_waits_for_it(api: tuple[Admin, Store, Ticking], sales: httpx.Client) -> None:
    """What is paused stays so until then, and counts from then on, with nobody doing anything."""
    step(sales, "pause")
    assert step(sales, "resume", resume_at=SOON) == {"status": "paused", "state": "paused", "resume_at": SOON}
    api[2].now += 20 * DAY
    assert made(sales.get(PATH), 200)["state"] == "live"
    assert step(sales, "pause") == {"status": "paused", "state": "paused"}


def test_a_pause_forgets_neither_a_trial_nor_a_debt(sales: httpx.Client) -> None:
    """On both ways back: the trial still ends, the grace too; also as the database has it."""
    step(sales, "trial", trial_end=LATER)
    paused = {"status": "paused", "state": "paused", "trial_end": LATER, "resumes_as": "trialing"}
    assert step(sales, "pause") == paused
    assert step(sales, "resume") == {"status": "trialing", "state": "live", "trial_end": LATER}
    step(sales, "past-due", grace_until=SOON)
    step(sales, "pause")
    assert step(sales, "resume") == {"status": "past_due", "state": "live", "grace_until": SOON}
    step(sales, "activate")
    step(sales, "cancel", end=LATER)
    step(sales, "pause")
    assert step(sales, "resume") == {"status": "canceled", "state": "live", "end": LATER}


@pytest.mark.parametrize(
    ("way", "name", "said", "what"),
    [
        (["end"], "trial", {"trial_end": LATER}, "`s1` has ended, at 2027-01-15T08:00:00.000Z"),
        (["end"], "pause", {}, "`s1` has ended"),
        ([], "resume", {}, "`s1` is active"),
        (["past-due"], "trial", {"trial_end": LATER}, "`s1` is past due, without grace"),
        (["cancel"], "resume", {}, "`s1` has ended"),
    ],
)
def test_a_step_that_is_not_possible_says_what_is(
    sales: httpx.Client, way: list[str], name: str, said: dict[str, str], what: str
) -> None:
    """409, with what the subscription is; and nothing has changed."""
    for before in way:
        step(sales, before)
    etag = made(sales.get(PATH), 200)["etag"]
    answer = sales.post(f"{PATH}/{name}", json=said)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:tiergate:problem:step-not-possible")
    assert answer.json()["detail"].startswith(what)
    assert "`activate`" in answer.json()["detail"]
    assert made(sales.get(PATH), 200)["etag"] == etag


@pytest.mark.parametrize(
    ("name", "key"), [("trial", "trial_end"), ("pause", "resume_at"), ("past-due", "grace_until"), ("cancel", "end")]
)
def test_a_date_in_the_past_is_refused(sales: httpx.Client, name: str, key: str) -> None:
    """It could mean nothing, and nobody would notice."""
    assert codes(sales.post(f"{PATH}/{name}", json={key: "2020-01-01"})) == [(f"/{key}", "impossible-date")]


def test_lists_say_what_is_so_now(store_url: str) -> None:
    """What has ended is not listed as active, nor a trial that is over as trialing; on both databases."""
    with served(store_url) as (admin, _, clock):
        client = admin.as_("admin")
        made(client.post("/v1/customers", json={"id": "acme"}))
        for id_, more in {
            "a": {},
            "b": {"status": "trialing", "trial_end": SOON},
            "c": {"status": "paused", "resume_at": SOON},
            "d": {"status": "past_due"},
            "e": {"start": LATER},
            "f": {"end": "2027-01-16T00:00:00Z"},
        }.items():
            made(client.post("/v1/customers/acme/subscriptions", json=GOLD | {"id": id_} | more))

        def found(query: str) -> str:
            answer = made(client.get(f"/v1/subscriptions?{query}"), 200)
            items = answer["items"]
            assert isinstance(items, list)
            return "".join(one["id"] for one in items)

        assert [found(f"state={state}") for state in ("live", "scheduled", "paused", "overdue", "ended")] == [
            *("abf", "e", "c", "d", ""),
        ]
        clock.now += 30 * DAY
        assert [found(f"state={state}") for state in ("live", "scheduled", "paused", "overdue", "ended")] == [
            *("ac", "e", "", "d", "bf"),
        ]
        assert found("status=active") == "ace"
        assert found("status=trialing,past_due") == "d"
        assert found("status=trialing,active&state=ended") == "bf"
        assert found("state=ended,overdue&status=past_due") == "d"
        assert made(client.get("/v1/customers?status=trialing"), 200)["items"] == []


@pytest.mark.parametrize(
    "query", ["status=pastdue", "status=", "state=alive", "status=active,", "item=nope", "feature=nope"]
)
def test_a_word_that_nothing_is_called_is_refused(sales: httpx.Client, query: str) -> None:
    """An empty list would say that there are none."""
    for path in (PATH.rpartition("/")[0], "/v1/customers/acme/subscriptions", "/v1/customers"):
        if path == "/v1/customers" and query.startswith("state"):
            continue  # which customers have not
        assert sales.get(f"{path}?{query}").status_code == 400


def test_an_unchanged_subscription_whose_state_time_has_changed_is_sent_again(
    api: tuple[Admin, Store, Ticking], sales: httpx.Client
) -> None:
    """The entity tag is the same, and what it was is no longer so."""
    step(sales, "trial", trial_end=SOON)
    tag = {"if-none-match": str(made(sales.get(PATH), 200)["etag"])}
    assert sales.get(PATH, headers=tag).status_code == 304
    api[2].now += 20 * DAY
    assert made(sales.get(PATH, headers=tag), 200)["state"] == "ended"


def test_the_audit_log_names_each_step(sqlite_url: str) -> None:
    """Not only that something has changed."""
    store = Store.open(sqlite_url, clock=Ticking())
    put_in_force(store, CATALOG)
    with serving(store, [*ENDPOINTS, *audit.endpoints()]) as admin:
        client = admin.as_("admin")
        made(client.post("/v1/customers", json={"id": "acme"}))
        made(client.post("/v1/customers/acme/subscriptions", json=GOLD))
        for name, said in {"trial": {"trial_end": SOON}, "pause": {}, "resume": {}, "past-due": {}}.items():
            step(client, name, **said)
        for name in ("activate", "cancel", "end"):
            step(client, name)
        made(client.post(f"{PATH}/items", json={"item": "extra-movies"}))
        made(client.patch(f"{PATH}/items/extra-movies", json={"quantity": 2}), 200)
        made(client.put(f"{PATH}/items/gold/pin", json={"version": 1}), 200)
        made(client.delete(f"{PATH}/items/gold/pin"), 200)
        made(client.delete(f"{PATH}/items/extra-movies"), 200)
        entries = made(client.get("/v1/audit?kind=subscription&resource=s1"), 200)["items"]
        assert isinstance(entries, list)
        assert [one["action"].removeprefix("subscription.") for one in reversed(entries)] == [
            *("created", "trial_set", "paused", "resumed", "past_due", "activated", "canceled"),
            *("item_added", "item_changed", "pinned", "unpinned", "item_removed"),
        ]
    store.close()
