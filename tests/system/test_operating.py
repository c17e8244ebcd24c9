"""What operators do while everything runs, as the pages tell it: exchange keys, exchange releases."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.control_planes import ControlPlane, control_plane, prepare_store
from tests.system.processes import Process, check_request, sidecar

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

CATALOG = {
    "apiVersion": "tiergate/v1",
    "features": [{"id": "seats", "type": "quantity"}],
    "items": [{"id": "team", "kind": "plan", "entitlements": {"seats": 1}}],
}


def tiergate(*words: str | Path) -> str:
    """Run a command to its end, and return what it writes."""
    command = [sys.executable, "-m", "tiergate", *map(str, words)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def publish(client: httpx.Client, version: int) -> None:
    """Publish another version of the plan."""
    items = [{"id": "team", "kind": "plan", "version": version, "entitlements": {"seats": version}}]
    files = [{"name": "catalog.json", "text": json.dumps(CATALOG | {"items": items})}]
    client.post("/v1/apply", json={"catalog": files}).raise_for_status()


def in_force(follower: Process, publication: int) -> None:
    """Wait until a sidecar decides by a publication."""
    follower.until(lambda status: status["publication"] == publication and "error" not in status["load"])
    assert follower.ask(check_request("acme", "seats")).status == 200


@pytest.mark.slow
def test_the_signing_key_is_exchanged_while_sidecars_follow(tmp_path: Path) -> None:
    """The page's five steps: a sidecar is up to date after each, on the same data, in the end without the old key."""
    old, new = tmp_path / "signing-key.pem", tmp_path / "signing-key-2027.pem"
    credentials = prepare_store(tmp_path)
    new_public, data = tmp_path / "public-key-2027.pem", tmp_path / "sidecar"
    follow = ("--key-file", credentials.key_file("sidecar"), "--data", data)
    with ExitStack() as planes:
        plane = planes.enter_context(ControlPlane(credentials))
        publish(plane.client(), 1)
        with sidecar("--control-plane", plane.url, *follow, "--public-key", credentials.public_key_file) as follower:
            in_force(follower, 1)

            new_public.write_text(tiergate("keys", "signing-key", "generate", "--out", new), encoding="utf-8")  # 1
            assert new_public.read_text() == tiergate("keys", "signing-key", "public-key", new)
            follower.end()
        both = ("--public-key", credentials.public_key_file, "--public-key", new_public)
        with sidecar("--control-plane", plane.url, *follow, *both) as follower:  # 2
            in_force(follower, 1)
            credentials.signing_key_file = new
            plane._arguments = ("--signing-key-file", old)
            plane = planes.enter_context(plane.restarted())  # 3
            plane.process.event("ready")
            publish(plane.client(), 2)
            in_force(follower, 2)  # 4
            made = tmp_path / "made.json"
            where = ("--key-file", plane.key_file("admin"), "--control-plane", plane.url)
            tiergate("keys", "create", "another", "--role", "sidecar", "--out", made, *where)
            told = json.loads(made.read_text())["public_keys"]
            assert [key.strip() for key in told] == [
                path.read_text().strip() for path in (new_public, credentials.public_key_file)
            ]
            follower.end()
        plane._arguments = ()
        plane = planes.enter_context(plane.restarted())  # 5
        plane.process.event("ready")
        with sidecar("--control-plane", plane.url, *follow, "--public-key", new_public) as follower:
            assert follower.status()["publication"] == 2
            publish(plane.client(), 3)
            in_force(follower, 3)


@pytest.mark.slow
def test_a_sidecar_that_knows_only_the_old_signing_key_says_so_and_goes_on(tmp_path: Path) -> None:
    """It refuses what the new key signs, by the word that the page says, and serves what it has."""
    credentials = prepare_store(tmp_path)
    tiergate("keys", "signing-key", "generate", "--out", tmp_path / "other.pem")
    with ExitStack() as planes:
        plane = planes.enter_context(ControlPlane(credentials))
        publish(plane.client(), 1)
        keys = ("--key-file", credentials.key_file("sidecar"), "--public-key", credentials.public_key_file)
        with sidecar("--control-plane", plane.url, *keys, "--data", tmp_path / "sidecar") as follower:
            in_force(follower, 1)
            credentials.signing_key_file = tmp_path / "other.pem"
            plane = planes.enter_context(plane.restarted())
            plane.process.event("ready")
            publish(plane.client(), 2)
            status = follower.until(lambda status: "unknown_key" in status["load"].get("error", ""))
            assert (status["publication"], status["ready"]) == (1, True)
            assert follower.ask(check_request("acme", "seats")).status == 200


@pytest.mark.slow
def test_a_sidecars_key_is_exchanged_while_it_runs(tmp_path: Path) -> None:
    """By a rename, without a restart; a key that is revoked too early shows as 401, and the next one heals it."""
    with control_plane(tmp_path) as plane:
        publish(plane.client(), 1)
        where = ("--key-file", plane.key_file("admin"), "--control-plane", plane.url)
        file, following = tmp_path / "sidecar.json", tmp_path / "sidecar.json.new"
        tiergate("keys", "create", "shop", "--role", "sidecar", "--out", file, *where)
        with sidecar("--key-file", file, "--data", tmp_path / "sidecar") as follower:
            in_force(follower, 1)
            old = json.loads(file.read_text())["key"].split("_")[1]
            tiergate("keys", "revoke", old, *where)
            status = follower.until(lambda status: "401" in status["load"].get("error", ""))
            assert status["ready"]
            tiergate("keys", "create", "shop, 2027", "--role", "sidecar", "--out", following, *where)
            following.rename(file)
            publish(plane.client(), 2)
            in_force(follower, 2)


@pytest.mark.slow
def test_control_planes_are_exchanged_one_by_one_and_refuse_nothing(tmp_path: Path, postgres_url: str) -> None:
    """Two on PostgreSQL: while either is away, the other accepts changes, and the sidecar of both follows."""
    credentials = prepare_store(tmp_path, postgres_url)
    tiergate("migrate", "--database", postgres_url)
    with ExitStack() as planes:
        one, two = (planes.enter_context(ControlPlane(credentials)) for _ in range(2))
        publish(one.client(), 1)
        keys = ("--key-file", credentials.key_file("sidecar"), "--public-key", credentials.public_key_file)
        with sidecar("--control-plane", two.url, *keys, "--data", tmp_path / "sidecar") as follower:
            in_force(follower, 1)
            assert one.process.end() == 0
            publish(two.client(), 2)
            in_force(follower, 2)
            one = planes.enter_context(one.restarted())
            one.process.event("ready")
            assert two.process.end() == 0
            publish(one.client(), 3)
            two = planes.enter_context(two.restarted())
            two.process.event("ready")
            in_force(follower, 3)
