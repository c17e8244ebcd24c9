from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from tiergate.errors import RequestError
from tiergate.store import SYSTEM, Store
from tiergate.store.idempotency import KEPT_FOR, IdempotencyKey, StoredResponse, read_stored_response, store_response
from tiergate.store.tables import AUDIT, IDEMPOTENCY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.store import WriteUnit

KEY = IdempotencyKey("key/a", "k1", "hash")
ANSWER = StoredResponse(201, {"etag": '"1"'}, b"\x00{}")


class Clock:
    """A clock that stands until it is put."""

    now = 1_800_000_000_000

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


def kept(store: Store, key: IdempotencyKey = KEY) -> StoredResponse | None:
    """What is kept under a key."""
    return store.change(lambda unit: read_stored_response(unit, key), SYSTEM)


def test_an_answer_is_kept_as_it_was(store: Store) -> None:
    """Status, headers and bytes; nothing before."""
    assert kept(store) is None
    store.change(lambda unit: store_response(unit, KEY, ANSWER), SYSTEM)
    assert kept(store) == ANSWER
    assert kept(store, KEY._replace(caller="key/b")) is None
    assert kept(store, KEY._replace(key="k2")) is None


def test_another_request_under_the_key_is_a_mistake(store: Store) -> None:
    """It is neither done nor answered as the first."""
    store.change(lambda unit: store_response(unit, KEY, ANSWER), SYSTEM)
    with pytest.raises(RequestError) as refused:
        kept(store, KEY._replace(request_sha256="other"))
    assert refused.value.status == 422


def test_an_answer_is_kept_for_a_day(store: Store, clock: Clock) -> None:
    """Then the key is free, and the row goes with the next that is kept."""
    store.change(lambda unit: store_response(unit, KEY, ANSWER), SYSTEM)
    clock.now += KEPT_FOR - 1
    assert kept(store) == ANSWER
    clock.now += 1
    assert kept(store) is None
    store.change(lambda unit: store_response(unit, KEY._replace(key="k2"), ANSWER), SYSTEM)
    with store.database.reading() as session:
        assert session.connection().execute(select(func.count()).select_from(IDEMPOTENCY)).scalar_one() == 1


def test_what_fails_keeps_no_answer(store: Store) -> None:
    """The answer belongs to the transaction that made it."""

    def work(unit: WriteUnit) -> None:
        store_response(unit, KEY, ANSWER)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.change(work, SYSTEM)
    assert kept(store) is None


def test_of_requests_sent_at_once_one_is_done(store: Store) -> None:
    """The others get its answer."""
    together = threading.Barrier(6)
    answers: list[StoredResponse] = []

    def work(unit: WriteUnit) -> StoredResponse:
        before = read_stored_response(unit, KEY)
        if before is not None:
            return before
        unit.audit("made", "thing", "one")
        store_response(unit, KEY, ANSWER)
        return ANSWER

    def run() -> None:
        together.wait()
        answers.append(store.change(work, SYSTEM))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [ANSWER] * 6
    with store.database.reading() as session:
        assert session.connection().execute(select(func.count()).select_from(AUDIT)).scalar_one() == 1
