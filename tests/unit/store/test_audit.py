from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tiergate.store import Author, Store
from tiergate.store.audit import AuditEntry, AuditQuery, export_audit, search_audit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.store import WriteUnit

NOW = 1_800_000_000_000
ANN, BOB = Author("okta/ann", "person"), Author("key/b", "key")


class Clock:
    """A clock that goes on by a second with every question."""

    now = NOW

    def __call__(self) -> int:
        """Say the time."""
        self.now += 1000
        return self.now


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """Give a store on either database."""
    with contextlib.closing(Store.open(store_url, clock=Clock())) as opened:
        yield opened


def done(
    store: Store, actor: Author, action: str, resource: str, *, customer: str | None = None, reason: str = ""
) -> None:
    """Do something that is written down."""

    def work(unit: WriteUnit) -> None:
        unit.audit(
            action, "thing", resource, before={"a": 1}, after={"by": actor.id, "is": "100%_Done\\"}, customer=customer
        )

    store.change(work, actor, request_id=f"r-{resource}", reason=reason)


@pytest.fixture
def filled(store: Store) -> Store:
    """Give a store in which four things were done."""
    done(store, ANN, "thing.made", "one", customer="acme", reason="Because of Müller")
    done(store, BOB, "thing.made", "two", customer="other")
    done(store, ANN, "thing.changed", "one", customer="acme")
    done(store, BOB, "thing.removed", "three")
    return store


def found(store: Store, before: int | None = None, limit: int = 100, **wanted: Any) -> list[str]:  # noqa: ANN401 - of several types
    """What a search finds."""
    query = AuditQuery(**wanted)
    return [f"{it.action} {it.resource}" for it in store.read(lambda unit: search_audit(unit, query, before, limit))]


def exported(store: Store, after: int = 0) -> list[AuditEntry]:
    """The whole log."""
    return [*export_audit(store, AuditQuery(), after)]


def test_an_entry_says_all_of_a_change(filled: Store) -> None:
    """Who, what, before, after, why, and in which request."""
    entry = exported(filled)[0]
    assert (entry.actor, entry.actor_kind, entry.action, entry.kind) == ("okta/ann", "person", "thing.made", "thing")
    assert (entry.resource, entry.customer, entry.reason) == ("one", "acme", "Because of Müller")
    assert (bytes(entry.before or b""), bytes(entry.after or b"")) == (
        b'{"a":1}',
        b'{"by":"okta/ann","is":"100%_Done\\\\"}',
    )
    assert (entry.request_id, entry.redacted) == ("r-one", False)
    assert entry.at > NOW


SEARCHES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["thing.removed three", "thing.changed one", "thing.made two", "thing.made one"]),
    ({"actor": "okta/ann"}, ["thing.changed one", "thing.made one"]),
    ({"action": "thing.made"}, ["thing.made two", "thing.made one"]),
    ({"actor": "okta/ann", "action": "thing.made"}, ["thing.made one"]),
    ({"kind": "thing", "resource": "one"}, ["thing.changed one", "thing.made one"]),
    ({"customer": "other"}, ["thing.made two"]),
    ({"request_id": "r-three"}, ["thing.removed three"]),
    ({"text": "because of m"}, ["thing.made one"]),
    ({"text": "OF M\u00dcL"}, ["thing.made one"]),
    ({"text": "m\u00fcller"}, ["thing.made one"]),
    ({"text": "mu\u0308ller"}, ["thing.made one"]),
    ({"text": "m\u00f6ller"}, []),
    ({"text": "muller"}, ["thing.made one"]),
    ({"text": "\uff2d\xfcller"}, ["thing.made one"]),
    ({"text": " because   of "}, ["thing.made one"]),
    ({"text": "m\xfcll\xe9r"}, ["thing.made one"]),
    ({"text": "okt\u00e0/\u00e4nn"}, ["thing.changed one", "thing.made one"]),
    ({"text": "_Done\\"}, ["thing.removed three", "thing.changed one", "thing.made two", "thing.made one"]),
    ({"text": '"is":"100'}, ["thing.removed three", "thing.changed one", "thing.made two", "thing.made one"]),
    ({"action": "thing.changed,thing.removed"}, ["thing.removed three", "thing.changed one"]),
    ({"text": "okta/ann"}, ["thing.changed one", "thing.made one"]),
    ({"text": "100%_d"}, ["thing.removed three", "thing.changed one", "thing.made two", "thing.made one"]),
    ({"text": "1%d"}, []),
    ({"text": "100__D"}, []),
    ({"text": "' OR 1=1 --"}, []),
    ({"actor": "' OR 1=1 --"}, []),
    ({"actor": "OKTA/ANN"}, []),
]


def test_entries_are_found_by_what_they_say(filled: Store) -> None:
    """The newest first; what is wanted is taken by the letter, and is no pattern."""
    for wanted, expected in SEARCHES:
        assert found(filled, **wanted) == expected


def test_entries_are_found_by_when_they_were(filled: Store) -> None:
    """From an instant on, up to another, excluded."""
    times = [entry.at for entry in exported(filled)]
    assert found(filled, since=times[1], until=times[3]) == ["thing.changed one", "thing.made two"]


def test_entries_come_by_pages(filled: Store) -> None:
    """Each once."""
    ids = [entry.id for entry in exported(filled)][::-1]
    assert found(filled, limit=3) + found(filled, before=ids[2], limit=3) == found(filled)


def test_an_export_goes_on_where_another_ended(filled: Store) -> None:
    """And ends where the log ends."""
    ids = [entry.id for entry in exported(filled)]
    assert [entry.id for entry in exported(filled, ids[1])] == ids[2:]
    assert exported(filled, ids[-1]) == []


def test_an_export_leaves_out_nothing_that_is_being_written(postgres_url: str) -> None:
    """An entry whose id was given before, but which is committed after others, is waited for."""
    store = Store.open(postgres_url, clock=Clock())
    insert = "INSERT INTO audit (at, actor, actor_kind, action, kind, resource, reason, request_id, redacted)"
    values = " VALUES (1, 'a', 'key', 'slow', 'k', 'r', '', '', false)"
    ids: list[int] = []
    with contextlib.closing(store), store.database.writing() as slow:
        slow.connection().execute(text(insert + values))
        done(store, BOB, "quick", "r")
        thread = threading.Thread(target=lambda: ids.extend(entry.id for entry in exported(store)))
        thread.start()
        with store.database.reading() as session:
            waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'audit'::regclass")
            while thread.is_alive() and not session.connection().execute(waiting).scalar_one():
                time.sleep(0.005)
        slow.commit()
        thread.join()
    assert len(ids) == 2


FORBIDDEN = [
    "DELETE FROM audit",
    "DELETE FROM audit WHERE resource = 'three'",
    "UPDATE audit SET actor = 'somebody'",
    "UPDATE audit SET reason = ''",
    "UPDATE audit SET after = NULL WHERE resource = 'three'",
    "UPDATE audit SET redacted = true, action = 'x'",
    "UPDATE audit SET redacted = true, at = 1",
    "UPDATE audit SET redacted = true, id = id + 100",
]


def test_what_is_written_down_stays(filled: Store) -> None:
    """The database itself refuses to change or delete an entry."""
    before = exported(filled)
    for statement in FORBIDDEN:
        with filled.database.writing() as session, pytest.raises(DBAPIError, match="only ever added to"):
            session.connection().execute(text(statement))
    assert exported(filled) == before


def test_a_table_of_entries_cannot_be_emptied(postgres_url: str) -> None:
    """Nor by another way than one by one."""
    with (
        contextlib.closing(Store.open(postgres_url)) as store,
        store.database.writing() as session,
        pytest.raises(DBAPIError, match="only ever added to"),
    ):
        session.connection().execute(text("TRUNCATE audit"))


def test_a_redacted_entry_stays_so(filled: Store) -> None:
    """What was personal can be taken out; that it was cannot be hidden, nor what was done and when."""
    before = exported(filled)
    with filled.database.writing() as session:
        session.connection().execute(text("UPDATE audit SET redacted = true, after = NULL, actor = 'x' WHERE id = 1"))
        session.commit()
    assert exported(filled)[0] == replace(before[0], redacted=True, after=None, actor="x")
    with filled.database.writing() as session, pytest.raises(DBAPIError, match="only ever added to"):
        session.connection().execute(text("UPDATE audit SET redacted = false"))
