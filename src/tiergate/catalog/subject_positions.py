"""Read records of subjects files again, with the position of each part, for findings about some customers.

The files must be valid.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tiergate.catalog.entries.subjects import SubjectReader
from tiergate.catalog.reading.document import Listing, Mapping
from tiergate.catalog.reading.files import expand_paths
from tiergate.catalog.reading.problem_report import ProblemLog
from tiergate.catalog.subject_file_reader import SubjectFileReader
from tiergate.catalog.subject_files import SUBJECTS_ENDINGS, read_subjects
from tiergate.model import Customer, SubjectRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tiergate.catalog.checks.overflow_checks import TotalBounds
    from tiergate.catalog.reading.document import Position
    from tiergate.catalog.subject_file_reader import SubjectEntry
    from tiergate.model import CatalogIndex, Subscription

Part = tuple[str, str, int]
"""`overrides` or `items`; the id of the subscription, or empty for the customer; the index of the entry."""


class PlacedRecord(NamedTuple):
    """A customer with its subscriptions, and the position of each entry of their lists."""

    record: SubjectRecord
    places: dict[Part, Position]


def read_placed_records(
    paths: Sequence[Path],
    index: CatalogIndex,
    bounds: TotalBounds,
    is_wanted: Callable[[Customer | Subscription], bool],
) -> Iterator[PlacedRecord]:
    """Yield the records of all customers with a wanted subject, sorted by id.

    Raises:
        SubjectsError: with the first 1,000 problems of the files.
    """
    wanted = {
        subject.id if isinstance(subject, Customer) else subject.customer
        for subject in read_subjects(paths, index, bounds)
        if is_wanted(subject)
    }
    if not wanted:
        return
    customers: dict[str, Customer] = {}
    held: dict[str, list[Subscription]] = {}
    places: dict[str, dict[Part, Position]] = {}
    log = ProblemLog(0)
    records = SubjectFileReader(SubjectReader(index, bounds), log)
    for path in filter(Path.is_file, expand_paths(paths, SUBJECTS_ENDINGS, log)):  # a pipe cannot be read twice
        for record in records.read(path, placed=True):
            subject = record.subject
            if subject is None:
                continue
            customer = subject.id if isinstance(subject, Customer) else subject.customer
            if customer not in wanted:
                continue
            if isinstance(subject, Customer):
                customers[customer] = subject
            else:
                held.setdefault(customer, []).append(subject)
            owner = "" if isinstance(subject, Customer) else subject.id
            places.setdefault(customer, {}).update(_places(record, owner))
    for id_ in sorted(customers):
        subscriptions = tuple(sorted(held.get(id_, ()), key=lambda entry: entry.id))
        yield PlacedRecord(SubjectRecord(customers[id_], subscriptions), places[id_])


def _places(record: SubjectEntry, owner: str) -> Iterator[tuple[Part, Position]]:
    if not isinstance(record.node, Mapping):
        return
    for key in ("overrides", "items"):
        listed = record.node.entries.get(key)
        if isinstance(listed, Listing):
            for number, (_, place) in enumerate(listed.placed()):
                yield (key, owner, number), record.report.position(place)
