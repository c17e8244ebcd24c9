"""The first state of a sidecar that has nothing on disk, where the snapshot is older than the end of the feed."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

import pytest

from tests.following import Follow, files
from tiergate.feed.lines import head_line

if TYPE_CHECKING:
    from tests.sync_simulator import Simulator


@pytest.fixture
def behind(simulator: Simulator) -> Simulator:
    """Give a store whose snapshot does not know `dent`, who has come since."""
    _, manifest, pages = simulator.feed.snapshot()
    simulator._snapshot_pages |= pages
    position = simulator.feed.latest
    simulator.put("dent")
    head = simulator.feed.head(position, snapshot=hashlib.sha256(manifest).hexdigest())
    old = head_line(head) + b"\n" + manifest + b"\n"
    simulator.tamper = lambda path, body: old if path == "snapshot" else body
    return simulator


def test_nobody_who_is_known_is_denied_at_first(follow: Follow, behind: Simulator) -> None:
    """It decides once it has come to the end of the feed, and not before."""

    async def scenario() -> None:
        seen: list[object] = []
        async with follow() as sidecar:
            sidecar.state.subscribe(lambda: seen.append(sidecar.state.current and sidecar.limit("dent")))
            await sidecar.at(behind.feed.latest)
            await sidecar.until(lambda: sidecar.state.current is not None)
        decided = [limit for limit in seen if limit is not None]
        assert decided
        assert set(decided) == {50}

    asyncio.run(scenario())


def test_a_snapshot_is_served_where_the_feed_cannot_be_had(follow: Follow, behind: Simulator) -> None:
    """What is a little old is better than nothing, and the feed goes on from there."""
    snapshot = behind.tamper
    behind.tamper = lambda path, body: 503 if path == "changes" else snapshot(path, body)

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.until(lambda: sidecar.state.current is not None)
            assert (sidecar.limit("beta"), sidecar.limit("dent")) == (30, 0)
            behind.tamper = lambda _, body: body
            await sidecar.at(behind.feed.latest)
            assert sidecar.limit("dent") == 50

    asyncio.run(scenario())


def test_a_stream_of_changes_is_not_asked_for_one_by_one(follow: Follow, simulator: Simulator) -> None:
    """After the first few, a question waits for its turn and brings all that came meanwhile."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            simulator.publish(files())
            before = len(simulator.asked)
            loop = asyncio.get_running_loop()
            begun = loop.time()
            while loop.time() - begun < 1.0:
                position = simulator.put("acme", "silver" if simulator.feed.latest % 2 else "gold")
                await asyncio.sleep(0.005)
            await sidecar.at(position)
            assert simulator.asked[before:].count("changes") <= 24 + 5 * (loop.time() - begun) + 2

    asyncio.run(scenario())
