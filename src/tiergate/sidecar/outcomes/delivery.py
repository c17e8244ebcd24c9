"""Delivers outcomes to a control plane, in batches that are each in effect once.

A batch is sealed in the journal before it is sent, and sent until the control plane says that it has it. So it is the
same after a crash, and the next one is sealed only after it. A control plane that does not know outcomes yet answers
404: they are kept, and tried later. A batch that it refuses again and again is set aside, so that it does not block
what comes after it; the sidecar can still read its minutes.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
import structlog

from tiergate.errors import JournalError, SyncError
from tiergate.status.outcome_book import BATCH_MOST, Begun, Delivered, Dropped, Sealed
from tiergate.status.outcome_delivery import BatchReply, decode_reply, encode_batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.model import Instant
    from tiergate.sidecar.outcomes.recorder import OutcomeRecorder
    from tiergate.status.outcome_book import Pending

UNDELIVERED_MS: Final = 7 * 24 * 3_600_000
"""How long outcomes are kept for a control plane that is out of reach, in milliseconds: 7 days."""

EVERY: Final = 5.0
"""Seconds between batches, unless much waits."""

_FIRST_RETRY: Final = 0.5
_LAST_RETRY: Final = 30.0
_UNKNOWN_RETRY: Final = 60.0
_NOT_FOUND: Final = 404
_REFUSED: Final = frozenset({400, 413, 422})
_MOST_REFUSALS: Final = 10  # some minutes, in which a proxy may be mended
_SOURCE_BYTES: Final = 16

_log = structlog.get_logger(__name__)


class OutcomesClient(Protocol):
    """Sends a batch to the control plane and returns its reply. Raises `SyncError`."""

    async def deliver_outcomes(self, request: bytes) -> bytes:
        """Send one batch."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class OutcomeDelivery:
    """The delivery of one recorder. `run` until the end, then `shut_down`."""

    def __init__(self, recorder: OutcomeRecorder, client: OutcomesClient, clock: Callable[[], Instant]) -> None:
        self.batches = self.failures = 0
        self.refused = 0
        """Requests whose outcomes were in batches that were set aside."""
        self.last_delivery: Instant | None = None
        """When the control plane confirmed a batch last."""
        self.error: str | None = None
        """Why the last batch was not confirmed; none if it was."""
        self._recorder = recorder
        self._client = client
        self._clock = clock
        self._has_begun = False
        self._attempts = self._refusals = 0

    async def run(self, *, every: float = EVERY) -> None:
        """Deliver, until cancelled."""
        while True:
            try:
                delay = await self._step(every)
            except JournalError as error:
                self._note(str(error))
                delay = every
            except Exception:  # noqa: BLE001 - what is undelivered stays on the disk, and is tried again
                _log.exception("unexpected error while delivering outcomes; this is a bug in Tiergate")
                delay = _LAST_RETRY
            await asyncio.sleep(delay)

    async def shut_down(self, seconds: float) -> None:
        """Deliver what waits, if that can be done in this time; after `run`. If it failed before, it is tried once."""
        goes_on = self.error is None
        try:
            async with asyncio.timeout(seconds):
                while self._recorder.book.undelivered:
                    delay = await self._step(0.0)
                    if delay and not goes_on:
                        break
                    await asyncio.sleep(delay)
        except (TimeoutError, JournalError):
            pass  # it is on the disk
        except Exception:  # noqa: BLE001 - what is undelivered stays on the disk
            _log.exception("unexpected error while delivering outcomes at the end; this is a bug in Tiergate")
        if self._recorder.book.undelivered:
            _log.warning("outcomes stay undelivered in the data folder until the next start")
        await self._client.close()

    async def _step(self, every: float) -> float:
        """Seal a batch if there is none, and send it; return the seconds until the next step."""
        recorder, book = self._recorder, self._recorder.book
        if not self._has_begun:
            await recorder.commit(Begun(secrets.token_urlsafe(_SOURCE_BYTES)))
            self._has_begun = True
        await self._give_up()
        if book.pending is None:
            if not book.waiting.count:
                return every
            await recorder.commit(Sealed())
        batch = book.pending
        if batch is None:
            return every
        try:
            reply = decode_reply(await self._client.deliver_outcomes(encode_batch(batch)))
            self._expect(reply, batch)
        except (SyncError, msgspec.DecodeError, UnicodeDecodeError) as error:
            self._note(str(error))
            if isinstance(error, SyncError) and error.status == _NOT_FOUND:
                return _UNKNOWN_RETRY
            if isinstance(error, SyncError) and error.status in _REFUSED:
                self._refusals += 1
                if self._refusals >= _MOST_REFUSALS:
                    await self._set_aside(batch, str(error))
                    return 0.0
            self._attempts += 1
            delay = min(_LAST_RETRY, _FIRST_RETRY * 2.0 ** min(self._attempts, 10))
            return delay * random.uniform(0.5, 1.0)  # noqa: S311 - only spreads retries
        await recorder.commit(Delivered())
        if self.error is not None:
            _log.info("outcomes are delivered again")
        self.error, self._attempts, self._refusals = None, 0, 0
        self.batches += 1
        self.last_delivery = self._clock()
        return 0.0 if len(batch.sums) >= BATCH_MOST else every

    async def _set_aside(self, batch: Pending, error: str) -> None:
        """Go on with the next batch, as if the control plane had this one."""
        await self._recorder.commit(Delivered())
        self._attempts = self._refusals = 0
        requests = sum(one.requests for one in batch.sums)
        self.refused += requests
        _log.error(
            "a batch of outcomes is set aside: the control plane refused it again and again",
            error=error,
            number=batch.number,
            source=batch.source,
            requests=requests,
        )

    async def _give_up(self) -> None:
        """Drop what has waited for too long, also behind a batch that cannot be delivered."""
        oldest, before = self._recorder.book.waiting.oldest, self._clock() - UNDELIVERED_MS
        if oldest is not None and oldest < before:
            dropped = self._recorder.book.dropped
            await self._recorder.commit(Dropped(before))
            requests = self._recorder.book.dropped - dropped
            _log.error("outcomes of more than 7 days ago are given up: they could not be delivered", requests=requests)

    @staticmethod
    def _expect(reply: BatchReply, batch: Pending) -> None:
        if (reply.source, reply.number) != (batch.source, batch.number):
            raise msgspec.DecodeError("the control plane answered another batch")

    def _note(self, error: str) -> None:
        if self.error is None:
            _log.warning("outcomes cannot be delivered; they are kept, and tried again", error=error)
        self.error = error
        self.failures += 1
