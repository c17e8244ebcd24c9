from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from tests.ids import OPAQUE, SPELLINGS
from tests.stored_lines import read_after
from tests.stores import put_in_force
from tests.unit.control.subjects import CATALOG, ENDPOINTS, made, served
from tiergate.admin import imports as admin_imports
from tiergate.control.api import imports
from tiergate.store import SYSTEM, Store
from tiergate.store.tables import AUDIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx
    import pytest

    from tests.admin import Admin
    from tests.unit.control.subjects import Ticking

HEAD = {"apiVersion": "tiergate/v1"}
NDJSON = {"content-type": "application/x-ndjson"}
OVERRIDE = {"feature": "storage", "value": 2.125, "author": "somebody", "reason": "a promise", "until": "2028-01-01"}


@contextmanager
def api(url: str) -> Iterator[tuple[Admin, Store, Ticking]]:
    """An API with the endpoints for all subjects."""
    with served(url, [*ENDPOINTS, *imports.endpoints()]) as found:
        yield found


def lines(*entries: dict[str, object]) -> bytes:
    """A file of lines."""
    return b"".join(json.dumps(entry).encode() + b"\n" for entry in (HEAD, *entries))


def customer(id_: str, **more: object) -> dict[str, object]:
    """The line of a customer."""
    return {"type": "customer", "id": id_, **more}


def subscription(id_: str, of: str, **more: object) -> dict[str, object]:
    """The line of a subscription to `gold`."""
    return {"type": "subscription", "id": id_, "customer": of, "status": "active", "items": [{"item": "gold"}], **more}


FILE = lines(
    subscription("s2", "beta", suspensions=[{"feature": "movies"}]),
    customer("beta"),
    customer("acme", tags=["eu", "vip"], attributes={"name": "Ácme"}, overrides=[OVERRIDE]),
    subscription("s1", "acme", overrides=[OVERRIDE], start="2027-01-01T00:00:00Z"),
)


def send(client: httpx.Client, content: bytes) -> httpx.Response:
    """Import a file."""
    return client.post("/v1/import/subjects", content=content, headers=NDJSON)


def test_what_was_exported_is_imported_elsewhere_as_it_was(store_url: str, tmp_path: Path) -> None:
    """Line by line the same, and said to sidecars; on both databases."""
    with api(store_url) as (admin, store, _):
        client = admin.as_("admin")
        assert made(send(client, FILE), 200) == {"customers": 2, "subscriptions": 2, "changed": 4}
        exported = client.get("/v1/export/subjects")
        assert exported.headers["content-type"] == "application/x-ndjson"
        entries = store.read(lambda unit: read_after(unit.session, 1, 10))
        assert [entry.customer for entry in entries] == ["acme", "beta"]
        assert made(client.get("/v1/customers/acme"), 200)["overrides"] == [
            {"id": "storage-1", **OVERRIDE, "until": "2028-01-01T00:00:00Z"}
        ]
    other = f"sqlite:///{tmp_path / 'other.sqlite'}"
    Store.open(other, migrating=True).close()
    with api(other) as (admin, _, _):
        client = admin.as_("admin")
        made(send(client, exported.content), 200)
        assert client.get("/v1/export/subjects").content == exported.content


def test_what_is_the_same_is_not_written_again(sqlite_url: str) -> None:
    """Sending a file again changes nothing; with one line different, that."""
    with api(sqlite_url) as (admin, store, _):
        client = admin.as_("admin")
        made(send(client, FILE), 200)
        position = store.read(lambda unit: unit.head().position)
        assert made(send(client, FILE), 200)["changed"] == 0
        assert store.read(lambda unit: unit.head().position) == position
        assert made(send(client, FILE.replace(b'"vip"', b'"top"')), 200)["changed"] == 1
        found = made(client.get("/v1/customers/acme"), 200)
        assert (found["tags"], found["etag"]) == (["eu", "top"], '"2"')
        assert store.read(lambda unit: unit.head().position) == position + 1


def test_what_a_file_does_not_name_stays(store_url: str) -> None:
    """Neither other customers nor other subscriptions go, nor what people own of those that are named."""
    with api(store_url) as (admin, _, _):
        client = admin.as_("admin")
        made(send(client, FILE), 200)
        made(client.put("/v1/subscriptions/s1/items/gold/pin", json={"version": 2}), 200)
        before = [made(client.get(f"/v1/{path}"), 200) for path in ("customers/acme", "subscriptions/s1")]
        again = lines(customer("acme"), subscription("s3", "acme"), subscription("s1", "acme", start="2027-01-01"))
        assert made(send(client, again), 200)["changed"] == 1
        assert [made(client.get(f"/v1/{path}"), 200) for path in ("customers/acme", "subscriptions/s1")] == before
        emptied = lines(
            customer("acme", tags=[], attributes={}, overrides=[]), subscription("s1", "acme", overrides=[])
        )
        made(send(client, emptied), 200)
        acme, s1 = [made(client.get(f"/v1/{path}"), 200) for path in ("customers/acme", "subscriptions/s1")]
        assert not {"tags", "attributes", "overrides"} & acme.keys()
        assert "overrides" not in s1
        found = made(client.get("/v1/subscriptions"), 200)["items"]
        assert [one["id"] for one in found] == ["s1", "s2", "s3"]  # type: ignore[attr-defined]
        assert client.get("/v1/customers?tag=eu").json()["items"] == []


def test_a_file_with_a_mistake_changes_nothing(sqlite_url: str) -> None:
    """All problems are told, with their lines."""
    with api(sqlite_url) as (admin, store, _):
        content = FILE + lines(subscription("s1", "acme"), subscription("s9", "nobody"), customer(" a"))[len(lines()) :]
        answer = send(admin.as_("admin"), content)
        assert answer.status_code == 422
        assert [(one["file"], one["line"], one["code"]) for one in answer.json()["errors"]] == [
            ("body", 6, "duplicate-id"),
            ("body", 7, "unknown-customer"),
            ("body", 8, "bad-id"),
        ]
        assert store.read(lambda unit: unit.head().position) == 1


def test_a_subscription_is_not_taken_from_another_customer(sqlite_url: str) -> None:
    """An id is one subscription, whoever has it."""
    with api(sqlite_url) as (admin, _, _):
        client = admin.as_("admin")
        made(send(client, FILE), 200)
        answer = send(client, lines(customer("gamma"), subscription("s1", "gamma")))
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:tiergate:problem:already-exists")
        assert client.get("/v1/customers/gamma").status_code == 404


def test_totals_count_what_stands_beside_the_file(sqlite_url: str) -> None:
    """Each file by itself would be small enough."""
    with api(sqlite_url) as (admin, _, _):
        client = admin.as_("admin")
        huge = [{"item": "huge", "quantity": 30}]
        made(send(client, lines(customer("acme"), subscription("s1", "acme", items=huge))), 200)
        answer = send(client, lines(customer("acme"), subscription("s2", "acme", items=huge)))
        assert answer.json()["errors"][0]["code"] == "total-too-large"


def test_archived_features_take_no_new_overrides(sqlite_url: str) -> None:
    """An import is no way around that."""
    with api(sqlite_url) as (admin, _, _):
        override = {"feature": "legacy", "value": True, "reason": "a promise"}
        answer = send(admin.as_("admin"), lines(customer("acme", overrides=[override])))
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:tiergate:problem:feature-archived")


def test_only_an_admin_says_who_else_wrote_something(sqlite_url: str) -> None:
    """The overrides that others bring in are theirs, whatever the file says."""
    with api(sqlite_url) as (admin, _, _):
        made(send(admin.as_("sales-agent"), FILE), 200)
        found = admin.as_("admin").get("/v1/customers/acme").json()["overrides"]
        assert found[0]["author"] == "test/sales-agent"
        assert (
            admin.as_("customer-support").post("/v1/import/subjects", content=FILE, headers=NDJSON).status_code == 403
        )
        assert send(admin.as_("sales-agent", customers=["acme"]), FILE).status_code == 403


def test_a_large_file_is_written_in_parts(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of ids, a customer never in two parts, each change written down."""
    monkeypatch.setattr(admin_imports, "MAX_PART", 7)
    with api(store_url) as (admin, store, _):
        content = lines(
            *(subscription(f"s{number}", f"c{number % 20:02}") for number in range(60)),
            *(customer(f"c{number:02}") for number in range(20)),
        )
        client = admin.as_("admin")
        assert made(send(client, content), 200) == {"customers": 20, "subscriptions": 60, "changed": 80}
        entries = store.read(lambda unit: read_after(unit.session, 1, 100))
        assert [entry.customer for entry in entries] == [f"c{number:02}" for number in range(20)]
        count = select(func.count()).select_from(AUDIT)
        assert store.read(lambda unit: unit.session.connection().execute(count).scalar_one()) == 80
        exported = client.get("/v1/export/subjects").content.splitlines()
        assert len(exported) == 81
        store.change(lambda unit: unit.audit("nothing", "x", "y"), SYSTEM)  # the reader has let go of the database
        put_in_force(store, CATALOG)


def test_an_elder_line_is_passed_over(store_url: str) -> None:
    """By subject, whatever the order of the files; the same instant again does what it did; on both databases."""
    with api(store_url) as (admin, _, _):
        client = admin.as_("admin")

        def sent(at: str, status: str, tag: str) -> dict[str, object]:
            own = customer("acme", tags=[tag], as_of=at)
            return made(send(client, lines(own, subscription("s1", "acme", status=status, as_of=at))), 200)

        assert sent("2026-06-01", "active", "first") == {"customers": 1, "subscriptions": 1, "changed": 2}
        assert sent("2026-06-03", "expired", "third")["changed"] == 2
        assert sent("2026-06-02", "active", "second") == {
            "customers": 1,
            "subscriptions": 1,
            "changed": 0,
            "passed_over": 2,
        }
        acme, s1 = [made(client.get(f"/v1/{path}"), 200) for path in ("customers/acme", "subscriptions/s1")]
        assert (acme["tags"], s1["status"]) == (["third"], "expired")
        assert acme["as_of"] == s1["as_of"] == s1["people_as_of"] == "2026-06-03T00:00:00.000Z"
        assert sent("2026-06-03", "expired", "third") == {"customers": 1, "subscriptions": 1, "changed": 0}


def test_a_line_that_is_ahead_of_the_clock_is_refused(sqlite_url: str) -> None:
    """With its line: nothing later would ever be applied."""
    with api(sqlite_url) as (admin, _, _):
        answer = send(admin.as_("admin"), lines(customer("acme", as_of="2027-01-15T08:06:00Z")))
        assert [(one["line"], one["code"]) for one in answer.json()["errors"]] == [(2, "as-of-ahead")]


def test_what_was_impossible_before_is_imported_again(sqlite_url: str) -> None:
    """A catalog that changed under a subscription stops no nightly import; what is made worse is told with its line."""
    with api(sqlite_url) as (admin, store, _):
        client = admin.as_("admin")
        extra = [{"item": "gold"}, {"item": "extra-movies"}]
        made(send(client, lines(customer("acme"), subscription("s1", "acme", items=extra))), 200)
        changed = CATALOG.replace("available_for: [gold]", "available_for: [silver]")
        put_in_force(store, changed)
        again = lines(customer("acme"), subscription("s1", "acme", items=extra, status="past_due"))
        assert made(send(client, again), 200)["changed"] == 1
        worse = subscription("s1", "acme", items=[*extra, {"item": "silver"}])
        answer = send(client, lines(customer("acme"), worse, subscription("s2", "acme", items=extra)))
        found = [(one["line"], one["code"]) for one in answer.json()["errors"]]
        assert (3, "excluded") in found
        assert (4, "not-available") in found
        assert (3, "not-available") not in found


def test_ids_of_other_systems_are_imported_and_exported(store_url: str) -> None:
    """As they were, in the order of code points, on both databases; another spelling is the same customer."""
    entries = [entry for id_ in OPAQUE for entry in (subscription(id_, id_), customer(id_))]
    with api(store_url) as (admin, _, _):
        client = admin.as_("admin")
        assert made(send(client, lines(*entries)), 200)["customers"] == len(OPAQUE)
        spelled = lines(*(customer(spelling, tags=["eu"]) for _, spelling in SPELLINGS))
        assert send(client, spelled).status_code == 200
        exported = [json.loads(line) for line in client.get("/v1/export/subjects").text.splitlines()]
        found = [entry["id"] for entry in exported if entry.get("type") == "customer"]
        assert found == sorted({*OPAQUE, *(id_ for id_, _ in SPELLINGS)})
        assert {entry["id"] for entry in exported if entry.get("type") == "subscription"} == set(OPAQUE)
        again = client.get("/v1/export/subjects").content
        assert made(send(client, again), 200)["changed"] == 0
