from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import sys
import threading
import time
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from tests.unit.sidecar.catalogs import RULE, Files, catalog_text, subjects_text
from tiergate.model import Check, Reason, Subject
from tiergate.sidecar.replica import data_directory
from tiergate.sidecar.replica.data_directory import DataDirectory
from tiergate.sidecar.replica.file_source import follower
from tiergate.sidecar.replica.file_source.follower import FileFollower
from tiergate.sidecar.replica.file_source.loader_process import LOADER
from tiergate.sidecar.replica.file_source.source_files import stamp_files
from tiergate.sidecar.replica.read_only_fallback import write_error
from tiergate.sidecar.state import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from tiergate.model import Decision
    from tiergate.sidecar.replica.loaded_state import FileStamp
    from tiergate.sidecar.state import Generation, StatusReport

_PATIENCE = 30.0


class Following:
    """A file mode at work, and what it has come to."""

    def __init__(self, files: Files, data: Path, loader: Sequence[str] = LOADER, load_timeout: float = 60) -> None:
        self.files = files
        self.directory = DataDirectory.open(data)
        self.state = State(lambda: time.time_ns() // 1_000_000)
        self.mode = FileFollower(files.sources, self.directory, self.state, loader=loader, load_timeout=load_timeout)

    @property
    def report(self) -> StatusReport:
        """What `/status` would say."""
        return self.mode.report()

    @property
    def generation(self) -> Generation:
        """What is in force."""
        assert self.state.current is not None
        return self.state.current

    def decide(self, customer: str = "acme", used: int = 0) -> Decision:
        """Decide a check by what is in force."""
        check = Check(Subject(customer), "movies", used=used)
        return self.generation.engine.decide(check, self.state.clock())

    async def until(self, happened: Callable[[], object]) -> None:
        """Wait for something to happen."""
        async with asyncio.timeout(_PATIENCE):
            while not happened():  # noqa: ASYNC110 - of what is told in a report there is no event
                await asyncio.sleep(0.005)

    async def publication(self, number: int) -> Generation:
        """Wait for a publication, and for the end of its load."""
        await self.until(lambda: self.state.current is not None and self.state.current.publication >= number)
        await self.until(lambda: not self.report.loading)
        assert self.generation.publication == number
        return self.generation

    async def failure(self, number: int = 1) -> StatusReport:
        """Wait for a load that failed."""
        await self.until(lambda: self.report.failures >= number)
        return self.report


@asynccontextmanager
async def following(files: Files, loader: Sequence[str] = LOADER, load_timeout: float = 60) -> AsyncIterator[Following]:
    """Follow files, with a data directory beside them."""
    made = Following(files, files.folder.with_name("data"), loader, load_timeout)
    task = asyncio.create_task(made.mode.run())
    try:
        yield made
        assert not task.done()
    finally:
        made.mode._wake.set()  # a wake-up in the same instant must not swallow the cancellation
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        made.directory.close()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A catalog with a customer."""
    return Files(tmp_path / "files")


def stand_in(code: str) -> list[str]:
    """A loader that does something else."""
    return [sys.executable, "-c", code]


# ── loading and following ────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_on_disk_comes_into_force(files: Files) -> None:
    """As publication 1, told in the report."""

    async def scenario() -> None:
        async with following(files) as now:
            await now.publication(1)
            assert now.decide().entitlement.value == 50
            assert (now.report.loads, now.report.failures, now.report.error) == (1, 0, None)
            assert (now.report.customers, now.report.subscriptions) == (1, 1)
            assert [source.kind for source in now.report.sources] == ["catalog", "rules", "subjects"]
            assert all(source.changed_at for source in now.report.sources if source.kind != "rules")

    asyncio.run(scenario())


def test_a_change_of_each_file_comes_into_force(files: Files) -> None:
    """Catalog, subjects and rules are followed, each change a publication of its own."""

    async def scenario() -> None:
        async with following(files) as now:
            await now.publication(1)
            files.write(files.catalog, catalog_text(60))
            await now.publication(2)
            assert now.decide().entitlement.value == 60
            files.write(files.subjects, subjects_text("acme", "beta"))
            await now.publication(3)
            assert now.decide("beta").allowed
            files.write(files.rules / "bans.cedar", RULE)
            await now.publication(4)
            assert now.decide().reason is Reason.RULE_DENIED
            (files.rules / "bans.cedar").unlink()
            await now.publication(5)
            assert now.decide().allowed

    asyncio.run(scenario())


def test_writing_in_place_is_followed_too(files: Files) -> None:
    """Some editors do."""

    async def scenario() -> None:
        async with following(files) as now:
            await now.publication(1)
            files.catalog.write_text(catalog_text(70))
            await now.publication(2)
            assert now.decide().entitlement.value == 70

    asyncio.run(scenario())


def test_an_exchanged_config_map_is_followed(files: Files) -> None:
    """Kubernetes exchanges a link on the way to the files."""
    mount = files.folder.with_name("mount")
    for number, movies in ((1, 50), (2, 80)):
        version = mount / f"..{number}"
        version.mkdir(parents=True)
        (version / "catalog.yaml").write_text(catalog_text(movies))
    (mount / "..data").symlink_to("..1")
    (mount / "catalog.yaml").symlink_to("..data/catalog.yaml")
    files.catalog = mount / "catalog.yaml"

    async def scenario() -> None:
        async with following(files) as now:
            await now.publication(1)
            (mount / "..data_tmp").symlink_to("..2")
            os.replace(mount / "..data_tmp", mount / "..data")  # noqa: PTH105 - as the kubelet does it
            await now.publication(2)
            assert now.decide().entitlement.value == 80

    asyncio.run(scenario())


def test_files_may_appear_later(files: Files) -> None:
    """Until then nothing is in force, and the report says why."""
    later = files.folder.with_name("later")
    files.catalog, existing = later / "catalog.yaml", files.catalog

    async def scenario() -> None:
        async with following(files) as now:
            report = await now.failure()
            assert now.state.current is None
            assert report.error is not None
            assert str(files.catalog) in report.error
            later.mkdir()
            existing.rename(files.catalog)
            await now.publication(1)
            assert now.report.error is None

    asyncio.run(scenario())


def test_a_change_that_means_nothing_is_no_publication(files: Files) -> None:
    """A comment makes a load, and that is all."""

    async def scenario() -> None:
        async with following(files) as now:
            before = await now.publication(1)
            files.write(files.catalog, catalog_text() + "# a comment\n")
            await now.until(lambda: now.report.loads == 2)
            assert now.generation is before

    asyncio.run(scenario())


# ── what fails ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_broken_edit_keeps_the_last_good_state(files: Files) -> None:
    """With all problems in the report, until the edit is mended."""

    async def scenario() -> None:
        async with following(files) as now:
            before = await now.publication(1)
            files.write(files.catalog, catalog_text() + "oops: 1\n")
            report = await now.failure()
            assert now.generation is before
            assert report.error is not None
            assert report.error.startswith(f"{files.catalog}:6:1: error:")
            assert [problem.line for problem in report.problems] == [6]
            assert report.failed_at is not None
            files.write(files.catalog, catalog_text(55))
            await now.publication(2)
            assert (now.report.error, now.report.problems) == (None, ())

    asyncio.run(scenario())


def test_the_report_says_nothing_of_what_a_subjects_file_says(files: Files) -> None:
    """The place of a problem in one, without its words: they may name a customer, and the probe port is open."""

    async def scenario() -> None:
        async with following(files) as now:
            await now.publication(1)
            files.write(files.subjects, subjects_text("acme").replace("customer: acme", "customer: secretcorp"))
            report = await now.failure()
            assert [problem.file for problem in report.problems] == [str(files.subjects)]
            assert "secretcorp" not in f"{report.error} {report.problems}"

    asyncio.run(scenario())


def test_subjects_are_followed_while_the_catalog_is_broken(files: Files) -> None:
    """A customer who leaves is gone, whatever else is wrong."""

    async def scenario() -> None:
        async with following(files) as now:
            await now.publication(1)
            files.write(files.catalog, "oops")
            await now.failure()
            files.write(files.subjects, subjects_text("beta"))
            await now.publication(2)
            assert now.decide("acme").reason is Reason.UNKNOWN_SUBJECT
            assert now.report.error is not None

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
        ("raise SystemExit('no memory')", "exit status 1: no memory"),
        ("print('nonsense')", "invalid result"),
        ("", "invalid result"),
    ],
)
def test_a_loader_that_fails_is_tried_again(files: Files, code: str, told: str) -> None:
    """How it failed is in the report; a second attempt follows by itself."""

    async def scenario() -> None:
        async with following(files, stand_in(code)) as now:
            report = await now.failure()
            assert report.error is not None
            assert told in report.error
            await now.failure(2)

    asyncio.run(scenario())


def test_a_loader_that_cannot_be_started_is_a_failure_too(files: Files) -> None:
    """The process table may be full."""

    async def scenario() -> None:
        async with following(files, ["/no/such/program"]) as now:
            report = await now.failure()
            assert "No such file or directory" in (report.error or "")

    asyncio.run(scenario())


def test_what_is_in_force_outlives_a_loader_that_fails(files: Files) -> None:
    """Here: it works once, then never again."""
    once = files.folder / "once"
    code = f"""
import pathlib, runpy, sys
once = pathlib.Path({str(once)!r})
if once.exists():
    sys.exit("the disk is full")
once.touch()
runpy.run_module("tiergate.sidecar.replica.file_source.loader", run_name="__main__")
"""

    async def scenario() -> None:
        async with following(files, stand_in(code)) as now:
            before = await now.publication(1)
            files.write(files.catalog, catalog_text(60))
            report = await now.failure()
            assert report.error is not None
            assert "the disk is full" in report.error
            assert now.generation is before
            once.unlink()
            await now.publication(2)

    asyncio.run(scenario())


def test_cancelling_ends_the_loader(files: Files) -> None:
    """A shutdown does not wait for a load."""
    pid = files.folder / "pid"
    code = f"import os, time; open({str(pid)!r}, 'w').write(f'{{os.getpid()}}.'); time.sleep(600)"

    async def scenario() -> None:
        async with following(files, stand_in(code)) as now:
            await now.until(lambda: pid.exists() and pid.read_text().endswith("."))

    asyncio.run(scenario())
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()[:-1]), signal.SIG_DFL)


# ── from disk ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_restart_serves_at_once_what_did_not_change(files: Files) -> None:
    """Under the same publication, before anything is loaded."""

    async def scenario() -> None:
        async with following(files) as first:
            await first.publication(1)
        async with following(files, stand_in("import time; time.sleep(600)")) as second:
            await second.until(lambda: second.state.current)
            assert second.generation.publication == 1
            assert second.report.loading
            assert second.decide().allowed

    asyncio.run(scenario())


def test_a_restart_loads_first_what_changed(files: Files) -> None:
    """Nothing outdated is served when the files say otherwise; publications go on counting."""

    async def scenario() -> None:
        async with following(files) as first:
            await first.publication(1)
        files.write(files.catalog, catalog_text(60))
        async with following(files) as second:
            await second.until(lambda: second.state.current)
            assert (second.generation.publication, second.decide().entitlement.value) == (2, 60)

    asyncio.run(scenario())


def test_a_restart_serves_the_last_good_state_where_the_files_are_broken(files: Files) -> None:
    """And says so."""

    async def scenario() -> None:
        async with following(files) as first:
            await first.publication(1)
        files.catalog.unlink()
        async with following(files) as second:
            report = await second.failure()
            assert (second.generation.publication, second.decide().entitlement.value) == (1, 50)
            assert report.error is not None

    asyncio.run(scenario())


def test_a_restart_proves_what_it_serves(files: Files) -> None:
    """A change that `stat` cannot see is found by the digest, and published."""

    async def scenario() -> None:
        async with following(files) as first:
            await first.publication(1)
        before = files.catalog.stat()
        with files.catalog.open("r+") as file:
            text = file.read()
            file.seek(0)
            file.write(text.replace("50", "60"))
        os.utime(files.catalog, ns=(before.st_atime_ns, before.st_mtime_ns))
        async with following(files) as second:
            await second.publication(2)
            assert second.decide().entitlement.value == 60

    asyncio.run(scenario())


@pytest.mark.parametrize("damage", ["replica missing", "replica torn", "bundle missing", "record torn"])
def test_a_restart_mends_what_is_damaged(files: Files, damage: str) -> None:
    """Whatever was lost is made anew from the files."""

    async def scenario() -> None:
        async with following(files) as first:
            generation = await first.publication(1)
            data = first.directory
        replica = data.subjects / "1.sqlite"
        match damage:
            case "replica missing":
                replica.unlink()
            case "replica torn":
                replica.write_bytes(replica.read_bytes()[:-100])
            case "bundle missing":
                (data.bundle(generation.revision) / "manifest.json").unlink()
            case _:
                (data.root / "state.json").write_text("{")
        async with following(files) as second:
            await second.until(lambda: second.state.current and second.report.loads)
            assert second.decide().allowed

    asyncio.run(scenario())


def test_damage_under_way_is_mended(files: Files) -> None:
    """A file that can no longer be read denies, and is made anew."""

    async def scenario() -> None:
        async with following(files) as now:
            generation = await now.publication(1)
            path = now.directory.bundle(generation.revision) / "entities/items/plan/gold@1.json"
            path.write_text("[]")
            assert now.decide().reason is Reason.EVALUATION_ERROR
            await now.until(lambda: now.report.loads == 2)
            assert now.decide().allowed

    asyncio.run(scenario())


# ── what is left behind ──────────────────────────────────────────────────────────────────────────────────────────────


def test_damage_that_a_change_of_the_catalog_meets_is_mended(files: Files) -> None:
    """The replica is found to be torn when the new catalog is put in force with it: it is made anew, and both count."""

    async def scenario() -> None:
        async with following(files) as now:
            await now.publication(1)
            replica = next(now.directory.root.rglob("*.sqlite"))
            replica.chmod(0o600)
            content = bytearray(replica.read_bytes())
            content[:200] = b"x" * 200
            replica.write_bytes(content)
            files.write(files.catalog, catalog_text(55))
            await now.publication(2)
            assert now.decide("acme").entitlement.value == 55

    asyncio.run(scenario())


def test_past_publications_leave_the_disk(files: Files) -> None:
    """Their files are removed as soon as nobody decides by them."""

    async def scenario() -> None:
        async with following(files) as now:
            await now.publication(1)
            for number in range(2, 5):
                files.write(files.catalog, catalog_text(50 + number))
                files.write(files.subjects, subjects_text("acme", f"c{number}"))
                await now.publication(number)
            folder = now.directory
            await now.until(lambda: len(list(folder.bundles.iterdir())) == len(list(folder.subjects.iterdir())) == 1)
            assert now.decide("c4").allowed

    asyncio.run(scenario())


def test_a_publication_in_use_keeps_its_files(files: Files) -> None:
    """An answer under way may still read them."""

    async def scenario() -> None:
        async with following(files) as now:
            before: Generation | None = await now.publication(1)
            assert before is not None
            path = now.directory.bundle(before.revision)
            files.write(files.catalog, catalog_text(60))
            await now.publication(2)
            assert path.is_dir()
            before = None
            await now.until(lambda: not path.exists())

    asyncio.run(scenario())


def test_a_past_generation_is_freed_without_the_garbage_collector(files: Files) -> None:
    """Otherwise memory and disk would wait for a collection that may be long in coming."""

    async def scenario() -> None:
        async with following(files) as now:
            await now.publication(1)
            now.decide()
            path = now.directory.bundle(now.generation.revision)
            gc.collect()
            gc.disable()
            try:
                files.write(files.catalog, catalog_text(60))
                await now.publication(2)
                await now.until(lambda: not path.exists())
            finally:
                gc.enable()

    asyncio.run(scenario())


def test_a_bad_record_is_reported_and_holds_up_nobody(files: Files) -> None:
    """Its place in the report, its words in the log alone; until it is mended."""
    bad = subjects_text("acme", "beta").replace(
        "id: s-acme, customer: acme, status: active", "id: s-acme, customer: acme, status: unpaid"
    )

    async def scenario() -> None:
        async with following(files) as now:
            await now.publication(1)
            files.write(files.subjects, bad)
            await now.publication(2)
            assert (now.decide("acme").entitlement.value, now.decide("beta").entitlement.value) == (50, 50)
            assert (now.report.quarantined, now.report.error, now.report.behind) == (1, None, 0)
            (problem,) = now.report.problems
            assert (problem.file, problem.line, problem.column) == (str(files.subjects), 6, 42)
            assert "unpaid" not in problem.message
            files.write(files.subjects, subjects_text("acme", "beta"))
            await now.until(lambda: now.report.loads == 3)
            assert (now.report.quarantined, now.report.problems) == (0, ())

    with capture_logs() as logs:
        asyncio.run(scenario())
    warned = [entry for entry in logs if "quarantine" in entry["event"] and entry["log_level"] == "warning"]
    assert [entry.get("count") for entry in warned] == [None, 1]
    assert f"{files.subjects}:6:42" in warned[0]["problem"]
    assert "unpaid" in warned[0]["problem"]


def test_a_subject_without_any_good_record_cannot_be_evaluated(files: Files) -> None:
    """From the first start on; it is neither unknown nor allowed, and the others are."""
    files.write(files.subjects, subjects_text("acme", "beta").replace("acme, status: active", "acme, status: unpaid"))

    async def scenario() -> None:
        async with following(files) as now:
            await now.publication(1)
            decision = now.decide("acme")
            assert (decision.allowed, decision.reason) == (False, Reason.EVALUATION_ERROR)
            assert now.decide("beta").allowed
            assert not now.mode._active.damaged  # type: ignore[union-attr]

    asyncio.run(scenario())


# ── writers that do not rest, and files that do not answer ───────────────────────────────────────────────────────────


SLOW = """
import runpy, time
from tiergate.sidecar.replica.file_source import loader
load = loader.load
def slow(job):
    outcome = load(job)
    time.sleep(0.8)
    return outcome
loader.load = slow
loader.main()
"""
"""A loader that takes about as long as three changes."""


@asynccontextmanager
async def writing(files: Files, period: float = 0.3) -> AsyncIterator[list[tuple[float, int]]]:
    """Exchange the subjects for others all the time; says when each quantity was written."""
    written: list[tuple[float, int]] = []

    async def write() -> None:
        while True:
            quantity = len(written) + 2
            files.write(files.subjects, subjects_text("acme", quantity=quantity))
            written.append((time.monotonic(), quantity))
            await asyncio.sleep(period)

    task = asyncio.create_task(write())
    try:
        yield written
    finally:
        task.cancel()


def test_files_that_are_exchanged_faster_than_they_load_are_followed(files: Files) -> None:
    """From the start on, and never behind by much more than two loads."""

    async def scenario() -> None:
        async with writing(files) as written, following(files, stand_in(SLOW)) as now:
            seen: list[tuple[float, int]] = []

            def newest() -> int:
                if now.state.current is not None:
                    value = now.decide().entitlement.value
                    assert isinstance(value, int | Decimal)
                    quantity = int(value) // 50
                    if not seen or seen[-1][1] != quantity:
                        seen.append((time.monotonic(), quantity))
                return len(seen)

            await now.until(lambda: newest() >= 3)
            assert [quantity for _, quantity in seen] == sorted(quantity for _, quantity in seen)
            assert now.report.failures == now.report.abandoned == 0
            behind = now.report.behind
            assert behind is not None
            assert 0 <= behind < _PATIENCE
            newest_written = {quantity: at for at, quantity in written}
            assert all(at - newest_written[quantity] < _PATIENCE for at, quantity in seen if quantity in newest_written)

    asyncio.run(scenario())


def test_how_far_the_files_are_ahead_is_told(files: Files) -> None:
    """Nothing where they agree with what is in force, and more and more where they cannot be loaded."""

    async def scenario() -> None:
        async with following(files) as now:
            await now.publication(1)
            assert now.report.behind == 0
            files.write(files.catalog, "oops")
            report = await now.failure()
            assert report.behind is not None
            behind = report.behind
            assert behind > 0
            await now.until(lambda: (now.report.behind or 0) > behind)
            files.write(files.catalog, catalog_text(60))
            await now.publication(2)
            assert now.report.behind == 0

    asyncio.run(scenario())


def test_a_load_that_was_abandoned_is_counted(files: Files) -> None:
    """And tried again."""
    code = "import sys, msgspec; sys.stdin.readline(); print('{\"changed\": true}')"

    async def scenario() -> None:
        async with following(files, stand_in(code)) as now:
            await now.until(lambda: now.report.abandoned >= 2)
            assert (now.report.failures, now.report.loads) == (0, 0)

    asyncio.run(scenario())


def test_a_catalog_that_is_a_pipe_for_a_moment_is_followed_again(files: Files) -> None:
    """It waits for nobody: it is a problem, and gone with the pipe."""

    async def scenario() -> None:
        async with following(files) as now:
            await now.publication(1)
            files.catalog.unlink()
            os.mkfifo(files.catalog)
            report = await now.failure()
            assert report.error is not None
            assert "it is a fifo, not a file" in report.error
            assert now.decide().allowed
            files.write(files.catalog, catalog_text(60))
            await now.publication(2)

    asyncio.run(scenario())


def test_a_load_that_hangs_has_failed(files: Files) -> None:
    """After its time, and another one follows."""
    code = "import time; time.sleep(600)"

    async def scenario() -> None:
        async with following(files, stand_in(code), load_timeout=0.3) as now:
            report = await now.failure()
            assert report.error == "the loader did not finish within 0.3 seconds"
            await now.failure(2)

    asyncio.run(scenario())


def test_a_file_system_that_does_not_answer_shows_and_holds_up_nobody(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers go on, the failure is told, and the end does not wait."""
    answers = threading.Event()
    answers.set()

    def look(paths: Sequence[Path]) -> tuple[FileStamp, ...]:
        answers.wait()
        return stamp_files(paths)

    monkeypatch.setattr(follower, "stamp_files", look)
    monkeypatch.setattr(follower, "_LONGEST_LOOK", 0.2)

    async def scenario() -> None:
        async with following(files) as now:
            await now.publication(1)
            answers.clear()
            report = await now.failure()
            assert "does not answer within 0.2 seconds" in (report.error or "")
            assert now.decide().allowed
            answers.set()
            await now.until(lambda: now.report.error is None)
            answers.clear()

    try:
        asyncio.run(scenario())
    finally:
        answers.set()


def test_a_folder_that_turns_read_only_is_left_for_another(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in force stays, and what is new is followed."""
    broken: list[Path] = []
    refused = write_error

    def look(folder: Path) -> OSError | None:
        return OSError(errno.EROFS, "Read-only file system") if folder in broken else refused(folder)

    monkeypatch.setattr(data_directory, "write_error", look)

    async def scenario() -> None:
        async with following(files) as now:
            await now.publication(1)
            root = now.directory.root
            broken.append(root)
            (root / "scratch").rmdir()
            (root / "scratch").write_text("as if it could not be written")
            files.write(files.catalog, catalog_text(60))
            report = await now.failure()
            assert report.error is not None
            assert str(root / "scratch") in report.error
            assert now.decide().entitlement.value == 50
            await now.publication(2)
            assert now.decide().entitlement.value == 60
            assert now.directory.root != root
            assert now.directory.named == root

    asyncio.run(scenario())


def test_an_error_of_the_disk_names_what_it_is_about(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system names nothing, the folder in which everything is written."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def scenario() -> None:
        async with following(files) as now:
            monkeypatch.setattr(now.directory, "write", refuse)
            report = await now.failure()
            assert report.error == f"`{now.directory.root}`: no space left on device"

    asyncio.run(scenario())
