"""`tiergate-client`: the Python client as a distribution of its own, which needs msgspec and nothing else."""

from __future__ import annotations

import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import msgspec
import pytest

from tests.clients.programs import run
from tests.conformance_cases import FILES
from tests.system.processes import sidecar

CLIENT = Path(__file__).parents[2] / "clients" / "python"
PROGRAM = """
import asyncio, sys
sys.path[:0] = sys.argv[2:]
from tiergate_client import AsyncSidecar, Check, Sidecar, Subject, UnknownFeatureError

with Sidecar(sys.argv[1], timeout=30) as sidecar:
    assert sidecar.allows("gold-customer", "analytics", otherwise=False)
    assert sidecar.check("gold-customer", "storage", amount=1.5, used=11).entitlement.value == 12.5
    assert sidecar.consume("basic-customer", "credits", amount=1).consumed == 1
    assert [bool(answer) for answer in sidecar.checks([Check(Subject("gold-customer"), "analytics")])] == [True]
    try:
        sidecar.check("gold-customer", "analytic")
    except UnknownFeatureError as error:
        assert error.suggestion == "analytics"

async def ask():
    async with AsyncSidecar(sys.argv[1], timeout=30) as sidecar:
        return len(await sidecar.entitlements("gold-customer"))

print(asyncio.run(ask()), "tiergate" in sys.modules)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel, and the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-d", folder, folder=CLIENT)
    return folder


def test_it_needs_msgspec_alone(built: Path, tmp_path: Path) -> None:
    """It asks a real sidecar, in an interpreter that finds nothing else."""
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
        assert [name for name in archive.namelist() if name.endswith("LICENSE")]
    only = tmp_path / "only"
    only.mkdir()
    (only / "msgspec").symlink_to(Path(msgspec.__file__).parent)
    with sidecar(*FILES, "--data", tmp_path / "data") as process:
        url = str(process.event("listening")["api"])
        told = run(sys.executable, "-I", "-S", "-c", PROGRAM, url, tmp_path / "site", only, folder=tmp_path)
    assert told == "10 False\n"


def test_the_source_distribution_makes_the_same_wheel(built: Path, tmp_path: Path) -> None:
    """Without the repository around it."""
    (wheel,) = built.glob("*.whl")
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.glob("tiergate_client-*")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "again", folder=unpacked)
    (again,) = (tmp_path / "again").glob("*.whl")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        assert {info.filename: info.CRC for info in one.infolist()} == {
            info.filename: info.CRC for info in other.infolist()
        }
    shutil.rmtree(unpacked)


@pytest.mark.skipif(shutil.which("frameworks-python") is None, reason="no `frameworks-python` on the path")
def test_the_examples_of_frameworks_ask(built: Path, tmp_path: Path) -> None:
    """FastAPI, Flask and Django, each by its own test client, with the wheel."""
    python = shutil.which("frameworks-python")
    assert python is not None
    (wheel,) = built.glob("*.whl")
    with sidecar(*FILES, "--data", tmp_path / "data") as process:
        environment = {
            "TIERGATE_URL": str(process.event("listening")["api"]),
            "PYTHONPATH": f"{wheel}:{CLIENT / 'examples'}",
        }
        told = run(python, Path(__file__).with_name("frameworks.py"), folder=tmp_path, environment=environment)
    assert "all asked" in told
