"""Checks across all records: duplicate ids, missing customers, totals that could overflow.

The first reading keeps hashes of ids, in packed arrays. They can raise a false suspicion (two ids with one hash), but
never miss a problem; a second reading confirms the suspects by their ids.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from itertools import pairwise
from typing import TYPE_CHECKING

from tiergate.catalog.checks.overflow_checks import SubjectTotals
from tiergate.catalog.reading.document import Mapping
from tiergate.model import MAX_TOTAL_UNITS, Customer
from tiergate.naming import parse_subject_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.catalog.checks.overflow_checks import TotalBounds
    from tiergate.catalog.quarantine import Quarantine
    from tiergate.catalog.reading.document import Position
    from tiergate.catalog.reading.problem_report import ProblemLog
    from tiergate.catalog.subject_file_reader import SubjectEntry

_LARGEST = 2**63 - 1


class CrossRecordChecks:
    """Collects hashes of records."""

    def __init__(self, bounds: TotalBounds) -> None:
        self._bounds = bounds
        self._customers = array("q")
        self._subscriptions = array("q")
        # Per subscription, and per customer with own `add` overrides: hash of the customer's id, bound of totals.
        self._holders = array("q")
        self._totals = array("q")
        self._count = 0

    def note(self, record: SubjectEntry) -> None:
        """Collect a record; of a record with problems, its ids if they can be read."""
        self._count += 1
        subject = record.subject
        if subject is None:
            id_ = read_written_id(record, "id")
            if id_ is not None:
                (self._customers if record.is_customer else self._subscriptions).append(hash(id_))
            customer = None if record.is_customer else read_written_id(record, "customer")
            if customer is not None:
                self._holders.append(hash(customer))
                self._totals.append(0)
        elif isinstance(subject, Customer):
            self._customers.append(hash(subject.id))
            added = self._bounds.cheap_customer(subject) if subject.overrides else 0
            if added:
                self._holders.append(hash(subject.id))
                self._totals.append(min(added, _LARGEST))
        else:
            self._subscriptions.append(hash(subject.id))
            self._holders.append(hash(subject.customer))
            self._totals.append(min(self._bounds.cheap(subject), _LARGEST))

    @property
    def customers(self) -> int:
        """The number of collected customers."""
        return len(self._customers)

    def doubts(self, *, is_complete: bool) -> SuspectIds | None:
        """Return the suspects, if there are any; `is_complete`: no customer can have been missed."""
        customers = array("q", sorted(self._customers))
        twice = _repeated(customers)
        twice_subscriptions = _repeated(sorted(self._subscriptions))
        missing = set()
        if is_complete:
            missing = {holder for holder in self._holders if not _holds(customers, holder)}
        large = self._large() if sum(self._totals) > MAX_TOTAL_UNITS else set()
        if not (twice or twice_subscriptions or missing or large):
            return None
        return SuspectIds(self._bounds, twice, twice_subscriptions, missing, large, self._count)

    def _large(self) -> set[int]:
        """Return customers whose subscriptions together could exceed the largest total, by the cheap bound."""
        totals: dict[int, int] = {}
        for holder, total in zip(self._holders, self._totals, strict=True):
            totals[holder] = totals.get(holder, 0) + total
        return {holder for holder, total in totals.items() if total > MAX_TOTAL_UNITS}


class SuspectIds:
    """Hashes of suspect ids, confirmed by reading all records again."""

    def __init__(
        self,
        bounds: TotalBounds,
        customers: set[int],
        subscriptions: set[int],
        missing: set[int],
        large: set[int],
        count: int,
    ) -> None:
        self._bounds = bounds
        self._twice = {True: customers, False: subscriptions}
        self._first: dict[tuple[bool, str], tuple[Position, str | None]] = {}
        self._missing = missing
        self._large = large
        self._left = count
        self._totals: dict[str, tuple[Position, SubjectTotals, bool]] = {}

    def settle(self, record: SubjectEntry, log: ProblemLog, quarantine: Quarantine | None = None) -> None:
        """Check one record again. Its problems are set aside in `quarantine` too."""
        self._left -= 1
        id_ = read_written_id(record, "id")
        if id_ is not None and hash(id_) in self._twice[record.is_customer]:
            self._settle_twice(record, id_, log, quarantine)
        subject = record.subject
        if not record.is_customer:
            self._settle_missing(record, id_, log, quarantine)
        if isinstance(subject, Customer):
            if hash(subject.id) in self._large:
                self._totals_of(subject.id, record, "id").add_customer(subject)
        elif subject is not None and hash(subject.customer) in self._large:
            self._totals_of(subject.customer, record, "customer").add(subject)

    def _settle_missing(
        self, record: SubjectEntry, id_: str | None, log: ProblemLog, quarantine: Quarantine | None
    ) -> None:
        """Report the customer of a subscription who does not exist, whatever else is wrong with the subscription."""
        customer = read_written_id(record, "customer")
        if customer is None or hash(customer) not in self._missing:
            return
        log.add(_position(record, "customer"), "unknown-customer", f"no customer `{customer}`")
        if quarantine is not None:
            quarantine.blame(customer, () if id_ is None else (id_,), 1)

    def _totals_of(self, customer: str, record: SubjectEntry, key: str) -> SubjectTotals:
        """Return the totals of a customer, reported at its first subscription, else at the customer."""
        result = self._totals.get(customer)
        if result is None or (key == "customer" and not result[2]):
            position = _position(record, key)
            totals = SubjectTotals(self._bounds) if result is None else result[1]
            self._totals[customer] = result = (position, totals, key == "customer")
        return result[1]

    def _settle_twice(self, record: SubjectEntry, id_: str, log: ProblemLog, quarantine: Quarantine | None) -> None:
        position = _position(record, "id")
        customer = id_ if record.is_customer else read_written_id(record, "customer")
        first, first_customer = self._first.setdefault((record.is_customer, id_), (position, customer))
        if first == position:
            return
        kind = "customer" if record.is_customer else "subscription"
        where = f"line {first[1]}" if first[0] == position[0] else f"{first[0]}, line {first[1]}"
        log.add(position, "duplicate-id", f"the {kind} `{id_}` exists already, in {where}")
        if quarantine is not None:
            subscription = None if record.is_customer else id_
            quarantine.note(first_customer, subscription, 0)
            quarantine.note(customer, subscription, 1)

    def finish(self, file: str, log: ProblemLog, quarantine: Quarantine | None = None) -> None:
        """Report totals, and records that are missing in the second reading."""
        if self._left:
            message = "has problems without a position: it changed while it was read, or is a pipe"
            log.add((file, 0, 0), "changed-file", message)
        for customer, (position, totals, _) in self._totals.items():
            for message in totals.excess():
                log.add(position, "total-too-large", f"all subscriptions of `{customer}` together: {message}")
                if quarantine is not None:
                    quarantine.blame(customer, (), 1)


def _repeated(ordered: Iterable[int]) -> set[int]:
    return {entry for entry, other in pairwise(ordered) if entry == other}


def _holds(ordered: array[int], wanted: int) -> bool:
    place = bisect_left(ordered, wanted)
    return place < len(ordered) and ordered[place] == wanted


def read_written_id(record: SubjectEntry, key: str) -> str | None:
    """Return the valid id that a record has under `key`."""
    id_ = record.node.entries.get(key) if isinstance(record.node, Mapping) else None
    try:
        return parse_subject_id(id_) if isinstance(id_, str) else None
    except ValueError:
        return None


def _position(record: SubjectEntry, key: str) -> Position:
    place = record.node.value_place(key) if isinstance(record.node, Mapping) else record.place
    return record.report.position(place)
