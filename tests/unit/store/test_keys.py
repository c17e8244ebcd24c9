from __future__ import annotations

import contextlib
import hmac
import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, text

from tiergate.errors import ConflictError, NotFoundError
from tiergate.store import Author, Store
from tiergate.store.erasure import erase_author
from tiergate.store.key_uses import NOTED_EVERY, KeyUses
from tiergate.store.keys import (
    authenticate_key,
    bootstrap,
    create_key,
    find_key,
    generate_key_text,
    list_keys,
    revoke_key,
)
from tiergate.store.tables import AUDIT, KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.store import WriteUnit
    from tiergate.store.keys import ApiKey, NewKey

NOW = 1_800_000_000_000
ANN = Author("okta/ann", "person")


class Clock:
    """A clock that stands until it is put."""

    now = NOW

    def __call__(self) -> int:
        """Say the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


@pytest.fixture
def store(store_url: str, clock: Clock) -> Iterator[Store]:
    """Give a store on either database."""
    with contextlib.closing(Store.open(store_url, clock=clock)) as opened:
        yield opened


def made(store: Store, name: str = "ci", **narrowed: list[str] | int) -> NewKey:
    """A new key."""
    return store.change(lambda unit: create_key(unit, name, ["publisher", "analyst"], **narrowed), ANN)  # type: ignore[arg-type]


def proven(store: Store, shown: str) -> ApiKey | None:
    """The key that somebody shows."""
    return store.read(lambda unit: authenticate_key(unit, shown))


def test_a_key_is_found_by_what_was_shown_once(store: Store) -> None:
    """With its roles and what it is narrowed to."""
    key, shown = made(store, actions=["view"], customers=["acme"], expires_at=NOW + 5)
    assert proven(store, shown) == key
    assert (key.roles, key.actions, key.customers) == (("analyst", "publisher"), ("view",), ("acme",))
    assert (key.created_at, key.created_by, key.expires_at) == (NOW, "okta/ann", NOW + 5)


def test_a_secret_is_kept_nowhere(store: Store) -> None:
    """Neither in the table nor in the audit log: only its hash."""
    _, shown = made(store)
    secret = shown.split("_", 2)[2]
    with store.database.reading() as session:
        rows = [*session.connection().execute(select(KEYS)), *session.connection().execute(select(AUDIT))]
    assert len(rows) == 2
    assert secret not in repr(rows)


def test_another_secret_proves_nothing(store: Store) -> None:
    """Nor another key's, nor no form of a key at all."""
    (one, shown), (_, other) = made(store), made(store)
    mixed = f"tg_{one.id}_{other.split('_', 2)[2]}"
    changed = shown[:-1] + ("A" if shown[-1] != "A" else "B")
    for wrong in (mixed, changed, shown + "x", shown[:-1], shown.upper(), "", "tg__", f"tg_{'a' * 12}_{'b' * 43}"):
        assert proven(store, wrong) is None


def test_secrets_are_compared_in_constant_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, for a key that exists as for one that does not."""
    compared: list[tuple[int, int]] = []
    really = hmac.compare_digest

    def compare(one: str, other: str) -> bool:
        compared.append((len(one), len(other)))
        return really(one, other)

    key, shown = made(store)
    monkeypatch.setattr(hmac, "compare_digest", compare)
    for text_ in (shown, f"tg_{key.id}_{'b' * 43}", f"tg_{'a' * 12}_{'b' * 43}"):
        proven(store, text_)
    assert compared == [(64, 64)] * 3


def test_a_key_counts_until_it_expires_or_is_revoked(store: Store, clock: Clock) -> None:
    """Up to that instant, excluded."""
    key, shown = made(store, expires_at=NOW + 5)
    assert key.is_valid(NOW + 4)
    assert not key.is_valid(NOW + 5)
    clock.now += 1
    store.change(lambda unit: revoke_key(unit, key.id), ANN)
    found = proven(store, shown)
    assert found is not None
    assert found.revoked_at == NOW + 1
    assert not found.is_valid(NOW + 2)


def test_what_is_revoked_stays_so(store: Store, clock: Clock) -> None:
    """The first time counts; a key that is not there is said not to be."""
    key, _ = made(store)
    store.change(lambda unit: revoke_key(unit, key.id), ANN)
    clock.now += 1
    assert store.change(lambda unit: revoke_key(unit, key.id), ANN).revoked_at == NOW
    with pytest.raises(NotFoundError, match="no key `nothing`"):
        store.change(lambda unit: revoke_key(unit, "nothing"), ANN)


def test_whoever_made_a_key_can_be_forgotten(store: Store) -> None:
    """The key stays, made by nobody who is known."""
    key = made(store).key
    pseudonym, _ = store.change(lambda unit: erase_author(unit, ANN.id), Author("okta/bob", "person"))
    found = store.read(lambda unit: find_key(unit, key.id))
    assert found is not None
    assert (found.created_by, found.roles) == (pseudonym, key.roles)


def test_keys_are_listed_by_pages(store: Store) -> None:
    """All of them, once."""
    ids = sorted(made(store).key.id for _ in range(5))
    first = store.read(lambda unit: list_keys(unit, None, 3))
    rest = store.read(lambda unit: list_keys(unit, first[-1].id, 3))
    assert [key.id for key in (*first, *rest)] == ids


def last_use(store: Store, key: ApiKey) -> int | None:
    """When a key was used last, as it is written down."""
    found = store.read(lambda unit: find_key(unit, key.id))
    assert found is not None
    return found.last_used_at


def test_a_use_is_written_down_once_a_minute(store: Store, clock: Clock) -> None:
    """By whichever control plane, and also for those who have read the key before it was."""
    key, other = made(store).key, made(store).key
    one, another = KeyUses(store), KeyUses(store)
    seen = []
    for step in (0, NOTED_EVERY - 1, 1):
        clock.now += step
        for uses in (one, another):
            uses.note(key)
            uses.wait()
        seen.append(last_use(store, key))
    assert seen == [NOW, NOW, NOW + NOTED_EVERY]
    assert last_use(store, other) is None


def test_nobody_waits_for_a_use_to_be_written_down(sqlite_url: str) -> None:
    """It is done when the one who writes has done, for all keys that were used meanwhile."""
    with contextlib.closing(Store.open(sqlite_url)) as store:
        keys = [made(store).key for _ in range(3)]
        uses = KeyUses(store)
        with store.database.writing():
            for key in keys:
                uses.note(key)
            assert [last_use(store, key) for key in keys] == [None] * 3
        uses.wait()
        assert None not in [last_use(store, key) for key in keys]


def test_a_use_that_cannot_be_written_down_hinders_nobody(store: Store) -> None:
    """Whoever reads while the table cannot be written goes on; the next use is tried again."""
    key = made(store).key
    uses = KeyUses(store)
    for statement in ("ALTER TABLE api_key RENAME TO gone", "ALTER TABLE gone RENAME TO api_key"):
        with store.database.writing() as session:
            session.connection().execute(text(statement))
            session.commit()
        uses.note(key)
        uses.wait()
    assert last_use(store, key) == NOW


def test_the_first_admin_is_made_once(store: Store) -> None:
    """A second time only by force."""
    first = store.change(lambda unit: bootstrap(unit, "first"), ANN)
    assert first.key.roles == ("admin",)
    with pytest.raises(ConflictError) as refused:
        store.change(lambda unit: bootstrap(unit, "second"), ANN)
    assert refused.value.code == "already-bootstrapped"
    assert store.change(lambda unit: bootstrap(unit, "third", force=True), ANN).key.name == "third"


def test_of_several_who_would_be_first_one_is(store: Store) -> None:
    """Whatever the database, and however close they come."""
    results: list[bool] = []
    together = threading.Barrier(4)

    def work(unit: WriteUnit) -> NewKey:
        return bootstrap(unit, "first")

    def run() -> None:
        together.wait()
        try:
            store.change(work, ANN)
            results.append(True)
        except ConflictError:
            results.append(False)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False, False, False, True]


def test_the_first_admins_key_may_be_made_up_elsewhere(store: Store) -> None:
    """Its text then is what proves it, and nothing of it is in the audit log."""
    made_up = generate_key_text()
    first = store.change(lambda unit: bootstrap(unit, "first", text=made_up), ANN)
    assert first.text == made_up
    assert store.read(lambda unit: authenticate_key(unit, made_up)) == first.key
    with store.database.reading() as session:
        said = str(session.connection().execute(select(AUDIT)).all())
    assert made_up.split("_", 2)[2] not in said


@pytest.mark.parametrize("made_up", ["", "tg_short_secret", "tg_abcdefghijkl_" + "s" * 42, " " + "s" * 60])
def test_what_has_not_the_form_of_a_key_is_none(store: Store, made_up: str) -> None:
    """And the store stays without a first admin, so that the right one can be taken later."""
    with pytest.raises(ValueError, match="form of an API key") as refused:
        store.change(lambda unit: bootstrap(unit, "first", text=made_up), ANN)
    assert not made_up or made_up not in str(refused.value)
    assert store.change(lambda unit: bootstrap(unit, "first"), ANN).key.roles == ("admin",)
