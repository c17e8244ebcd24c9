"""A feed to follow: customers written by the shortest way, and the sync interface served on a store."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn
from sqlalchemy import delete, insert, select, update

from tests.admin import Admin, identify_by_roles
from tiergate.bundle import Cursor, Publication, SigningKey, TrustedFeed
from tiergate.control.api.admin_api import AdminApi
from tiergate.control.feed_api.bundle_archives import BundleArchives
from tiergate.control.feed_api.endpoints import FeedApi
from tiergate.control.feed_api.feed_pages import HeadSigner
from tiergate.control.feed_api.feed_watcher import FeedWatcher
from tiergate.control.feed_api.snapshots import Snapshots
from tiergate.permissions import shipped_roles
from tiergate.publish.signer import Signer
from tiergate.store import SYSTEM, Publishing, Store, WriteUnit
from tiergate.store.tables import CUSTOMERS, FEED, FEED_HEAD

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    import httpx

KEY = SigningKey.generate()
"""What the stores of these tests sign with."""


def put_customer(unit: WriteUnit, id_: str, region: str = "eu") -> None:
    """Write a customer, new or not."""
    unit.touch(id_)
    connection = unit.session.connection()
    attributes = json.dumps({"region": region})
    if connection.execute(select(CUSTOMERS.c.id).where(CUSTOMERS.c.id == id_)).first() is None:
        times = {"etag": 1, "created_at": unit.now, "updated_at": unit.now}
        connection.execute(
            insert(CUSTOMERS), [{"id": id_, "tags": "[]", "attributes": attributes, "erased_at": None, **times}]
        )
    else:
        connection.execute(update(CUSTOMERS).where(CUSTOMERS.c.id == id_).values(attributes=attributes))


def remove_customer(unit: WriteUnit, id_: str) -> None:
    """Remove a customer."""
    unit.touch(id_)
    unit.session.connection().execute(delete(CUSTOMERS).where(CUSTOMERS.c.id == id_))


def write(store: Store, *ids: str, region: str = "eu") -> None:
    """Write customers, each in a transaction of its own."""
    for id_ in ids:
        store.change(lambda unit, id_=id_: put_customer(unit, id_, region), SYSTEM)  # type: ignore[misc]


def publish(store: Store, digit: str = "a") -> int:
    """Append a publication of some revision; return its sequence."""

    def work(unit: WriteUnit) -> int:
        before = unit.published.sequence

        def make(sequence: int, position: int, now: int) -> Publishing:
            statement = Publication(
                store=store.id, issued_at=now, sequence=sequence, revision=f"sha256:{digit * 64}", position=position
            )
            row = {
                "sequence": sequence,
                "revision": statement.revision,
                "position": position,
                "issued_at": now,
                "envelope": (envelope := Signer([KEY]).sign(statement)),
                "catalog": digit * 64,
                "rules": "",
                "roles": "",
                "rolled_back_to": None,
                "author": "test",
                "note": "",
            }
            return Publishing(row, envelope)

        unit.put_blob(digit * 64, b'{"features":{},"items":{}}')
        unit.append_publication(before, make)
        return before + 1

    return store.change(work, SYSTEM)


class Plane:
    """A control plane's sync interface, served by a real uvicorn, with a loop of its own for what is followed."""

    def __init__(
        self, store: Store, admin: Admin, sync: FeedApi, tail: FeedWatcher, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.store, self.admin, self.sync, self.tail, self.loop = store, admin, sync, tail, loop
        self.client = admin.as_("sidecar")

    def get(self, path: str, **query: Any) -> httpx.Response:  # noqa: ANN401 - what a query takes
        """Ask as a sidecar, once everything that was written is known here, unless the request waits for it."""
        if "wait" not in query:
            self.run(self.tail.confirm(30))
        return self.client.get(f"/v1/sync/{path}", params=query)

    def fresh_get(self, path: str, **query: Any) -> httpx.Response:  # noqa: ANN401 - what a query takes
        """Ask as a sidecar, on a connection of one's own."""
        with self.admin.client({"authorization": "Bearer sidecar"}) as client:
            return client.get(f"/v1/sync/{path}", params=query)

    def wait_for_readers(self, count: int) -> None:
        """Wait until so many requests wait for news."""
        deadline = time.monotonic() + 30
        while self.sync.waiting != count:
            assert time.monotonic() < deadline, self.sync.waiting
            time.sleep(0.005)

    def raise_floor(self, floor: int) -> None:
        """Have the feed begin after a position, and wait until that is known here."""
        self.store.change(lambda unit: unit.session.connection().execute(update(FEED_HEAD).values(floor=floor)), SYSTEM)
        self.run(self.tail.confirm(30))

    def cursor_at(self, position: int) -> Cursor:
        """What a sidecar knows who has followed to a position."""
        query = select(FEED.c.chain).where(FEED.c.position == position)
        return Cursor(position, self.store.read(lambda unit: unit.session.connection().execute(query).scalar_one()))

    def trust(self) -> TrustedFeed:
        """What a sidecar believes by."""
        return TrustedFeed([KEY.verify_key], store=self.store.id)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - whatever it returns
        """Do something in the loop, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)


@contextmanager
def serve_sync(url: str, **settings: Any) -> Iterator[Plane]:  # noqa: ANN401 - the settings of `Sync`
    """Serve the sync interface of a store that is migrated."""
    store = Store.open(url)
    started: Future[tuple[Plane, asyncio.Event]] = Future()

    async def main() -> None:
        tail = FeedWatcher(store)
        sync = FeedApi(
            store, tail, HeadSigner(store.id, Signer([KEY])), Snapshots(store), BundleArchives(store), **settings
        )
        table = shipped_roles()
        app = AdminApi(sync.endpoints(), identify=identify_by_roles, roles=lambda: table, store=store)
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
        over = asyncio.Event()
        admin = Admin(f"http://127.0.0.1:{listening.getsockname()[1]}")
        following = asyncio.create_task(tail.run())
        serving = asyncio.create_task(server.serve([listening]))
        started.set_result((Plane(store, admin, sync, tail, asyncio.get_running_loop()), over))
        await over.wait()
        tail.end()
        server.should_exit = True
        await serving
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        listening.close()

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="control plane")
    thread.start()
    plane, over = started.result(30)
    try:
        yield plane
    finally:
        plane.loop.call_soon_threadsafe(over.set)
        thread.join(30)
        plane.admin.close()
        store.close()
