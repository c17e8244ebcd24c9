from __future__ import annotations

import pytest

from tests.simulation.mutations import MUTATIONS, mutated
from tests.simulation.oracle import ViolationError
from tests.simulation.world import STEPS, World

SCHEDULES = 10_000
CHUNKS = 20
SEEDS_MAX = 2_000


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_schedule_breaks_a_promise_of_the_ledger(chunk: int) -> None:
    """Whatever fails: no limit is passed, nothing is lost or counted twice, and every lease is settled in the end."""
    for seed in range(chunk * SCHEDULES // CHUNKS, (chunk + 1) * SCHEDULES // CHUNKS):
        try:
            World(seed).run()
        except ViolationError as violation:
            pytest.fail(f"seed {seed}: {violation}")


@pytest.mark.parametrize("seed", [3_013_735])
def test_schedules_that_failed_once(seed: int) -> None:
    """A grant of which something was spent is taken away, and another one given."""
    World(seed).run()


@pytest.mark.parametrize("seed", range(20_000, 20_004))
def test_sidecars_may_crash_after_every_step(seed: int) -> None:
    """With and without the records that were not synced."""
    for step in range(STEPS):
        for keeps_all in (False, True):
            world = World(seed)
            world.crash_after, world.keeps_all = step, keeps_all
            world.run()


@pytest.mark.parametrize("seed", range(20_004, 20_008))
def test_the_ledger_may_crash_in_every_transaction(seed: int) -> None:
    """Before it commits, and after that, before it replies."""
    calm = World(seed)
    calm.run()
    for transaction in range(1, calm.transactions + 1):
        for when in ("before", "after"):
            world = World(seed)
            world.crash_of_ledger = (transaction, when)
            world.run()


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_simulator_finds_a_broken_protocol(name: str) -> None:
    """Each rule of the protocol matters: without it, some schedule fails."""
    with mutated(name):
        assert any(_fails(seed) for seed in range(SEEDS_MAX))


def test_a_schedule_is_reproducible_by_its_seed() -> None:
    """The same seed gives the same schedule, to the last unit."""
    first, second = World(11), World(11)
    first.run()
    second.run()
    assert list(first.records.accounts()) == list(second.records.accounts())
    assert first.now == second.now


def _fails(seed: int) -> bool:
    try:
        World(seed).run()
    except (ViolationError, ValueError, KeyError):
        return True
    return False
