from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.unit.policytest.projects import SUITE, pytest_in, write

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_of_tests_is_collected_case_by_case(tmp_path: Path) -> None:
    """Each case is an item below its test and its file, and a skipped test's cases are skipped with its reason."""
    ran = pytest_in(write(tmp_path), "-v", "-rs", installed=True)
    assert ran.returncode == 0, ran.stdout
    assert "gold_test.yaml::movies::ada · movies · the last one PASSED" in ran.stdout
    assert "gold_test.yaml::reports::ada · reports SKIPPED" in ran.stdout
    assert "waits for the new reports" in ran.stdout
    assert "4 passed, 1 skipped" in ran.stdout


def test_a_failure_shows_expected_actual_why_and_where(tmp_path: Path) -> None:
    """In place of a traceback the author sees what differs, the numbers behind it, and the row of the file."""
    ran = pytest_in(write(tmp_path, {"gold_test.yaml": SUITE.replace("value: 50", "value: 60")}))
    assert ran.returncode == 1
    for said in (
        "expected  value 60",
        "actual    value 50 (granted)",
        "at        gold_test.yaml:14:9",
        "gives 50 movies",
    ):
        assert said in ran.stdout
    assert "Traceback" not in ran.stdout
    assert "runner.py" not in ran.stdout


def test_a_broken_file_is_an_error_of_collection(tmp_path: Path) -> None:
    """What is wrong with a file, or with a catalog that it names, is told with its place; pytest ends with 2."""
    ran = pytest_in(write(tmp_path, {"gold_test.yaml": SUITE.replace("subjects: [ada, eve]", "subjetcs: [ada]")}))
    assert ran.returncode == pytest.ExitCode.INTERRUPTED
    assert "gold_test.yaml:8:5: error: " in ran.stdout
    assert "did you mean `subjects`?" in ran.stdout
    assert "Traceback" not in ran.stdout


def test_cases_are_chosen_as_all_tests_are(tmp_path: Path) -> None:
    """`-k` and a node's id choose cases."""
    write(tmp_path)
    chosen = pytest_in(tmp_path, "-k", "eve")
    assert "2 passed, 3 deselected" in chosen.stdout
    named = pytest_in(tmp_path, "gold_test.yaml::movies::ada · movies · one too many")
    assert "1 passed" in named.stdout


def test_several_processes_share_the_cases(tmp_path: Path) -> None:
    """Under pytest-xdist every process collects the same cases, and each is run once."""
    ran = pytest_in(write(tmp_path), "-p", "xdist", "-n", "2")
    assert ran.returncode == 0, ran.stdout
    assert "4 passed, 1 skipped" in ran.stdout


def test_junits_xml_of_pytest_has_every_case(tmp_path: Path) -> None:
    """Build servers see the cases beside all other tests."""
    pytest_in(write(tmp_path), "--junit-xml=report.xml")
    cases = ET.parse(tmp_path / "report.xml").findall(".//testcase")
    assert len(cases) == 5
    assert {case.get("name") for case in cases if case.find("skipped") is not None} == {"ada · reports"}


def test_a_file_of_another_tool_is_left_alone(tmp_path: Path) -> None:
    """A file of that name without our `apiVersion` is not collected. A line says so, which is no warning."""
    write(tmp_path, {"other_test.yaml": "name: of another tool\ntests: []\n", "pytest.ini": "[pytest]\n"})
    ran = pytest_in(tmp_path, "-W", "error")
    assert "4 passed, 1 skipped" in ran.stdout
    assert "warning" not in ran.stdout
    assert "other_test.yaml has no `apiVersion: tiergate/v1`: it is not collected" in ran.stdout


def test_a_file_that_is_asked_for_is_always_read(tmp_path: Path) -> None:
    """Named on the command line, a file without `apiVersion` is told to be broken, not passed over."""
    ran = pytest_in(write(tmp_path, {"gold_test.yaml": SUITE.partition("\n")[2]}), "gold_test.yaml")
    assert ran.returncode == pytest.ExitCode.INTERRUPTED
    assert "the key `apiVersion` is missing" in ran.stdout


def test_which_files_are_collected_can_be_said(tmp_path: Path) -> None:
    """`tiergate_test_files` names the patterns; none turns collecting off."""
    write(tmp_path, {"pytest.ini": "[pytest]\ntiergate_test_files =\n"})
    assert pytest_in(tmp_path).returncode == pytest.ExitCode.NO_TESTS_COLLECTED
    write(tmp_path, {"pytest.ini": "[pytest]\ntiergate_test_files = plans-*.yml\n", "plans-gold.yml": SUITE})
    assert "plans-gold.yml" in pytest_in(tmp_path, "--collect-only", "-q").stdout


def test_a_run_without_such_tests_pays_nothing(tmp_path: Path) -> None:
    """Where nothing of Tiergate is used, nothing of it is imported but the plugin and its packages."""
    test = """
import sys

def test_what_is_imported():
    ours = {name for name in sys.modules if name.partition(".")[0] in {"tiergate", "cedarpy", "msgspec"}}
    assert ours == {"tiergate", "tiergate.policytest", "tiergate.policytest.plugin"}
"""
    (tmp_path / "test_imports.py").write_text(test)
    ran = pytest_in(tmp_path)
    assert ran.returncode == 0, ran.stdout
