from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from tests.unit.control.accountability import accountable, publish_roles
from tiergate.cedar import builtin_text
from tiergate.store.tables import IDEMPOTENCY

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.unit.control.accountability import Accountable

NEW = {"name": "ci", "roles": ["publisher"]}
OPS = '@id("ops") permit (principal in Role::"ops", action in [Action::"manageKeys", Action::"view"], resource);'


class Clock:
    """A clock that stands until it is put."""

    now = 1_800_000_000_000  # 2027-01-15T08:00:00Z

    def __call__(self) -> int:
        """Say the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


@pytest.fixture
def api(sqlite_url: str, clock: Clock) -> Iterator[Accountable]:
    """Give the API."""
    with accountable(sqlite_url, clock) as served:
        yield served


def errors(answer: httpx.Response) -> list[tuple[str, str]]:
    """What is wrong, and where."""
    assert answer.status_code == 422, answer.text
    return [(error["pointer"], error["code"]) for error in answer.json()["errors"]]


def test_a_key_is_shown_once(api: Accountable) -> None:
    """When it is made; afterwards all about it but the secret."""
    admin = api.with_key("admin")
    made = admin.post("/v1/keys", json=NEW | {"customers": ["acme"], "expires_at": "2027-02-01T00:00:00Z"})
    assert made.status_code == 201
    said = made.json()
    text = said.pop("key")
    assert admin.get(made.headers["location"]).json() == said
    assert said in admin.get("/v1/keys").json()["items"]
    assert (said["roles"], said["customers"], said["expires_at"]) == (
        ["publisher"],
        ["acme"],
        "2027-02-01T00:00:00.000Z",
    )
    assert api.admin.bearing(text).get("/v1/whoami").json()["id"] == f"key/{said['id']}"


def test_a_key_works_until_it_is_revoked(api: Accountable) -> None:
    """At once, and for ever."""
    admin = api.with_key("admin")
    made = admin.post("/v1/keys", json=NEW)
    client = api.admin.bearing(made.json()["key"])
    assert client.get("/v1/whoami").status_code == 200
    revoked = admin.delete(made.headers["location"])
    assert revoked.json()["revoked_at"] == "2027-01-15T08:00:00.000Z"
    assert client.get("/v1/whoami").status_code == 401
    assert admin.delete(made.headers["location"]).json() == revoked.json()
    assert admin.delete("/v1/keys/nothing").status_code == 404
    assert admin.get("/v1/keys/nothing").status_code == 404


def test_a_key_works_until_it_expires(api: Accountable, clock: Clock) -> None:
    """Up to its instant."""
    made = api.with_key("admin").post("/v1/keys", json=NEW | {"expires_at": "2027-01-15T08:00:01Z"})
    client = api.admin.bearing(made.json()["key"])
    clock.now += 999
    assert client.get("/v1/whoami").status_code == 200
    clock.now += 1
    assert client.get("/v1/whoami").status_code == 401


def test_a_request_sent_again_makes_no_second_key_and_tells_no_secret(api: Accountable) -> None:
    """What is kept of the answer has no secret either."""
    admin = api.with_key("admin")
    first = admin.post("/v1/keys", json=NEW, headers={"idempotency-key": "k"})
    again = admin.post("/v1/keys", json=NEW, headers={"idempotency-key": "k"})
    assert again.json() == {name: value for name, value in first.json().items() if name != "key"}
    with api.store.database.reading() as session:
        rows = session.connection().execute(select(IDEMPOTENCY)).all()
    assert len(rows) == 1
    assert first.json()["key"] not in repr(rows)


def test_keys_are_listed_by_pages(api: Accountable) -> None:
    """Each once."""
    admin = api.with_key("admin")
    made = {admin.post("/v1/keys", json=NEW).json()["id"] for _ in range(4)}
    seen: list[str] = []
    cursor = None
    while True:
        page = admin.get("/v1/keys", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [key["id"] for key in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 5
    assert made <= set(seen)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": ""}, [("/name", "wrong-value")]),
        ({"name": "a\nb"}, [("/name", "wrong-value")]),
        ({"roles": []}, [("/roles", "wrong-value")]),
        ({"roles": ["publisher", "amdin"]}, [("/roles/1", "unknown-role")]),
        ({"actions": ["veiw"]}, [("/actions/0", "unknown-action")]),
        ({"customers": ["a\tb"]}, [("/customers/0", "bad-id")]),
        ({"expires_at": "2027-01-15T08:00:00Z"}, [("/expires_at", "wrong-value")]),
        ({"expires_at": "soon"}, [("/expires_at", "wrong-value")]),
        ({"expires": "soon"}, [("", "wrong-value")]),
        ({"name": " ", "roles": ["x"]}, [("/name", "wrong-value"), ("/roles/0", "unknown-role")]),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(
    api: Accountable, change: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """With all that is wrong."""
    assert errors(api.with_key("admin").post("/v1/keys", json=NEW | change)) == expected


def test_what_is_done_to_keys_is_written_down(api: Accountable) -> None:
    """Who made and who revoked them."""
    admin = api.with_key("admin")
    me = admin.get("/v1/whoami").json()["id"]
    made = admin.post("/v1/keys", json=NEW, headers={"tiergate-reason": "for the pipeline", "x-request-id": "r1"})
    admin.delete(made.headers["location"])
    revoked, created = admin.get("/v1/audit", params={"actor": me}).json()["items"]
    assert (created["action"], created["reason"], created["request_id"]) == ("key.created", "for the pipeline", "r1")
    assert created["after"]["roles"] == ["publisher"]
    assert (revoked["action"], revoked["resource"]) == ("key.revoked", made.json()["id"])


def test_nobody_makes_a_key_that_may_do_more_than_they_may(api: Accountable) -> None:
    """Whoever manages keys, and no more, gives the roles that they have."""
    publish_roles(api.store, builtin_text("roles") + OPS)
    ops = api.with_key("ops", "analyst")
    assert ops.post("/v1/keys", json={"name": "k", "roles": ["analyst"]}).status_code == 201
    assert errors(ops.post("/v1/keys", json={"name": "k", "roles": ["analyst", "admin"]})) == [
        ("/roles/1", "beyond-own")
    ]
    assert errors(ops.post("/v1/keys", json={"name": "k", "roles": ["sidecar"]})) == [("/roles/0", "beyond-own")]


def test_a_narrowed_key_makes_keys_as_narrow(api: Accountable) -> None:
    """Of what it is narrowed to, or less."""
    admin = api.with_key("admin", actions=["manageKeys", "view"])
    asked = {"name": "k", "roles": ["analyst"]}
    assert errors(admin.post("/v1/keys", json=asked))[-1] == ("/actions", "beyond-own")
    refused = errors(admin.post("/v1/keys", json={"name": "k", "roles": ["admin"], "actions": ["editRoles"]}))
    assert ("/actions", "beyond-own") in refused
    own = api.with_key("admin", "analyst", actions=["manageKeys", "view"])
    assert own.post("/v1/keys", json=asked | {"actions": ["view"]}).status_code == 201


def test_a_key_for_customers_makes_none(api: Accountable) -> None:
    """Keys are the store's."""
    assert api.with_key("admin", customers=["acme"]).post("/v1/keys", json=NEW).status_code == 403


def test_the_last_admins_key_does_not_revoke_itself(api: Accountable) -> None:
    """Nobody could make another one; with another admin's key it may go, and others may always be revoked."""
    admin = api.with_key("admin")
    own = "/v1/keys/" + admin.get("/v1/whoami").json()["id"].removeprefix("key/")
    narrowed = admin.post("/v1/keys", json={"name": "n", "roles": ["admin"], "actions": ["view"]})
    gone = admin.post("/v1/keys", json={"name": "g", "roles": ["admin"]})
    assert admin.delete(gone.headers["location"]).status_code == 200
    kept = admin.delete(own)
    assert (kept.status_code, kept.json()["type"]) == (409, "urn:tiergate:problem:last-admin-key")
    assert admin.get(own).json().get("revoked_at") is None
    assert admin.delete(narrowed.headers["location"]).status_code == 200
    admin.post("/v1/keys", json={"name": "other", "roles": ["admin"]})
    assert admin.delete(own).status_code == 200


def test_the_log_names_keys(api: Accountable) -> None:
    """Beside their ids, which people do not know by heart; also of revoked ones."""
    admin = api.with_key("admin")
    made = admin.post("/v1/keys", json={"name": "CRM", "roles": ["admin"]}).json()
    other = api.admin.bearing(made["key"])
    other.post("/v1/keys", json=NEW)
    admin.delete(f"/v1/keys/{made['id']}")
    (entry,) = admin.get("/v1/audit", params={"actor": f"key/{made['id']}"}).json()["items"]
    assert (entry["actor"], entry["actor_name"]) == (f"key/{made['id']}", "CRM")
