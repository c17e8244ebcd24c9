"""The queue of brief changes: one thread runs what waits, one change after the other, in one transaction.

Changes that arrive together share the cost of a transaction, of its statements and of its commit (`batch_thread`). A
change that nobody waits beside has a transaction of its own, at once. A caller hears of its change only after the
commit, also of an error, which may rest on changes of others.

INVARIANT (one falls alone): a change that raises is undone, and the others stay (`WriteUnit.undo`). If the transaction
itself is lost, by a race or by an error of the database, each of its changes runs again in a transaction of its own;
except if it may have been committed, or if the database cannot be used: then all fail.

Long changes, for which others would have to wait, must not come here.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from tiergate.errors import ReadOnlyStoreError, StoreError
from tiergate.store.batch_thread import BatchThread
from tiergate.store.database_errors import ConnectionLostError
from tiergate.store.shared_changes import LostRaceError, SharedChanges, UndoneError
from tiergate.store.units import WriteUnit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tiergate.store.transactions import Store
    from tiergate.store.units import Author

_MAX_CHANGES: Final = 64
_MAX_SECONDS: Final = 0.05

_AGAIN_THREADS: Final = 4

_MUST_RUN_AGAIN: Final = (LostRaceError, UndoneError, SQLAlchemyError, ConnectionLostError)
"""Errors that say nothing about the change itself, or that a transaction of its own must confirm.

They include what SQLAlchemy raises on a connection that an earlier change of the transaction found lost.
"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Generic[T]):
    """A brief change: what runs in its unit, and for whom.

    `customers`, `subscriptions`: ids that it will probably read, so that they are read together with those of others.
    """

    work: Callable[[WriteUnit], T]
    actor: Author
    request_id: str = ""
    reason: str = ""
    customers: Sequence[str] = ()
    subscriptions: Sequence[str] = ()


@dataclass(slots=True)
class Outcome(Generic[T]):
    """What became of a change: its result, or the error that it raised."""

    result: T | None = None
    error: Exception | None = None

    def get(self) -> T:
        """Return the result, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]  # a result may itself be nothing


@dataclass(slots=True)
class _Waiting:
    change: Change[Any]
    finished: Callable[[Outcome[Any]], None]
    outcome: Outcome[Any] = field(default_factory=Outcome)
    must_run_again: bool = False


class ChangeQueue:
    """The brief changes of one store in this process. Safe to use from several threads."""

    def __init__(self, store: Store, run_alone: Callable[[Change[Any]], Any]) -> None:
        """`run_alone` runs a change in a transaction of its own, as often as races are lost. Starts no thread yet."""
        self._store = store
        self._run_alone = run_alone
        self._thread: BatchThread[_Waiting] = BatchThread("changes", self._run_together)
        self._again: ThreadPoolExecutor | None = None

    @property
    def waiting(self) -> int:
        """The number of changes that wait for their turn."""
        return self._thread.waiting

    def submit(self, change: Change[T], finished: Callable[[Outcome[T]], None]) -> None:
        """Run a change soon; call `finished`, which must be brief and not raise, from another thread after the commit.

        Raises:
            StoreError: if the store is closed.
        """
        self.reject_nesting()
        self._thread.submit(_Waiting(change, finished))

    def run(self, change: Change[T]) -> T:
        """Run a change and return its result after the commit. Its errors, and those of the database, pass through."""
        done: Future[Outcome[T]] = Future()
        self.submit(change, done.set_result)
        return done.result().get()

    def reject_nesting(self) -> None:
        """Raise an error in a change that begins another one, which would wait for it for ever."""
        if self._thread.is_current:
            raise RuntimeError("a brief change cannot begin another change")

    def close(self) -> None:
        """Wait until no change is left, and end the threads."""
        self._thread.close()
        if self._again is not None:
            self._again.shutdown()

    def _run_together(self) -> int:
        """Run in one transaction what waits, and what arrives meanwhile; tell everybody, and return how many."""
        taken: list[_Waiting] = []
        committing = False
        try:
            with self._store.database.writing() as session:
                shared = SharedChanges(
                    self._store.database, session, self._store.limits_watch, self._store.records_watch
                )
                until = time.monotonic() + _MAX_SECONDS
                while len(taken) < _MAX_CHANGES and time.monotonic() < until and self._thread.waiting:
                    first = len(taken)
                    taken += self._thread.take(_MAX_CHANGES - first)
                    self._run_each(shared, taken[first:])
                if shared.has_changes:
                    shared.write()
                    committing = True
                    self._store.database.commit(session)
        except Exception as error:  # noqa: BLE001 - must not end the thread; each change hears of it
            self._fail_together(taken, error, committing=committing)
        else:
            self._store.database.read_only_error = None
            self._store.database.notify_committed(grown=shared.grown, delivers=shared.delivers)
        for waiting in taken:
            if waiting.must_run_again:
                self._repeat(waiting)
            else:
                waiting.finished(waiting.outcome)
        return len(taken)

    def _run_each(self, shared: SharedChanges, taken: Sequence[_Waiting]) -> None:
        customers = {id_ for waiting in taken for id_ in waiting.change.customers}
        subscriptions = {id_ for waiting in taken for id_ in waiting.change.subscriptions}
        shared.read_ahead(customers, subscriptions)
        for waiting in taken:
            change = waiting.change
            unit = WriteUnit(self._store, shared, change.actor, change.request_id, change.reason, brief=True)
            try:
                waiting.outcome.result = change.work(unit)
                unit.settle()
            except _MUST_RUN_AGAIN:
                waiting.must_run_again = True
                unit.undo()
            except Exception as error:  # noqa: BLE001 - the caller's, who gets it
                waiting.outcome.error = error
                unit.undo()

    def _fail_together(self, taken: Sequence[_Waiting], error: Exception, *, committing: bool) -> None:
        """Decide what a lost transaction means for its changes."""
        if isinstance(error, ReadOnlyStoreError):
            self._store.database.read_only_error = error
        is_lost = isinstance(error, ConnectionLostError)
        if is_lost and committing:
            # INVARIANT (once): a change that may have been committed is not run again.
            error = StoreError(f"the connection was lost during the commit; the change may be committed: {error}")
        fails = isinstance(error, StoreError) and (committing or not is_lost)
        for waiting in taken:
            waiting.must_run_again = not fails
            waiting.outcome = Outcome(error=error)

    def _repeat(self, waiting: _Waiting) -> None:
        """Run a change again in a transaction of its own, in another thread, because it may have to wait."""
        if self._again is None:
            self._again = ThreadPoolExecutor(_AGAIN_THREADS, "changes again")
        self._again.submit(self._run_again, waiting)

    def _run_again(self, waiting: _Waiting) -> None:
        try:
            outcome: Outcome[Any] = Outcome(self._run_alone(waiting.change))
        except Exception as error:  # noqa: BLE001 - the caller's, who gets it
            outcome = Outcome(error=error)
        waiting.finished(outcome)
