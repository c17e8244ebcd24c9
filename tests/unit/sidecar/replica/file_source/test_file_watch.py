from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

import watchfiles

from tiergate.sidecar.replica.file_source.file_watch import watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import pytest


def watching(path: Path, scenario: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run a scenario while a path is watched."""

    async def run() -> None:
        wake, end = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(watch([path], wake, end))
        try:
            async with asyncio.timeout(30):
                await scenario(wake)
        finally:
            end.set()
            await task

    asyncio.run(run())


def test_one_is_woken_to_look_even_without_a_change(tmp_path: Path) -> None:
    """Reports of the kernel are not relied upon."""

    async def scenario(wake: asyncio.Event) -> None:
        for _ in range(2):
            await wake.wait()
            wake.clear()

    watching(tmp_path / "a", scenario)


def test_where_nothing_can_be_watched_one_is_woken_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine may have run out of watches."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(28, "OS file watch limit reached")

    monkeypatch.setattr(watchfiles, "watch", refuse)

    async def scenario(wake: asyncio.Event) -> None:
        for _ in range(2):
            await wake.wait()
            wake.clear()

    watching(tmp_path / "a", scenario)
