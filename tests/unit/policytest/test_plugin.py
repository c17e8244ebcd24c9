from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

from tests.unit.policytest.projects import CATALOG, pytest_in, write

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

INI = "[pytest]\ntiergate_catalog = ../catalog.yaml\ntiergate_subjects = ../subjects.yaml\n"


def run(folder: Path, test: str, *args: str, ini: str = INI) -> subprocess.CompletedProcess[str]:
    """Run a Python test that stands in a folder of its own below the project."""
    write(folder, {"tests/test_it.py": test, "tests/pytest.ini": ini})
    return pytest_in(folder / "tests", *args)


ALL_OF_THEM = """
from tiergate.policytest.assertions import assert_decision

NOW = "2026-11-21T12:00:00Z"

def test_catalog(tiergate_catalog, tiergate_bundle):
    assert tiergate_bundle.index.features.keys() == tiergate_catalog.features.keys() == {"reports", "movies"}

def test_engine(tiergate_engine):
    assert_decision(tiergate_engine, "ada", "movies", {"used": 50}, now=NOW, reason="limit_reached", value=50)

def test_sidecar(tiergate_sidecar, tiergate_engine):
    assert tiergate_sidecar.client.check("ada", "movies").allowed
    assert_decision(tiergate_sidecar, "ada", "movies", {"used": 50}, reason="limit_reached", remaining=0)

def test_again(tiergate_sidecar):
    print("sidecar", tiergate_sidecar.process.process.pid)

def test_once_more(tiergate_sidecar):
    print("sidecar", tiergate_sidecar.process.process.pid)
"""


def test_fixtures_come_from_the_configuration(tmp_path: Path) -> None:
    """A catalog, a bundle, an engine and one sidecar for all tests; it is gone when the run is over."""
    ran = run(tmp_path, ALL_OF_THEM, "-s")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "5 passed" in ran.stdout
    sidecars = set(re.findall(r"sidecar (\d+)", ran.stdout))
    assert len(sidecars) == 1
    assert not is_running(int(sidecars.pop()))


def is_running(pid: int) -> bool:
    """Say whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


MARKED = """
import pytest

@pytest.mark.tiergate(catalog="../other.yaml")
def test_marker(tiergate_catalog):
    assert list(tiergate_catalog.features) == ["seats"]

@pytest.mark.parametrize("tiergate_files", [{"catalog": ["../catalog.yaml"]}, {"catalog": "../other.yaml"}],
                         indirect=True, ids=["sample", "other"])
def test_parameter(tiergate_catalog, request):
    assert ("seats" in tiergate_catalog.features) is ("other" in request.node.name)

class TestOverridden:
    @pytest.fixture
    def tiergate_files(self, tmp_path):
        from tiergate.policytest.pytest_fixtures import Files
        path = tmp_path / "made.yaml"
        path.write_text("apiVersion: tiergate/v1\\nfeatures: [{id: made, type: switch}]\\nitems: []\\n")
        return Files(catalog=(path,))

    def test_fixture(self, tiergate_catalog):
        assert list(tiergate_catalog.features) == ["made"]
"""


def test_files_can_be_named_by_a_test(tmp_path: Path) -> None:
    """The marker, an indirect parameter, or a fixture of the author's stand in place of the configuration."""
    other = "apiVersion: tiergate/v1\nfeatures: [{id: seats, type: quantity}]\nitems: []\n"
    write(tmp_path, {"other.yaml": other})
    ran = run(tmp_path, MARKED)
    assert ran.returncode == 0, ran.stdout
    assert "4 passed" in ran.stdout


MISTAKES = """
import pytest

def test_no_catalog(tiergate_bundle): pass

@pytest.mark.tiergate(catalog="../broken.yaml")
def test_broken(tiergate_engine): pass

@pytest.mark.tiergate(catalogs="../catalog.yaml")
def test_misspelt(tiergate_engine): pass

@pytest.mark.tiergate("../catalog.yaml")
def test_unnamed(tiergate_engine): pass

@pytest.mark.tiergate(catalog=3)
def test_no_path(tiergate_engine): pass

@pytest.mark.tiergate(catalog="../catalog.yaml")
def test_no_subjects(tiergate_sidecar): pass

@pytest.mark.tiergate(rules=["a", "b"])
def test_two_folders(tiergate_engine): pass
"""


def test_a_mistake_is_told_without_a_traceback(tmp_path: Path) -> None:
    """Each names what is missing or wrong: a setting, a file with its line, a word of the marker."""
    write(tmp_path, {"broken.yaml": CATALOG.replace("type: switch", "type: swich")})
    ran = run(tmp_path, MISTAKES, ini="[pytest]\n")
    assert "7 errors" in ran.stdout
    for said in (
        "setting `tiergate_catalog`: name the files in pytest's configuration, or as `catalog` of the marker",
        "broken.yaml:3:",
        "the marker `tiergate` has no `catalogs`: it takes `catalog`, `subjects`, `rules`",
        "takes `catalog`, `subjects` and `rules` by their names",
        "`catalog` of the marker `tiergate` must be a path or a list of paths, not `3`",
        "setting `tiergate_subjects`: name the files",
        "`rules` is one folder",
    ):
        assert said in ran.stdout
    assert "workbench.py" not in ran.stdout
    assert "During handling" not in ran.stdout


def test_no_sidecar_is_started_on_broken_files(tmp_path: Path) -> None:
    """What is wrong with a rule is told at once: a sidecar would wait for it to be mended."""
    test = "def test_it(tiergate_sidecar): pass\n"
    write(tmp_path, {"rules/broken.cedar": "permit (principal, action"})
    ran = run(tmp_path, test, ini=INI + "tiergate_rules = ../rules\n")
    assert ran.returncode == 1
    assert "broken.cedar" in ran.stdout


def test_a_change_of_the_files_makes_new_ones(tmp_path: Path) -> None:
    """A test that changes a file does not get the engine that was made before."""
    test = """
from pathlib import Path

def test_before(tiergate_engine):
    assert "reports" in tiergate_engine.index.features
    path = Path("../catalog.yaml")
    path.write_text(path.read_text().replace("reports", "charts"))

def test_after(tiergate_engine):
    assert "charts" in tiergate_engine.index.features
"""
    ran = run(tmp_path, test)
    assert ran.returncode == 0, ran.stdout


def test_a_signal_leaves_no_sidecar_behind(tmp_path: Path) -> None:
    """A run that a build server ends by SIGTERM ends its sidecars, and with the signal's code."""
    test = """
import os, signal

def test_it(tiergate_sidecar):
    print("sidecar", tiergate_sidecar.process.process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()
"""
    ran = run(tmp_path, test, "-s")
    assert ran.returncode == 128 + signal.SIGTERM
    found = re.search(r"sidecar (\d+)", ran.stdout)
    assert found is not None
    assert not is_running(int(found[1]))
