"""The dispatcher: delivers events to webhooks, beside the control plane's requests.

At least once: what is due is claimed, sent, and written down as delivered, waiting or dead. What fails is tried again
after 5 seconds, and after ever longer pauses of up to 4 hours, for about a day; then it is dead, and stays in the
record, from where it can be delivered anew. Any number of control planes on one database share the work.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

import structlog

from tiergate.errors import OperatorError
from tiergate.store import SYSTEM
from tiergate.store.deliveries import Result, claim_due, forget_finished, next_due, record_result

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.control.webhooks.delivery import Attempt, WebhookSender
    from tiergate.model import Instant
    from tiergate.store import Store
    from tiergate.store.deliveries import Claim

ATTEMPTS: Final = 13
"""How often a delivery is tried before it is dead."""

_FIRST_PAUSE: Final = 5.0
_FACTOR: Final = 4.0
_LONGEST_PAUSE: Final = 4 * 60 * 60.0

_AT_ONCE: Final = 32
_EACH: Final = 8
_LEASE: Final = 60_000  # milliseconds; longer than any attempt takes
_KEPT: Final = 30 * 24 * 60 * 60 * 1000  # milliseconds for which what has ended stays in the record
_CLEANING: Final = 60 * 60 * 1000
_GONE: Final = 410

_log = structlog.get_logger(__name__)


def pause_after(attempt: int, jitter: Callable[[float, float], float] = random.uniform) -> float | None:
    """Seconds to wait after the attempt of this number, from 1, has failed; none after the last."""
    if attempt >= ATTEMPTS:
        return None
    return min(_FIRST_PAUSE * _FACTOR ** (attempt - 1), _LONGEST_PAUSE) * jitter(0.8, 1.2)


class Dispatcher:
    """Delivers until it is cancelled. `poll`: seconds after which it looks for what other processes have written."""

    def __init__(self, store: Store, sender: WebhookSender, *, poll: float = 1.0) -> None:
        self._store = store
        self._sender = sender
        self._poll = poll
        self._busy: dict[str, int] = {}
        self._cleaned: Instant = 0
        self._waiting = False

    async def run(self) -> None:
        """Deliver, for ever. A database that is away is waited for."""
        loop = asyncio.get_running_loop()
        awake = asyncio.Event()

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(awake.set)

        self._store.database.listen(wake)
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
        """Deliver all that is due now, once each, and return how many attempts that took."""
        made = 0
        while claims := await asyncio.to_thread(self._claim):
            for claim in claims:
                self._enter(claim)
            await asyncio.gather(*(self._deliver(claim) for claim in claims))
            made += len(claims)
        return made

    def _enter(self, claim: Claim) -> None:
        self._busy[claim.webhook] = self._busy.get(claim.webhook, 0) + 1

    async def _claim_safely(self) -> list[Claim]:
        try:
            claims = await asyncio.to_thread(self._claim)
        except Exception as error:  # noqa: BLE001 - the edge of a thread: whatever it is, the next look may do better
            if not self._waiting:
                _log.warning("deliveries wait for the database", exc_info=_trace(error), error=str(error))
            self._waiting = True
            return []
        self._waiting = False
        return claims

    def _claim(self) -> list[Claim]:
        """Claim what is due; without anything due, nothing is written."""
        now = self._store.clock()
        if now - self._cleaned >= _CLEANING:
            self._cleaned = now
            self._store.change(lambda unit: forget_finished(unit, unit.now - _KEPT), SYSTEM)
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
        except Exception as error:  # noqa: BLE001 - as above: the claim runs out, and the delivery is made again
            _log.error("a result was not written down", delivery=claim.id, exc_info=_trace(error), error=str(error))
        finally:
            self._busy[claim.webhook] -= 1
            if not self._busy[claim.webhook]:
                del self._busy[claim.webhook]

    def _record(self, claim: Claim, attempt: Attempt) -> None:
        result = _result(claim, attempt, self._store.clock())
        if not result.delivered:
            _log.warning(
                "not delivered" if result.retry_at is not None else "given up",
                delivery=claim.id,
                webhook=claim.webhook,
                attempt=claim.attempt,
                answer=attempt.answer,
            )
        self._store.change(lambda unit: record_result(unit, claim, result), SYSTEM)


def _trace(error: Exception) -> Exception | None:
    """What a traceback is logged of: not of what an operator has to mend."""
    return None if isinstance(error, OperatorError) else error


def _result(claim: Claim, attempt: Attempt, now: Instant) -> Result:
    if attempt.status is not None and 200 <= attempt.status < 300:
        return Result(delivered=True, answer=attempt.answer)
    gone = attempt.status == _GONE
    pause = None if gone else pause_after(claim.attempt)
    if pause is None:
        return Result(delivered=False, answer=attempt.answer, gone=gone)
    return Result(delivered=False, answer=attempt.answer, retry_at=now + round(1000 * max(pause, attempt.retry_after)))
