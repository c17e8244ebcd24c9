"""`tiergate test`, in this process; `--watch` in one of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.unit.policytest.projects import CATALOG, SUITE, write
from tiergate.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.cli.conftest import Cli

WRONG = SUITE.replace("value: 50", "value: 60")
BROKEN = SUITE.replace("features: [movies]", "features: [moovies]")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the project of a policy author, as the current folder."""
    monkeypatch.chdir(tmp_path)
    return write(tmp_path)


@pytest.mark.usefixtures("project")
def test_the_current_folder_is_run(cli: Cli) -> None:
    """Without a path, every test file below here is run, and told as a tree."""
    ran = cli("test")
    assert (ran.code, ran.err) == (ExitCode.OK, "")
    assert ran.out.splitlines()[:3] == [
        "Gold  (gold_test.yaml)",
        "  ✓ movies  (4 cases)",
        "  – reports  (skipped: waits for the new reports)",
    ]
    assert "5 cases in 2 tests of 1 suite: 4 passed, 1 skipped" in ran.out


def test_a_failed_test_ends_with_its_own_code(cli: Cli, project: Path) -> None:
    """A case that comes out otherwise ends with 1, and shows expected, actual, why, file and line."""
    write(project, {"gold_test.yaml": WRONG})
    ran = cli("test")
    assert (ran.code, ran.err) == (ExitCode.NO, "")
    for said in ("expected  value 60", "actual    value 50 (granted)", "gives 50 movies/month", "gold_test.yaml:14:9"):
        assert said in ran.out


def test_a_broken_file_ends_with_another_code(cli: Cli, project: Path) -> None:
    """A file that cannot be read as tests ends with 3; nothing is run, and the problem has its place."""
    write(project, {"broken_test.yaml": BROKEN})
    ran = cli("test")
    assert (ran.code, ran.out) == (ExitCode.INPUT, "")
    assert "broken_test.yaml:9:16: error: " in ran.err
    assert "did you mean `movies`?" in ran.err


def test_a_broken_catalog_is_a_broken_file(cli: Cli, project: Path) -> None:
    """What a test file names must be in order too."""
    write(project, {"catalog.yaml": CATALOG.replace("type: switch", "type: swich")})
    ran = cli("test")
    assert ran.code == ExitCode.INPUT
    assert "catalog.yaml:3:" in ran.err


@pytest.mark.parametrize("path", ["nowhere", "empty"])
def test_nothing_to_run_is_no_success(cli: Cli, project: Path, path: str) -> None:
    """A path that does not exist, or a folder without tests, does not look as if all had passed."""
    (project / "empty").mkdir()
    ran = cli("test", path)
    assert ran.code == ExitCode.INPUT
    assert path in ran.err


FILTERS = [
    (("--suite", "gold"), 5),
    (("--test", "movies"), 4),
    (("--test", "movies", "--test", "rep*"), 5),
    (("--subject", "eve"), 2),
    (("--feature", "reports"), 1),
    (("--feature", "movies", "--subject", "ad?"), 2),
]


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(("options", "cases"), FILTERS)
def test_cases_are_chosen_by_their_names(cli: Cli, options: tuple[str, ...], cases: int) -> None:
    """Suite, test, subject and feature choose by a part of the name or by a pattern."""
    ran = cli("test", *options, "--json")
    assert json.loads(ran.out)["summary"]["cases"] == cases


@pytest.mark.usefixtures("project")
def test_choosing_nothing_is_a_mistake(cli: Cli) -> None:
    """A misspelt name does not make a build green."""
    ran = cli("test", "--suite", "Gold", "--test", "moovies")
    assert ran.code == ExitCode.USAGE
    assert "setting `suite`: selects, together with `--test`, no case of these files" in ran.err


@pytest.mark.parametrize("options", [("--json",), ("--output", "json")])
def test_json_says_the_same_for_programs(cli: Cli, project: Path, options: tuple[str, ...]) -> None:
    """One document, with the exit code in it; a broken file is one too."""
    write(project, {"gold_test.yaml": WRONG})
    ran = cli("test", *options)
    document = json.loads(ran.out)
    assert (ran.code, document["exit_code"], document["passed"]) == (1, 1, False)
    write(project, {"gold_test.yaml": BROKEN})
    ran = cli("test", *options)
    document = json.loads(ran.out)
    assert (ran.code, ran.err, document["exit_code"]) == (3, "", 3)
    assert document["problems"][0]["file"] == "gold_test.yaml"


def test_junit_goes_to_standard_output_or_to_a_file(cli: Cli, project: Path) -> None:
    """Build servers get their XML beside what people read, or alone."""
    beside = cli("test", "--junit", "report.xml")
    alone = cli("test", "--output", "junit")
    assert "✓ movies" in beside.out
    written = ET.parse(project / "report.xml").getroot()
    assert [case.get("name") for case in ET.fromstring(alone.out).iter("testcase")] == [
        case.get("name") for case in written.iter("testcase")
    ]


@pytest.mark.usefixtures("project")
def test_junit_tells_of_broken_files_too(cli: Cli, project: Path) -> None:
    """The report of the time before does not stay as if it were of now."""
    cli("test", "--junit", "report.xml")
    write(project, {"gold_test.yaml": BROKEN})
    assert cli("test", "--junit", "report.xml").code == ExitCode.INPUT
    root = ET.parse(project / "report.xml").getroot()
    assert (root.get("tests"), root.get("errors")) == ("1", "1")


@pytest.mark.usefixtures("project")
def test_two_forms_of_one_result_are_refused(cli: Cli) -> None:
    """`--json` and another `--output` contradict each other."""
    ran = cli("test", "--json", "--output", "tree")
    assert ran.code == ExitCode.USAGE


def test_too_little_coverage_fails(cli: Cli, project: Path) -> None:
    """All cases pass, but what they leave out ends the command with 1; the texts and files say what it is."""
    files = ("--coverage-html", "coverage.html", "--coverage-json", "coverage.json")
    ran = cli("test", "--coverage", "--fail-under", "100", *files)
    assert ran.code == ExitCode.NO
    assert "plan/gold@1/reports" in ran.out
    assert "% is less than the 100.0 % of `--fail-under`" in ran.err
    document = json.loads((project / "coverage.json").read_text())
    assert 0 < document["percent"] < 100
    assert "plan/gold@1/reports" in (project / "coverage.html").read_text()
    assert cli("test", "--fail-under", str(int(document["percent"]))).code == ExitCode.OK


def test_what_no_suite_reads_is_named_and_fails_a_threshold(cli: Cli, project: Path) -> None:
    """It would be published untested; with `--catalog` and `--rules` the suites test it."""
    rules = project / "rules"
    rules.mkdir()
    (rules / "ban.cedar").write_text('@id("ban")\nforbid (principal, action, resource);\n', encoding="utf-8")
    ran = cli("test")
    assert ran.code == ExitCode.OK
    assert "no suite reads rules/ban.cedar" in ran.err
    assert cli("test", "--fail-under", "0").code == ExitCode.NO
    assert cli("test", "--catalog", "catalog.yaml", "--rules", "rules").code == ExitCode.NO
    ran = cli("test", "--catalog", "catalog.yaml")
    assert (ran.code, "rules/ban.cedar" in ran.err) == (ExitCode.OK, True)


@pytest.mark.usefixtures("project")
def test_rules_need_the_catalog_that_they_are_published_with(cli: Cli) -> None:
    """Each suite names its own otherwise."""
    assert cli("test", "--rules", ".").code == ExitCode.USAGE


@pytest.mark.usefixtures("project")
def test_what_is_shipped_counts_where_that_is_asked_for(cli: Cli) -> None:
    """Nobody has to test Tiergate's own guards to reach a threshold; with `--shipped` they count."""
    own = cli("test", "--json", "--coverage")
    percent = json.loads(own.out)["coverage"]["percent"]
    assert cli("test", "--fail-under", str(percent)).code == ExitCode.OK
    ran = cli("test", "--shipped", "--fail-under", "100")
    assert ran.code == ExitCode.NO
    assert "  shipped: guard/" in ran.out


@pytest.mark.usefixtures("project")
def test_counting_what_is_shipped_is_about_coverage(cli: Cli) -> None:
    """Where none is measured, nobody is left to believe that it was."""
    ran = cli("test", "--shipped")
    assert ran.code == ExitCode.USAGE
    assert "--coverage" in ran.err


def test_a_threshold_with_nothing_to_cover_says_so(cli: Cli, project: Path) -> None:
    """Tests of what is shipped alone have nothing of the author's to cover."""
    head = "apiVersion: tiergate/v1\nroles: shipped\ncallers: {a: {roles: [admin]}}\nresources: {c: {type: Catalog}}\n"
    row = "tests: [{name: t, callers: [a], actions: [view], resources: [c], expected: [{allowed: true}]}]\n"
    (project / "only_test.yaml").write_text(head + row)
    ran = cli("test", "only_test.yaml", "--fail-under", "1")
    assert ran.code == ExitCode.NO
    assert "there is nothing to cover" in ran.err
    assert "`--shipped`" in ran.err


@pytest.mark.usefixtures("project")
def test_coverage_is_in_the_json_document(cli: Cli) -> None:
    """A program finds the coverage beside the results."""
    ran = cli("test", "--json", "--coverage")
    document = json.loads(ran.out)
    assert document["coverage"]["total"] > document["coverage"]["covered"] > 0


def test_tests_are_written_in_cedars_form(cli: Cli, project: Path) -> None:
    """Each suite is exported to a folder of its own, and what is left out is counted."""
    ran = cli("test", "--export-cedar", "cedar")
    assert ran.code == ExitCode.OK
    assert "exported `Gold` to cedar/gold: 2 tests, 3 cases left out" in ran.err
    assert (project / "cedar" / "gold" / "policies.cedar").exists()


def test_what_cannot_be_written_is_the_machines_fault(cli: Cli, project: Path) -> None:
    """An output below what is no folder is told, and is not taken for a failed test."""
    (project / "file").touch()
    ran = cli("test", "--junit", "file/report.xml")
    assert ran.code == ExitCode.OPERATOR


@pytest.mark.usefixtures("project")
def test_watching_is_for_people(cli: Cli) -> None:
    """A program that wants one document cannot watch."""
    ran = cli("test", "--watch", "--json")
    assert ran.code == ExitCode.USAGE


class Watching:
    """A `tiergate test --watch` in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def until(self, end: str) -> str:
        """Read what it writes until a line begins so; what came before, and that line."""
        found = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found.append(line)
            if line.startswith(end):
                return "".join(found)
        raise AssertionError("".join(found))


@contextmanager
def watching(folder: Path, *args: str) -> Iterator[Watching]:
    """Watch a folder."""
    command = [sys.executable, "-u", "-m", "tiergate", "test", "--watch", *args]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ)
    ) as process:
        try:
            yield Watching(process)
        finally:
            process.kill()


def save(path: Path, text: str) -> None:
    """Save a file in one step, as editors do: nobody can see it emptied and not yet written."""
    unsaved = path.with_name(f".{path.name}.unsaved")
    unsaved.write_text(text)
    unsaved.replace(path)


def test_a_change_of_any_file_runs_the_tests_again(tmp_path: Path) -> None:
    """A test file, a catalog elsewhere, a new file, a broken one: each is run or told at once; Ctrl-C ends it."""
    suite = SUITE.replace("catalog.yaml", "../catalog.yaml").replace("subjects.yaml", "../subjects.yaml")
    tests = tmp_path / "tests"
    write(tmp_path, {"tests/gold_test.yaml": suite})
    (tmp_path / "gold_test.yaml").unlink()
    with watching(tests, "--junit", "report.xml") as watched:
        assert "4 passed, 1 skipped" in watched.until("waiting")

        save(tests / "gold_test.yaml", suite.replace("value: 50", "value: 60"))
        told = watched.until("waiting")
        assert told.startswith("changed: gold_test.yaml\n")
        assert "actual    value 50 (granted)" in told

        save(tmp_path / "catalog.yaml", CATALOG.replace("movies: 50", "movies: 60"))
        told = watched.until("waiting")
        assert told.startswith(f"changed: {tmp_path.resolve()}/catalog.yaml\n")
        assert "limit_reached" in told

        save(tests / "more_test.yaml", suite.replace("value: 50", "allow: 1"))
        told = watched.until("waiting")
        assert told.startswith("changed: more_test.yaml\n")
        assert "more_test.yaml:14:" in told

        (tests / "more_test.yaml").unlink()
        assert "1 suite" in watched.until("waiting")

        assert watched.process.poll() is None
        watched.process.send_signal(signal.SIGINT)
        assert watched.process.wait(20) == ExitCode.INTERRUPTED
