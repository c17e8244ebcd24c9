from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.leasing_sidecar import LeasingSidecar, Wire
from tests.usage_ledgers import CALLS, MemoryLedger
from tiergate.model import FOREVER, Check, Subject
from tiergate.sidecar.api_server import now_ms
from tiergate.sidecar.usage.leased_usage import REFRESH_MS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tiergate.sidecar.check_service import ServedDecision

LATER = REFRESH_MS + 2_000


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test in an event loop."""
    asyncio.run(asyncio.wait_for(test(), 60))


def check(sidecar: LeasingSidecar) -> ServedDecision:
    """Check a metered feature."""
    return sidecar.checks.decide(sidecar.checks.view(), Check(Subject("acme"), "calls"), now_ms())


async def known(sidecar: LeasingSidecar) -> ServedDecision:
    """Check it when the ledger's figures are known."""
    check(sidecar)
    await sidecar.until(lambda: sidecar.link.holder.usage_of(CALLS).figures is not None)
    return check(sidecar)


def test_an_answer_is_kept_until_usage_moves(tmp_path: Path) -> None:
    """It does not end by itself, and a consumption ends it."""

    async def test() -> None:
        async with LeasingSidecar(tmp_path, Wire(MemoryLedger())).running() as sidecar:
            served = await known(sidecar)
            assert (served.is_cacheable, served.until) == (True, FOREVER)
            await sidecar.meter.tick(now_ms())
            assert not served.version.is_outdated
            await sidecar.consume()
            assert served.version.is_outdated

    run(test)


def test_an_answer_that_rests_on_old_figures_is_forgotten(tmp_path: Path) -> None:
    """Whoever asks the next time has the ledger asked."""

    async def test() -> None:
        async with LeasingSidecar(tmp_path, Wire(MemoryLedger())).running() as sidecar:
            served = await known(sidecar)
            await sidecar.meter.tick(now_ms() + LATER)
            assert served.version.is_outdated

    run(test)


def test_figures_that_came_meanwhile_keep_an_answer(tmp_path: Path) -> None:
    """If they say the same as those before."""

    async def test() -> None:
        async with LeasingSidecar(tmp_path, Wire(MemoryLedger())).running() as sidecar:
            served = await known(sidecar)
            start = now_ms()
            sidecar.link.look(CALLS, start)
            before = sidecar.link.counts.exchanges
            await sidecar.until(lambda: sidecar.link.counts.exchanges > before and now_ms() > start + 5)
            await sidecar.meter.tick(start + REFRESH_MS - 2_000)
            assert not served.version.is_outdated

    run(test)


def test_an_answer_before_the_first_figures_is_not_kept_long(tmp_path: Path) -> None:
    """While the ledger is out of reach, it is asked again and again for who checks."""
    wire = Wire(MemoryLedger())
    wire.is_cut = True

    async def test() -> None:
        async with LeasingSidecar(tmp_path, wire).running() as sidecar:
            served = check(sidecar)
            await sidecar.meter.tick(now_ms())
            assert not served.version.is_outdated
            await sidecar.meter.tick(now_ms() + 3_000)
            assert served.version.is_outdated

    run(test)
