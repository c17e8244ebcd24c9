"""How an engine that is no longer in force is freed: in short steps, because all of it at once would hold up checks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tiergate.engine import Engine

_FREED_AT_ONCE: Final = 100
_BETWEEN_FREEING: Final = 0.002


async def free_engine(engine: Engine) -> None:
    """Free what an engine remembers."""
    for cache in (engine.decisions, engine.known, engine.slices.cache):
        while cache.shed(_FREED_AT_ONCE):  # noqa: ASYNC110 - there is nothing to wait for but others' turns
            await asyncio.sleep(_BETWEEN_FREEING)
