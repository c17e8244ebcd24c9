from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.store.clocks import Time
from tiergate.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def time() -> Time:
    """A clock that only the test moves."""
    return Time()


@pytest.fixture
def store(store_url: str, time: Time) -> Iterator[Store]:
    """An empty store, on either database, by that clock."""
    opened = Store.open(store_url, clock=time)
    yield opened
    opened.close()
