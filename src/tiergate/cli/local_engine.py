"""What a decision without a sidecar rests on: catalog, subjects and rules files, or the data folder of a sidecar."""

from __future__ import annotations

from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from tiergate.errors import ReplicaError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.catalog import TotalBounds
    from tiergate.engine import Evaluator, SubjectSource
    from tiergate.model import CatalogIndex, Subject, SubjectRecord

CatalogFiles = Annotated[
    list[Path] | None,
    typer.Option("--catalog", metavar="FILE", help="A catalog file, or a folder of them; may be given several times."),
]

SubjectsFiles = Annotated[
    list[Path] | None,
    typer.Option("--subjects", metavar="FILE", help="A subjects file, or a folder; may be given several times."),
]

DataFolder = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="The data folder of a sidecar, in place of the files."),
]


class Opened(NamedTuple):
    """An engine, and where it finds subjects."""

    engine: Evaluator
    subjects: SubjectSource


@contextmanager
def open_engine(
    catalog: Sequence[Path] | None,
    subjects: Sequence[Path] | None,
    rules: Path | None,
    data: Path | None,
    whom: Subject,
) -> Iterator[Opened]:
    """Make the engine that decides about one subject, from files or from a data folder.

    Raises:
        SettingsError: neither or both are given, or files without the other ones that they need.
        AuthorError: the files have problems.
        OperatorError: the data folder cannot be used.
    """
    from tiergate.cli.output.console import working

    if data is not None:
        if catalog or subjects or rules:
            raise SettingsError("data", "stands in place of `--catalog`, `--subjects` and `--rules`")
        with engine_of_data(data) as opened:
            yield opened
        return
    if not catalog:
        raise SettingsError("catalog", "is required: give `--catalog` and `--subjects`, or `--data`")
    if not subjects:
        raise SettingsError("subjects", "is required with `--catalog`")
    with working("reading the files"):
        opened = engine_of_files(catalog, subjects, rules, whom)
    yield opened


def engine_of_files(catalog: Sequence[Path], subjects: Sequence[Path], rules: Path | None, whom: Subject) -> Opened:
    """Compile a catalog in memory and read all subjects, keeping the one that is asked about.

    Raises:
        AuthorError: the files have problems.
    """
    from tiergate import publish
    from tiergate.bundle import Bundle
    from tiergate.catalog import TotalBounds
    from tiergate.engine import Evaluator
    from tiergate.engine.fixed_sources import FixedSubject

    made = publish.compile_files(catalog, rules)
    bundle = Bundle.from_files(made.files)
    source = FixedSubject(_find(subjects, bundle.index, TotalBounds.of(made.catalog), whom))
    return Opened(Evaluator(bundle, source), source)


@contextmanager
def engine_of_data(data: Path) -> Iterator[Opened]:
    """Open what a sidecar last had in force, without disturbing it.

    Raises:
        ReplicaError: there is nothing in force in that folder.
        OperatorError: what is there is torn.
    """
    from tiergate.bundle import Bundle
    from tiergate.engine import Evaluator
    from tiergate.sidecar.replica.data_directory import DataDirectory
    from tiergate.sidecar.replica.reader import Replica

    directory = DataDirectory(data)
    standing = directory.read()
    if standing is None:
        raise ReplicaError(f"`{data}` is not the data folder of a sidecar that has loaded anything")
    bundle = Bundle.open(directory.bundle(standing.revision))
    with closing(Replica(directory.replica(standing.replica))) as replica:
        yield Opened(Evaluator(bundle, replica, publication=standing.publication), replica)


def _find(subjects: Sequence[Path], index: CatalogIndex, bounds: TotalBounds, whom: Subject) -> SubjectRecord | None:
    """Read all subjects, so that every problem is found, and keep one customer with all of its subscriptions."""
    from tiergate.catalog import read_subjects
    from tiergate.model import Customer, SubjectRecord, SubjectType

    wanted = whom.id
    if whom.type is SubjectType.SUBSCRIPTION:
        wanted = ""
        for found in read_subjects(subjects, index, bounds):
            if not isinstance(found, Customer) and found.id == whom.id:
                wanted = found.customer
    customer: Customer | None = None
    held = []
    for found in read_subjects(subjects, index, bounds):
        if isinstance(found, Customer):
            customer = found if found.id == wanted else customer
        elif found.customer == wanted:
            held.append(found)
    if customer is None:
        return None
    return SubjectRecord(customer, tuple(sorted(held, key=lambda one: one.id)))
