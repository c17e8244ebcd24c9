"""The ledger on a database: requests that arrive together are acted on, one after the other, in one transaction.

The pure `tiergate.usage.ledger` decides; this module reads what it needs, and writes what it changed. A caller hears of
the result only after the commit.

INVARIANT (one falls alone): a request that raises changes nothing, and the others stay. If the transaction is lost, by
a race or an error of the database, all of it runs again; if that fails too, each request runs in a transaction of its
own. Nothing is written before all of it has been decided, so a request may run any number of times.

If the connection is lost during the commit, the callers get an error, and the changes may be committed. That is safe:
a holder sends the same request again and gets the same reply; what has a key counts once.
"""

from __future__ import annotations

import random
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from sqlalchemy.exc import DBAPIError

from tiergate.errors import ReadOnlyStoreError, StoreError
from tiergate.store.batch_thread import BatchThread
from tiergate.store.change_queue import Outcome
from tiergate.store.database_errors import ConnectionLostError, first_line
from tiergate.store.feed import read_head
from tiergate.store.outbox import write_events
from tiergate.store.units import ReadUnit
from tiergate.store.usage_events import find_opened, opening_events, threshold_event
from tiergate.store.usage_state import UsageState
from tiergate.store.usage_thresholds import find_reached, metered_features, open_accounts
from tiergate.store.usage_writes import merge, write_changes
from tiergate.usage.leases import LeaseTerms
from tiergate.usage.ledger import Ledger
from tiergate.usage.ledger_records import Needs, needs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sqlmodel import Session

    from tiergate.model import Instant
    from tiergate.store.outbox import Event
    from tiergate.store.transactions import Store
    from tiergate.store.units import WriteUnit
    from tiergate.usage.accounts import Account, Bound, Consumption
    from tiergate.usage.ledger import BoundOf
    from tiergate.usage.ledger_records import LedgerChanges
    from tiergate.usage.protocol import Booked, Refused, Reply, Request

    Events = list[tuple[Instant, Event]]
    """Events with their instants."""

_MAX_CALLS: Final = 64
_ATTEMPTS: Final = 6
_FIRST_PAUSE: Final = 0.005
_DEFAULT_TERMS: Final = LeaseTerms()

T = TypeVar("T")


class Bounds(Protocol):
    """Resolves what limits accounts. It may read through the unit and the state, and give rollover grants."""

    def __call__(self, unit: ReadUnit, state: UsageState, accounts: Collection[Account]) -> BoundOf:
        """Read what is needed for these accounts, together, and return what resolves them and others like them."""


class Observer(Protocol):
    """Learns what a transaction changes, before its commit; what it writes is committed with it."""

    def __call__(self, unit: ReadUnit, state: UsageState, changes: LedgerChanges) -> None:
        """Act on the changes. An error undoes the transaction."""


@dataclass(frozen=True, slots=True)
class LedgerCall(Generic[T]):
    """What to do with the ledger, and which records that reads."""

    needs: Needs
    act: Callable[[Ledger], T]


@dataclass(slots=True)
class _Waiting:
    call: LedgerCall[Any]
    finished: Callable[[Outcome[Any]], None]


class UsageLedger:
    """The ledger of one store in this process. Safe to use from several threads."""

    def __init__(
        self,
        store: Store,
        bounds: Bounds,
        terms: LeaseTerms = _DEFAULT_TERMS,
        observer: Observer | None = None,
        *,
        tell_windows: bool = True,
    ) -> None:
        """Start no thread yet. `tell_windows`: whether the end and the start of a customer's window are events."""
        self.tell_windows = tell_windows
        self._store = store
        self._bounds = bounds
        self._terms = terms
        self._observer = observer
        self._thread: BatchThread[_Waiting] = BatchThread("usage", self._run_batch)
        store.limits_watch = self.check_customers

    @property
    def waiting(self) -> int:
        """The number of calls that wait for their turn."""
        return self._thread.waiting

    def clock(self) -> Instant:
        """Return the present instant of the store."""
        return self._store.clock()

    @property
    def bounds(self) -> Bounds:
        """What resolves the limits of accounts."""
        return self._bounds

    def submit(self, call: LedgerCall[T], finished: Callable[[Outcome[T]], None]) -> None:
        """Make a call soon; call `finished`, which must be brief and not raise, from another thread after the commit.

        Raises:
            StoreError: if the ledger is closed.
        """
        self._thread.submit(_Waiting(call, finished))

    def run(self, call: LedgerCall[T]) -> T:
        """Make a call and return its result after the commit. Its errors, and those of the database, pass through."""
        (outcome,) = self.run_all([call])
        return outcome.get()

    def run_all(self, calls: Sequence[LedgerCall[T]]) -> list[Outcome[T]]:
        """Make calls, each on its own, and return their outcomes after the last commit."""
        waiting: list[Future[Outcome[T]]] = []
        for call in calls:
            done: Future[Outcome[T]] = Future()
            self.submit(call, done.set_result)
            waiting.append(done)
        return [done.result() for done in waiting]

    def exchange(self, request: Request) -> Reply:
        """Act on a request of a holder, as `Ledger.exchange`."""
        return self.run(exchange_call(request))

    def debit(self, consumption: Consumption, answer: bytes = b"") -> Booked | Refused:
        """Consume within the ceilings, as `Ledger.debit`."""
        return self.run(LedgerCall(needs_of_consumption(consumption), lambda ledger: ledger.debit(consumption, answer)))

    def record(self, consumption: Consumption, answer: bytes = b"") -> Booked | Refused:
        """Book usage after the fact, as `Ledger.record`."""
        return self.run(
            LedgerCall(needs_of_consumption(consumption), lambda ledger: ledger.record(consumption, answer))
        )

    def correct(self, consumption: Consumption, answer: bytes = b"") -> Booked | Refused:
        """Take booked usage back, as `Ledger.correct`."""
        return self.run(
            LedgerCall(needs_of_consumption(consumption), lambda ledger: ledger.correct(consumption, answer))
        )

    def write_off(self, holder: str) -> int:
        """Book all leases of a holder that is lost as spent, as `Ledger.write_off`."""
        needs = Needs(holder, frozenset(), frozenset(), frozenset(), all_leases=True)
        return self.run(LedgerCall(needs, lambda ledger: ledger.write_off(holder)))

    def run_within(self, unit: WriteUnit, call: LedgerCall[T]) -> T:
        """Make a call in the transaction of a change, which commits or undoes it. The change must not be brief."""
        if unit.is_brief:
            raise RuntimeError("a brief change shares its transaction, and cannot change usage")
        (outcome,), events = self._act(unit.session, [call])
        for at, event in events:
            unit.emit(event.type, event.data, at)
        result: T = outcome.get()
        return result

    def check_customers(self, session: Session, customers: Collection[str]) -> Events:
        """Let the accounts of customers follow limits that may have moved; return the events of thresholds.

        In an open transaction, which has written what changes of the customers.
        """
        sequence = read_head(session).publication
        features = metered_features(self._store.published_state(session, sequence).index)
        if not features:
            return []
        accounts = open_accounts(session.connection(), customers, features, self._store.clock())
        if not accounts:
            return []
        (outcome,), events = self._act(session, [check_call(accounts)])
        outcome.get()
        return events

    def close(self) -> None:
        """Wait until no call is left, and end the thread."""
        self._thread.close()

    # ── the thread ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _run_batch(self) -> int:
        taken = self._thread.take(_MAX_CALLS)
        try:
            outcomes = self._repeat([waiting.call for waiting in taken])
        except Exception as error:  # noqa: BLE001 - must not end the thread; each caller hears of it
            outcomes = [Outcome(error=error)] * len(taken)
            if len(taken) > 1 and not isinstance(error, StoreError):
                outcomes = [self._run_alone(waiting.call) for waiting in taken]
        for waiting, outcome in zip(taken, outcomes, strict=True):
            waiting.finished(outcome)
        return len(taken)

    def _run_alone(self, call: LedgerCall[Any]) -> Outcome[Any]:
        try:
            return self._repeat([call])[0]
        except Exception as error:  # noqa: BLE001 - the caller's, who gets it
            return Outcome(error=error)

    def _repeat(self, calls: Sequence[LedgerCall[Any]]) -> list[Outcome[Any]]:
        """Make calls in one transaction, again if it is lost."""
        pause = _FIRST_PAUSE
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._run_once(calls)
            except ConnectionLostError:
                if attempt == _ATTEMPTS:
                    raise
            except DBAPIError as error:  # a race, or an error that only some of the calls cause
                if attempt == _ATTEMPTS:
                    if len(calls) > 1:
                        raise
                    raise StoreError(f"the database rejects the change of usage: {first_line(error)}") from error
            time.sleep(random.uniform(0, pause))  # noqa: S311 - only spreads the attempts
            pause *= 2
        raise AssertionError

    def _run_once(self, calls: Sequence[LedgerCall[Any]]) -> list[Outcome[Any]]:
        database = self._store.database
        is_committing = False
        try:
            with database.writing() as session:
                outcomes, events = self._act(session, calls)
                delivers = write_events(session.connection(), events, self._store.clock())
                is_committing = True
                database.commit(session)
        except ReadOnlyStoreError as error:
            database.read_only_error = error
            raise
        except ConnectionLostError as error:
            if is_committing:
                raise StoreError(
                    f"the connection was lost during the commit; the change may be committed: {error}"
                ) from error
            raise
        database.read_only_error = None
        database.notify_committed(grown=False, delivers=delivers)
        return outcomes

    def _act(self, session: Session, calls: Sequence[LedgerCall[Any]]) -> tuple[list[Outcome[Any]], Events]:
        """Make calls in an open transaction, and write what they change. Return their outcomes, and what they cause."""
        state = UsageState(session.connection())
        accounts = state.load([call.needs for call in calls])
        unit = ReadUnit(self._store, session)  # after waiting for locks
        state.now = unit.now
        bound_of = _remembering(self._bounds(unit, state, accounts), state)
        outcomes: list[Outcome[Any]] = []
        changes: list[LedgerChanges] = []
        for call in calls:
            try:
                result = call.act(Ledger(state.records, bound_of, unit.now, self._terms))
            except Exception as error:  # noqa: BLE001 - the caller's, who gets it
                state.records.rollback()
                outcomes.append(Outcome(error=error))
            else:
                changes.append(state.records.commit())
                outcomes.append(Outcome(result))
        merged = merge(changes)
        records = merged.accounts.values()
        reached = find_reached(state, records, bound_of)
        opened = find_opened(state, records) if self.tell_windows else []
        write_changes(state, merged)
        if self._observer is not None:
            self._observer(unit, state, merged)
        if not reached and not opened:
            return outcomes, []
        index = unit.published.index
        caused = [event for one in opened for event in opening_events(one, index)]
        caused += [threshold_event(one, index) for one in reached]
        return outcomes, [(unit.now if event.at is None else event.at, event) for event in caused]


def exchange_call(request: Request) -> LedgerCall[Reply]:
    """Return the call that acts on a request of a holder."""
    return LedgerCall(needs_of(request), lambda ledger: ledger.exchange(request))


def check_call(accounts: Collection[Account]) -> LedgerCall[None]:
    """Return the call that lets accounts follow limits that may have moved."""

    def act(ledger: Ledger) -> None:
        for account in accounts:
            ledger.settle_pools(account)

    return LedgerCall(Needs("", frozenset(accounts), frozenset(), frozenset(), all_leases=False), act)


def needs_of_consumption(consumption: Consumption) -> Needs:
    """Return the records that a consumption reads."""
    keys = frozenset({consumption.key} - {b""})
    accounts = frozenset(debit.account for debit in consumption.debits)
    return Needs("", accounts, frozenset(), keys, all_leases=False)


def _remembering(bound_of: BoundOf, state: UsageState) -> BoundOf:
    """Return what remembers in the state what it resolves."""

    def remembered(account: Account, at: Instant) -> Bound | None:
        bound = bound_of(account, at)
        if bound is not None:
            state.note_bound(account, bound)
        return bound

    return remembered
