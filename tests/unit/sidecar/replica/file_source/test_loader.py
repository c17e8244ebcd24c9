from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from tests.unit.sidecar.catalogs import RULE, Files, catalog_text, subjects_text
from tiergate.bundle import Bundle
from tiergate.model import Subject
from tiergate.sidecar.replica.data_directory import DataDirectory
from tiergate.sidecar.replica.file_source import loader
from tiergate.sidecar.replica.file_source.loader import load
from tiergate.sidecar.replica.file_source.loader_process import LoadJob, LoadResult
from tiergate.sidecar.replica.file_source.source_copies import ChangedError, SourceCopies
from tiergate.sidecar.replica.file_source.source_files import stamp_files
from tiergate.sidecar.replica.file_source.subject_staging import build_replica
from tiergate.sidecar.replica.reader import Replica

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from tiergate.model import Customer, Subscription
    from tiergate.sidecar.replica.file_source.subject_staging import StagedSubjects
    from tiergate.sidecar.replica.loaded_state import LoadedState, ReplicaFile


class Work:
    """Files, and what loading them has come to so far."""

    def __init__(self, folder: Path) -> None:
        self.files = Files(folder / "files")
        self.data = DataDirectory.open(folder / "data")
        self.state: LoadedState | None = None

    def load(self, *, verify: bool = False) -> LoadResult:
        """Load, without putting anything in force."""
        return load(LoadJob(self.files.sources, str(self.data.root), self.state, verify))

    def publish(self) -> LoadedState:
        """Load, and let it stand."""
        outcome = self.load()
        assert outcome.problems == ()
        assert outcome.error is None
        assert outcome.state is not None
        self.state = replace(outcome.state, publication=1)
        return self.state

    def replica(self, standing: LoadedState) -> Replica:
        """The replica of what stands."""
        return Replica(self.data.replica(standing.replica))


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    """A catalog with a customer, not loaded yet."""
    made = Work(tmp_path)
    yield made
    made.data.close()


def test_a_first_load_makes_a_bundle_and_a_replica(work: Work) -> None:
    """Both are in their places, under the names that the outcome says."""
    standing = work.publish()
    assert Bundle.open(work.data.bundle(standing.revision)).revision == standing.revision
    assert work.replica(standing).find(Subject("acme")) is not None


def test_a_load_of_unchanged_files_makes_nothing(work: Work) -> None:
    """Touching them changes stamps only."""
    before = work.publish()
    work.files.write(work.files.catalog, work.files.catalog.read_text())
    outcome = work.load()
    assert outcome.state is not None
    assert replace(outcome.state, catalog=before.catalog) == before
    assert outcome.state.catalog.stamps != before.catalog.stamps
    assert len(list(work.data.bundles.iterdir())) == 1
    assert len(list(work.data.subjects.iterdir())) == 1


def test_a_change_of_a_number_makes_a_bundle_only(work: Work) -> None:
    """The replica is as good under the new bundle, and stays."""
    before = work.publish()
    work.files.write(work.files.catalog, catalog_text(60))
    after = work.publish()
    assert after.revision != before.revision
    assert after.replica == before.replica


def test_a_change_of_words_does_not_touch_the_subjects(work: Work) -> None:
    """Names and descriptions say nothing about who may hold what."""
    before = work.publish()
    work.files.write(work.files.catalog, catalog_text(name="Golden"))
    after = work.publish()
    assert after.revision != before.revision
    assert after.index_digest == before.index_digest


def test_a_change_of_a_comment_is_no_new_revision(work: Work) -> None:
    """The bundle is what is compiled."""
    before = work.publish()
    work.files.write(work.files.catalog, catalog_text() + "# a comment\n")
    assert work.publish().revision == before.revision


def test_a_change_of_subjects_makes_a_replica_only(work: Work) -> None:
    """The bundle stays."""
    before = work.publish()
    work.files.write(work.files.subjects, subjects_text("acme", "beta"))
    after = work.publish()
    assert after.revision == before.revision
    assert after.replica.name == "2.sqlite"
    assert work.replica(after).find(Subject("beta")) is not None


def test_subjects_that_were_only_rearranged_keep_their_replica(work: Work) -> None:
    """The same content makes the same file."""
    work.files.write(work.files.subjects, subjects_text("acme", "beta"))
    before = work.publish()
    work.files.write(work.files.subjects, subjects_text("beta", "acme"))
    assert work.publish().replica == before.replica
    assert len(list(work.data.subjects.iterdir())) == 1


def test_a_change_of_rules_makes_a_bundle(work: Work) -> None:
    """Rules are part of it."""
    before = work.publish()
    work.files.write(work.files.rules / "bans.cedar", RULE)
    after = work.publish()
    assert after.revision != before.revision
    assert after.replica == before.replica


def test_a_broken_catalog_keeps_the_bundle_and_names_its_problems(work: Work) -> None:
    """With file, line and column."""
    before = work.publish()
    work.files.write(work.files.catalog, catalog_text() + "oops: 1\n")
    outcome = work.load()
    assert outcome.state == before
    assert [(problem.file, problem.line) for problem in outcome.problems] == [(str(work.files.catalog), 6)]


def test_subjects_are_followed_while_the_catalog_is_broken(work: Work) -> None:
    """They are held against the bundle that stands; the problems of the catalog are named all the same."""
    before = work.publish()
    work.files.write(work.files.catalog, "oops")
    work.files.write(work.files.subjects, subjects_text("beta"))
    outcome = work.load()
    assert outcome.problems
    assert outcome.state is not None
    assert (outcome.state.revision, outcome.state.catalog) == (before.revision, before.catalog)
    assert work.replica(outcome.state).find(Subject("beta")) is not None


def test_problems_of_catalog_rules_and_subjects_are_named_together(work: Work) -> None:
    """One sees all that must be mended at once."""
    work.publish()
    work.files.write(work.files.catalog, "oops")
    work.files.write(work.files.rules / "typo.cedra", RULE)
    work.files.write(work.files.subjects, "oops")
    named = {problem.file for problem in work.load().problems}
    assert named == {str(work.files.catalog), str(work.files.rules / "typo.cedra"), str(work.files.subjects)}


def test_broken_subjects_keep_the_replica_under_a_new_bundle(work: Work) -> None:
    """A number may change while somebody mends the subjects."""
    before = work.publish()
    work.files.write(work.files.catalog, catalog_text(60))
    work.files.write(work.files.subjects, "oops")
    outcome = work.load()
    assert outcome.problems
    assert outcome.state is not None
    assert outcome.state.revision != before.revision
    assert (outcome.state.replica, outcome.state.subjects) == (before.replica, before.subjects)


def test_a_catalog_without_what_subjects_hold_is_not_taken(work: Work) -> None:
    """The pair in force stays a pair: nobody's plan vanishes."""
    before = work.publish()
    work.files.write(work.files.catalog, catalog_text().replace("gold", "silver"))
    outcome = work.load()
    assert outcome.state == before
    assert "no item `gold`" in outcome.problems[0].message


def test_subjects_are_validated_again_where_larger_numbers_could_overflow(work: Work) -> None:
    """A total that could pass 2^62 units is refused, whichever file made it so."""
    work.files.write(work.files.subjects, subjects_text("acme", quantity=1000))
    before = work.publish()
    work.files.write(work.files.catalog, catalog_text(10**17))
    outcome = work.load()
    assert outcome.state == before
    assert outcome.problems[0].code == "total-too-large"


def test_a_missing_file_is_a_problem_of_its_author(work: Work) -> None:
    """It names the file."""
    work.files.subjects.unlink()
    outcome = work.load()
    assert outcome.state is None
    assert [problem.file for problem in outcome.problems] == [str(work.files.subjects)]


def test_many_problems_are_cut_and_counted(work: Work) -> None:
    """An outcome stays small."""
    work.files.write(work.files.catalog, catalog_text() + "".join(f"x{n}: 1\n" for n in range(500)))
    outcome = work.load()
    assert len(outcome.problems) < outcome.problem_count == 500


def test_a_change_during_a_load_is_for_the_next_one(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was opened is loaded, and its stamps are told, so that the next load is known to be due."""
    before = stamp_files([work.files.catalog, work.files.rules, work.files.subjects])

    def meanwhile(
        path: Path,
        subjects: Iterable[Customer | Subscription],
        mend: Callable[[StagedSubjects], None],
        *,
        folder: Path,
        limit: int | None,
    ) -> ReplicaFile:
        work.files.write(work.files.subjects, subjects_text("beta"))
        return build_replica(path, subjects, mend, folder=folder, limit=limit)

    monkeypatch.setattr(loader, "build_replica", meanwhile)
    outcome = work.load()
    assert not outcome.changed
    assert outcome.stamps == before
    assert outcome.state is not None
    assert work.replica(outcome.state).find(Subject("acme")) is not None


def test_a_file_that_is_rewritten_all_the_time_is_not_taken(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of it may be of the old text and half of the new one."""

    def give_up(*_: object) -> None:
        raise ChangedError

    monkeypatch.setattr(SourceCopies, "_copy_sources", give_up)
    outcome = work.load()
    assert (outcome.changed, outcome.state, outcome.error) == (True, None, None)
    assert list(work.data.scratch.iterdir()) == []


def test_what_the_disk_refuses_is_an_error_worth_another_try(work: Work) -> None:
    """Nobody edits a file to mend it."""
    before = work.publish()
    work.files.write(work.files.subjects, subjects_text("beta"))
    _, hard = before_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        outcome = work.load()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before_limit)
    assert outcome.error is not None
    assert "cannot be written" in outcome.error
    assert outcome.state == before


def test_a_damaged_replica_is_made_anew(work: Work) -> None:
    """As the proof by its digest shows; under another name, because somebody may have the old one open."""
    before = work.publish()
    with work.data.replica(before.replica).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    outcome = work.load(verify=True)
    assert outcome.state is not None
    assert outcome.state.replica.name != before.replica.name
    assert outcome.state.revision == before.revision


def test_a_damaged_bundle_is_made_anew(work: Work) -> None:
    """In its place, which its content determines."""
    before = work.publish()
    (work.data.bundle(before.revision) / "policies/guards.cedar").write_text("permit (principal, action, resource);")
    outcome = work.load(verify=True)
    assert outcome.state == before
    assert "forbid" in Bundle.open(work.data.bundle(before.revision)).text("policies/guards.cedar")


def test_nothing_stands_where_damage_cannot_be_mended(work: Work) -> None:
    """A torn state is not served because the files are broken too."""
    before = work.publish()
    work.data.replica(before.replica).unlink()
    work.files.write(work.files.subjects, "oops")
    assert work.load(verify=True).state is None


def test_another_version_of_tiergate_makes_everything_anew(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may compile the same files to something else."""
    before = work.publish()
    monkeypatch.setattr(loader, "__version__", "99.0")
    after = work.publish()
    assert after.catalog.digest != before.catalog.digest
    assert after.subjects.digest != before.subjects.digest


def test_the_process_speaks_json_lines(work: Work) -> None:
    """A job in, an outcome out."""
    job = msgspec.json.encode(LoadJob(work.files.sources, str(work.data.root))) + b"\n"
    command = [sys.executable, "-m", "tiergate.sidecar.replica.file_source.loader"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(job)
        process.stdin.flush()
        outcome = msgspec.json.decode(process.stdout.readline(), type=LoadResult)
        assert process.wait() == 0
    assert outcome.state is not None
    assert outcome.state.replica.customers == 1


def test_the_process_ends_with_the_sidecar(work: Work) -> None:
    """A sidecar that was killed leaves no loader that works on."""
    assert work.state is None
    fifo = work.files.folder / "endless.ndjson"
    os.mkfifo(fifo)
    sources = replace(work.files.sources, subjects=(str(fifo),))
    job = msgspec.json.encode(LoadJob(sources, str(work.data.root))) + b"\n"
    command = [sys.executable, "-m", "tiergate.sidecar.replica.file_source.loader"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(job)
        process.stdin.flush()
        process.stdin.close()
        assert process.wait() == 1


def test_an_outcome_survives_its_journey(work: Work) -> None:
    """Problems and standing come back equal."""
    work.publish()
    work.files.write(work.files.catalog, "oops")
    outcome = work.load()
    assert msgspec.json.decode(msgspec.json.encode(outcome), type=LoadResult) == outcome
    assert json.loads(msgspec.json.encode(outcome))["problems"][0]["file"] == str(work.files.catalog)


def test_a_load_that_would_not_fit_says_so(work: Work) -> None:
    """The data folder stays below its limit, and the former state stays."""
    standing = work.publish()
    work.files.write(work.files.subjects, subjects_text(*(f"c{number}" for number in range(3_000))))
    outcome = load(LoadJob(work.files.sources, str(work.data.root), standing, limit=150_000))
    assert "`data-limit`, 150000 bytes" in str(outcome.error)
    assert outcome.state == standing
