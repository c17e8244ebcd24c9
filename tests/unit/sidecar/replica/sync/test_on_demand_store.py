from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.following import BETTER, Follow, Sidecar, files
from tests.ids import OPAQUE
from tiergate.model import Subject, SubjectType
from tiergate.sidecar.replica.sync.feed_follower import OnDemandOptions

if TYPE_CHECKING:
    from tests.sync_simulator import Simulator
    from tiergate.sidecar.replica.sync.on_demand import OnDemand

ACME = Subject("acme")
SUB_ACME = Subject("sub-acme", SubjectType.SUBSCRIPTION)
BETA = Subject("beta")
NOBODY = Subject("nobody")


@pytest.fixture
def on_demand(follow: Follow) -> Follow:
    """Sidecars that hold what they are asked for, two customers at most."""
    follow.on_demand = OnDemandOptions(timeout=5.0, keep=2)
    return follow


def subjects(sidecar: Sidecar) -> OnDemand:
    """What holds the subjects."""
    found = sidecar.sync.on_demand
    assert found is not None
    return found


def fetched(simulator: Simulator) -> list[str]:
    """The subjects that were asked of the store."""
    return [path.removeprefix("subjects/") for path in simulator.asked if path.startswith("subjects/")]


def test_nothing_is_held_until_it_is_asked_for(on_demand: Follow, simulator: Simulator) -> None:
    """Then it is fetched, once, and served."""

    async def scenario() -> None:
        async with on_demand() as sidecar:
            await sidecar.at(4)
            assert not subjects(sidecar).is_known(ACME)
            assert await subjects(sidecar).fetch(ACME)
            assert await subjects(sidecar).fetch(ACME)
            assert sidecar.limit("acme") == 50
            assert subjects(sidecar).is_known(SUB_ACME)
            assert fetched(simulator) == ["customers/acme"]
            assert not any(path.startswith("snapshot/pages") for path in simulator.asked)

    asyncio.run(scenario())


def test_whoever_has_an_id_of_another_system_is_fetched_and_followed(on_demand: Follow, simulator: Simulator) -> None:
    """By a path that is encoded, over a real connection, and from a replica on disk."""

    async def scenario() -> None:
        async with on_demand() as sidecar:
            await sidecar.at(4)
            for id_ in OPAQUE:
                position = simulator.put(id_)
                await sidecar.at(position)
                assert await subjects(sidecar).fetch(Subject(id_)), id_
                assert sidecar.limit(id_) == 50, id_
                await sidecar.at(simulator.put(id_, "silver"))
                assert sidecar.limit(id_) == 30, id_

    asyncio.run(scenario())


def test_a_subscription_brings_its_customer(on_demand: Follow, simulator: Simulator) -> None:
    """One fetch for both."""

    async def scenario() -> None:
        async with on_demand() as sidecar:
            await sidecar.at(4)
            assert await subjects(sidecar).fetch(SUB_ACME)
            assert subjects(sidecar).is_known(ACME)
            assert sidecar.decide("sub-acme", type_=SubjectType.SUBSCRIPTION).entitlement.value == 50
            assert fetched(simulator) == ["subscriptions/sub-acme"]

    asyncio.run(scenario())


def test_who_asks_together_shares_one_flight(on_demand: Follow, simulator: Simulator) -> None:
    """A thousand checks about a subject that is not held are one request."""

    async def scenario() -> None:
        async with on_demand() as sidecar:
            await sidecar.at(4)
            simulator.unheld.clear()
            asked = [asyncio.create_task(subjects(sidecar).fetch(ACME)) for _ in range(100)]
            await asyncio.sleep(0)
            simulator.unheld.set()
            assert all(await asyncio.gather(*asked))
            assert fetched(simulator) == ["customers/acme"]

    asyncio.run(scenario())


def test_a_check_does_not_wait_forever(on_demand: Follow, simulator: Simulator) -> None:
    """What does not come in time is not known; when it comes it is."""
    on_demand.on_demand = OnDemandOptions(timeout=0.05, keep=2)

    async def scenario() -> None:
        async with on_demand() as sidecar:
            await sidecar.at(4)
            simulator.unheld.clear()
            assert not await subjects(sidecar).fetch(ACME)
            assert not subjects(sidecar).is_known(ACME)
            assert subjects(sidecar).failures == 1
            simulator.unheld.set()
            while not subjects(sidecar).is_known(ACME):
                await subjects(sidecar).fetch(ACME)
            assert fetched(simulator) == ["customers/acme"]

    asyncio.run(scenario())


def test_what_is_held_is_followed(on_demand: Follow, simulator: Simulator) -> None:
    """And nothing else of the feed is kept."""

    async def scenario() -> None:
        async with on_demand() as sidecar:
            await sidecar.at(4)
            await subjects(sidecar).fetch(ACME)
            assert sidecar.limit("acme") == 50
            simulator.put("beta")
            await sidecar.at(simulator.put("acme", "silver"))
            assert sidecar.limit("acme") == 30
            assert sidecar.report.status.customers == 1
            await sidecar.at(simulator.put("acme", None))
            assert sidecar.decide("acme").reason == "unknown_subject"
            assert subjects(sidecar).is_known(ACME)

    asyncio.run(scenario())


def test_a_publication_reaches_what_is_held(on_demand: Follow, simulator: Simulator) -> None:
    """Bundles are whole in this mode too."""

    async def scenario() -> None:
        async with on_demand() as sidecar:
            await sidecar.at(4)
            await subjects(sidecar).fetch(ACME)
            simulator.publish(files(BETTER))
            await sidecar.at(5)
            assert sidecar.limit("acme") == 20

    asyncio.run(scenario())


def test_that_a_subject_does_not_exist_is_known_until_it_does(on_demand: Follow, simulator: Simulator) -> None:
    """It is asked for once, and again when the feed has named it."""

    async def scenario() -> None:
        async with on_demand() as sidecar:
            await sidecar.at(4)
            for _ in range(3):
                assert await subjects(sidecar).fetch(NOBODY)
            assert sidecar.decide("nobody").reason == "unknown_subject"
            await sidecar.at(simulator.put("nobody"))
            assert not subjects(sidecar).is_known(NOBODY)
            await subjects(sidecar).fetch(NOBODY)
            assert sidecar.limit("nobody") == 50
            assert fetched(simulator) == ["customers/nobody"] * 2

    asyncio.run(scenario())


def test_a_change_during_the_flight_is_not_lost(on_demand: Follow, simulator: Simulator) -> None:
    """The statement is older than the feed by the time it comes: the feed's record counts."""

    async def scenario() -> None:
        async with on_demand() as sidecar:
            await sidecar.at(4)
            simulator.unheld.clear()
            asked = asyncio.create_task(subjects(sidecar).fetch(ACME))
            await asyncio.to_thread(simulator.stated.wait)
            await sidecar.at(simulator.put("acme", "silver"))
            simulator.unheld.set()
            assert await asked
            assert sidecar.limit("acme") == 30

    asyncio.run(scenario())


def test_a_deletion_during_the_flight_is_not_lost(on_demand: Follow, simulator: Simulator) -> None:
    """Of a customer that goes while one of its subscriptions is fetched nothing is kept."""

    async def scenario() -> None:
        async with on_demand() as sidecar:
            await sidecar.at(4)
            simulator.unheld.clear()
            asked = asyncio.create_task(subjects(sidecar).fetch(SUB_ACME))
            await asyncio.to_thread(simulator.stated.wait)
            await sidecar.at(simulator.put("acme", None))
            simulator.unheld.set()
            assert await asked
            assert sidecar.decide("sub-acme", type_=SubjectType.SUBSCRIPTION).reason == "unknown_subject"

    asyncio.run(scenario())


def test_a_statement_waits_for_the_feed(on_demand: Follow, simulator: Simulator) -> None:
    """It may be ahead of it: no older change may then come on top."""
    on_demand.on_demand = OnDemandOptions(timeout=0.3, keep=2)

    async def scenario() -> None:
        async with on_demand() as sidecar:
            await sidecar.at(4)
            simulator.tamper = lambda path, body: 503 if path == "changes" else body
            simulator.put("acme", "silver")
            simulator.put("acme", "platinum")
            assert not await subjects(sidecar).fetch(ACME)
            assert fetched(simulator) == ["customers/acme"]
            simulator.tamper = lambda _, body: body
            await sidecar.at(6)
            while not subjects(sidecar).is_known(ACME):
                await subjects(sidecar).fetch(ACME)
            assert sidecar.decide("acme").entitlement.unlimited
            assert fetched(simulator) == ["customers/acme"]

    asyncio.run(scenario())


def test_what_is_longest_unasked_for_goes_first(on_demand: Follow) -> None:
    """Two are held; it is fetched again when it is asked for again."""

    async def scenario() -> None:
        async with on_demand() as sidecar:
            await sidecar.at(4)
            found = subjects(sidecar)
            await found.fetch(ACME)
            await found.fetch(BETA)
            assert found.is_known(ACME)
            await found.fetch(Subject("corp"))
            assert [found.is_known(Subject(it)) for it in ("acme", "beta", "corp")] == [True, False, True]
            assert not found.is_known(Subject("sub-beta", SubjectType.SUBSCRIPTION))
            assert await found.fetch(BETA)
            assert sidecar.limit("beta") == 30

    asyncio.run(scenario())


def test_a_forged_statement_is_not_kept(on_demand: Follow, simulator: Simulator) -> None:
    """Somebody else's record under this name is refused."""

    async def scenario() -> None:
        async with on_demand() as sidecar:
            await sidecar.at(4)
            taken: list[bytes] = []

            def swap(path: str, body: bytes) -> bytes:
                taken.append(body)
                return taken[0] if path.startswith("subjects/") else body

            simulator.tamper = lambda path, body: swap(path, body) if path.startswith("subjects/") else body
            assert await subjects(sidecar).fetch(Subject("corp"))
            assert not await subjects(sidecar).fetch(ACME)
            assert not subjects(sidecar).is_known(ACME)

    asyncio.run(scenario())


def test_what_is_held_outlives_a_restart(on_demand: Follow, simulator: Simulator) -> None:
    """Without the control plane; what was not asked for is not known then."""

    async def scenario() -> None:
        async with on_demand() as sidecar:
            await sidecar.at(4)
            await subjects(sidecar).fetch(ACME)
        async with on_demand("http://127.0.0.1:9") as sidecar:
            await sidecar.at(4)
            assert subjects(sidecar).is_known(SUB_ACME)
            assert sidecar.limit("acme") == 50
            assert not await subjects(sidecar).fetch(BETA)

    asyncio.run(scenario())
    assert fetched(simulator) == ["customers/acme"]


def test_another_mode_begins_anew(on_demand: Follow) -> None:
    """A replica of some subjects is not taken for one of all."""

    async def scenario() -> None:
        async with on_demand() as sidecar:
            await sidecar.at(4)
            await subjects(sidecar).fetch(ACME)
        on_demand.on_demand = None
        async with on_demand() as sidecar:
            await sidecar.until(lambda: sidecar.report.status.customers == 3)
            assert sidecar.limit("beta") == 30

    asyncio.run(scenario())
