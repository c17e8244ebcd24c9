"""Reports on the status of features: from a store's feed and snapshots to a sidecar's answers."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec

from tests.signing import NOW
from tiergate.bundle import Cursor
from tiergate.model import ReportedStatus, Status
from tiergate.sidecar.replica.sync.feed_follower import OnDemandOptions

if TYPE_CHECKING:
    from tests.following import Follow, Sidecar
    from tests.sync_simulator import Simulator

DOWN = ReportedStatus(status=Status.DOWN, start=NOW - 5)
SOON = ReportedStatus(status=Status.MAINTENANCE, start=NOW + 5, until=NOW + 9)


def shown(sidecar: Sidecar) -> str | None:
    """The status that a check of movies shows."""
    status = sidecar.decide("acme").shown_status
    return None if status is None else status.status.value


def test_a_status_is_followed_and_outlives_a_restart(follow: Follow, simulator: Simulator) -> None:
    """It begins and ends by lines and by the clock, and every cache is cleared when a line changes it."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            assert shown(sidecar) is None
            epoch = sidecar.state.epoch
            await sidecar.at(simulator.report("movies", DOWN, SOON))
            assert (shown(sidecar), sidecar.decide("acme").until) == ("down", NOW + 5)
            assert sidecar.state.epoch > epoch
            epoch = sidecar.state.epoch
            await sidecar.at(simulator.report("storage", DOWN))
            await sidecar.at(simulator.report("movies", SOON))
            assert shown(sidecar) is None
            sidecar.now = NOW + 5
            assert shown(sidecar) == "maintenance"
            before = sidecar.state.epoch
            await sidecar.at(simulator.put("beta"))
            assert sidecar.state.epoch == before
        async with follow() as sidecar:
            await sidecar.at(simulator.feed.latest)
            sidecar.now = NOW + 5
            assert shown(sidecar) == "maintenance"
        assert simulator.asked.count("snapshot") == 1

    asyncio.run(scenario())


def test_a_snapshot_has_the_statuses(follow: Follow, simulator: Simulator) -> None:
    """With all subjects, and with subjects on demand."""
    simulator.report("movies", DOWN)

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(simulator.feed.latest)
            assert shown(sidecar) == "down"
        follow.on_demand = OnDemandOptions(1.0, 10)
        async with follow() as sidecar:
            await sidecar.at(simulator.feed.latest)
            assert shown(sidecar) == "down"
            await sidecar.at(simulator.report("movies"))
            assert shown(sidecar) is None

    asyncio.run(scenario())


def test_what_an_earlier_version_followed_is_fetched_again(follow: Follow, simulator: Simulator) -> None:
    """It skipped the lines about statuses; what is on disk answers meanwhile."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(simulator.report("movies"))
        (replica,) = (follow.folder / "sync").glob("*.sqlite")
        with closing(sqlite3.connect(replica)) as connection:
            (stored,) = connection.execute("SELECT value FROM meta WHERE key = 'cursor'").fetchone()
            earlier = msgspec.msgpack.encode(msgspec.msgpack.decode(stored, type=Cursor))
            connection.execute("UPDATE meta SET value = ? WHERE key = 'cursor'", (earlier,))
            connection.execute("DROP TABLE feature_status")
            connection.commit()
        simulator.feed.reports["movies"] = (DOWN,)  # as a line did that the earlier version skipped
        async with follow() as sidecar:
            await sidecar.until(lambda: simulator.asked.count("snapshot") == 2 and shown(sidecar) == "down")
        async with follow() as sidecar:
            await sidecar.at(simulator.feed.latest)
            assert shown(sidecar) == "down"
        assert simulator.asked.count("snapshot") == 2

    asyncio.run(scenario())
