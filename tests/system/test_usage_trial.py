"""Limits that sidecars share, while processes are killed, disks are full, networks fail and clocks are wrong."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import pytest

from tests.databases import PostgresServer
from tests.system.usage_trial import Trial

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SEED: Final = int(os.environ.get("TIERGATE_TRIAL_SEED", "7"))
_FAULTS: Final = int(os.environ.get("TIERGATE_TRIAL_FAULTS", "300"))
_PHASE: Final = 30
"""So many faults after each other, then everything is checked."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def trial(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Trial]:
    """Give a trial that works, on either database: a small one, and for slow tests a larger one."""
    is_slow = request.node.get_closest_marker("slow") is not None
    sidecars, planes = (3, 2) if is_slow else (2, 1)
    with ExitStack() as stack:
        server, url = None, f"sqlite:///{tmp_path / 'store.sqlite'}"
        if request.param == "postgresql":
            server = stack.enter_context(PostgresServer.run())
            server.execute("CREATE DATABASE trial")
            url = server.url("trial")
        else:
            planes = 1
        made = Trial(tmp_path, url, server, seed=_SEED, sidecars=sidecars, planes=planes)
        stack.callback(made.close)
        made.begin()
        yield made


def test_limits_hold_and_nothing_is_lost_through_faults(trial: Trial) -> None:
    """What was acknowledged is booked once, no limit is exceeded, and the last unit is sold."""
    trial.phase(6, customers=2, callers=4)
    assert trial.tally.acknowledged > 20


@pytest.mark.slow
def test_limits_hold_through_hundreds_of_faults(trial: Trial) -> None:
    """The same, checked again and again, and 300 faults in all."""
    tally = trial.tally
    while trial.faults < _FAULTS:
        trial.phase(min(_PHASE, _FAULTS - trial.faults))
        said = (
            f"{tally.acknowledged:,} requests acknowledged, {tally.repeated:,} of them again, {tally.denied:,} denied"
        )
        sys.stderr.write(f"\n{trial.faults} faults, seed {_SEED}: {said}, {tally.unavailable:,} times 503\n")
    assert tally.repeated > trial.faults // 10
