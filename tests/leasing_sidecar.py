"""A sidecar's counting by leases in one process, for tests: a real journal, and a ledger in memory in place of HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import msgspec

from tests.serving import Subjects, bundle, customer
from tiergate.engine import EngineOptions, Rechecks
from tiergate.errors import RequestError, SyncError
from tiergate.model import Check, Subject
from tiergate.sidecar.api_server import now_ms
from tiergate.sidecar.check_service import CheckService
from tiergate.sidecar.metrics import Metrics
from tiergate.sidecar.state import Generation, State
from tiergate.sidecar.usage.lease_meter import LeaseMeter
from tiergate.sidecar.usage.ledger_link import LedgerLink, LinkOptions
from tiergate.sidecar.usage.usage_service import Counted, UsageService
from tiergate.usage.protocol import decode_request, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from tests.usage_ledgers import MemoryLedger
    from tiergate.model import SubjectRecord
    from tiergate.usage.protocol import Request

CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: calls, type: quantity, metered: {reset: never}}
  - {id: reports, type: quantity, metered: {reset: never}, caps: {per_user: 30}}
  - {id: mails, type: quantity, metered: {reset: never, limit: soft}}
  - {id: credits, type: quantity, metered: {reset: never}}
  - {id: images, type: quantity, metered: {reset: never}, draws: {from: credits, cost: 2}}
  - {id: days, type: quantity, metered: {reset: day, anchor: first_use}}
items:
  - id: gold
    kind: plan
    entitlements: {calls: 100, reports: 100, mails: 3, credits: 100, images: unlimited, days: 100}
"""


class Wire:
    """The way to a ledger: `is_cut` loses requests, `loses` so many replies."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self.ledger = ledger
        self.is_cut = False
        self.loses = 0
        self.requests: list[Request] = []

    async def exchange_usage(self, request: bytes) -> bytes:
        """Exchange, if the way is open."""
        await asyncio.sleep(0)
        if self.is_cut:
            raise SyncError("memory", "cut")
        message = decode_request(request)
        self.requests.append(message)
        self.ledger.now = now_ms()
        reply = self.ledger.exchange(message)
        if self.loses:
            self.loses -= 1
            raise SyncError("memory", "lost")
        return encode(reply)

    async def close(self) -> None:
        """Nothing to close."""


class LeasingSidecar:
    """One sidecar that follows, with the customer `acme` in it, or other `subjects`."""

    def __init__(
        self,
        folder: Path,
        wire: Wire,
        catalog: str = CATALOG,
        budget: int = 2**26,
        subjects: Sequence[SubjectRecord] = (customer("acme"),),
        recheck_one_in: int = 1,
    ) -> None:
        self.wire = wire
        self.state = State(now_ms)
        self.link = LedgerLink.open(folder, wire, now_ms, LinkOptions(budget, 1_000))
        self.meter = LeaseMeter(self.state, self.link)
        compiled = bundle(catalog)
        options = EngineOptions(rechecks=Rechecks(recheck_one_in), usage=self.meter)
        engine = options.build(compiled, Subjects(*subjects), 1)
        self.state.install(Generation(1, engine, 1, compiled.revision, now_ms()))
        self.checks = CheckService(self.state, Metrics())
        self.service = UsageService(self.checks, self.meter)
        self._task: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[LeasingSidecar]:
        """Exchange until the end; then stop as a killed process does."""
        self.meter.start()
        self._task = asyncio.create_task(self.meter.run())
        try:
            yield self
        finally:
            await self.stop()
            self.meter.close()

    async def stop(self) -> None:
        """End the exchanges."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def consume(
        self,
        feature: str = "calls",
        amount: int = 1,
        key: str | None = None,
        user: str | None = None,
        subject: str = "acme",
    ) -> dict[str, Any]:
        """Consume; return the answer. Raises `RequestError`."""
        check = Check(Subject(subject, user=user), feature, amount)
        return await self._answer(self.service.consume(self.checks.view(), check, key, now_ms()))

    async def reserve(self, feature: str, amount: int) -> dict[str, Any]:
        """Reserve for a minute."""
        check = Check(Subject("acme"), feature, amount)
        return await self._answer(self.service.reserve(self.checks.view(), check, None, 60, now_ms()))

    def used(self, feature: str = "calls") -> int:
        """What a check knows to be used."""
        current = self.state.current
        assert current is not None
        evaluator = current.engine.evaluator
        return evaluator.usage_of(Subject("acme"), evaluator.index.features[feature], now_ms()).used

    async def until(self, happened: Any, seconds: float = 20) -> None:  # noqa: ANN401 - a function
        """Wait until something has happened."""
        async with asyncio.timeout(seconds):
            while not happened():  # noqa: ASYNC110 - what happens has no event
                await asyncio.sleep(0.01)

    async def reported(self) -> None:
        """Wait until everything is booked, and leases are given back."""
        await self.until(lambda: not self.link.holder.state.pending and not self.link.holder.state.leases)

    @staticmethod
    async def _answer(outcome: Any) -> dict[str, Any]:  # noqa: ANN401 - an outcome
        counted = outcome if isinstance(outcome, Counted) else await outcome.wait()
        if isinstance(counted, RequestError):
            raise counted
        found: dict[str, Any] = msgspec.json.decode(counted.body)
        return found
