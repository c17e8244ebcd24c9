from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from tests.serving import NOW, Service, customer
from tiergate.model import FOREVER
from tiergate.sidecar.state import FeedPosition, Generation, GenerationFiles
from tiergate.sidecar.workers.messages import NewGeneration, Update
from tiergate.sidecar.workers.shared_state import SharedState

if TYPE_CHECKING:
    from collections.abc import Collection


class Workers:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Update | str] = []
        self.are_ready = False

    def tell(self, update: Update) -> None:
        """Note an update."""
        self.told.append(update)

    async def hold(self, *, release: bool) -> bool:
        """Note it."""
        self.told.append(f"hold {release}")
        return True

    def resume(self) -> None:
        """Note it."""
        self.told.append("resume")

    def generations(self) -> Collection[int]:
        """Some."""
        return {7}


def generation(number: int) -> Generation:
    """A generation with files."""
    current = Service(customer("acme")).state.current
    assert current is not None
    return Generation(number, current.engine, 10 + number, "sha256:r", NOW, GenerationFiles(Path("r"), Path("b")))


def test_what_changes_in_one_turn_is_told_at_once() -> None:
    """With the circumstances after it, whatever the order in which they became so."""
    workers = Workers()
    state = SharedState(lambda: NOW, workers)

    async def change() -> None:
        state.feed_position = FeedPosition("shop", 3)
        state.install(generation(1))
        state.subject_changed("acme", ["s1"])
        state.set_stale_at(NOW + 1)
        assert not workers.told
        await asyncio.sleep(0)
        state.subject_changed("beta", [])
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(change())
    first = NewGeneration(1, 11, "sha256:r", "r", "b")
    assert workers.told == [
        Update(NOW + 1, False, ("shop", 3), first, [("acme", ["s1"])]),
        Update(NOW + 1, False, ("shop", 3), None, [("beta", [])]),
    ]
    assert state.everything() == Update(NOW + 1, False, ("shop", 3), first, [])


def test_a_change_before_a_generation_is_part_of_it() -> None:
    """Its data is opened after that."""
    workers = Workers()
    state = SharedState(lambda: NOW, workers)

    async def change() -> None:
        state.subject_changed("acme", [])
        state.install(generation(1))
        await asyncio.sleep(0)

    asyncio.run(change())
    assert [update.changed for update in workers.told if isinstance(update, Update)] == [[]]


def test_readers_are_held_after_what_was_told_before() -> None:
    """Else they would read what comes next with what came before."""
    workers = Workers()
    state = SharedState(lambda: NOW, workers)

    async def change() -> None:
        state.serve_unloaded()
        assert await state.hold_readers(release=True)
        state.resume_readers()

    asyncio.run(change())
    assert workers.told == [Update(FOREVER, True), "hold True", "resume"]


def test_the_leader_is_ready_with_its_workers() -> None:
    """Both must be able to decide."""
    workers = Workers()
    state = SharedState(lambda: NOW, workers)
    workers.are_ready = True
    assert not state.ready
    asyncio.run(install(state))
    seen = [state.ready]
    workers.are_ready = False
    seen.append(state.ready)
    assert seen == [True, False]
    assert state.generations_elsewhere() == {7}


async def install(state: SharedState) -> None:
    """Install a generation in an event loop."""
    state.install(generation(1))
