from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tests.following import BETTER, files
from tests.serving import Clock
from tests.signing import record, write_snapshot_page
from tests.unit.sidecar.replica.test_writer import CHAIN, change, kept
from tiergate.bundle import ArchiveContent, Cursor, manifest_of, write_bundle
from tiergate.engine import EngineOptions
from tiergate.errors import OperatorError
from tiergate.model import FOREVER, Check, Subject
from tiergate.sidecar.replica.file_source.subject_staging import build_replica
from tiergate.sidecar.replica.sync.bootstrap import SnapshotBuilder
from tiergate.sidecar.replica.writer import ReplicaWriter
from tiergate.sidecar.state import FeedPosition, State
from tiergate.sidecar.workers import follower as module
from tiergate.sidecar.workers.follower import WorkerFollower
from tiergate.sidecar.workers.messages import Held, Hold, NewGeneration, Update, Using

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tiergate.sidecar.workers.messages import ToLeader


class Worker:
    """A follower, its state, and what it says."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.state = State(Clock())
        self.said: list[ToLeader] = []
        self.follower = WorkerFollower(self.state, EngineOptions(), self.said.append, tasks)

    def value(self, customer: str = "acme") -> object:
        """What a customer has of movies; none if it is unknown."""
        assert self.state.current is not None
        decision = self.state.current.engine.decide(Check(Subject(customer), "movies"), self.state.clock())
        return decision.entitlement.value if decision.sources else None


@asynccontextmanager
async def worker() -> AsyncIterator[Worker]:
    """A worker, until the end of the block."""
    async with asyncio.TaskGroup() as tasks:
        made = Worker(tasks)
        yield made
        made.follower.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A replica that is followed: acme and beta, and a bundle."""
    content = files()
    building = SnapshotBuilder(tmp_path / "1.sqlite")
    building.add_page(*write_snapshot_page([record("acme"), record("beta")]))
    building.finish(kept(), ArchiveContent(manifest_of(content), content))
    return tmp_path / "1.sqlite"


@pytest.fixture
def writer(path: Path) -> Iterator[ReplicaWriter]:
    """The leader's writer."""
    with closing(ReplicaWriter(path)) as writer:
        yield writer


def first(path: Path, number: int = 1, catalog: dict[str, bytes] | None = None) -> NewGeneration:
    """A generation of a followed replica."""
    revision = manifest_of(files() if catalog is None else catalog).revision
    return NewGeneration(number, number, revision, str(path), None)


def test_a_change_is_read_once_it_is_told(path: Path, writer: ReplicaWriter) -> None:
    """Not when it is committed: what was read before may be remembered."""

    async def follow() -> None:
        async with worker() as it:
            await it.follower.apply(Update(FOREVER, False, ("shop", 1), first(path)))
            before = it.value()
            writer.apply([change(2, "acme")], Cursor(2, CHAIN), b"h")
            assert it.value() == before == 50
            await it.follower.apply(Update(FOREVER, False, ("shop", 2), None, [("acme", ["sub-acme"])]))
            assert it.value() is None
            assert it.state.feed_position == FeedPosition("shop", 2)
            assert it.said == [Using(True, 1, [1])]

    asyncio.run(follow())


def test_a_publication_and_its_changes_are_read_together(path: Path, writer: ReplicaWriter) -> None:
    """A bundle with the records of its time."""
    content = files(BETTER)
    manifest = manifest_of(content)

    async def follow() -> None:
        async with worker() as it:
            await it.follower.apply(Update(FOREVER, False, None, first(path)))
            it.follower.hold(Hold(4, release=False))
            assert it.said[-1] == Held(4)
            cursor = Cursor(2, CHAIN, 2, manifest.revision)
            state = replace(writer.state, cursor=cursor, publication=b"p", head=b"h")
            writer.publish([change(2, "beta")], state, manifest, content, in_use=[first(path).revision])
            assert (it.value("acme"), it.value("beta")) == (50, 50)
            await it.follower.apply(Update(FOREVER, False, None, first(path, 2, content), [("beta", ["sub-beta"])]))
            assert (it.value("acme"), it.value("beta")) == (20, None)
            assert it.state.current is not None
            assert (it.state.current.publication, it.state.current.number) == (2, 2)

    asyncio.run(follow())


def test_a_log_is_folded_while_workers_do_not_read(path: Path, writer: ReplicaWriter) -> None:
    """They read again when they are told."""
    log = path.with_name("1.sqlite-wal")

    async def follow() -> None:
        async with worker() as it:
            await it.follower.apply(Update(FOREVER, False, None, first(path)))
            writer.apply([change(2, "beta")], Cursor(2, CHAIN), b"h")
            await it.follower.apply(Update(FOREVER, False, None, None, [("beta", [])]))
            it.follower.hold(Hold(1, release=True))
            writer.fold()
            assert log.stat().st_size == 0
            it.follower.resume()
            writer.apply([change(3, "acme")], Cursor(3, CHAIN), b"h")
            assert it.value() == 50

    asyncio.run(follow())


def test_files_are_opened_and_damage_is_told_once(tmp_path: Path) -> None:
    """In file mode. What is not in use any more is not reported as such."""
    revision = write_bundle(files(), tmp_path / "b")
    held = record("acme")
    build_replica(tmp_path / "1.sqlite", [held.customer, *held.subscriptions])
    generation = NewGeneration(3, 7, revision, str(tmp_path / "1.sqlite"), str(tmp_path / "b"))

    async def follow() -> None:
        async with worker() as it:
            await it.follower.apply(Update(FOREVER, True))
            assert it.state.unloaded
            assert it.said == [Using(True, 0, [])]
            await it.follower.apply(Update(FOREVER, False, None, generation))
            assert it.value() == 50
            assert it.said[-1] == Using(True, 3, [3])
            assert not it.follower.take_damage()
            for file in (tmp_path / "b" / "entities").rglob("*.json"):
                file.write_bytes(b"[]")
            assert it.state.current is not None
            with pytest.raises(OperatorError):
                it.state.current.engine.evaluator.bundle.definition("plan/free@1")
            assert it.follower.take_damage()
            assert not it.follower.take_damage()

    asyncio.run(follow())


def test_what_cannot_be_opened_ends_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some attempts; what it decided by stays meanwhile."""
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0)

    async def follow() -> None:
        async with worker() as it:
            with pytest.raises(OperatorError):
                await it.follower.apply(Update(FOREVER, False, None, first(tmp_path / "missing.sqlite")))
            assert it.state.current is None

    asyncio.run(follow())
