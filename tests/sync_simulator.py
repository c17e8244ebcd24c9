"""A control plane's sync interface for tests: a real server on a real socket over a feed in memory, signed honestly.

It has no store behind it. A test may change its feed at any time, and, through `tamper`, what goes over the wire, as
somebody in the middle would.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import threading
from typing import TYPE_CHECKING

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from tests.signing import Feed
from tiergate.bundle import SubjectStatement, manifest_of, write_archive
from tiergate.bundle import sign_statement as signed
from tiergate.feed.lines import head_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from starlette.requests import Request

    from tiergate.bundle import Manifest
    from tiergate.model import ReportedStatus, SubjectRecord

KEY = "sidecar-key-for-tests"
"""What a sidecar must send to be answered."""


class Simulator:
    """A store that can be followed. `tamper(path, body)` gives other bytes, or a status; `asked` are the paths."""

    def __init__(self, feed: Feed | None = None) -> None:
        self.feed = feed or Feed()
        self.bundles: dict[str, tuple[Manifest, Mapping[str, bytes]]] = {}
        self.tamper: Callable[[str, bytes], bytes | int] = lambda _, body: body
        self.floor = 0
        self.asked: list[str] = []
        self.page_size = 2
        self.url = ""
        self.unheld = threading.Event()  # unless it is set, what is said of a subject stays on its way
        self.unheld.set()
        self.stated = threading.Event()  # something was said of a subject
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed: asyncio.Event | None = None
        self._snapshot_pages: dict[str, bytes] = {}

    # ── what a test does ─────────────────────────────────────────────────────────────────────────────────────────────

    def publish(self, files: Mapping[str, bytes]) -> str:
        """Put a bundle in force."""
        manifest = manifest_of({path: content for path, content in files.items() if path != "manifest.json"})
        self.bundles[manifest.revision] = (manifest, files)
        self.feed.publish(manifest.revision)
        self.wake()
        return manifest.revision

    def put(self, customer: str, plan: str | None = "gold") -> int:
        """Change a customer, and say at which position."""
        self.feed.put(customer, plan)
        self.wake()
        return self.feed.latest

    def report(self, feature: str, *reports: ReportedStatus) -> int:
        """Replace the reports on the status of a feature, and return the position."""
        self.feed.report(feature, *reports)
        self.wake()
        return self.feed.latest

    def wake(self) -> None:
        """Answer those who wait."""
        if self._loop is not None and self._changed is not None:
            self._loop.call_soon_threadsafe(self._changed.set)

    def write_objects(self, folder: Path) -> None:
        """Write bundles and a snapshot as they stand in an object store."""
        for path, content in self.objects().items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)

    def objects(self) -> dict[str, bytes]:
        """Everything that stands in an object store, by path."""
        head, manifest, pages = self.feed.snapshot(size=self.page_size)
        digest = self._digest(manifest)
        found = {"head.json": head, f"snapshots/{digest}.json": manifest}
        found |= {f"pages/{hash_}.ndjson.gz": content for hash_, content in pages.items()}
        for revision, (listed, files) in self.bundles.items():
            found[f"bundles/{revision.removeprefix('sha256:')}.zip"] = write_archive(listed, files)
        return found

    @contextlib.contextmanager
    def serve(self, port: int = 0) -> Iterator[Simulator]:
        """Serve on loopback until the end of the block."""
        routes = [
            Route("/v1/sync/changes", self._changes),
            Route("/v1/sync/snapshot", self._snapshot),
            Route("/v1/sync/snapshot/pages/{sha256}", self._page),
            Route("/v1/sync/bundles/{revision}", self._bundle),
            Route("/v1/sync/subjects/{kind}/{id:path}", self._subject),
        ]
        # Only of what says that it is TCP does asyncio turn off that small writes wait for each other.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        config = uvicorn.Config(Starlette(routes=routes), log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        listening = threading.Event()

        async def run() -> None:
            self._loop, self._changed = asyncio.get_running_loop(), asyncio.Event()
            serving = asyncio.create_task(server.serve([listener]))
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.002)
            listening.set()
            await serving

        thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
        thread.start()
        listening.wait()
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            yield self
        finally:
            server.should_exit = server.force_exit = True
            self.wake()
            thread.join()
            listener.close()
            self._loop = None

    # ── the interface ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _changes(self, request: Request) -> Response:
        after = int(request.query_params["after"])
        if self._changed is None or not self._allowed(request):
            return self._problem(401, "unauthorized")
        if after < self.floor:
            return self._reply(request, self._problem(410, "resync-needed"))
        if after > self.feed.latest:
            return self._reply(request, self._problem(409, "ahead-of-store"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(float(request.query_params["wait"])):
                while self.feed.latest == after:
                    self._changed.clear()
                    await self._changed.wait()
                    if self.feed.latest == after:
                        break
        until = min(self.feed.latest, after + int(request.query_params["limit"]))
        return self._reply(request, Response(self.feed.page(after, until), media_type="application/x-ndjson"))

    async def _snapshot(self, request: Request) -> Response:
        head, manifest, pages = self.feed.snapshot(size=self.page_size)
        self._snapshot_pages |= pages
        return self._reply(request, Response(head_line(head) + b"\n" + manifest + b"\n"))

    async def _page(self, request: Request) -> Response:
        found = self._snapshot_pages.get(request.path_params["sha256"])
        return self._reply(request, self._problem(404, "not-found") if found is None else Response(found))

    async def _bundle(self, request: Request) -> Response:
        found = self.bundles.get(request.path_params["revision"])
        if found is None:
            return self._reply(request, self._problem(404, "not-found"))
        have = self.bundles.get(request.query_params.get("have", ""))
        return self._reply(request, Response(write_archive(*found, None if have is None else have[0])))

    async def _subject(self, request: Request) -> Response:
        kind, id_ = request.path_params["kind"].removesuffix("s"), request.path_params["id"]
        record = self._find(kind, id_)
        statement = SubjectStatement(
            store=self.feed.store,
            issued_at=self.feed.now,
            position=self.feed.latest,
            type=kind,
            id=id_,
            record=record,
        )
        answer = self._reply(request, Response(signed(statement, self.feed.keys)))
        self.stated.set()
        await asyncio.to_thread(self.unheld.wait, 10)
        return answer

    def _find(self, kind: str, id_: str) -> SubjectRecord | None:
        if kind == "customer":
            return self.feed.records.get(id_)
        held = (it for it in self.feed.records.values() if any(one.id == id_ for one in it.subscriptions))
        return next(held, None)

    def _allowed(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {KEY}"

    def _reply(self, request: Request, response: Response) -> Response:
        self.asked.append(request.url.path.removeprefix("/v1/sync/"))
        if not self._allowed(request):
            return self._problem(401, "unauthorized")
        if response.status_code != 200:
            return response
        other = self.tamper(self.asked[-1], bytes(response.body))
        return self._problem(other, "tampered") if isinstance(other, int) else Response(other)

    @staticmethod
    def _problem(status: int, slug: str) -> Response:
        body = msgspec.json.encode({"type": f"urn:tiergate:problem:{slug}", "title": slug, "status": status})
        return Response(body, status, media_type="application/problem+json")

    @staticmethod
    def _digest(manifest: bytes) -> str:
        return hashlib.sha256(manifest).hexdigest()
