"""Brief changes of one process that wait for each other on SQLite, and commit together: one sync of the disk for all.

Whoever has the turn works in a transaction of its own where nobody waits. Where other brief changes wait, it leaves its
transaction open for the next one, which works in a savepoint of it, and the last one commits for all. So each either
stands in the database when its caller hears of it, or not at all: nobody is answered before the commit.

INVARIANT (one falls alone): what a change did that raises is undone to its savepoint, and the others stand. Where the
transaction itself is lost, as when the disk is full, all of them fail or are begun again, and nobody is told anything.

Leaves to others: what the changes are, and that long ones, which others would have to wait for, do not come here.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from tiergate.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection, Engine

_MOST: Final = 64
_MOST_SECONDS: Final = 0.05
_LOOK_AGAIN: Final = 1.0

T = TypeVar("T")


class UndoneError(Exception):
    """The transaction was lost by another change in it: this one is to be begun again, from its beginning."""


class _Transaction:
    """One transaction of one or several changes; belongs to whoever has the turn."""

    def __init__(self, engine: Engine) -> None:
        self._resources = ExitStack()
        options = {"tiergate_write": True}
        self._connection: Connection = self._resources.enter_context(engine.connect().execution_options(**options))
        try:
            self._connection.begin()
        except BaseException:
            self._resources.close()
            raise
        self._until = time.monotonic() + _MOST_SECONDS
        self._changes = 0
        self.grown = False
        self.done = threading.Event()
        self.error: Exception | None = None

    @property
    def is_full(self) -> bool:
        """Say whether those who are in it have waited for enough others."""
        return self._changes >= _MOST or time.monotonic() >= self._until

    @property
    def is_over(self) -> bool:
        """Say whether it was lost, or has nothing in it."""
        return self.error is not None or not self._changes

    def run(self, work: Callable[[Session], tuple[T, bool]]) -> T:
        """Run one change in it. What it raises passes through, and what it did is undone."""
        first = not self._changes
        try:
            if not first:
                self._connection.exec_driver_sql("SAVEPOINT change")
            with Session(
                self._connection, autoflush=False, expire_on_commit=False, join_transaction_mode="rollback_only"
            ) as session:
                result, grown = work(session)
            if not first:
                self._connection.exec_driver_sql("RELEASE change")
        except BaseException:
            if not first:
                self._undo()
            raise
        self._changes += 1
        self.grown |= grown
        return result

    def _undo(self) -> None:
        """Undo the last change. Some errors, such as a full disk, make SQLite roll back the whole: it is lost then."""
        try:
            self._connection.exec_driver_sql("ROLLBACK TO change")
            self._connection.exec_driver_sql("RELEASE change")
        except SQLAlchemyError:
            self.error = UndoneError()

    def end(self) -> None:
        """Commit, if there is anything to commit."""
        try:
            if not self.is_over:
                self._connection.commit()
        except BaseException as error:
            self.error = error if isinstance(error, Exception) else StoreError("the commit was interrupted")
            if not isinstance(error, Exception):
                raise
        finally:
            if self.error is not None:
                self._connection.invalidate()  # which closes it, and with it whatever it may still have open
            self._resources.close()


class CommitQueue:
    """The queue of the writers of one process. Safe to use from several threads."""

    def __init__(self, engine: Engine, committed: Callable[[], None]) -> None:
        """`committed` is called after each commit of changes that grew the feed."""
        self._engine = engine
        self._committed = committed
        self._turn = threading.Lock()
        self._count = threading.Lock()
        self._waiting = 0
        self._open: _Transaction | None = None

    @property
    def waiting(self) -> int:
        """How many brief changes wait for their turn."""
        return self._waiting

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Have the turn, while nobody has a transaction open."""
        with self._turn:
            self._end()
            yield

    def run(self, work: Callable[[Session], tuple[T, bool]]) -> T:
        """Run a brief change, perhaps with others in one transaction, and return once that is committed.

        `work` says beside its result whether it grew the feed.

        Raises:
            UndoneError: another change lost the transaction for all: begin again. What `work` raises passes through,
                and so does what the commit raised, to all who were in it.
        """
        with self._count:
            self._waiting += 1
        try:
            self._turn.acquire()
        finally:
            with self._count:
                self._waiting -= 1
        try:
            transaction = self._open
            if transaction is None:
                transaction = self._open = _Transaction(self._engine)
            try:
                result = transaction.run(work)
            finally:
                if not self._waiting or transaction.is_over or transaction.is_full:
                    self._end()
        except BaseException as error:
            self._turn.release()
            if transaction is not None and isinstance(error, Exception):
                self._await(transaction)  # what it saw of the others, which made it raise, must have come true
            raise
        self._turn.release()
        self._await(transaction)
        return result

    def _end(self) -> None:
        """Commit for all who are in the open transaction, and let them know. For who has the turn."""
        transaction, self._open = self._open, None
        if transaction is not None:
            try:
                transaction.end()
                if transaction.grown and transaction.error is None:
                    self._committed()
            finally:
                transaction.done.set()

    def _await(self, transaction: _Transaction) -> None:
        while not transaction.done.wait(_LOOK_AGAIN):
            with self._turn:  # whoever was to go on with it has gone away
                if self._open is transaction:
                    self._end()
        if transaction.error is not None:
            raise transaction.error
