from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.following import BETTER, files

if TYPE_CHECKING:
    from tests.following import Follow
    from tests.sync_simulator import Simulator


def test_a_new_sidecar_begins_with_a_snapshot(follow: Follow) -> None:
    """Everything that the store has is in force."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            assert (sidecar.limit("acme"), sidecar.limit("beta")) == (50, 30)
            assert sidecar.publication == 1
            status = sidecar.report.status
            assert (status.customers, status.subscriptions, status.lag) == (3, 3, 0)

    asyncio.run(scenario())


def test_a_change_is_in_force_at_once(follow: Follow, simulator: Simulator) -> None:
    """A customer changes, appears, goes; what was remembered of it is forgotten."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            assert sidecar.limit("acme") == 50
            simulator.put("acme", "silver")
            simulator.put("dent")
            await sidecar.at(simulator.put("beta", None))
            assert (sidecar.limit("acme"), sidecar.limit("dent")) == (30, 50)
            assert sidecar.decide("beta").reason == "unknown_subject"
            assert sidecar.report.status.customers == 3

    asyncio.run(scenario())


def test_a_publication_is_in_force_at_once(follow: Follow, simulator: Simulator) -> None:
    """Only its files that differ are fetched."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            simulator.publish(files(BETTER))
            await sidecar.at(5)
            assert (sidecar.publication, sidecar.limit("acme")) == (2, 20)

    asyncio.run(scenario())
