"""Read subjects files of any size into customers and subscriptions; report every problem with its position.

Keeps 8 to 24 bytes per record for the checks at the end: unique ids, existing customers, no overflow of totals. If one
of these seems to fail, the files are read again, to confirm it and to find the position.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tiergate.catalog.checks.cross_record_checks import CrossRecordChecks, read_written_id
from tiergate.catalog.entries.subjects import SubjectReader
from tiergate.catalog.reading.files import expand_paths
from tiergate.catalog.reading.problem_report import ProblemLog
from tiergate.catalog.subject_file_reader import LINES_ENDINGS, SubjectFileReader
from tiergate.errors import SubjectsError
from tiergate.model import Customer, SubjectRecord, Subscription

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.catalog.checks.overflow_checks import TotalBounds
    from tiergate.catalog.quarantine import Quarantine
    from tiergate.catalog.subject_file_reader import SubjectEntry
    from tiergate.model import CatalogIndex

SUBJECTS_ENDINGS = frozenset({".yaml", ".yml", ".json"}) | LINES_ENDINGS
"""The suffixes of subjects files in a folder."""

MAX_PROBLEMS = 1000
"""Largest number of problems of one load in an error; the others are counted."""


def read_subjects(
    paths: Sequence[Path], index: CatalogIndex, bounds: TotalBounds, *, quarantine: Quarantine | None = None
) -> Iterator[Customer | Subscription]:
    """Yield every customer and subscription of the files or folders, in order.

    It raises at the end if anything is wrong; until then, the yielded subjects are not verified. With a `quarantine`,
    problems of some customers only are set aside there; their yielded subjects do not count.

    Raises:
        SubjectsError: with the first 1,000 problems, sorted by position.
    """
    for record in read_subject_records(paths, SubjectReader(index, bounds), bounds, quarantine=quarantine):
        if record.subject is not None and not record.problems:
            yield record.subject


def read_subject_records(
    paths: Sequence[Path], reader: SubjectReader, bounds: TotalBounds, *, quarantine: Quarantine | None = None
) -> Iterator[SubjectEntry]:
    """Yield every record of the files or folders as `reader` reads it, in order, also those with problems.

    Raises:
        SubjectsError: at the end, with the first 1,000 problems, sorted by position.
    """
    log = ProblemLog(MAX_PROBLEMS)
    files = expand_paths(paths, SUBJECTS_ENDINGS, log)
    if not files and not log.count:
        log.add(("subjects", 0, 0), "no-files", "no file given")
    records = SubjectFileReader(reader, log)
    consistency = CrossRecordChecks(bounds)
    for path in files:
        for record in records.read(path):
            consistency.note(record)
            if quarantine is not None and (record.subject is None or record.problems):
                customer, id_ = read_written_id(record, "customer"), read_written_id(record, "id")
                whose = (id_, None) if record.is_customer else (customer, id_)
                quarantine.note(*whose, record.problems)
            yield record
    doubts = consistency.doubts(is_complete=records.is_complete)
    if doubts:
        # Problems of single records are already reported.
        again = SubjectFileReader(reader, ProblemLog(0))
        for path in filter(Path.is_file, files):  # a pipe cannot be read twice
            for record in again.read(path, placed=True):
                doubts.settle(record, log, quarantine)
        doubts.finish(str(files[0]), log, quarantine)
    if quarantine is None or not quarantine.finish(log, consistency.customers, is_complete=records.is_complete):
        log.raise_any(SubjectsError)


def load_subjects(paths: Sequence[Path], index: CatalogIndex, bounds: TotalBounds) -> dict[str, SubjectRecord]:
    """Read all subjects into memory: records by customer id, sorted, their subscriptions sorted by id.

    Raises:
        SubjectsError: with the first 1,000 problems, sorted by position.
    """
    customers: dict[str, Customer] = {}
    entry: dict[str, list[Subscription]] = {}
    for subject in read_subjects(paths, index, bounds):
        if isinstance(subject, Customer):
            customers[subject.id] = subject
        else:
            entry.setdefault(subject.customer, []).append(subject)
    return {
        id_: SubjectRecord(customers[id_], tuple(sorted(entry.get(id_, ()), key=lambda subscription: subscription.id)))
        for id_ in sorted(customers)
    }
