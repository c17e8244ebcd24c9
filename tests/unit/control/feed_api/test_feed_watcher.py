"""The end of the feed in memory: bounded, true to the database, and woken again after everything that can be lost."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import delete, update

from tests.databases import PostgresServer
from tests.unit.control.feeds import write
from tiergate.control.feed_api import feed_watcher
from tiergate.control.feed_api.feed_watcher import FeedWatcher
from tiergate.feed.hash_chain import chain_start
from tiergate.store import SYSTEM, Store
from tiergate.store.tables import FEED, FEED_HEAD, RECORDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

PATIENCE = 30.0


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty store, on either database."""
    opened = Store.open(store_url)
    yield opened
    opened.close()


@contextlib.asynccontextmanager
async def following(store: Store, *, kept: int = 20_000, poll: float = 1.0) -> AsyncIterator[FeedWatcher]:
    """Follow a store from its present end on."""
    tail = FeedWatcher(store, kept=kept, poll=poll)
    task = asyncio.create_task(tail.run())
    await tail.wait(lambda _: True, PATIENCE)
    try:
        yield tail
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def reached(tail: FeedWatcher, position: int) -> None:
    """Wait until the tail has come to a position."""
    await tail.wait(lambda state: state.head.position >= position, PATIENCE)
    assert tail.state is not None
    assert tail.state.head.position >= position


async def failed(tail: FeedWatcher, times: int) -> None:
    """Wait until the database was asked in vain so often."""
    async with asyncio.timeout(PATIENCE):
        while tail.failures < times:  # noqa: ASYNC110 - it is counted, and tells nobody
            await asyncio.sleep(0.01)


def test_only_the_newest_lines_are_held(store: Store) -> None:
    """Memory is bounded; who needs more is served from the database."""

    async def follow() -> None:
        async with following(store, kept=5) as tail:
            await asyncio.to_thread(write, store, *(f"c{number}" for number in range(12)))
            await reached(tail, 12)
            assert tail.after(6, 10) is None
            assert [line.position for line in tail.after(7, 3) or ()] == [8, 9, 10]
            assert tail.after(12, 10) == []
            assert tail.after(13, 10) is None

    asyncio.run(follow())


def test_a_tail_begins_at_the_end(store: Store) -> None:
    """What was written before is not read at the start."""
    write(store, "a", "b")

    async def follow() -> None:
        async with following(store) as tail:
            assert tail.state is not None
            assert (tail.state.head.position, tail.state.latest) == (2, 2)
            assert tail.after(1, 10) is None

    asyncio.run(follow())


def test_a_database_put_back_to_an_earlier_state_is_followed_from_there(store: Store) -> None:
    """Lines that are no longer true are not served, though others have their positions now."""

    def put_back() -> None:
        def work(unit: object) -> None:
            connection = unit.session.connection()  # type: ignore[attr-defined]
            connection.execute(delete(FEED))
            connection.execute(delete(RECORDS))
            connection.execute(update(FEED_HEAD).values(position=0, chain=chain_start(store.id)))

        store.change(work, SYSTEM)
        write(store, "x", "y", "z")

    async def follow() -> None:
        async with following(store) as tail:
            await asyncio.to_thread(write, store, "a", "b")
            await reached(tail, 2)
            await asyncio.to_thread(put_back)
            await reached(tail, 3)
            lines = tail.after(0, 10)
            assert lines is None or b'"x"' in lines[0].line
            await asyncio.to_thread(write, store, "w")
            await reached(tail, 4)
            assert [line.position for line in tail.after(3, 10) or ()] == [4]

    asyncio.run(follow())


def test_a_lost_connection_for_notifications_is_made_anew(postgres_url: str) -> None:
    """Readers are woken by other control planes again, and in between by looking."""
    store, other = Store.open(postgres_url), Store.open(postgres_url)

    async def follow() -> None:
        async with following(store) as tail:
            for number in range(1, 4):
                with psycopg.connect(postgres_url, autocommit=True) as connection:
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
                    )
                await asyncio.to_thread(write, other, f"c{number}")
                await reached(tail, number)

    asyncio.run(follow())
    store.close()
    other.close()


def test_time_stands_still_while_the_database_is_away() -> None:
    """What is said to be new is only what was asked for; afterwards following goes on."""
    with PostgresServer.run() as server, server.database() as url:
        store = Store.open(url, migrating=True)

        async def follow() -> None:
            async with following(store, poll=0.05) as tail:
                await asyncio.to_thread(server.stop)
                await failed(tail, 1)
                before = tail.state
                await failed(tail, tail.failures + 2)
                assert tail.state == before
                await asyncio.to_thread(server.start)
                await asyncio.to_thread(write, store, "a")
                await reached(tail, 1)
                assert not tail.failing

        asyncio.run(follow())
        store.close()


def test_it_ends_although_a_cancellation_was_lost_while_it_connected(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `asyncio.wait_for` of Python 3.11 loses one that comes together with what it waits for."""
    connecting = asyncio.Event()

    async def notifications(_: object) -> AsyncIterator[None]:
        connecting.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(PATIENCE)
        yield
        await asyncio.Event().wait()

    monkeypatch.setattr(feed_watcher, "notifications", notifications)

    async def follow() -> None:
        tail = FeedWatcher(store)
        task = asyncio.create_task(tail._listen())
        await connecting.wait()
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=PATIENCE)
        assert done

    asyncio.run(follow())
