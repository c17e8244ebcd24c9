"""Subjects on demand, for stores too large to be held everywhere: what is asked for is fetched once, and followed.

INVARIANT (no change is lost between a statement and the feed): a statement is of some position, and the feed goes on
while it is under way. So from before a subject is asked for until it is kept, the newest change of every customer that
comes by is remembered; a statement waits until the feed has come as far as it; then, while nothing of the feed is being
committed, the newer of the two is kept, and from there on that customer's changes are.

That a subject does not exist is known too, until the feed says otherwise. What is longest unused goes first. Whoever
remembers answers is told of all of that.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from tiergate.bundle import SubjectStatement
from tiergate.errors import OperatorError, TiergateError
from tiergate.feed.lines import SubjectChange
from tiergate.model import Subject, SubjectType
from tiergate.sidecar.replica.writer import ChangedSubjects

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tiergate.bundle import UnreadableStatement
    from tiergate.feed.lines import RecordChange
    from tiergate.feed.unreadable_records import UnreadableRecord
    from tiergate.model import SubjectRecord

_MAX_ABSENT: Final = 100_000
_MAX_FETCHES: Final = 1_000
_FETCH_SECONDS: Final = 30.0

_log = structlog.get_logger(__name__)


class OnDemandReplica(Protocol):
    """Who fetches and keeps what is asked for: the one that follows the feed."""

    committing: asyncio.Lock
    """Held while something of the feed is committed, and while something is kept."""

    @property
    def position(self) -> int:
        """How far everything that is committed goes."""
        ...

    async def fetch_statement(self, subject: Subject) -> SubjectStatement | UnreadableStatement:
        """What the store says of a subject, believed, and of no earlier position than was committed at the call.

        Raises:
            SyncError, TrustError: it is not to be had.
        """
        ...

    async def wait_for_position(self, position: int) -> None:
        """Wait until everything up to a position is committed."""
        ...

    async def store_record(self, record: SubjectRecord | UnreadableRecord, dropped: Sequence[str]) -> None:
        """Commit a record, or that it cannot be read, and that some customers are not held any more.

        Answers about all of them are forgotten.

        Raises:
            ReplicaError: the disk refuses.
        """
        ...

    def invalidate(self, changed: Iterable[ChangedSubjects]) -> None:
        """Have answers forgotten."""
        ...


class OnDemand:
    """The subjects that are held. Belongs to the event loop's thread."""

    def __init__(self, replica: OnDemandReplica, *, timeout: float, keep: int) -> None:
        """`timeout`: seconds that a check waits for its subject; `keep`: how many customers are held at most."""
        self.failures = 0
        self._replica = replica
        self._timeout = timeout
        self._keep = keep
        self._stored: OrderedDict[str, frozenset[str]] = OrderedDict()
        self._customers: dict[str, str] = {}
        self._absent: OrderedDict[Subject, None] = OrderedDict()
        self._fetches: dict[Subject, asyncio.Task[bool]] = {}
        self._recent: dict[str, SubjectChange] = {}

    # ── what the decider asks ────────────────────────────────────────────────────────────────────────────────────────

    def is_known(self, subject: Subject) -> bool:
        """Whether what is held says all about a subject, be it that there is none."""
        customer = subject.id if subject.type is SubjectType.CUSTOMER else self._customers.get(subject.id, "")
        if customer in self._stored:
            self._stored.move_to_end(customer)
            return True
        if subject in self._absent:
            self._absent.move_to_end(subject)
            return True
        return False

    async def fetch(self, subject: Subject) -> bool:
        """Have a subject fetched, once for all who wait for it, and say whether it is known in time."""
        if self.is_known(subject):
            return True
        fetch = self._fetches.get(subject)
        if fetch is None:
            if len(self._fetches) >= _MAX_FETCHES:
                self.failures += 1
                return False
            fetch = self._fetches[subject] = asyncio.create_task(self._fetch(subject))
            fetch.add_done_callback(lambda _: self._end_fetch(subject))
        done, _ = await asyncio.wait([fetch], timeout=self._timeout)
        if not done:
            self.failures += 1
            return False
        return not fetch.cancelled() and fetch.result()

    # ── what the follower says ───────────────────────────────────────────────────────────────────────────────────────

    def reset(self, stored: Iterable[tuple[str, Iterable[str]]]) -> None:
        """Begin with the customers and their subscriptions that a replica holds, and with nothing else."""
        self._stored.clear()
        self._customers.clear()
        self._absent.clear()
        for customer, subscriptions in stored:
            self._add(customer, frozenset(subscriptions))

    def filter_changes(self, changes: Iterable[RecordChange]) -> list[RecordChange]:
        """Take note of changes that are about to be committed, and say which of them concern what is held."""
        concerned: list[RecordChange] = []
        for change in changes:
            if self._fetches and isinstance(change, SubjectChange):
                self._recent[change.customer] = change
            if change.customer in self._stored:
                concerned.append(change)
        return concerned

    def note_committed(self, changes: Iterable[RecordChange]) -> None:
        """These changes were committed: what is held is what they say, as far as that can be read."""
        for change in changes:
            if not isinstance(change, SubjectChange):
                continue
            customer, record = change.customer, change.record
            if customer in self._stored:
                if record is None:
                    self._remove(customer)
                    self._add_absent(Subject(customer))
                else:
                    self._add(customer, frozenset(it.id for it in record.subscriptions))
            if record is not None:
                self._remove_absent(customer, (it.id for it in record.subscriptions))

    async def end(self) -> None:
        """Give up what is under way."""
        fetchs = list(self._fetches.values())
        for fetch in fetchs:
            fetch.cancel()
        await asyncio.gather(*fetchs, return_exceptions=True)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _fetch(self, subject: Subject) -> bool:
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                statement = await self._replica.fetch_statement(subject)
                await self._replica.wait_for_position(statement.position)
                async with self._replica.committing:
                    await self._store_statement(subject, statement)
        except (TiergateError, OSError, TimeoutError) as error:
            self.failures += 1
            log = _log.error if isinstance(error, OperatorError) else _log.warning
            log("cannot fetch a subject", subject=subject.id, error=str(error) or "it takes too long")
            return False
        return True

    def _end_fetch(self, subject: Subject) -> None:
        del self._fetches[subject]
        if not self._fetches:
            self._recent.clear()

    async def _store_statement(self, subject: Subject, statement: SubjectStatement | UnreadableStatement) -> None:
        """Keep what a statement says, or what the feed has said since."""
        if isinstance(statement, SubjectStatement):
            record = self._newest(subject, statement)
        else:
            unread = statement.record
            newer = self._recent.get(unread.customer)
            if newer is None or newer.position <= statement.position:
                await self._store(unread, unread.customer, frozenset(unread.subscriptions))
                return
            record = newer.record
        if record is None:
            self._add_absent(subject)
        else:
            await self._store(record, record.customer.id, frozenset(it.id for it in record.subscriptions))

    async def _store(
        self, record: SubjectRecord | UnreadableRecord, customer: str, subscriptions: frozenset[str]
    ) -> None:
        """Hold a customer from now on, unless that is so; those longest unused make room."""
        if customer in self._stored:
            return
        beyond = max(0, len(self._stored) + 1 - self._keep)
        dropped = list(islice(self._stored, beyond))
        await self._replica.store_record(record, dropped)
        for one in dropped:
            self._remove(one)
        self._add(customer, subscriptions)
        self._remove_absent(customer, subscriptions)

    def _newest(self, subject: Subject, statement: SubjectStatement) -> SubjectRecord | None:
        passed = {customer: it for customer, it in self._recent.items() if it.position > statement.position}
        record = statement.record
        if subject.type is SubjectType.CUSTOMER:
            return passed[subject.id].record if subject.id in passed else record
        if record is not None and record.customer.id not in passed:
            return record
        for change in passed.values():  # few: what came by while this one was fetched
            if change.record is not None and any(it.id == subject.id for it in change.record.subscriptions):
                return change.record
        return None

    def _add(self, customer: str, subscriptions: frozenset[str]) -> None:
        for gone in self._stored.get(customer, frozenset()) - subscriptions:
            if self._customers.get(gone) == customer:
                del self._customers[gone]
        self._stored[customer] = subscriptions
        for subscription in subscriptions:
            self._customers[subscription] = customer

    def _remove(self, customer: str) -> None:
        self._add(customer, frozenset())
        del self._stored[customer]

    def _add_absent(self, subject: Subject) -> None:
        self._absent[subject] = None
        if len(self._absent) > _MAX_ABSENT:
            self._invalidate(self._absent.popitem(last=False)[0])

    def _remove_absent(self, customer: str, subscriptions: Iterable[str]) -> None:
        """What a record shows to exist is not absent."""
        subjects = [Subject(customer)]
        subjects += [Subject(id_, SubjectType.SUBSCRIPTION) for id_ in subscriptions]
        for subject in subjects:
            if subject in self._absent:
                del self._absent[subject]
                self._invalidate(subject)

    def _invalidate(self, subject: Subject) -> None:
        if subject.type is SubjectType.CUSTOMER:
            self._replica.invalidate([ChangedSubjects(subject.id, frozenset())])
        else:
            self._replica.invalidate([ChangedSubjects("", frozenset({subject.id}))])
