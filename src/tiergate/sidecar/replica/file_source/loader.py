"""The load of file mode, in a process of its own: files in, a bundle directory and a replica file out.

Run as `python -m tiergate.sidecar.replica.file_source.loader`. It reads a `LoadJob` as a line of JSON from standard
input, and writes the `LoadResult` to standard output. It runs at a lower priority than the sidecar, and ends when its
standard input ends, that is, when the sidecar ends.

A load works on copies (`source_copies`), so later changes of the files are for the next load. Digests of the files'
bytes show what changed, and only that is built. A replica is validated against the index of one bundle, so the result
is always a pair: if one half fails, the other counts only if it fits the half that was there before.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from tiergate import __version__, bundle, publish
from tiergate.bundle import FORMAT, Bundle
from tiergate.catalog import Quarantine, TotalBounds, read_subjects
from tiergate.cedar import BUILTIN_POLICIES, builtin_schema, builtin_text
from tiergate.errors import AuthorError, BundleError, CatalogError, OperatorError, SubjectsError, UnreadableError
from tiergate.model import MAX_TOTAL_UNITS, AddedAmount, Amount, Catalog, CatalogIndex
from tiergate.process.worker import read_job, write_line
from tiergate.sidecar.replica import schema
from tiergate.sidecar.replica.data_directory import DataDirectory
from tiergate.sidecar.replica.file_source.loader_process import MAX_PROBLEMS, LoadJob, LoadResult
from tiergate.sidecar.replica.file_source.previous_records import PreviousRecords
from tiergate.sidecar.replica.file_source.source_copies import ChangedError, SourceCopies
from tiergate.sidecar.replica.file_source.subject_staging import build_replica, content_digest
from tiergate.sidecar.replica.loaded_state import LoadedFiles, LoadedState, ReplicaFile
from tiergate.sidecar.replica.replica_folder import ReplicaFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.model import Problem


def load(job: LoadJob) -> LoadResult:
    """Run a job: build what changed in the files."""
    data = DataDirectory(Path(job.data))
    try:
        with SourceCopies(job.sources, data.scratch / f"sources-{os.getpid()}") as copies:
            result = _Load(job, data, copies).run()
            problems = tuple(copies.map_problem(problem) for problem in result.problems)
            stamps = copies.catalog.stamps + copies.subjects.stamps
            return replace(result, problems=problems, stamps=stamps)
    except ChangedError:
        return LoadResult(state=job.state, changed=True)
    except (OperatorError, OSError) as error:
        return LoadResult(state=job.state, error=data.describe(error))


class _Load:
    """One load. A half that is there is used again if it is undamaged and its digest is the same."""

    def __init__(self, job: LoadJob, data: DataDirectory, copies: SourceCopies) -> None:
        self._copies = copies
        self._data = data
        self._strict = job.strict
        self._limit = job.limit
        self._state = job.state
        self._has_bundle = self._has_replica = job.state is not None
        if job.state is not None and job.verify:
            self._has_bundle = not self._is_bundle_damaged(job.state.revision)
            self._has_replica = not self._is_replica_damaged(job.state.replica)

    def run(self) -> LoadResult:
        state = self._state
        problems: list[Problem] = []
        try:
            revision, catalog, largest = self._build_bundle()
        except AuthorError as error:
            problems.extend(error.problems)
            if state is None or not self._has_bundle:
                return self._unchanged(problems)
            revision, catalog, largest = state.revision, state.catalog, None
        opened = Bundle.open(self._data.bundle(revision))
        index_digest = _index_digest(opened.index)
        fits = self._does_replica_fit(index_digest, largest)
        try:
            replica, subjects = self._build_replica(opened, fits=fits)
        except AuthorError as error:
            problems.extend(error.problems)
            if state is None or not fits:
                return self._unchanged(problems)
            replica, subjects = state.replica, state.subjects
        made = LoadedState(
            publication=0 if state is None else state.publication,
            published_at=0 if state is None else state.published_at,
            revision=revision,
            index_digest=index_digest,
            replica=replica,
            catalog=catalog,
            subjects=subjects,
        )
        return _result(made, problems)

    def _unchanged(self, problems: Sequence[Problem]) -> LoadResult:
        is_usable = self._has_bundle and self._has_replica
        return _result(self._state if is_usable else None, problems)

    def _build_bundle(self) -> tuple[str, LoadedFiles, int | None]:
        """Return the revision of the catalog's files, written to disk, and its largest number if it is new."""
        state = self._state if self._has_bundle else None
        maker = _maker()
        copied, rules = self._copies.catalog, self._copies.rules
        digest = copied.digest(CatalogError, salt=maker)
        files = LoadedFiles(copied.stamps, digest, hashlib.sha256(maker).hexdigest())
        if state is not None and state.catalog.digest == digest:
            return state.revision, files, None
        made = publish.compile_files([path for path in copied.paths if path != rules], rules)
        revision = Bundle.from_files(made.files).revision
        if (state is None or state.revision != revision) and self._is_bundle_damaged(revision):
            place = self._data.bundle(revision)
            if place.is_symlink():  # into a read-only folder
                place.unlink()
            if not (place / bundle.MANIFEST).is_file():
                shutil.rmtree(place, ignore_errors=True)
            bundle.write_bundle(made.files, place)
        return revision, files, _largest_number(made.catalog)

    def _does_replica_fit(self, index_digest: str, largest: int | None) -> bool:
        """Return whether the existing replica was validated against this index, and no total can overflow.

        `largest`: the largest number of a new bundle.
        """
        state = self._state
        if state is None or not self._has_replica or state.index_digest != index_digest:
            return False
        file = state.replica
        return largest is None or file.most_held * largest + file.most_overridden <= MAX_TOTAL_UNITS

    def _build_replica(self, opened: Bundle, *, fits: bool) -> tuple[ReplicaFile, LoadedFiles]:
        """Return the replica of the subjects' files under this bundle; `fits`: the existing replica fits the bundle."""
        maker = _maker() + (b"\0strict" if self._strict else b"")
        copied = self._copies.subjects
        digest = copied.digest(SubjectsError, salt=maker)
        files = LoadedFiles(copied.stamps, digest, hashlib.sha256(maker).hexdigest())
        state = self._state if fits else None
        if state is not None and state.subjects.digest == digest:
            return state.replica, files
        path = ReplicaFolder(self._data.subjects).next()
        bounds = TotalBounds(opened.index, opened.definition)
        if self._strict:
            subjects = read_subjects(copied.paths, opened.index, bounds)
            made = build_replica(path, subjects, folder=self._data.root, limit=self._limit)
        else:
            quarantine = Quarantine()
            previous = PreviousRecords(self._data, self._state if self._has_replica else None)
            made = build_replica(
                path,
                read_subjects(copied.paths, opened.index, bounds, quarantine=quarantine),
                lambda staged: previous.exchange(staged, quarantine, opened.index, bounds),
                folder=self._data.root,
                limit=self._limit,
            )
            problems = tuple(self._copies.map_problem(problem) for problem in quarantine.problems[:MAX_PROBLEMS])
            quarantined = len(quarantine.customers) + len(quarantine.subscriptions)
            made = replace(made, quarantined=quarantined, problems=problems if quarantined else ())
        if state is not None and state.replica.sha256 == made.sha256:
            path.unlink()
            return replace(state.replica, quarantined=made.quarantined, problems=made.problems), files
        return made, files

    def _is_bundle_damaged(self, revision: str) -> bool:
        try:
            opened = Bundle.open(self._data.bundle(revision))
            for path in opened.paths():
                opened.content(path)
        except BundleError as error:
            if isinstance(error, UnreadableError) and error.transient:
                raise
            return True
        return opened.revision != revision

    def _is_replica_damaged(self, file: ReplicaFile) -> bool:
        try:
            return content_digest(self._data.replica(file)) != file.sha256
        except OSError:
            return True


def _result(state: LoadedState | None, problems: Sequence[Problem]) -> LoadResult:
    return LoadResult(state=state, problems=tuple(problems[:MAX_PROBLEMS]), problem_count=len(problems))


def _maker() -> bytes:
    """Return what the result depends on besides the files: this version of Tiergate."""
    policies = "\0".join([builtin_schema(), *(builtin_text(name) for name in BUILTIN_POLICIES)])
    return f"{__version__}\0{FORMAT}\0{schema.FORMAT}\0{policies}".encode()


def _index_digest(index: CatalogIndex) -> str:
    """Return the digest of the index that subjects are validated against, without fields that are only displayed."""
    index_for_validation = CatalogIndex(
        {id_: msgspec.structs.replace(feature, name="", description="") for id_, feature in index.features.items()},
        {id_: msgspec.structs.replace(item, name="", description="") for id_, item in index.items.items()},
    )
    return hashlib.sha256(msgspec.json.encode(index_for_validation, order="sorted")).hexdigest()


def _largest_number(catalog: Catalog) -> int:
    """Return the largest number, in units, in any version of any item."""
    given = (version.entitlements.values() for item in catalog.items.values() for version in item.versions)
    return max(
        (value.units for values in given for value in values if isinstance(value, Amount | AddedAmount)), default=0
    )


def main() -> None:
    """Run the job on standard input."""
    job = read_job(LoadJob)
    os.environ["SQLITE_TMPDIR"] = str(DataDirectory(Path(job.data)).scratch)
    write_line(msgspec.json.encode(load(job)))


if __name__ == "__main__":
    main()
