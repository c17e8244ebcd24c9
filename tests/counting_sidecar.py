"""A sidecar's counting in file mode in one process, for tests: the real meter and book, and a journal in memory.

The clock stands until a test moves it. A restart reads the book from the records again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from tests.serving import Clock, Subjects, bundle, customer
from tiergate.engine import EngineOptions, Rechecks
from tiergate.errors import JournalError, RequestError
from tiergate.model import Check, Subject, parse_instant
from tiergate.sidecar.check_service import CheckService
from tiergate.sidecar.metrics import Metrics
from tiergate.sidecar.state import Generation, State
from tiergate.sidecar.usage import reservation_ends, usage_lists, usage_reports
from tiergate.sidecar.usage.book import Book
from tiergate.sidecar.usage.book_records import decode_record
from tiergate.sidecar.usage.local_meter import LocalMeter
from tiergate.sidecar.usage.usage_service import Counted, UsageService
from tiergate.wire.json import encode
from tiergate.wire.usage_reader import UsageRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.model import Number, SubjectRecord
    from tiergate.sidecar.usage.journal import Journal

ACME = customer("acme")


class MemoryJournal:
    """A journal that is on disk at once; or that fails, while `fails` is set."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.fails = False

    def append(self, record: bytes, done: Callable[[JournalError | None], None]) -> None:
        """Append a record; a change that fails has been applied before."""
        if self.fails:
            self._after = done
            return
        self.records.append(record)
        done(None)

    def fail(self) -> None:
        """Report that the last record is not on disk."""
        self._after(JournalError("memory", "is full"))


class CountingSidecar:
    """A sidecar alone, with the customer `acme`, who has the plan `gold` of a catalog."""

    def __init__(self, catalog: str, *, at: str = "2027-01-15T08:00:00Z", acme: SubjectRecord = ACME) -> None:
        self.clock = Clock(parse_instant(at))
        self.journal = MemoryJournal()
        self._number = 0
        self._catalog, self._acme = catalog, acme
        self.restart()

    def restart(self) -> None:
        """Read everything from the records."""
        self.book = Book()
        for record in self.journal.records:
            self.book.apply(decode_record(record))
        self.state = State(self.clock)
        self.meter = LocalMeter(self.state, self.book, cast("Journal", self.journal))
        self.checks = CheckService(self.state, Metrics())
        self.service = UsageService(self.checks, self.meter)
        self.load()

    def load(self, catalog: str | None = None, acme: SubjectRecord | None = None) -> None:
        """Load another catalog, or another record of acme."""
        self._catalog, self._acme = catalog or self._catalog, acme or self._acme
        compiled = bundle(self._catalog)
        self._number += 1
        engine = EngineOptions(rechecks=Rechecks(1), usage=self.meter).build(
            compiled, Subjects(self._acme), self._number
        )
        self.state.install(Generation(self._number, engine, self._number, compiled.revision, self.clock()))

    def move(self, to: str) -> None:
        """Set the clock."""
        self.clock.now = parse_instant(to)

    def consume(self, amount: Number = 1, feature: str = "calls", key: str | None = None) -> dict[str, Any]:
        """Consume; return the answer. Raises `RequestError`."""
        check = Check(Subject("acme"), feature, amount)
        return _answer(self.service.consume(self.checks.view(), check, key, self.clock()))

    def take(self, *amounts: Number, feature: str = "calls") -> list[bool]:
        """Consume amounts one after the other; return what was allowed."""
        return [self.consume(amount, feature)["allowed"] for amount in amounts]

    def reserve(self, amount: Number, feature: str = "calls", seconds: int = 60) -> str:
        """Reserve; return the id."""
        check = Check(Subject("acme"), feature, amount)
        answer = _answer(self.service.reserve(self.checks.view(), check, None, seconds, self.clock()))
        id_: str = answer["reservation"]
        return id_

    def end(self, id_: str, amount: Number | None = None) -> None:
        """Commit a part of a reservation, or release it."""
        if amount is None:
            reservation_ends.release(self.service, id_, self.clock())
        else:
            reservation_ends.commit(self.service, id_, amount, self.clock())

    def report(self, amount: Number, at: str | None = None, feature: str = "calls", key: str | None = None) -> Any:  # noqa: ANN401 - a result, or an error
        """Count after the fact; return what was counted, or the error."""
        instant = None if at is None else parse_instant(at)
        record = UsageRecord(Check(Subject("acme"), feature, amount), "", key, instant, "", "/feature")
        results: list[Any] = []
        usage_reports.report(self.service, self.checks.view(), [record], self.clock()).then(results.append)
        return results[0][0]

    def usage(self, feature: str = "calls") -> dict[str, Any]:
        """The usage of acme, as `GET /v1/usage` has it."""
        listed = usage_lists.empty_list(Subject("acme"))
        for _ in usage_lists.list_usage(
            self.service, self.checks.view(), Subject("acme"), feature, self.clock(), listed
        ):
            pass
        found: dict[str, Any] = msgspec.json.decode(encode(listed))["usage"][0]
        return found


def _answer(outcome: Any) -> dict[str, Any]:  # noqa: ANN401 - an outcome
    results: list[Any] = []
    if isinstance(outcome, Counted):
        results.append(outcome)
    else:
        outcome.then(results.append)
    if isinstance(results[0], RequestError):
        raise results[0]
    found: dict[str, Any] = msgspec.json.decode(results[0].body)
    return found
