"""Group commit for SQLite: brief changes of one process that wait for each other share one commit, and one disk sync.

A change with no other one waiting runs in a transaction of its own. If others wait, it leaves its transaction open for
the next one, which runs in a savepoint, and the last one commits for all. A caller continues only after the commit.

INVARIANT (one falls alone): a change that raises is undone to its savepoint, and the others stay. If the transaction
itself is lost, as when the disk is full, all changes in it fail or run again.

Long changes, for which others would have to wait, must not come here.
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

_MAX_CHANGES: Final = 64
_MAX_SECONDS: Final = 0.05
_RECHECK_SECONDS: Final = 1.0

T = TypeVar("T")


class UndoneError(Exception):
    """Another change lost the shared transaction: this one must run again."""


class _Transaction:
    """One transaction of one or several changes; only the thread that has the turn uses it."""

    def __init__(self, engine: Engine) -> None:
        self._resources = ExitStack()
        options = {"tiergate_write": True}
        self._connection: Connection = self._resources.enter_context(engine.connect().execution_options(**options))
        try:
            self._connection.begin()
        except BaseException:
            self._resources.close()
            raise
        self._until = time.monotonic() + _MAX_SECONDS
        self._changes = 0
        self.grown = False
        self.done = threading.Event()
        self.error: Exception | None = None

    @property
    def is_full(self) -> bool:
        """Whether it has run long enough, or has enough changes."""
        return self._changes >= _MAX_CHANGES or time.monotonic() >= self._until

    @property
    def is_over(self) -> bool:
        """Whether it was lost, or is empty."""
        return self.error is not None or not self._changes

    def run(self, work: Callable[[Session], tuple[T, bool]]) -> T:
        """Run one change. If it raises, it is undone, and the error passes through."""
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
        """Undo the last change. After some errors, such as a full disk, SQLite has rolled back the whole one."""
        try:
            self._connection.exec_driver_sql("ROLLBACK TO change")
            self._connection.exec_driver_sql("RELEASE change")
        except SQLAlchemyError:
            self.error = UndoneError()

    def end(self) -> None:
        """Commit, unless it is empty or lost."""
        try:
            if not self.is_over:
                self._connection.commit()
        except BaseException as error:
            self.error = error if isinstance(error, Exception) else StoreError("the commit was interrupted")
            if not isinstance(error, Exception):
                raise
        finally:
            if self.error is not None:
                self._connection.invalidate()  # closes it, with any open transaction
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
        """The number of brief changes that wait for their turn."""
        return self._waiting

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Take the turn while no transaction is open."""
        with self._turn:
            self._end()
            yield

    def run(self, work: Callable[[Session], tuple[T, bool]]) -> T:
        """Run a brief change, perhaps with others in one transaction, and return once that is committed.

        `work` returns its result, and whether it grew the feed.

        Raises:
            UndoneError: if another change lost the transaction: run `work` again. Errors of `work` and of the commit
                pass through.
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
                self._await(transaction)  # the error may rest on changes of others, so these must be committed first
            raise
        self._turn.release()
        self._await(transaction)
        return result

    def _end(self) -> None:
        """Commit the open transaction, and wake its callers. Only for the thread that has the turn."""
        transaction, self._open = self._open, None
        if transaction is not None:
            try:
                transaction.end()
                if transaction.grown and transaction.error is None:
                    self._committed()
            finally:
                transaction.done.set()

    def _await(self, transaction: _Transaction) -> None:
        while not transaction.done.wait(_RECHECK_SECONDS):
            with self._turn:  # the thread that was to continue it may be gone
                if self._open is transaction:
                    self._end()
        if transaction.error is not None:
            raise transaction.error
