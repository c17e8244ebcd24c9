"""What a running sidecar has loaded: it stands beside every pod, and each of these takes megabytes of every one."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.control_planes import control_plane
from tests.serving import CATALOG
from tests.system.processes import check_request, sidecar

if TYPE_CHECKING:
    from tests.system.processes import Process

SAMPLE = Path(__file__).parents[2] / "examples" / "streaming"
FILES = ("--catalog", SAMPLE / "catalog.yaml", "--subjects", SAMPLE / "subjects.yaml", "--rules", SAMPLE / "rules")

NEVER = {
    *("typer", "pydantic", "pydantic_core", "rich", "pygments", "markdown_it", "jsonschema", "yaml"),
    *("sqlmodel", "sqlalchemy", "alembic", "psycopg", "jwt"),
    *(
        "tiergate.cli.application",
        "tiergate.cli.output.errors",
        "tiergate.cluster",
        "tiergate.policytest",
        "tiergate.impact",
    ),
    *("tiergate.control", "tiergate.store", "tiergate.publish", "tiergate.compiler", "tiergate.catalog"),
    "tiergate.process.certificates",
}
"""Packages and modules without which a sidecar serves."""

ONLY_FOLLOWING = {"cryptography", "httpx", "httpcore", "tiergate.bundle.signing_keys", "tiergate.sidecar.replica.sync"}
"""Those that speak to a control plane."""

ON_EXIT = """\
import atexit, os, sys

def write():
    with open(f"{os.environ['MODULES']}/{os.getpid()}", "w") as file:
        file.write("\\n".join(name for name, module in sys.modules.copy().items() if module is not None))

atexit.register(write)
"""


def watched(folder: Path) -> dict[str, str]:
    """The environment in which a process writes into a folder what it has loaded, as it ends."""
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(ON_EXIT, encoding="utf-8")
    return {"PYTHONPATH": str(folder / "site"), "MODULES": str(folder)}


def loaded(process: Process, folder: Path, subject: str) -> set[str]:
    """What a process has loaded that has answered checks and told its metrics, the packages of modules among it."""
    assert process.ask(check_request(subject)).status == 200
    assert process.probe("/metrics")[0] == 200
    assert process.end(signal.SIGTERM) == 0
    names = (folder / str(process.process.pid)).read_text(encoding="utf-8").split()
    assert "tiergate.sidecar.server" in names
    return set(names)


def test_a_sidecar_of_files_loads_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    """Neither the command line's machinery, nor what speaks to others; files are read in another process."""
    with sidecar(*FILES, "--data", tmp_path / "data", environ=watched(tmp_path)) as process:
        assert loaded(process, tmp_path, "ada") & (NEVER | ONLY_FOLLOWING) == set()


@pytest.mark.slow
def test_a_sidecar_that_follows_loads_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    """What speaks to a control plane comes without the colours of its own command line."""
    with control_plane(tmp_path) as plane:
        plane.client("admin").post("/v1/apply", json={"catalog": yaml.safe_load(CATALOG)}).raise_for_status()
        credentials = plane.credentials
        believed = ("--public-key", credentials.public_key_file, "--store-id", credentials.store_id)
        follows = ("--control-plane", plane.url, "--key-file", credentials.key_file("sidecar"), *believed)
        with sidecar(*follows, "--data", tmp_path / "data", environ=watched(tmp_path)) as process:
            found = loaded(process, tmp_path, "acme")
    assert found & NEVER == set()
    assert found >= ONLY_FOLLOWING
