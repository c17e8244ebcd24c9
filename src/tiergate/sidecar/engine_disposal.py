"""Frees an engine that is no longer active in short steps, because freeing all of it at once would delay checks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tiergate.engine import CheckDecider

_VALUES_PER_STEP: Final = 100
_PAUSE_SECONDS: Final = 0.002


async def free_engine(engine: CheckDecider) -> None:
    """Free what an engine caches."""
    while engine.shed(_VALUES_PER_STEP):  # noqa: ASYNC110 - there is nothing to wait for but others' turns
        await asyncio.sleep(_PAUSE_SECONDS)
