"""Control planes behind a pooler that gives every transaction another server, as pgbouncer does in transaction mode."""

from __future__ import annotations

import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from tests.control_planes import ControlPlane, free_port, prepare_store
from tests.docs.pages import ROOT
from tests.system.processes import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.databases import PostgresServer

pytestmark = pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="no `pgbouncer`: `apt-get install pgbouncer`")

SAMPLE = ROOT / "examples" / "streaming" / "catalog.yaml"
NOT_HEARD = "LISTEN does not work; polling for changes of other instances"
HEARD = "LISTEN works; notified of changes of other instances"


@contextmanager
def pooled(postgres: PostgresServer, url: str, mode: str) -> Iterator[str]:
    """The URL of a database by way of a pooler with three servers."""
    parts = urlsplit(url)
    sockets = Path(parts.query.removeprefix("host="))
    port = free_port()
    folder = sockets / f"pooler-{port}"
    folder.mkdir()
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={sockets} user=tiergate\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"unix_socket_dir =\nauth_type = any\npool_mode = {mode}\ndefault_pool_size = 3\nlogfile = {folder}/log\n"
    )
    folder.chmod(0o777)  # the pooler runs as the server does, not as root
    process = subprocess.Popen(["pgbouncer", folder / "pgbouncer.ini"], stderr=subprocess.DEVNULL, **postgres.identity)
    try:
        found = f"postgresql://tiergate@127.0.0.1:{port}{parts.path}"
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                psycopg.connect(found).close()
                break
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.02)
        yield found
    finally:
        process.terminate()
        process.wait(PATIENCE)
        shutil.rmtree(folder)


def metric(plane: ControlPlane, name: str) -> float:
    """The value of a gauge."""
    lines = httpx.get(f"{plane.url}/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


def ask(plane: ControlPlane, method: str, path: str, body: Any) -> int:  # noqa: ANN401 - JSON
    """The status of a request of the admin."""
    return plane.client("admin").request(method, path, json=body).status_code


@pytest.mark.slow
def test_two_control_planes_behind_a_pooler_lose_nothing(postgres: PostgresServer, tmp_path: Path) -> None:
    """No statement is prepared that another server has not; what LISTEN loses is said, and found by polling."""
    with postgres.database() as url, pooled(postgres, url, "transaction") as by_pooler:
        credentials = prepare_store(tmp_path, by_pooler)
        with ControlPlane(credentials) as one, ControlPlane(credentials) as other:
            planes = (one, other)
            for plane in planes:
                plane.process.event("ready")
            catalog = {"name": SAMPLE.name, "text": SAMPLE.read_text(encoding="utf-8")}
            assert ask(one, "POST", "/v1/apply", {"catalog": [catalog]}) == 201
            with ThreadPoolExecutor(8) as pool:
                found = [
                    pool.submit(ask, planes[number % 2], "POST", "/v1/customers", {"id": f"c{number}"})
                    for number in range(200)
                ]
                assert [it.result() for it in found] == [201] * 200
            assert ask(one, "POST", "/v1/customers", {"id": "last"}) == 201
            followed = other.client("sidecar").get("/v1/sync/changes", params={"after": 201, "wait": 20})
            assert b'"last"' in followed.content
            for plane in planes:
                plane.process.event(NOT_HEARD)
                until = time.monotonic() + PATIENCE
                while metric(plane, "tiergate_cp_feed_listening"):  # it tries again, and may be lucky for a moment
                    assert time.monotonic() < until
                    time.sleep(0.1)
                assert plane.process.end() == 0
                assert "Traceback" not in plane.process.log()


@pytest.mark.slow
def test_without_a_pooler_notifications_arrive(postgres: PostgresServer, tmp_path: Path) -> None:
    """Which is tried at the start, before anybody else has written."""
    with postgres.database() as url, ControlPlane(prepare_store(tmp_path, url)) as plane:
        plane.process.event(HEARD)
        assert metric(plane, "tiergate_cp_feed_listening") == 1
        assert not plane.process.events(NOT_HEARD)
