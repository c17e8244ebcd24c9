from __future__ import annotations

import asyncio
import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from tiergate.process.garbage_collection import YOUNG_OBJECTS, GarbageCollection

if TYPE_CHECKING:
    from collections.abc import Iterator


class Cycle:
    """An object that only the collector frees."""

    def __init__(self) -> None:
        self.itself = self


class World:
    """A clock and a count of requests."""

    def __init__(self) -> None:
        self.now = 0.0
        self.requests = 0
        self.collection = GarbageCollection(lambda: self.requests, lambda: self.now)


async def begin(collection: GarbageCollection) -> None:
    """Begin in an event loop, which ends at once."""
    collection.begin()


@pytest.fixture
def world() -> Iterator[World]:
    """A collection that has begun. Nothing is collected by itself meanwhile."""
    thresholds = gc.get_threshold()
    made = World()
    asyncio.run(begin(made.collection))
    gc.disable()
    yield made
    gc.enable()
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_what_exists_at_the_begin_is_never_visited_again(world: World) -> None:
    """It is frozen, and the old generation is not collected by itself."""
    assert gc.get_freeze_count() > YOUNG_OBJECTS
    assert gc.get_threshold()[0] == YOUNG_OBJECTS
    assert gc.get_threshold()[2] > 10**9
    assert not world.collection.look()


def test_a_quiet_second_is_used(world: World) -> None:
    """Ten minutes after the last collection, once no request came for a second."""
    held = [Cycle()]
    cycle = weakref.ref(held.pop())
    world.now = 599.0
    assert not world.collection.look()
    world.now, world.requests = 600.0, 5
    assert not world.collection.look()
    assert cycle() is not None
    world.now = 601.0
    assert world.collection.look()
    assert cycle() is None
    world.now = 602.0
    assert not world.collection.look()


def test_after_six_hours_requests_do_not_matter(world: World) -> None:
    """A process that is never quiet must not grow for ever."""
    cycle = weakref.ref(Cycle())
    for second in range(3):
        world.now = 6 * 3600 - 2 + second
        world.requests += 1
        assert world.collection.look() is (second == 2)
    assert cycle() is None


def test_the_young_generations_are_collected_without_allocations(world: World) -> None:
    """Python counts allocations less deallocations: with full caches it would not collect for long, then everything."""

    async def wait() -> None:
        world.collection.begin()
        old = weakref.ref(Cycle())
        gc.collect(0)
        young = weakref.ref(Cycle())
        async with asyncio.timeout(10):
            while young() is not None or old() is not None:  # noqa: ASYNC110 - the collector has no event
                await asyncio.sleep(0)

    asyncio.run(wait())


def test_a_process_may_collect_everything_sooner(world: World) -> None:
    """As the control plane, which sidecars ask all the time."""
    collection = GarbageCollection(lambda: world.requests, lambda: world.now, at_last=3600.0)
    for second in range(3):
        world.now = 3600 - 2 + second
        world.requests += 1
        assert collection.look() is (second == 2)
