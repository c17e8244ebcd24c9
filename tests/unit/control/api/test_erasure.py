from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import text

from tests.stored_lines import read_after
from tests.unit.control.subjects import ENDPOINTS, NOW, made, served
from tiergate.control.api import entitlements, erasure, imports
from tiergate.feed.hash_chain import chain_start, extend_chain
from tiergate.model import format_instant
from tiergate.store import SYSTEM
from tiergate.store.snapshots import put_snapshot, snapshots

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.admin import Admin
    from tests.unit.control.subjects import Ticking
    from tiergate.store import Store, WriteUnit

PERSON = "Marie Skłodowska-Curie"
ACME = {
    "id": "acme",
    "tags": ["eu"],
    "attributes": {"name": PERSON},
    "overrides": [{"id": "o1", "feature": "movies", "value": 7, "reason": f"for {PERSON}"}],
}


@contextmanager
def api(url: str) -> Iterator[tuple[Admin, Store, Ticking]]:
    """An API in which a person left traces: as a customer, and as an author."""
    with served(url, [*ENDPOINTS, *erasure.endpoints(), *entitlements.endpoints()]) as (admin, store, clock):
        client = admin.as_("admin")
        headers = {"idempotency-key": "k", "tiergate-reason": "asked%20by%20Marie%20Sk%C5%82odowska-Curie"}
        made(client.post("/v1/customers", json=ACME, headers=headers))
        body = {"id": "s1", "status": "active", "items": [{"item": "gold"}]}
        body["suspensions"] = [{"feature": "support", "reason": PERSON}]
        made(client.post("/v1/customers/acme/subscriptions", json=body))
        made(client.post("/v1/customers", json={"id": "beta", "attributes": {"name": "Pierre"}}))
        clock.now += 1000
        yield admin, store, clock


def everything(store: Store) -> str:
    """All that the database holds, as text."""

    def work(unit: WriteUnit) -> str:
        connection = unit.session.connection()
        tables = ["customer", "subject_record", "feed", "audit", "idempotency", "override", "suspension", "blob"]
        tables += ["publication", "delivery", "subscription", "customer_tag"]
        found = [row for table in tables for row in connection.execute(text(f'SELECT * FROM "{table}"'))]
        return "\n".join(
            str([bytes(cell).decode(errors="replace") if isinstance(cell, bytes) else cell for cell in row])
            for row in found
        )

    return store.change(work, SYSTEM)


def test_nothing_of_a_person_is_left(store_url: str) -> None:
    """Not in the tables, the feed, the log, or the answers that are kept; what it was that they had, is."""
    with api(store_url) as (admin, store, clock):
        assert PERSON in everything(store)
        answer = made(admin.as_("admin").post("/v1/customers/acme/erase"), 200)
        assert answer == {"customer": "acme", "lines": 2, "entries": 2, "snapshots": 0}
        assert PERSON not in everything(store)
        client = admin.as_("analyst")
        found = client.get("/v1/customers/acme").json()
        assert (found["tags"], found["overrides"][0]["value"]) == (["eu"], 7)
        assert found["erased_at"] == format_instant(clock.now)
        past = client.get("/v1/customers/acme/entitlements", params={"at": format_instant(NOW)}).json()
        (movies,) = [one for one in past["entitlements"] if one["feature"] == "movies"]
        assert movies["entitlement"]["value"] == 7
        assert client.get("/v1/customers/beta").json()["attributes"] == {"name": "Pierre"}


def test_whoever_follows_goes_on_and_whoever_is_behind_starts_anew(store_url: str) -> None:
    """The floor rises to the last line that was rewritten; from there on every line is as it was published."""
    with api(store_url) as (admin, store, _):
        before = store.read(lambda unit: unit.head())
        made(admin.as_("admin").post("/v1/customers/acme/erase"), 200)
        head = store.read(lambda unit: unit.head())
        entries = store.read(lambda unit: read_after(unit.session, 0, 100))
        rewritten = [entry.position for entry in entries if hashlib.sha256(entry.line).hexdigest() != entry.digest]
        assert (rewritten, head.floor) == ([2, 3], 3)
        assert head.position == before.position + 1
        chain = chain_start(store.id)
        for entry in entries:
            chain = extend_chain(chain, entry.digest)
        assert chain == head.chain
        (own,) = entries[before.position :]
        assert json.loads(own.line)["record"][0][:3] == ["acme", ["eu"], {}]


def test_snapshots_that_hold_the_data_are_removed(sqlite_url: str) -> None:
    """They are immutable, so they go as wholes; the next one is made of what is left."""
    with api(sqlite_url) as (admin, store, _):

        def offer(unit: WriteUnit) -> None:
            unit.put_blob("p" * 64, PERSON.encode())
            unit.put_blob("m" * 64, json.dumps({"pages": [{"sha256": "p" * 64}]}).encode())
            put_snapshot(unit, unit.head().position, "m" * 64)

        store.change(offer, SYSTEM)
        assert made(admin.as_("admin").post("/v1/customers/acme/erase"), 200)["snapshots"] == 1
        assert store.read(lambda unit: snapshots(unit.session)) == []
        assert PERSON not in everything(store)


def test_the_erasure_is_written_down(sqlite_url: str) -> None:
    """Who did it and why; entries that were rewritten say so, and stay."""
    with api(sqlite_url) as (admin, store, _):
        headers = {"tiergate-reason": "request 17"}
        made(admin.as_("admin").post("/v1/customers/acme/erase", json={"tags": True}, headers=headers), 200)
        query = text("SELECT action, redacted, reason FROM audit WHERE customer = 'acme' ORDER BY id")
        rows = store.read(lambda unit: unit.session.connection().execute(query).all())
        assert [(row.action, bool(row.redacted), row.reason) for row in rows] == [
            ("customer.created", True, ""),
            ("subscription.created", True, ""),
            ("customer.erased", False, "request 17"),
        ]
        assert "tags" not in admin.as_("admin").get("/v1/customers/acme").json()


def test_a_customer_who_is_gone_already_is_erased_too(sqlite_url: str) -> None:
    """History remembers whom the tables have forgotten."""
    with api(sqlite_url) as (admin, store, _):
        client = admin.as_("admin")
        assert client.delete("/v1/subscriptions/s1").status_code == 204
        assert client.delete("/v1/customers/acme").status_code == 204
        made(client.post("/v1/customers/acme/erase"), 200)
        assert PERSON not in everything(store)
        assert client.post("/v1/customers/nobody/erase").status_code == 404


def test_an_author_is_forgotten_everywhere(store_url: str) -> None:
    """In overrides and in the log, before and after; that it was one and the same person stays visible."""
    with api(store_url) as (admin, store, _):
        body = {"id": "o2", "feature": "movies", "value": 8, "reason": "a promise"}
        name = made(admin.as_("sales-agent").post("/v1/customers/acme/overrides", json=body))
        assert name["author"] == "test/sales-agent"
        found = made(admin.as_("admin").post("/v1/authors/erase", json={"author": "test/sales-agent"}), 200)
        assert "test/sales-agent" not in everything(store).replace("caller", "")
        overrides = admin.as_("admin").get("/v1/customers/acme").json()["overrides"]
        assert [one["author"] for one in overrides] == ["test/admin", found["author"]]
        assert admin.as_("admin").post("/v1/authors/erase", json={"author": "nobody"}).status_code == 404


def test_an_author_is_found_by_any_spelling_of_its_name(sqlite_url: str) -> None:
    """As it was imported, the name is in the normal form C."""
    override = {"feature": "movies", "value": 8, "author": "Ju\u0308rgen", "reason": "a promise"}
    lines = [{"apiVersion": "tiergate/v1"}, {"type": "customer", "id": "acme", "overrides": [override]}]
    content = "".join(json.dumps(line) + "\n" for line in lines)
    with served(sqlite_url, [*ENDPOINTS, *erasure.endpoints(), *imports.endpoints()]) as (admin, _, _):
        client = admin.as_("admin")
        headers = {"content-type": "application/x-ndjson"}
        made(client.post("/v1/import/subjects", content=content, headers=headers), 200)
        made(client.post("/v1/authors/erase", json={"author": "Ju\u0308rgen"}), 200)
        (found,) = client.get("/v1/customers/acme").json()["overrides"]
        assert found["author"].startswith("erased-")


def test_erasing_is_for_admins(sqlite_url: str) -> None:
    """Nothing brings the data back."""
    with api(sqlite_url) as (admin, _, _):
        for role in ("sales-manager", "customer-support", "publisher", "sidecar"):
            assert admin.as_(role).post("/v1/customers/acme/erase").status_code == 403
            assert admin.as_(role).post("/v1/authors/erase", json={"author": "x"}).status_code == 403
        narrow = admin.as_("admin", customers=["acme"])
        assert narrow.post("/v1/authors/erase", json={"author": "test/admin"}).status_code == 403
