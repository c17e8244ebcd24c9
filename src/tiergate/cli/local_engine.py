"""Engines that decide without a sidecar: from catalog, subjects and rules files, or from a sidecar's data folder."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from tiergate.cli.output.console import show_activity
from tiergate.errors import ReplicaError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tiergate.catalog import TotalBounds
    from tiergate.cli.shared_options import EngineFiles
    from tiergate.engine import Evaluator, SubjectSource
    from tiergate.model import CatalogIndex, Subject, SubjectRecord


class LocalEngine(NamedTuple):
    """An engine, and where it finds subjects."""

    engine: Evaluator
    subjects: SubjectSource


@contextmanager
def open_engine(files: EngineFiles, data: Path | None, subject: Subject) -> Iterator[LocalEngine]:
    """Make the engine that decides about one subject, from files or from a data folder.

    Raises:
        SettingsError: if neither or both are given, or files are incomplete.
        AuthorError: if the files have problems.
        OperatorError: if the data folder cannot be used.
    """
    if data is not None:
        if any(files):
            raise SettingsError("data", "cannot be combined with `--catalog`, `--subjects` or `--rules`")
        with open_data_folder(data) as opened:
            yield opened
        return
    if not files.catalog:
        raise SettingsError("catalog", "is required: give `--catalog` and `--subjects`, or `--data`")
    if not files.subjects:
        raise SettingsError("subjects", "is required with `--catalog`")
    with show_activity("reading the files"):
        opened = compile_engine(files.catalog, files.subjects, files.rules, subject)
    yield opened


def compile_engine(
    catalog: Sequence[Path], subjects: Sequence[Path] | None, rules: Path | None, subject: Subject
) -> LocalEngine:
    """Compile a catalog in memory, read all subjects, and keep one; without `subjects`, no subject is found.

    Raises:
        AuthorError: if the files have problems.
    """
    from tiergate import publish
    from tiergate.bundle import Bundle
    from tiergate.catalog import TotalBounds
    from tiergate.engine import Evaluator
    from tiergate.engine.fixed_sources import FixedSubject

    compiled = publish.compile_files(catalog, rules)
    bundle = Bundle.from_files(compiled.files)
    record = _find_record(subjects, bundle.index, TotalBounds.of(compiled.catalog), subject) if subjects else None
    source = FixedSubject(record)
    return LocalEngine(Evaluator(bundle, source), source)


@contextmanager
def open_data_folder(data: Path) -> Iterator[LocalEngine]:
    """Open what a sidecar last activated, for reading only.

    Raises:
        ReplicaError: if nothing was activated in that folder.
        OperatorError: if its files are damaged.
    """
    from tiergate.bundle import Bundle
    from tiergate.engine import Evaluator
    from tiergate.sidecar.replica.data_directory import DataDirectory
    from tiergate.sidecar.replica.reader import Replica

    directory = DataDirectory(data)
    state = directory.read()
    if state is None:
        raise ReplicaError(f"`{data}` is not the data folder of a sidecar that has loaded data")
    bundle = Bundle.open(directory.bundle(state.revision))
    with closing(Replica(directory.replica(state.replica))) as replica:
        yield LocalEngine(Evaluator(bundle, replica, publication=state.publication), replica)


def _find_record(
    paths: Sequence[Path], index: CatalogIndex, bounds: TotalBounds, subject: Subject
) -> SubjectRecord | None:
    """Read all subjects, so that every problem is found, and keep one customer with all of its subscriptions."""
    from tiergate.catalog import read_subjects
    from tiergate.model import Customer, SubjectRecord, SubjectType

    customer_id = subject.id
    if subject.type is SubjectType.SUBSCRIPTION:
        customer_id = ""
        for record in read_subjects(paths, index, bounds):
            if not isinstance(record, Customer) and record.id == subject.id:
                customer_id = record.customer
    customer: Customer | None = None
    subscriptions = []
    for record in read_subjects(paths, index, bounds):
        if isinstance(record, Customer):
            customer = record if record.id == customer_id else customer
        elif record.customer == customer_id:
            subscriptions.append(record)
    if customer is None:
        return None
    return SubjectRecord(customer, tuple(sorted(subscriptions, key=lambda subscription: subscription.id)))
