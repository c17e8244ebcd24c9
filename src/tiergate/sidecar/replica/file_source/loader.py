"""The load of file mode, in a process of its own: files in, a bundle directory and a replica file out.

Run as `python -m tiergate.sidecar.replica.file_source.loader`. Reads a `LoadJob` as a line of JSON from standard input,
does it, and writes the `LoadResult` to standard output. It runs at a lower priority than the sidecar, and ends when its
standard input ends, that is when the sidecar ends.

Everything is made of copies that were taken at the beginning (`source_copies`): what happens to the files meanwhile is
for the next load. Only what changed is made anew, as told by digests of the files' bytes. A replica is validated
against the index of one bundle, so what comes out is always a pair: where one half fails, the other only counts if it
fits the half that stood.
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
from tiergate.sidecar.replica import reader
from tiergate.sidecar.replica.builder import ReplicaFile, build_replica, content_digest
from tiergate.sidecar.replica.data_directory import DataDirectory, LoadedFiles, LoadedState
from tiergate.sidecar.replica.file_source.load_job import MAX_PROBLEMS, LoadJob, LoadResult
from tiergate.sidecar.replica.file_source.previous_records import PreviousRecords
from tiergate.sidecar.replica.file_source.source_copies import ChangedError, SourceCopies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.model import Problem


def load(job: LoadJob) -> LoadResult:
    """Do a job: make what the files now say and what stands does not."""
    data = DataDirectory(Path(job.data))
    try:
        with SourceCopies(job.sources, data.scratch / f"sources-{os.getpid()}") as copies:
            outcome = _Load(job, data, copies).run()
            problems = tuple(copies.named(problem) for problem in outcome.problems)
            stamps = copies.catalog.stamps + copies.subjects.stamps
            return replace(outcome, problems=problems, stamps=stamps)
    except ChangedError:
        return LoadResult(standing=job.standing, changed=True)
    except (OperatorError, OSError) as error:
        return LoadResult(standing=job.standing, error=data.told(error))


class _Load:
    """One load. A half that stands is used again where it is whole and its digest still holds."""

    def __init__(self, job: LoadJob, data: DataDirectory, copies: SourceCopies) -> None:
        self._copies = copies
        self._data = data
        self._strict = job.strict
        self._standing = job.standing
        self._bundle_stands = self._replica_stands = job.standing is not None
        if job.standing is not None and job.verify:
            self._bundle_stands = not self._bundle_is_torn(job.standing.revision)
            self._replica_stands = not self._replica_is_torn(job.standing.replica)

    def run(self) -> LoadResult:
        """Do it.

        Raises:
            OperatorError, OSError: what nobody but the operator can mend.
        """
        standing = self._standing
        problems: list[Problem] = []
        try:
            revision, catalog, largest = self._bundle()
        except AuthorError as error:
            problems.extend(error.problems)
            if standing is None or not self._bundle_stands:
                return self._nothing_new(problems)
            revision, catalog, largest = standing.revision, standing.catalog, None
        found = Bundle.open(self._data.bundle(revision))
        index_digest = _index_digest(found.index)
        fits = self._replica_fits(index_digest, largest)
        try:
            replica, subjects = self._replica(found, fits=fits)
        except AuthorError as error:
            problems.extend(error.problems)
            if standing is None or not fits:
                return self._nothing_new(problems)
            replica, subjects = standing.replica, standing.subjects
        made = LoadedState(
            publication=0 if standing is None else standing.publication,
            published_at=0 if standing is None else standing.published_at,
            revision=revision,
            index_digest=index_digest,
            replica=replica,
            catalog=catalog,
            subjects=subjects,
        )
        return _outcome(made, problems)

    def _nothing_new(self, problems: Sequence[Problem]) -> LoadResult:
        stands = self._bundle_stands and self._replica_stands
        return _outcome(self._standing if stands else None, problems)

    def _bundle(self) -> tuple[str, LoadedFiles, int | None]:
        """The revision that the catalog's files now make, written to its place, and the largest number in it if new.

        Raises:
            AuthorError: the files have problems.
        """
        standing = self._standing if self._bundle_stands else None
        maker = _maker()
        copied, rules = self._copies.catalog, self._copies.rules
        digest = copied.digest(CatalogError, salt=maker)
        files = LoadedFiles(copied.stamps, digest, hashlib.sha256(maker).hexdigest())
        if standing is not None and standing.catalog.digest == digest:
            return standing.revision, files, None
        previous = None
        if standing is not None and standing.catalog.maker == files.maker:
            previous = Bundle.open(self._data.bundle(standing.revision)).hashes()
        made = publish.compile_files([path for path in copied.paths if path != rules], rules, previous=previous)
        revision = Bundle.from_files(made.files).revision
        if (standing is None or standing.revision != revision) and self._bundle_is_torn(revision):
            place = self._data.bundle(revision)
            if place.is_symlink():  # to a folder that cannot be written
                place.unlink()
            if not (place / bundle.MANIFEST).is_file():
                shutil.rmtree(place, ignore_errors=True)
            bundle.write_bundle(made.files, place)
        return revision, files, _largest_number(made.catalog)

    def _replica_fits(self, index_digest: str, largest: int | None) -> bool:
        """Say whether the replica that stands was validated against this index, and its totals cannot overflow.

        `largest`: the largest number of a new bundle.
        """
        standing = self._standing
        if standing is None or not self._replica_stands or standing.index_digest != index_digest:
            return False
        file = standing.replica
        return largest is None or file.most_held * largest + file.most_overridden <= MAX_TOTAL_UNITS

    def _replica(self, found: Bundle, *, fits: bool) -> tuple[ReplicaFile, LoadedFiles]:
        """The replica that the subjects' files now make under this bundle; `fits`: the one that stands fits it.

        Raises:
            AuthorError: the files have problems.
        """
        maker = _maker() + (b"\0strict" if self._strict else b"")
        copied = self._copies.subjects
        digest = copied.digest(SubjectsError, salt=maker)
        files = LoadedFiles(copied.stamps, digest, hashlib.sha256(maker).hexdigest())
        standing = self._standing if fits else None
        if standing is not None and standing.subjects.digest == digest:
            return standing.replica, files
        path = self._data.next_replica()
        bounds = TotalBounds(found.index, found.definition)
        if self._strict:
            made = build_replica(path, read_subjects(copied.paths, found.index, bounds))
        else:
            quarantine = Quarantine()
            held = PreviousRecords(self._data, self._standing if self._replica_stands else None)
            made = build_replica(
                path,
                read_subjects(copied.paths, found.index, bounds, quarantine=quarantine),
                lambda staged: held.put_in_place(staged, quarantine, found.index, bounds),
            )
            problems = tuple(self._copies.named(problem) for problem in quarantine.problems[:MAX_PROBLEMS])
            set_aside = len(quarantine.customers) + len(quarantine.subscriptions)
            made = replace(made, quarantined=set_aside, problems=problems if set_aside else ())
        if standing is not None and standing.replica.sha256 == made.sha256:
            path.unlink()
            return replace(standing.replica, quarantined=made.quarantined, problems=made.problems), files
        return made, files

    def _bundle_is_torn(self, revision: str) -> bool:
        """Say whether a bundle is not there as it was made.

        Raises:
            UnreadableError: it is not known, for want of something that comes back.
        """
        try:
            found = Bundle.open(self._data.bundle(revision))
            for path in found.paths():
                found.content(path)
        except BundleError as error:
            if isinstance(error, UnreadableError) and error.transient:
                raise
            return True
        return found.revision != revision

    def _replica_is_torn(self, file: ReplicaFile) -> bool:
        try:
            return content_digest(self._data.replica(file)) != file.sha256
        except OSError:
            return True


def _outcome(standing: LoadedState | None, problems: Sequence[Problem]) -> LoadResult:
    return LoadResult(standing=standing, problems=tuple(problems[:MAX_PROBLEMS]), problem_count=len(problems))


def _maker() -> bytes:
    """What beside the files decides about what is made of them: this version of Tiergate."""
    policies = "\0".join([builtin_schema(), *(builtin_text(name) for name in BUILTIN_POLICIES)])
    return f"{__version__}\0{FORMAT}\0{reader.FORMAT}\0{policies}".encode()


def _index_digest(index: CatalogIndex) -> str:
    """The digest of what subjects are validated against: the index but for what is only shown to people."""
    shown_to_nobody = CatalogIndex(
        {id_: msgspec.structs.replace(feature, name="", description="") for id_, feature in index.features.items()},
        {id_: msgspec.structs.replace(item, name="", description="") for id_, item in index.items.items()},
    )
    return hashlib.sha256(msgspec.json.encode(shown_to_nobody, order="sorted")).hexdigest()


def _largest_number(catalog: Catalog) -> int:
    """The largest number, in units, that any version of any item gives."""
    given = (version.entitlements.values() for item in catalog.items.values() for version in item.versions)
    return max(
        (value.units for values in given for value in values if isinstance(value, Amount | AddedAmount)), default=0
    )


def main() -> None:
    """Do the job on standard input."""
    job = read_job(LoadJob)
    os.environ["SQLITE_TMPDIR"] = str(DataDirectory(Path(job.data)).scratch)
    write_line(msgspec.json.encode(load(job)))


if __name__ == "__main__":
    main()
