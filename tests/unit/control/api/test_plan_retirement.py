"""Retiring a plan: archived, and its holders moved, with what it takes shown and accepted before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.control.subjects import ENDPOINTS, NOW, codes, made, served
from tiergate.control.api import items
from tiergate.model import format_instant

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin
    from tests.unit.control.subjects import Ticking
    from tiergate.store import Store

PATH = "/v1/items/gold/retire"
LATER = format_instant(NOW + 30 * 86_400_000)


@pytest.fixture
def world(store_url: str) -> Iterator[tuple[Admin, Store, Ticking]]:
    """An API with three customers who hold gold, on either database."""
    with served(store_url, [*ENDPOINTS, *items.endpoints()]) as (admin, store, clock):
        client = admin.as_("admin")
        for id_ in ("gold", "silver"):
            made(client.post("/v1/items", json={"id": id_, "kind": "plan"}))
        made(client.post("/v1/items", json={"id": "extra-movies", "kind": "addon"}))
        for number in range(3):
            hold(client, f"c{number}", {"item": "gold", "quantity": number + 1})
        yield admin, store, clock


@pytest.fixture
def admin(world: tuple[Admin, Store, Ticking]) -> httpx.Client:
    """A client that may do everything."""
    return world[0].as_("admin")


def hold(client: httpx.Client, customer: str, *held: dict[str, Any]) -> None:
    """Add a customer with a subscription."""
    made(client.post("/v1/customers", json={"id": customer}))
    body = {"id": f"s-{customer}", "status": "active", "items": list(held)}
    made(client.post(f"/v1/customers/{customer}/subscriptions", json=body))


def held(client: httpx.Client, customer: str) -> list[tuple[str, int, str | None, str | None]]:
    """What a customer's subscription holds: item, quantity, from, until."""
    found = client.get(f"/v1/subscriptions/s-{customer}").json()["items"]
    return [(one["item"], one.get("quantity", 1), one.get("from"), one.get("until")) for one in found]


def test_a_dry_run_shows_who_loses_what_and_moves_nobody(admin: httpx.Client) -> None:
    """With the token of exactly that."""
    shown = made(admin.post(PATH, json={"to": "silver", "dry_run": True}), 200)
    assert (shown["subscriptions"], shown["moved"], shown["left_count"]) == (3, 0, 0)
    impact: Any = shown["impact"]
    assert impact["customers"]["take"] == 3
    assert {one["feature"] for one in impact["features"]} == {"analytics", "movies", "storage", "support"}
    assert str(shown["accept_loss"]).startswith("loss-3-")
    assert held(admin, "c1") == [("gold", 2, None, None)]
    assert admin.get("/v1/items/gold").json().get("status") in {None, "active"}


def test_holders_are_moved_once_the_loss_is_accepted(admin: httpx.Client) -> None:
    """At once, quantities kept; the plan is archived; doing it again moves nobody."""
    refused = admin.post(PATH, json={"to": "silver"})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:tiergate:problem:customers-would-lose")
    token = refused.json()["accept_loss"]
    done = made(admin.post(PATH, json={"to": "silver", "accept_loss": token}), 200)
    assert (done["moved"], done["left"]) == (3, [])
    assert [held(admin, f"c{number}") for number in range(3)] == [[("silver", n, None, None)] for n in (1, 2, 3)]
    assert admin.get("/v1/items/gold").json()["status"] == "archived"
    again = made(admin.post(PATH, json={"to": "silver"}), 200)
    assert (again["subscriptions"], again["moved"]) == (0, 0)
    made(admin.post("/v1/customers", json={"id": "new"}))
    body = {"id": "n", "status": "active", "items": [{"item": "gold"}]}
    assert admin.post("/v1/customers/new/subscriptions", json=body).status_code == 409


def test_the_move_can_be_at_an_instant_to_come(admin: httpx.Client) -> None:
    """Until then the plan stands, and from then on the other one, without a gap."""
    token = admin.post(PATH, json={"to": "silver", "at": LATER}).json()["accept_loss"]
    made(admin.post(PATH, json={"to": "silver", "at": LATER, "accept_loss": token}), 200)
    instant = LATER.removesuffix("Z").removesuffix(".000") + "Z"
    assert held(admin, "c0") == [("gold", 1, None, instant), ("silver", 1, instant, None)]


def test_another_loss_needs_another_token(admin: httpx.Client) -> None:
    """A holder who came after the dry run was not shown."""
    token = made(admin.post(PATH, json={"to": "silver", "dry_run": True}), 200)["accept_loss"]
    hold(admin, "late", {"item": "gold"})
    refused = admin.post(PATH, json={"to": "silver", "accept_loss": token})
    assert refused.status_code == 409
    assert refused.json()["accept_loss"] != token
    assert held(admin, "late") == [("gold", 1, None, None)]


def test_who_cannot_have_the_other_plan_keeps_the_one_before(admin: httpx.Client) -> None:
    """An add-on that needs the plan stands in the way; the answer names it. What has ended stays as it was."""
    hold(admin, "addon", {"item": "gold"}, {"item": "extra-movies"})
    hold(admin, "over", {"item": "gold"})
    made(admin.post("/v1/subscriptions/s-over/end", json={}), 200)
    token = admin.post(PATH, json={"to": "silver"}).json()["accept_loss"]
    done: Any = made(admin.post(PATH, json={"to": "silver", "accept_loss": token}), 200)
    assert (done["moved"], done["left_count"]) == (3, 1)
    assert (done["left"][0]["subscription"], "extra-movies" in done["left"][0]["detail"]) == ("s-addon", True)
    assert held(admin, "over") == [("gold", 1, None, None)]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"to": "gold"}, ("/to", "not-a-plan")),
        ({"to": "slver"}, ("/to", "unknown-item")),
        ({"to": "acme-only"}, ("/to", "unknown-item")),
        ({"to": "extra-movies"}, ("/to", "not-a-plan")),
        ({"to": "silver", "at": "soon"}, ("/at", "bad-instant")),
        ({"to": "silver", "accept_loss": True}, ("/accept_loss", "wrong-value")),
    ],
)
def test_a_move_that_cannot_be_is_refused(admin: httpx.Client, body: dict[str, Any], problem: tuple[str, str]) -> None:
    """Before anybody is asked about."""
    assert codes(admin.post(PATH, json=body)) == [problem]


def test_retiring_is_for_those_who_may_edit_items_and_entitlements_of_all(world: tuple[Admin, Store, Ticking]) -> None:
    """Sales may not, nor a key for some customers."""
    for client in (world[0].as_("sales-agent"), world[0].as_("admin", customers=["c1"])):
        assert client.post(PATH, json={"to": "silver", "dry_run": True}).status_code == 403


def test_every_move_is_written_down(admin: httpx.Client, world: tuple[Admin, Store, Ticking]) -> None:
    """The plan once, and each subscription."""
    token = admin.post(PATH, json={"to": "silver"}).json()["accept_loss"]
    made(admin.post(PATH, json={"to": "silver", "accept_loss": token}), 200)
    from sqlalchemy import text  # noqa: PLC0415

    def actions(unit: Any) -> list[str]:  # noqa: ANN401
        return list(unit.session.connection().execute(text("SELECT action FROM audit ORDER BY id")).scalars())

    found = world[1].read(actions)
    assert found.count("item.retired") == 1
    assert found.count("subscription.plan_changed") == 3
