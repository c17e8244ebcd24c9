"""The subjects of a suite: from files, inline, or in the short form `holders`; and their metered usage.

All are read and checked like subjects files: ids are unique, customers exist, totals cannot overflow. A suite keeps its
subjects in memory.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from tiergate.catalog import CrossRecordChecks, Fields, SubjectEntry, SubjectFileReader, SubjectReader
from tiergate.catalog.reading.document import Listing, Mapping, shorten
from tiergate.catalog.reading.fields import find_suggestion, read_list, read_subject_id, read_units
from tiergate.catalog.reading.files import expand_paths
from tiergate.catalog.subject_files import SUBJECTS_ENDINGS
from tiergate.model import (
    FOREVER,
    NO_METERED_USAGE,
    Customer,
    MeteredUsage,
    Subject,
    SubjectRecord,
    SubjectType,
    Subscription,
)
from tiergate.naming import is_subject_id

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from collections.abc import Mapping as ReadOnly
    from pathlib import Path

    from tiergate.catalog import ProblemLog, TextReport, TotalBounds
    from tiergate.catalog.reading.document import Node
    from tiergate.model import CatalogIndex, Feature, Subject


FIXTURE_KEYS: Final = frozenset({"subjects", "customers", "subscriptions", "holders"})
"""The keys of a suite that hold its subjects."""


class SubjectFixtures:
    """The subjects of a suite, by customer and by subscription."""

    def __init__(self, customers: Sequence[Customer], subscriptions: Sequence[Subscription]) -> None:
        by_customer: dict[str, list[Subscription]] = {}
        for subscription in sorted(subscriptions, key=lambda one: one.id):
            by_customer.setdefault(subscription.customer, []).append(subscription)
        self.records: dict[str, SubjectRecord] = {
            customer.id: SubjectRecord(customer, tuple(by_customer.get(customer.id, ())))
            for customer in sorted(customers, key=lambda one: one.id)
        }
        self.holders: dict[str, str] = {
            subscription.id: subscription.customer
            for subscription in subscriptions
            if subscription.customer in by_customer
        }

    def find(self, subject: Subject) -> SubjectRecord | None:
        """Return the record of the customer, or of the subscription's customer; `None` if there is none."""
        customer = subject.id if subject.type is SubjectType.CUSTOMER else self.holders.get(subject.id)
        return None if customer is None else self.records.get(customer)


def read_subject_fixtures(
    suite: Fields, files: Sequence[Path], index: CatalogIndex, bounds: TotalBounds, report: TextReport, log: ProblemLog
) -> SubjectFixtures:
    """Read the subjects of a suite: those of `files`, and inline ones. Problems go to the log."""
    reader = SubjectReader(index, bounds)
    records = SubjectFileReader(reader, log)
    paths = expand_paths(files, SUBJECTS_ENDINGS, log)
    # With places, since a record of the suite may contradict one of a file.
    result = [record for path in paths for record in records.read(path, placed=True)]
    before = report.count
    result += sorted(_inline(suite, reader, report), key=lambda record: record.place)
    consistency = CrossRecordChecks(bounds)
    for record in result:
        consistency.note(record)
    doubts = consistency.doubts(is_complete=records.is_complete and report.count == before)
    if doubts is not None:
        for record in result:
            doubts.settle(record, log)
        doubts.finish(report.source.file, log)
    subjects = [record.subject for record in result if record.subject is not None]
    return SubjectFixtures(
        [subject for subject in subjects if isinstance(subject, Customer)],
        [subject for subject in subjects if not isinstance(subject, Customer)],
    )


def _inline(suite: Fields, reader: SubjectReader, report: TextReport) -> Iterator[SubjectEntry]:
    for node, place in suite.entries_of("customers"):
        yield SubjectEntry(reader.customer(node, place, report), True, node, place, report)
    for node, place in suite.entries_of("subscriptions"):
        yield SubjectEntry(reader.subscription(node, place, report), False, node, place, report)
    if "holders" in suite:
        holders = suite.mapping("holders")
        if holders is not None:
            for id_, node in holders.entries.items():
                yield from _holder(id_, node, holders, reader, report)


def _holder(
    id_: str, items: Node, holders: Fields, reader: SubjectReader, report: TextReport
) -> Iterator[SubjectEntry]:
    """Yield a customer with one active subscription, written as its items, as if both were written in full."""
    place, at = holders.key_place(id_), holders.at(id_)
    if read_subject_id(id_, place, report) is None:
        return
    customer = _mapping({"id": id_}, place)
    yield SubjectEntry(reader.customer(customer, place, report), True, customer, place, report)
    entries: list[Node] = []
    places = array("q")
    for item, where in read_list(items, at, report):
        entries.append(_mapping({"item": item}, where) if isinstance(item, str) else item)
        places.append(where)
    sub = f"sub-{id_}" if is_subject_id(f"sub-{id_}") else id_  # one that is too long stands for itself
    entry: dict[str, Node] = {"id": sub, "customer": id_, "status": "active", "items": Listing(entries, places)}
    subscription = _mapping(entry, place)
    yield SubjectEntry(reader.subscription(subscription, place, report), False, subscription, place, report)


def _mapping(entries: dict[str, Node], place: int) -> Mapping:
    """Return a mapping that is not in the file, with all its parts at one place."""
    return Mapping(entries, array("q", [place] * (2 * len(entries))))


_UNITS: Final = ("used", "user_used", "total_used", "granted")
USAGE_KEYS: Final = frozenset({*_UNITS, "resets_at"})
"""The keys of the usage of one feature."""


class UsageFixtures:
    """The usage of subjects, in units; that of a test takes precedence over its suite's."""

    def __init__(self, written: ReadOnly[tuple[str, str], MeteredUsage]) -> None:
        self._written = written

    def within(self, suite: UsageFixtures) -> UsageFixtures:
        """Return this usage of a test merged with that of its suite."""
        return UsageFixtures({**suite._written, **self._written})

    def of(self, name: str, subject: Subject, feature: Feature) -> MeteredUsage | None:
        """Return the usage of a subject: by its name in the test, else by its id; `None` if unknown.

        That of a feature which draws on another has the usage of the other too.
        """
        own = self._find(name, subject, feature.id)
        drawn = None if feature.draws is None else self._find(name, subject, feature.draws.source)
        return own if drawn is None else (own or NO_METERED_USAGE)._replace(drawn=drawn)

    def _find(self, name: str, subject: Subject, feature: str) -> MeteredUsage | None:
        return self._written.get((name, feature)) or self._written.get((subject.id, feature))


NO_USAGE: Final = UsageFixtures({})
"""The usage of a suite or test without any."""


def read_usage(
    parent: Fields, features: ReadOnly[str, Feature], known: Collection[str], report: TextReport
) -> UsageFixtures:
    """Read the key `usage`, if there is one; the subjects must be `known` names or ids."""
    subjects = parent.mapping("usage")
    if subjects is None:
        return NO_USAGE
    result: dict[tuple[str, str], MeteredUsage] = {}
    for name in subjects.entries:
        if name not in known:
            near = find_suggestion(name, known, report)
            report.add(subjects.key_place(name), "unknown-subject", f"no subject `{shorten(name)}` here", near)
        used = subjects.mapping(name)
        if used is not None:
            result.update({(name, id_): usage for id_ in used.entries if (usage := _read(id_, used, features, report))})
    return UsageFixtures(result)


def _read(id_: str, used: Fields, features: ReadOnly[str, Feature], report: TextReport) -> MeteredUsage | None:
    feature = features.get(id_)
    if feature is None:
        near = find_suggestion(id_, features, report)
        report.add(used.key_place(id_), "unknown-feature", f"no feature `{shorten(id_)}`", near)
        return None
    if feature.metered is None:
        message = f"`{id_}` is not metered: write its usage in a request, as `used`"
        report.add(used.key_place(id_), "not-metered", message)
        return None
    node: Node = used.entries[id_]
    if not isinstance(node, Mapping):
        units = read_units(node, used.at(id_), feature.scale, report)
        return None if units is None else MeteredUsage(units)
    fields = Fields.of(node, used.at(id_), report, USAGE_KEYS)
    if fields is None:
        return None
    units_by_key = {key: fields.units(key, feature.scale) or 0 for key in _UNITS}
    resets_at = fields.instant("resets_at")
    by_subject, by_user, by_all, granted = (units_by_key[key] for key in _UNITS)
    window_end = FOREVER if resets_at is None else resets_at
    return MeteredUsage(by_subject, by_user, by_all, granted, window_end=window_end)
