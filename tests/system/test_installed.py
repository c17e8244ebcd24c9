from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the package as the wheel installs it, away from the repository."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "packages")
    return folder / "packages"


@pytest.mark.slow
def test_an_installed_package_shows_the_demo(installed: Path, tmp_path: Path) -> None:
    """Everything that the demo needs, its sample and the policies included, is in the wheel."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "tiergate", "demo", "--once", "--port", "0", "--folder", str(tmp_path / "sample")]
    ran = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "no: a rule forbids it (rule_denied)" in ran.stdout
    where = "import tiergate, sys; sys.stdout.write(tiergate.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where], check=True, env=environment, cwd=tmp_path, capture_output=True
    )
    assert Path(found.stdout.decode()).is_relative_to(installed)
