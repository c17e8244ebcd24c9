"""Run the measured control plane, with a catalog and subjects in its store, and sidecars that follow it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from benchmarks.processes import Sidecar, end, free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CREDENTIALS = """
import sys
from pathlib import Path
from tiergate.bundle import SigningKey
from tiergate.store import SYSTEM, Store
from tiergate.store.keys import create_key
home, database = Path(sys.argv[1]), sys.argv[2]
key = SigningKey.generate()
(home / "signing-key.pem").write_text(key.to_pem())
(home / "public-key.pem").write_text(key.verify_key.to_pem())
store = Store.open(database, migrating=True)
for role in ("admin", "sidecar"):
    made = store.change(lambda unit: create_key(unit, role, [role]), SYSTEM)
    (home / f"{role}.key").write_text(made.text)
store.close()
"""


class ControlPlane:
    """A running control plane: its address, and clients with the keys of an admin and of a sidecar."""

    def __init__(self, home: Path, port: int, pid: int) -> None:
        self.home = home
        self.pid = pid
        self.url = f"http://127.0.0.1:{port}"
        self.headers = _headers(home / "admin.key")
        self.client = httpx.Client(base_url=self.url, headers=self.headers, timeout=1800)
        self.sync = httpx.Client(base_url=self.url, headers=_headers(home / "sidecar.key"), timeout=60)


@contextmanager
def control_plane(home: Path, catalog: Path, subjects: Path, database: str | None = None) -> Iterator[ControlPlane]:
    """Run a control plane with a published catalog and subjects; `database`: an empty one, else a new SQLite file."""
    home.mkdir(parents=True, exist_ok=True)
    for old in home.glob("store.sqlite*"):
        old.unlink()
    shutil.rmtree(home / "cars", ignore_errors=True)  # sidecars of an earlier run
    database, port = database or f"sqlite:///{home / 'store.sqlite'}", free_port()
    subprocess.run([sys.executable, "-c", _CREDENTIALS, str(home), database], check=True)
    command = [sys.executable, "-m", "tiergate", "control-plane", "--database", database, "--log-level", "warning"]
    command += ["--signing-key-file", str(home / "signing-key.pem"), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=_environment())
    try:
        wait_for(port, process, "/readyz")
        plane = ControlPlane(home, port, process.pid)
        files = [{"name": "catalog.yaml", "text": catalog.read_text()}]
        plane.client.post("/v1/apply", json={"catalog": files}).raise_for_status()
        with subjects.open("rb") as lines:
            answer = plane.client.post(
                "/v1/import/subjects", content=lines, headers={"content-type": "application/x-ndjson"}
            )
        answer.raise_for_status()
        yield plane
    finally:
        end(process)


@contextmanager
def synced_sidecar(plane: ControlPlane, name: str) -> Iterator[Sidecar]:
    """Run a sidecar that follows a control plane, on the data of an earlier one of its name; yield when ready."""
    data = plane.home / "cars" / name
    data.parent.mkdir(exist_ok=True)
    port, probe_port = free_port(), free_port()
    command = [sys.executable, "-m", "tiergate", "sidecar", "--control-plane", plane.url]
    command += ["--key-file", str(plane.home / "sidecar.key"), "--public-key", str(plane.home / "public-key.pem")]
    command += ["--data", str(data), "--port", str(port), "--probe-port", str(probe_port), "--log-level", "warning"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=_environment())
    try:
        yield Sidecar(process, port, probe_port, wait_for(probe_port, process, "/readyz"))
    finally:
        end(process)


def _headers(key: Path) -> dict[str, str]:
    return {"authorization": f"Bearer {key.read_text().strip()}"}


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("TIERGATE_")}
