"""Looks after the outcomes of a sidecar: writes snapshots, forgets what is old, delivers, and reports about it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from tiergate.errors import JournalError
from tiergate.sidecar.metrics import OutcomesReport
from tiergate.status.outcome_book import Dropped

if TYPE_CHECKING:
    from tiergate.sidecar.outcomes.delivery import OutcomeDelivery
    from tiergate.sidecar.outcomes.recorder import OutcomeRecorder

_LOOK_SECONDS: Final = 1.0


class OutcomeUpkeep:
    """What happens to outcomes after they are counted. `delivery`: none without a control plane."""

    def __init__(self, recorder: OutcomeRecorder, delivery: OutcomeDelivery | None) -> None:
        self.recorder = recorder
        self.delivery = delivery

    def start(self) -> None:
        """Begin to write, in the running event loop."""
        self.recorder.start()

    async def run(self) -> None:
        """Look after everything, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look_after())
            if self.delivery is not None:
                tasks.create_task(self.delivery.run())

    async def shut_down(self, seconds: float) -> None:
        """Deliver what waits, if that can be done in this time; after `run`."""
        if self.delivery is not None:
            await self.delivery.shut_down(seconds)

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Forget what is old, and replace a long journal by a snapshot."""
        recorder = self.recorder
        before = recorder.clock() - recorder.options.keep_ms
        recorder.book.prune_delivered(before, recorder.most_sums)
        oldest = recorder.book.waiting.oldest
        if self.delivery is None and oldest is not None and oldest < before:
            try:
                await recorder.commit(Dropped(before))
            except JournalError:  # the journal logs it; the next look tries again
                return
        recorder.compact()

    def report(self) -> OutcomesReport:
        """Return what `/status` and the metrics show."""
        recorder, delivery = self.recorder, self.delivery
        book, journal = recorder.book, recorder.journal
        oldest = book.oldest_undelivered
        last = None if delivery is None else delivery.last_delivery
        return OutcomesReport(
            outcomes=vars(recorder.counts),
            journal_bytes=journal.size,
            budget_bytes=journal.budget,
            error=None if journal.failed is None else journal.failed.detail,
            sums=book.undelivered + book.delivered.count,
            ids=len(book.ids),
            ids_forgotten=book.ids.forgotten_early,
            syncs=journal.counts.syncs,
            delivers=delivery is not None,
            undelivered=book.undelivered,
            oldest=None if oldest is None else oldest / 1000,
            age=0.0 if oldest is None else max(0, recorder.clock() - oldest) / 1000,
            dropped=book.dropped,
            refused=0 if delivery is None else delivery.refused,
            batches=0 if delivery is None else delivery.batches,
            failures=0 if delivery is None else delivery.failures,
            last_delivery=None if last is None else last / 1000,
            delivery_error=None if delivery is None else delivery.error,
        )
