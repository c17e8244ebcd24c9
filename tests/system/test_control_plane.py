"""The control plane as a process: how it starts, what it serves, how it ends."""

from __future__ import annotations

import itertools
import json
import re
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.certificates import certify, trusting
from tests.control_planes import ROLES, ControlPlane, control_plane, prepare_store
from tests.docs.pages import ROOT
from tests.stores import put_in_force
from tests.system.processes import Process, check_request, sidecar
from tiergate.bundle import TrustedFeed
from tiergate.cli import invocation
from tiergate.cli.exit_codes import ExitCode
from tiergate.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SAMPLE = ROOT / "examples" / "streaming"
LATER = 4_000_000_000_000


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One on SQLite that has all that it can have, for tests that leave it as it is."""
    folder = tmp_path_factory.mktemp("plane")
    stores = ("--object-store", f"file://{folder}/depot", "--usage-export", f"file://{folder}/usage")
    with control_plane(folder, None, *stores) as served:
        yield served


def test_every_role_is_let_in_with_its_key(plane: ControlPlane) -> None:
    """Keys of the store name their callers; the sidecar's opens sync, and sync alone."""
    for role in set(ROLES) - {"admin"}:
        answer = plane.client(role).get("/v1/sync/changes?after=0")
        assert answer.status_code == (200 if role == "sidecar" else 403), role
    assert plane.client("sidecar").get("/v1/features").status_code == 403
    assert plane.client("analyst").get("/v1/features").status_code == 200


def test_what_it_says_to_sidecars_is_signed_with_its_key(plane: ControlPlane) -> None:
    """The first page of the feed is believed by whoever trusts the key and knows the store."""
    trust = TrustedFeed([plane.credentials.signing_key.verify_key], store=plane.credentials.store_id)
    page = trust.verify_page(plane.client("sidecar").get("/v1/sync/changes?after=0").content, LATER)
    assert page.fresh


def test_probes_and_metrics_need_no_key(plane: ControlPlane) -> None:
    """Whoever runs it can look after it."""
    with httpx.Client(base_url=plane.url) as client:
        assert client.get("/livez").json() == {"status": "live"}
        assert client.get("/readyz").json() == {"status": "ready", "read_only": False}
        text = client.get("/metrics").text
        assert client.get("/v1/features").status_code == 401
    assert "tiergate_cp_feed_position 0.0" in text


def test_probes_and_metrics_can_have_a_port_of_their_own(tmp_path: Path) -> None:
    """What the public reaches has none of them then; the image's health check asks there too."""
    arguments = ("--probe-port", "0", "--probe-host", "127.0.0.1")
    with control_plane(tmp_path, None, *arguments) as plane:
        probes = str(plane.process.event("listening")["probes"])
        plane.process.event("ready")
        with httpx.Client(base_url=plane.url) as client:
            assert {client.get(path).status_code for path in ("/livez", "/readyz", "/metrics")} == {404}
            assert client.get("/v1/features").status_code == 401
            assert "/metrics" not in client.get("/openapi.json").json()["paths"]
        with httpx.Client(base_url=probes) as client:
            assert client.get("/livez").json() == {"status": "live"}
            assert client.get("/readyz").json() == {"status": "ready", "read_only": False}
            assert (
                'tiergate_cp_requests_total{group="features",method="GET",status="401"} 1.0'
                in client.get("/metrics").text
            )
            assert client.get("/v1/features").status_code == 404


def test_requests_are_logged_with_their_ids(plane: ControlPlane) -> None:
    """What changes something, or fails, is a line of the log; what only reads is not."""
    plane.client("analyst").get("/v1/features")
    plane.client("analyst").post("/v1/features", json={}, headers={"x-request-id": "mine"})
    logged = (plane.process.event("request", count) for count in itertools.count(1))
    found = next(event for event in logged if event["request_id"] == "mine")
    assert (found["status"], found["path"]) == (403, "/v1/features")
    assert not any(event["status"] == 200 for event in plane.process.events("request"))


def test_it_begins_on_an_empty_folder_with_a_key_of_its_own(tmp_path: Path) -> None:
    """On loopback and SQLite nothing needs preparing; the key is a secret, kept, and used again."""
    database = f"sqlite:///{tmp_path / 'new.sqlite'}"
    for _ in range(2):
        with Process("--database", database, "--port", "0", ports=False, command="control-plane") as process:
            process.event("ready")
            assert process.end() == 0
        keys = sorted(path.name for path in tmp_path.glob("*.pem"))
        assert keys == ["new.signing-key.pem", "new.signing-key.public.pem"]
    assert process.events("signing key created") == []
    for name in ("new.signing-key.pem", "new.sqlite"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_a_store_whose_key_is_gone_is_not_given_another(tmp_path: Path) -> None:
    """Sidecars would refuse what a new key signs: the operator must find the old one."""
    database = prepare_store(tmp_path).database
    store = Store.open(database)
    put_in_force(store, (SAMPLE / "catalog.yaml").read_text(encoding="utf-8"))
    store.close()
    refused = run("--database", database)
    assert refused.returncode == ExitCode.USAGE
    assert "signing-key-file" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "setting `database`: is required"),
        (("--database", "sqlite:///x", "--host", "0.0.0.0"), "setting `host`: `0.0.0.0` is beyond loopback"),
        (("--database", "sqlite:///x", "--tls-cert", "c.pem"), "setting `tls-key`"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_the_start(
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before anything is served, in a sentence."""
    monkeypatch.chdir(tmp_path)
    assert invocation.run(["control-plane", *arguments]) in {ExitCode.USAGE, ExitCode.OPERATOR}
    assert said in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--database", "mysql://here"), "must be sqlite or postgresql"),
        (("--database", "sqlite:///x", "--object-store", "ftp://x"), "setting `object-store`"),
    ],
)
def test_what_cannot_be_used_ends_the_start(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    """After its log was set up, which is the process's own."""
    ran = run(*arguments, folder=tmp_path)
    assert ran.returncode in {ExitCode.USAGE, ExitCode.OPERATOR}
    assert said in ran.stderr


@pytest.mark.slow
def test_postgresql_is_migrated_only_where_that_was_asked_for(tmp_path: Path, postgres: object) -> None:
    """Several replicas serve one database: its schema changes when the operator says so."""
    with postgres.database() as url:  # type: ignore[attr-defined]
        refused = run("--database", url, "--port", "0")
        assert refused.returncode == ExitCode.OPERATOR
        assert "run `tiergate migrate`" in refused.stderr
        (tmp_path / "key.pem").write_text(prepare_store(tmp_path).signing_key.to_pem())
        key = ("--signing-key-file", tmp_path / "key.pem")
        with Process("--database", url, "--migrate", *key, "--port", "0", ports=False, command="control-plane") as one:
            one.event("ready")


@pytest.mark.slow
def test_https_is_spoken_with_a_certificate(tmp_path: Path) -> None:
    """Beyond loopback there is no other way, and the certificate can be exchanged without an end."""
    certify(tmp_path)
    arguments = ("--tls-cert", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem", "--host", "localhost")
    with control_plane(tmp_path, None, *arguments) as plane:
        url = plane.url.replace("127.0.0.1", "localhost").split()[0]
        assert url.startswith("https://")
        assert httpx.get(f"{url}/livez", verify=trusting(tmp_path / "cert.pem")).status_code == 200
        certify(tmp_path)
        plane.process.process.send_signal(signal.SIGHUP)
        plane.process.event("certificate reloaded")
        assert httpx.get(f"{url}/livez", verify=trusting(tmp_path / "cert.pem")).status_code == 200


@pytest.mark.slow
def test_the_end_answers_fifty_who_wait_and_comes_at_once(tmp_path: Path) -> None:
    """A shutdown lets nobody wait for its long poll's time to pass."""
    with control_plane(tmp_path) as plane, ThreadPoolExecutor(50) as pool:
        headers = {"authorization": f"Bearer {plane.credentials.keys['sidecar']}"}
        url = f"{plane.url}/v1/sync/changes?after=0&wait=30"
        asked = [pool.submit(httpx.get, url, headers=headers, timeout=60) for _ in range(50)]
        while "tiergate_cp_waiting_readers 50.0" not in httpx.get(f"{plane.url}/metrics").text:
            time.sleep(0.01)
        begun = time.monotonic()
        assert plane.process.end() == 0
        assert time.monotonic() - begun < 15
        assert {one.result().status_code for one in asked} == {200}


def test_every_metric_is_documented_and_no_other(plane: ControlPlane) -> None:
    """The page names what Prometheus finds, a store of objects included."""
    page = (ROOT / "docs" / "how-to" / "run-the-control-plane.md").read_text(encoding="utf-8")
    text = httpx.get(f"{plane.url}/metrics").text
    kinds = dict(re.findall(r"^# TYPE (tiergate_cp_\w+) (\w+)$", text, re.MULTILINE))
    assert set(re.findall(r"^\| `(tiergate_cp_\w+)` \|", page, re.MULTILINE)) == set(kinds)


@pytest.mark.slow
def test_a_sidecar_follows_through_restarts_of_either(tmp_path: Path) -> None:
    """What is published and written reaches a real sidecar, before and after the control plane was killed."""
    sample = SAMPLE / "catalog.yaml"
    body = {"catalog": [{"name": sample.name, "text": sample.read_text(encoding="utf-8")}]}
    with control_plane(tmp_path) as first:
        client = first.client()
        client.post("/v1/apply", json=body).raise_for_status()
        client.post("/v1/customers", json={"id": "acme"}).raise_for_status()
        arguments: list[str | Path] = [
            *("--control-plane", first.url, "--key-file", first.key_file("sidecar")),
            *("--public-key", first.public_key_file, "--data", tmp_path / "sidecar"),
        ]
        with sidecar(*arguments) as follower:
            follower.until(lambda status: int(status["position"]) == 2)
            first.kill()
            with first.restarted() as second:
                items = [{"item": "gold"}]
                subscription = {"id": "s", "customer": "acme", "status": "active", "items": items}
                answer = second.client().post("/v1/subscriptions", json=subscription)
                assert answer.is_success, answer.text
                follower.until(lambda status: int(status["position"]) == 3)
                assert json.loads(follower.ask(check_request("acme", "movies")).body)["allowed"]
        with sidecar(*arguments) as again:  # nobody to follow: it begins from its own disk
            assert json.loads(again.ask(check_request("acme", "movies")).body)["allowed"]


def run(*arguments: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a control plane that should not begin."""
    command = [sys.executable, "-m", "tiergate", "control-plane", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
