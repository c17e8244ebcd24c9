"""The dispatcher delivers events to webhooks, at least once, as a background job of the control plane.

Due deliveries are claimed, sent, and recorded as delivered, waiting or dead. A failed delivery is retried after 5
seconds and then with growing pauses of up to 4 hours, for about a day; then it is dead, and can be delivered again by
hand. Any number of control planes with one database share the work.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

import structlog

from tiergate.errors import OperatorError
from tiergate.store import SYSTEM
from tiergate.store.deliveries import (
    Backlog,
    DeliveryResult,
    claim_due,
    delete_finished_deliveries,
    next_due,
    read_backlog,
    record_result,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.control.webhooks.delivery import Attempt, WebhookSender
    from tiergate.model import Instant
    from tiergate.store import Store
    from tiergate.store.deliveries import Claim

ATTEMPTS: Final = 13
"""Maximum number of attempts."""

_FIRST_PAUSE: Final = 5.0
_FACTOR: Final = 4.0
_LONGEST_PAUSE: Final = 4 * 60 * 60.0

_AT_ONCE: Final = 32
_EACH: Final = 8
_LEASE: Final = 60_000  # milliseconds; longer than any attempt
_KEPT: Final = 30 * 24 * 60 * 60 * 1000  # milliseconds for which finished deliveries are kept
_CLEANING: Final = 60 * 60 * 1000
_COUNTING: Final = 15_000
_GONE: Final = 410

_log = structlog.get_logger(__name__)


def pause_after(attempt: int, jitter: Callable[[float, float], float] = random.uniform) -> float | None:
    """Return the seconds to wait after failed attempt number `attempt`, from 1; `None` after the last."""
    if attempt >= ATTEMPTS:
        return None
    return min(_FIRST_PAUSE * _FACTOR ** (attempt - 1), _LONGEST_PAUSE) * jitter(0.8, 1.2)


class Dispatcher:
    """Delivers until it is cancelled. `poll`: seconds between two checks for deliveries of other processes."""

    def __init__(self, store: Store, sender: WebhookSender, *, poll: float = 1.0) -> None:
        self._store = store
        self._sender = sender
        self._poll = poll
        self._busy: dict[str, int] = {}
        self._cleaned: Instant = 0
        self._counted: Instant = 0
        self._is_waiting = False
        self.backlog = Backlog()
        """What waited and was dead some seconds ago, in all processes."""
        self.delivered = self.failed = self.given_up = 0
        """The attempts of this process that succeeded and failed, and the deliveries that died."""

    async def run(self) -> None:
        """Deliver forever; wait while the database is unavailable."""
        loop = asyncio.get_running_loop()
        awake = asyncio.Event()

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(awake.set)

        self._store.database.on_deliveries(wake)
        async with asyncio.TaskGroup() as group:
            while True:
                awake.clear()
                claims = await self._claim_safely()
                for claim in claims:
                    self._enter(claim)
                    group.create_task(self._deliver(claim)).add_done_callback(lambda _: awake.set())
                if not claims:
                    try:
                        async with asyncio.timeout(self._poll):
                            await awake.wait()
                    except TimeoutError:
                        pass

    async def drain(self) -> int:
        """Deliver all that is due now, and return the number of attempts."""
        attempts = 0
        while claims := await asyncio.to_thread(self._claim):
            for claim in claims:
                self._enter(claim)
            await asyncio.gather(*(self._deliver(claim) for claim in claims))
            attempts += len(claims)
        return attempts

    def _enter(self, claim: Claim) -> None:
        self._busy[claim.webhook] = self._busy.get(claim.webhook, 0) + 1

    async def _claim_safely(self) -> list[Claim]:
        try:
            claims = await asyncio.to_thread(self._claim)
        except Exception as error:  # noqa: BLE001 - the edge of a thread: the next attempt may succeed
            if not self._is_waiting:
                _log.warning(
                    "cannot read due deliveries; waiting for the database", exc_info=_trace(error), error=str(error)
                )
            self._is_waiting = True
            return []
        self._is_waiting = False
        return claims

    def _claim(self) -> list[Claim]:
        """Claim due deliveries; if none is due, write nothing."""
        now = self._store.clock()
        if now - self._cleaned >= _CLEANING:
            self._cleaned = now
            self._store.change(lambda unit: delete_finished_deliveries(unit, unit.now - _KEPT), SYSTEM)
        if abs(now - self._counted) >= _COUNTING:
            self._counted = now
            self.backlog = self._store.read(read_backlog)
        room = _AT_ONCE - sum(self._busy.values())
        due = self._store.read(next_due)
        if due is None or due > now or room <= 0:
            return []
        busy = dict(self._busy)
        return self._store.change(lambda unit: claim_due(unit, most=room, each=_EACH, lease=_LEASE, busy=busy), SYSTEM)

    async def _deliver(self, claim: Claim) -> None:
        try:
            attempt = await self._sender.send(claim, self._store.clock())
            await asyncio.to_thread(self._record, claim, attempt)
        except Exception as error:  # noqa: BLE001 - as above: the claim expires, and the delivery is repeated
            _log.error(
                "cannot record the result of a delivery", delivery=claim.id, exc_info=_trace(error), error=str(error)
            )
        finally:
            self._busy[claim.webhook] -= 1
            if not self._busy[claim.webhook]:
                del self._busy[claim.webhook]

    def _record(self, claim: Claim, attempt: Attempt) -> None:
        result = _result(claim, attempt, self._store.clock())
        self.delivered += result.delivered
        self.failed += not result.delivered
        self.given_up += not result.delivered and result.retry_at is None
        if not result.delivered:
            _log.warning(
                "delivery failed" if result.retry_at is not None else "delivery given up",
                delivery=claim.id,
                webhook=claim.webhook,
                attempt=claim.attempt,
                answer=attempt.answer,
            )
        self._store.change(lambda unit: record_result(unit, claim, result), SYSTEM)


def _trace(error: Exception) -> Exception | None:
    """Return the error to log a traceback of: none for errors that operators fix."""
    return None if isinstance(error, OperatorError) else error


def _result(claim: Claim, attempt: Attempt, now: Instant) -> DeliveryResult:
    if attempt.status is not None and 200 <= attempt.status < 300:
        return DeliveryResult(delivered=True, answer=attempt.answer)
    gone = attempt.status == _GONE
    pause = None if gone else pause_after(claim.attempt)
    if pause is None:
        return DeliveryResult(delivered=False, answer=attempt.answer, gone=gone)
    return DeliveryResult(
        delivered=False, answer=attempt.answer, retry_at=now + round(1000 * max(pause, attempt.retry_after))
    )
