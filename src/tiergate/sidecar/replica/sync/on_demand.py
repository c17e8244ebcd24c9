"""Subjects on demand, for stores too large for every sidecar: a requested subject is fetched once, then followed.

INVARIANT (no change is lost between a statement and the feed): a statement has a position, and the feed continues while
it is fetched. So from before the request until the record is stored, the newest change of every customer in the feed is
remembered. A statement waits until the feed has reached its position. Then, while no commit of the feed is running, the
newer of the two is stored, and from then on the customer's changes are followed.

That a subject does not exist is stored too, until the feed has it. The least recently used customers are dropped first.
Cached answers are invalidated with each of these steps.
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
    """The follower of the feed, as far as it fetches and stores single subjects."""

    committing: asyncio.Lock
    """Locked during a commit of the feed, and while a fetched record is stored."""

    async def fetch_statement(self, subject: Subject) -> SubjectStatement | UnreadableStatement:
        """Fetch a statement, not older than the position that is committed at the call."""
        ...

    async def wait_for_position(self, position: int) -> None:
        """Wait until everything up to a position is committed."""
        ...

    async def store_record(self, record: SubjectRecord | UnreadableRecord, dropped: Sequence[str]) -> None:
        """Commit a record, delete the `dropped` customers, and invalidate the answers about all of them."""
        ...

    def invalidate(self, changed: Iterable[ChangedSubjects]) -> None:
        """Invalidate cached answers."""
        ...


class OnDemand:
    """The subjects that are stored. Belongs to the event loop's thread."""

    def __init__(self, replica: OnDemandReplica, *, timeout: float, keep: int) -> None:
        """`timeout`: seconds that a check waits for its subject; `keep`: most customers that are stored."""
        self.failures = 0
        self._replica = replica
        self._timeout = timeout
        self._keep = keep
        self._stored: OrderedDict[str, frozenset[str]] = OrderedDict()
        self._customers: dict[str, str] = {}
        self._absent: OrderedDict[Subject, None] = OrderedDict()
        self._fetches: dict[Subject, asyncio.Task[bool]] = {}
        self._recent: dict[str, SubjectChange] = {}

    # ── for checks ────────────────────────────────────────────────────────────────────────────────────────

    def is_known(self, subject: Subject) -> bool:
        """Return whether a subject is stored, or known not to exist."""
        customer = subject.id if subject.type is SubjectType.CUSTOMER else self._customers.get(subject.id, "")
        if customer in self._stored:
            self._stored.move_to_end(customer)
            return True
        if subject in self._absent:
            self._absent.move_to_end(subject)
            return True
        return False

    async def fetch(self, subject: Subject) -> bool:
        """Fetch a subject, once for all waiting checks, and return whether it is known in time."""
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

    # ── for the follower ───────────────────────────────────────────────────────────────────────────────────────

    def reset(self, stored: Iterable[tuple[str, Iterable[str]]]) -> None:
        """Begin with the customers of a replica and their subscriptions."""
        self._stored.clear()
        self._customers.clear()
        self._absent.clear()
        for customer, subscriptions in stored:
            self._add(customer, frozenset(subscriptions))

    def filter_changes(self, changes: Iterable[RecordChange]) -> list[RecordChange]:
        """Remember changes that are about to be committed, and return those of stored customers."""
        relevant: list[RecordChange] = []
        for change in changes:
            if self._fetches and isinstance(change, SubjectChange):
                self._recent[change.customer] = change
            if change.customer in self._stored:
                relevant.append(change)
        return relevant

    def note_committed(self, changes: Iterable[RecordChange]) -> None:
        """Note that changes were committed."""
        for change in changes:
            if not isinstance(change, SubjectChange):
                continue
            customer, record = change.customer, change.record
            if customer in self._stored:
                if record is None:
                    self._remove(customer)
                    self._add_absent(Subject(customer))
                else:
                    self._add(customer, frozenset(subscription.id for subscription in record.subscriptions))
            if record is not None:
                self._remove_absent(customer, (subscription.id for subscription in record.subscriptions))

    async def end(self) -> None:
        """Cancel all fetches."""
        fetchs = list(self._fetches.values())
        for fetch in fetchs:
            fetch.cancel()
        await asyncio.gather(*fetchs, return_exceptions=True)

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
            log("cannot fetch a subject", subject=subject.id, error=str(error) or "timeout")
            return False
        return True

    def _end_fetch(self, subject: Subject) -> None:
        del self._fetches[subject]
        if not self._fetches:
            self._recent.clear()

    async def _store_statement(self, subject: Subject, statement: SubjectStatement | UnreadableStatement) -> None:
        """Store the record of a statement, or a newer one from the feed."""
        if isinstance(statement, SubjectStatement):
            record = self._newest(subject, statement)
        else:
            unreadable = statement.record
            newer = self._recent.get(unreadable.customer)
            if newer is None or newer.position <= statement.position:
                await self._store(unreadable, unreadable.customer, frozenset(unreadable.subscriptions))
                return
            record = newer.record
        if record is None:
            self._add_absent(subject)
        else:
            await self._store(
                record, record.customer.id, frozenset(subscription.id for subscription in record.subscriptions)
            )

    async def _store(
        self, record: SubjectRecord | UnreadableRecord, customer: str, subscriptions: frozenset[str]
    ) -> None:
        """Store a customer, unless it is stored; the least recently used ones make room."""
        if customer in self._stored:
            return
        beyond = max(0, len(self._stored) + 1 - self._keep)
        dropped = list(islice(self._stored, beyond))
        await self._replica.store_record(record, dropped)
        for id_ in dropped:
            self._remove(id_)
        self._add(customer, subscriptions)
        self._remove_absent(customer, subscriptions)

    def _newest(self, subject: Subject, statement: SubjectStatement) -> SubjectRecord | None:
        passed = {id_: change for id_, change in self._recent.items() if change.position > statement.position}
        record = statement.record
        if subject.type is SubjectType.CUSTOMER:
            return passed[subject.id].record if subject.id in passed else record
        if record is not None and record.customer.id not in passed:
            return record
        for change in passed.values():  # few: those that changed during the fetch
            if change.record is not None and any(sub.id == subject.id for sub in change.record.subscriptions):
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
        """Note that a customer and its subscriptions exist."""
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
