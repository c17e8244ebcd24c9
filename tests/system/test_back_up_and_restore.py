"""Backups as docs/operations tells to make them: put back for real, with sidecars that had seen more.

The commands are the pages' own: only their folders are others here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.control_planes import ControlPlane, prepare_store
from tests.databases import PROGRAMS
from tests.docs.pages import ROOT
from tests.losses import accepting
from tests.system.processes import Process, check_request, sidecar
from tiergate.cli.exit_codes import ExitCode
from tiergate.store.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from tests.databases import PostgresServer

PAGE: Final = ROOT / "docs" / "operations" / "back-up-and-restore.md"
UPGRADE: Final = ROOT / "docs" / "operations" / "upgrade-and-roll-back.md"
CATALOG: Final = {
    "apiVersion": "tiergate/v1",
    "features": [{"id": "seats", "type": "quantity"}],
    "items": [{"id": "team", "kind": "plan", "entitlements": {"seats": 1}}],
}


def typed(name: str, folder: Path, variables: Mapping[str, str] | None = None) -> str:
    """Type the page's block of a name into a shell; return the variable `copy` as it is afterwards."""
    (block,) = re.findall(rf"^```sh {name}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    here = block.replace("/opt/tiergate/bin/python", sys.executable)
    here = here.replace("/var/backups/tiergate", str(folder / "backups")).replace("/var/lib/tiergate", str(folder))
    (folder / "backups").mkdir(exist_ok=True)
    ran = subprocess.run(
        ["sh", "-euc", f'{here}\necho "$copy"'],
        env={**os.environ, "PATH": f"{PROGRAMS / 'bin'}:{os.environ['PATH']}", **(variables or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()[-1]


class Backup:
    """How the store of a control plane is backed up and put back, on one kind of database."""

    def __init__(self, folder: Path, postgres: PostgresServer | None) -> None:
        self._folder, self._postgres = folder, postgres
        self.copy = ""

    def make(self, database: str) -> None:
        """Back up while the control plane runs."""
        if self._postgres is None:
            self.copy = typed("back-up-sqlite", self._folder)
        else:
            self.copy = typed("back-up-postgresql", self._folder, {"TIERGATE_CP_DATABASE": database})
        assert Path(self.copy).stat().st_mode & 0o077 == 0

    def restore(self, database: str) -> str:
        """Put it back, and return the URL of the database then."""
        if self._postgres is None:
            typed("restore-sqlite", self._folder, {"copy": self.copy})
            return database
        restored = self._postgres.url("tiergate_restored")
        typed(
            "restore-postgresql",
            self._folder,
            {"TIERGATE_CP_DATABASE": database, "restored": restored, "copy": self.copy},
        )
        return restored


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_sidecars_that_have_seen_more_than_the_backup_do_not_go_back(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Each row of the page's table, and both ways out, on a store that was backed up and put back as the page says."""
    postgres: PostgresServer | None = None if kind == "sqlite" else request.getfixturevalue("postgres")
    credentials = prepare_store(tmp_path, None if postgres is None else request.getfixturevalue("postgres_url"))
    backup = Backup(tmp_path, postgres)
    with ControlPlane(credentials) as plane:
        client = plane.client()
        publish(client, 1)
        add_customers(client, "before", 2)
        with (
            sidecar(*following(plane, tmp_path / "ahead")) as ahead,
            sidecar(*following(plane, tmp_path / "level")) as level,
        ):
            for one in (ahead, level):
                one.until(lambda status: status["position"] == "5")
            level.end()
            backup.make(credentials.database)
            revoked = client.post("/v1/keys", json={"name": "made after", "roles": ["analyst"]}).json()["key"]
            key_id = plane.key_file("analyst").read_text().split("_")[1]
            client.delete(f"/v1/keys/{key_id}").raise_for_status()
            publish(client, 2)
            add_customers(client, "after", 2)
            seen = ahead.until(lambda status: status["position"] == "10")
            assert plane.process.end() == 0

            credentials.database = backup.restore(credentials.database)
            with plane.restarted() as restored:
                restored.process.event("ready")
                client = restored.client()
                said = ahead.until(lambda status: "beyond the end of the feed" in status["load"].get("error", ""))
                assert (said["ready"], said["revision"], said["position"]) == (True, seen["revision"], "10")
                assert holds(ahead, "after-1") == 2
                ahead.until(lambda status: status["stale"])
                with sidecar(*following(restored, tmp_path / "level")) as same:
                    same.until(lambda status: "last_sync_at" in status)
                    assert same.status()["publication"] == 1

                assert restored.client("analyst").get("/v1/features").status_code == 200
                gone = client.get("/v1/features", headers={"authorization": f"Bearer {revoked}"})
                assert gone.status_code == 401

                publish(client, 3)  # in the restored store it has the number that the lost one had
                add_customers(client, "again", 2)
                ahead.until(lambda status: refusal(status) in {"broken_chain", "contradiction"})
                add_customers(client, "more", 1)
                refused = ahead.until(lambda status: refusal(status) == "contradiction")
                assert refused["revision"] == seen["revision"]
                assert refused["ready"]
                with sidecar(*following(restored, tmp_path / "anew")) as anew:  # the second way out
                    assert holds(anew, "again-1") == 3
                publish(client, 4)  # the first way out
                ahead.until(lambda status: status["publication"] == 3 and "error" not in status["load"])
                assert holds(ahead, "more-0") == 4
                assert holds(ahead, "after-1") == 0


def following(plane: ControlPlane, data: Path) -> list[str | Path]:
    """The flags of a sidecar that follows, and soon counts as stale where it does not hear."""
    keys = ("--key-file", plane.key_file("sidecar"), "--public-key", plane.public_key_file)
    return ["--control-plane", plane.url, *keys, "--data", data, "--max-staleness", "6"]


def publish(client: httpx.Client, seats: int) -> None:
    """Apply a catalog whose plan has so many seats."""
    items = [CATALOG["items"][0] | {"version": seats, "entitlements": {"seats": seats}}]  # type: ignore[operator]
    files = [{"name": "catalog.json", "text": json.dumps(CATALOG | {"items": items})}]
    answer = accepting(client, "/v1/apply", {"catalog": files})
    assert answer.status_code == 201, answer.text


def add_customers(client: httpx.Client, name: str, count: int) -> None:
    """Add customers who hold the plan; each is one line of the feed, or two with its subscription."""
    for number in range(count):
        who = f"{name}-{number}"
        items = [{"item": "team"}]
        client.post("/v1/customers", json={"id": who}).raise_for_status()
        held = {"id": f"sub-{who}", "customer": who, "status": "active", "items": items}
        client.post("/v1/subscriptions", json=held).raise_for_status()


def holds(process: Process, customer: str) -> int:
    """How many seats a sidecar says that a customer holds."""
    answer = process.ask(check_request(customer, "seats"))
    assert answer.status == 200
    decision = json.loads(answer.body)
    return int(decision["entitlement"]["value"]) if "entitlement" in decision else 0


def refusal(status: dict[str, dict[str, str]]) -> str:
    """The word by which a sidecar says why it does not believe the store."""
    found = re.search(r"rejected \((\w+)\)", status["load"].get("error", ""))
    return found[1] if found else ""


@pytest.mark.slow
def test_a_copy_of_the_file_alone_is_no_backup(tmp_path: Path) -> None:
    """Why the page warns: the newest changes stand in a second file, and the copy has none of them."""
    with ControlPlane(prepare_store(tmp_path)) as plane:
        plane.client().post("/v1/customers", json={"id": "acme"}).raise_for_status()
        shutil.copyfile(tmp_path / "store.sqlite", tmp_path / "careless.sqlite")
        copy = typed("back-up-sqlite", tmp_path)
        assert customers(Path(copy)) == 1
        assert customers(tmp_path / "careless.sqlite") == 0


def customers(file: Path) -> int:
    """How many customers a store has."""
    connection = sqlite3.connect(file)
    try:
        return int(connection.execute("SELECT count(*) FROM customer").fetchone()[0])
    finally:
        connection.close()


@pytest.mark.slow
def test_a_store_of_a_newer_release_is_refused_and_left_alone(tmp_path: Path) -> None:
    """An older release says what the page shows, and changes nothing; `tiergate migrate` neither."""
    credentials = prepare_store(tmp_path)
    store = tmp_path / "store.sqlite"
    connection = sqlite3.connect(store)
    connection.execute("UPDATE alembic_version SET version_num = ?", [f"{SCHEMA_VERSION + 1:04}"])
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    before = store.read_bytes()
    shown = re.search(
        r"^error: the database's schema has version .*$", UPGRADE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert shown is not None
    expected = re.sub(r"\d+", "#", shown[0])
    signing = ("--signing-key-file", str(credentials.signing_key_file))
    for command in (("control-plane", "--port", "0", *signing), ("migrate",)):
        ran = subprocess.run(
            [sys.executable, "-m", "tiergate", *command, "--database", credentials.database],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ran.returncode == ExitCode.OPERATOR
        assert expected in re.sub(r"\d+", "#", ran.stderr)
    assert store.read_bytes() == before


@pytest.mark.slow
def test_an_upgrade_to_the_release_that_runs_changes_nothing(store_url: str) -> None:
    """`tiergate migrate` on a store that is up to date says its version and is harmless while others serve."""
    for _ in range(2):
        ran = subprocess.run(
            [sys.executable, "-m", "tiergate", "migrate", "--database", store_url],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert ran.stdout.rstrip().endswith(f"schema {SCHEMA_VERSION}")
