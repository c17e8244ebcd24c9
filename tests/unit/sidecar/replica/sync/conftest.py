"""A store, and sidecars that follow it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.following import Follow, files
from tests.sync_simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A store with a publication and three customers."""
    simulator = Simulator()
    simulator.put("acme")
    simulator.publish(files())
    simulator.put("beta", "silver")
    simulator.put("corp", "platinum")
    with simulator.serve():
        yield simulator


@pytest.fixture
def follow(simulator: Simulator, tmp_path: Path) -> Follow:
    """Sidecars of that store."""
    return Follow(simulator, tmp_path)
