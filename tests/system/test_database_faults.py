"""A database that fails over, only reads, is full, or lacks a privilege: the operator's to mend, and mended unaided.

What is answered meanwhile is 503 with `Retry-After`, never 500; what was acknowledged stands; nothing is half done;
reads, and what sidecars follow, go on where the database can be read.
"""

from __future__ import annotations

import resource
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from tests.control_planes import ControlPlane, prepare_store
from tests.databases import PostgresServer
from tests.system.processes import PATIENCE
from tiergate.store import SYSTEM, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

READ_ONLY = "urn:tiergate:problem:read-only"


@contextmanager
def plane_on(server: PostgresServer, folder: Path) -> Iterator[tuple[ControlPlane, str]]:
    """A control plane on a database of this server, and the database's URL."""
    with server.database() as url, ControlPlane(prepare_store(folder, url)) as plane:
        plane.process.event("ready")
        yield plane, url
        assert plane.process.end() == 0
        assert "Traceback" not in plane.process.log()


def add(client: httpx.Client, name: str) -> httpx.Response:
    """Write a customer."""
    return client.post("/v1/customers", json={"id": name})


def until(happened: Callable[[], Any]) -> Any:  # noqa: ANN401 - what it gives
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = happened()
        if found:
            return found
        assert time.monotonic() < deadline, "waited for in vain"
        time.sleep(0.05)


def set_read_only(server: PostgresServer, *, on: bool) -> None:
    """Have the server take no changes, as after a failover to a replica; or take them again."""
    server.execute(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if on else 'off'}")
    server.execute("SELECT pg_reload_conf()")
    until(lambda: server.ask("SHOW default_transaction_read_only") == ("on" if on else "off"))


def metric(plane: ControlPlane, name: str) -> float:
    """The value of a gauge."""
    lines = httpx.get(f"{plane.url}/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


class Writers:
    """Threads that write customers without pause, and note what they were answered."""

    def __init__(self, plane: ControlPlane, count: int = 4) -> None:
        self.acknowledged: set[str] = set()
        self.statuses: dict[int, int] = {}
        self.without_retry: list[str] = []
        self.others: list[str] = []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._clients = [plane.client("admin") for _ in range(count)]
        self._threads = [threading.Thread(target=self._write, args=it) for it in enumerate(self._clients)]
        for thread in self._threads:
            thread.start()

    def _write(self, number: int, client: httpx.Client) -> None:
        count = 0
        while not self._stop.is_set():
            count += 1
            name = f"w{number}-{count}"
            answer = add(client, name)
            with self._lock:
                self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1
                if answer.status_code == 201:
                    self.acknowledged.add(name)
                elif answer.status_code != 503:
                    self.others.append(answer.text)
                elif "retry-after" not in answer.headers:
                    self.without_retry.append(answer.text)

    def wait(self, more: int) -> None:
        """Wait until so many more were acknowledged."""
        goal = len(self.acknowledged) + more
        until(lambda: len(self.acknowledged) >= goal)

    def stop(self) -> None:
        """End, and see that nothing but 201 and 503 was answered, each of these with when to come back."""
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        assert set(self.statuses) <= {201, 503}, (self.statuses, self.others)
        assert not self.without_retry


def written(url: str) -> tuple[set[str], set[str]]:
    """The customers of the table, and those whom the feed has last said something of."""
    store = Store.open(url)
    try:
        with store.database.reading() as session:
            connection = session.connection()
            table = {row[0] for row in connection.exec_driver_sql("SELECT id FROM customer")}
            feed = {row[0] for row in connection.exec_driver_sql("SELECT customer FROM feed") if row[0]}
    finally:
        store.close()
    return table, feed


@pytest.mark.slow
def test_a_failover_loses_nothing_that_was_acknowledged(postgres: PostgresServer, tmp_path: Path) -> None:
    """Connections are ended again and again, as by a failover: 201 or 503, and the table is what the feed says."""
    with plane_on(postgres, tmp_path) as (plane, url):
        writers = Writers(plane)
        for _ in range(8):
            writers.wait(10)
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        writers.wait(10)
        writers.stop()
        table, feed = written(url)
        assert writers.acknowledged <= table
        assert table == feed


@pytest.mark.slow
def test_a_server_that_stops_and_comes_back_needs_no_restart_of_ours(tmp_path: Path) -> None:
    """Meanwhile 503; afterwards writes go on by themselves, and what was acknowledged stands."""
    with PostgresServer.run() as server, plane_on(server, tmp_path) as (plane, url):
        writers = Writers(plane)
        writers.wait(20)
        server.kill()
        until(lambda: writers.statuses.get(503))
        with plane.client("sidecar") as client:
            assert client.get("/v1/sync/changes", params={"after": 0}).status_code in {200, 503}
        server.start()
        writers.wait(20)
        writers.stop()
        table, feed = written(url)
        assert writers.acknowledged <= table
        assert table == feed
        assert httpx.get(f"{plane.url}/readyz").status_code == 200


@pytest.mark.slow
def test_a_database_that_only_reads_serves_reads_and_sync(tmp_path: Path) -> None:
    """Changes are refused in words, `/readyz` says so and stays 200, and it ends as soon as the database writes."""
    with PostgresServer.run() as server, plane_on(server, tmp_path) as (plane, _):
        admin, sidecar = plane.client("admin"), plane.client("sidecar")
        assert add(admin, "before").status_code == 201
        set_read_only(server, on=True)
        refused = until(lambda: (it := add(admin, "meanwhile")).status_code != 201 and it)
        assert (refused.status_code, refused.json()["type"]) == (503, READ_ONLY)
        assert int(refused.headers["retry-after"]) > 0
        assert admin.get("/v1/customers/before").status_code == 200
        followed = sidecar.get("/v1/sync/changes", params={"after": 0})
        assert followed.status_code == 200
        assert b'"before"' in followed.content
        ready = httpx.get(f"{plane.url}/readyz")
        assert (ready.status_code, ready.json()["read_only"]) == (200, True)
        assert metric(plane, "tiergate_cp_store_read_only") == 1
        plane.process.event("database is read-only; reads and sync continue")
        set_read_only(server, on=False)
        until(lambda: add(admin, "after").status_code == 201)
        until(lambda: httpx.get(f"{plane.url}/readyz").json()["read_only"] is False)


@pytest.mark.slow
def test_a_control_plane_starts_on_a_database_that_only_reads(tmp_path: Path) -> None:
    """A restart during a failover takes nothing from sidecars: it serves what can be read."""
    with PostgresServer.run() as server, server.database() as url:
        credentials = prepare_store(tmp_path, url)
        set_read_only(server, on=True)
        with ControlPlane(credentials) as plane:
            plane.process.event("ready")
            assert plane.client("sidecar").get("/v1/sync/changes", params={"after": 0}).status_code == 200
            until(lambda: httpx.get(f"{plane.url}/readyz").json()["read_only"])
        set_read_only(server, on=False)


@pytest.mark.slow
def test_a_full_disk_refuses_changes_and_serves_reads(tmp_path: Path) -> None:
    """On SQLite too: the change is refused as a whole, and the next one is taken as soon as there is room."""
    with ControlPlane(prepare_store(tmp_path)) as plane:
        admin = plane.client("admin")
        assert add(admin, "before").status_code == 201
        size = max(path.stat().st_size for path in tmp_path.glob("store.sqlite*"))
        number = plane.process.process.pid
        resource.prlimit(number, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        refused = until(lambda: (it := add(admin, f"c{time.monotonic_ns()}")).status_code != 201 and it)
        assert refused.status_code == 503
        assert admin.get("/v1/customers/before").status_code == 200
        assert httpx.get(f"{plane.url}/readyz").status_code == 200
        resource.prlimit(number, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert add(admin, "after").status_code == 201
        assert plane.process.end() == 0
        assert "Traceback" not in plane.process.log()


def role_url(url: str, role: str) -> str:
    """The URL of the same database for another role."""
    return url.replace("postgresql://tiergate@", f"postgresql://{role}@")


@pytest.fixture
def roles(postgres: PostgresServer) -> Iterator[None]:
    """Roles: one for data alone, and one for nothing."""
    for role in ("data_alone", "nothing"):
        postgres.execute(f"DROP ROLE IF EXISTS {role}")
        postgres.execute(f"CREATE ROLE {role} LOGIN")
    yield
    postgres.execute("REVOKE ALL ON SCHEMA public FROM data_alone")
    for role in ("data_alone", "nothing"):
        postgres.execute(f"DROP OWNED BY {role}")
        postgres.execute(f"DROP ROLE {role}")


@pytest.mark.usefixtures("roles")
@pytest.mark.slow
def test_a_role_with_rights_on_data_alone_serves(postgres: PostgresServer, tmp_path: Path) -> None:
    """What changes the schema can be left to another role; `migrate` has nothing to do, and says so."""
    with postgres.database() as url:
        prepare_store(tmp_path, url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("GRANT USAGE ON SCHEMA public TO data_alone")
            connection.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO data_alone")
            connection.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO data_alone")
        (tmp_path / "own").mkdir()
        with ControlPlane(prepare_store(tmp_path / "own", role_url(url, "data_alone"))) as plane:
            assert add(plane.client("admin"), "ada").status_code == 201
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP OWNED BY data_alone")


def test_what_was_wrong_with_a_statement_is_no_operators_fault(store_url: str) -> None:
    """A defect of ours stays one: it passes through as it is."""
    store = Store.open(store_url)
    with pytest.raises(Exception, match=r"(?i)syntax") as caught:
        store.change(lambda unit: unit.session.connection().exec_driver_sql("SELEC 1"), SYSTEM)
    store.close()
    assert type(caught.value).__module__.startswith("sqlalchemy") or "cannot be used" in str(caught.value)


class Relay:
    """A port that relays to a server's socket, until it is frozen: then nothing moves, and nothing is closed."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.frozen = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Close all of it."""
        for one in (self._listener, *self._kept):
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._path)
                self._kept += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._relay, args=pair, daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while (chunk := source.recv(65536)) and not self.frozen.is_set():
                sink.sendall(chunk)
        if not self.frozen.is_set():
            source.close()
            sink.close()


@pytest.mark.slow
def test_a_database_that_does_not_answer_does_not_hold_up_the_end(postgres: PostgresServer, tmp_path: Path) -> None:
    """It says nothing, nor closes: SIGTERM ends the process 5 seconds after the shutdown timeout at the latest."""
    with postgres.database() as url:
        folder = url.partition("host=")[2]
        relay = Relay(f"{folder}/.s.PGSQL.5432")
        by_relay = f"postgresql://tiergate@127.0.0.1:{relay.port}{urlsplit(url).path}"
        with ControlPlane(prepare_store(tmp_path, by_relay), "--shutdown-timeout", "1") as plane:
            plane.process.event("ready")
            client = plane.client("admin")
            relay.frozen.set()
            asking = threading.Thread(target=_asked, args=(client,))
            asking.start()
            until(lambda: metric(plane, "tiergate_cp_feed_confirmed_age_seconds") > 1.5)
            begun = time.monotonic()
            assert plane.process.end() == 0
            assert time.monotonic() - begun < 12
            asking.join(PATIENCE)
        relay.close()


def _asked(client: httpx.Client) -> None:
    with suppress(httpx.HTTPError):
        client.get("/v1/customers")
