"""New sidecars without anything on disk, while the control plane is away: one, and fifty at once."""

from __future__ import annotations

import json
import signal
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import pytest
import yaml

from tests.control_planes import ControlPlane, control_plane
from tests.serving import CATALOG
from tests.system.processes import PATIENCE, Process, check_request
from tiergate.bundle import Head
from tiergate.bundle.envelope import read_payload
from tiergate.bundle.signed_statements import decode_statement, payload_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MANY = 50
CUSTOMERS = ("acme", "beta")
GOLD_MOVIES = 50
OFTEN = ("--object-store-every", "0.2", "--object-store-snapshots-every", "0.2")

SERVING_WITHOUT_DATA = "startup deadline passed; serving checks without data"


class Away(NamedTuple):
    """A control plane that has ended, and the folder that it had filled with bundles and snapshots."""

    plane: ControlPlane
    bucket: Path

    def arguments(self, *more: str) -> list[str]:
        """What a pod gives to its sidecar: no file but that of its credential, the public key inline."""
        credentials = self.plane.credentials
        return [
            *("--control-plane", self.plane.url, "--key-file", str(credentials.key_file("sidecar"))),
            *("--public-key-pem", credentials.public_key_file.read_text(), "--store-id", credentials.store_id),
            *more,
        ]


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Away]:
    """A store with a publication and customers, whose control plane has filled a folder and is gone."""
    folder = tmp_path_factory.mktemp("store")
    bucket = folder / "bucket"
    bucket.mkdir()
    with control_plane(folder, None, "--object-store", bucket.as_uri(), *OFTEN) as plane:
        client = plane.client("admin")
        body = {"catalog": yaml.safe_load(CATALOG)}
        client.post("/v1/apply", json=body).raise_for_status()
        for name in CUSTOMERS:
            client.post("/v1/customers", json={"id": name}).raise_for_status()
            held = {"id": f"sub-{name}", "customer": name, "status": "active", "items": [{"item": "gold"}]}
            client.post("/v1/subscriptions", json=held).raise_for_status()
        page = plane.client("sidecar").get("/v1/sync/changes?after=0").content
        latest = len(page.splitlines()) - 1
        _until_filled(bucket, latest)
        _ = plane.url  # which is read from the log of the process that is about to end
        plane.kill()
        yield Away(plane, bucket)


def _until_filled(bucket: Path, position: int) -> None:
    """Wait until a folder has a snapshot of a position."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        path = bucket / "head.json"
        if path.exists():
            head = decode_statement(read_payload(path.read_bytes(), payload_type(Head)), Head)
            if head.position >= position:
                return
        time.sleep(0.02)
    raise AssertionError("the object store was not filled")


def _answer(process: Process, *, used: int = 12) -> tuple[bool, str, int, bool]:
    said = process.ask(check_request(used=used)).json()
    return said["allowed"], said["reason"], said["publication"], said["stale"]


def test_a_new_sidecar_begins_with_the_object_store(away: Away) -> None:
    """It is ready without the control plane, long before the deadline, and decides by what is there."""
    with Process(*away.arguments("--object-store", away.bucket.as_uri(), "--startup-deadline", "600")) as process:
        process.event("ready")
        assert process.probe("/readyz")[0] == 200
        assert _answer(process) == (True, "granted", 1, False)
        assert _answer(process, used=GOLD_MOVIES) == (False, "limit_reached", 1, False)
        assert process.status()["unloaded"] is False
        assert process.events(SERVING_WITHOUT_DATA) == []


def test_a_new_sidecar_without_any_source_serves_after_the_deadline(away: Away) -> None:
    """Before it no check is answered; after it each is denied but for what was chosen, and it says so everywhere.

    Something is allowed, so that callers may be sent there.
    """
    arguments = away.arguments("--startup-deadline", "3", "--startup-allow", "analytics")
    with Process(*arguments) as process:
        assert process.probe("/readyz")[0] == 503
        assert process.ask(check_request()).status == 503
        said = process.event(SERVING_WITHOUT_DATA)
        assert (said["level"], said["startup_allow"]) == ("error", ["analytics"])
        assert process.probe("/startupz") == (200, {"status": "started"})
        assert process.probe("/readyz") == (200, {"status": "ready"})
        assert _answer(process) == (False, "stale_data", 0, True)
        assert process.ask(check_request(feature="analytics")).json()["allowed"] is True
        assert process.ask(check_request(amount=0)).status == 400
        status = process.status()
        assert (status["ready"], status["unloaded"], status["stale"]) == (True, True, True)
        assert "tiergate_unloaded 1.0" in process.probe("/metrics")[1]
        assert process.end() == 0


@pytest.mark.slow
def test_a_deadline_that_nobody_set_never_passes(away: Away) -> None:
    """The sidecar waits, not ready, as it always did; and a signal ends it all the same."""
    with Process(*away.arguments()) as process:
        process.event("cannot follow the store")
        assert process.probe("/readyz")[0] == 503
        began = time.monotonic()
        assert process.end() == 0
        assert time.monotonic() - began < 5


@pytest.mark.slow
def test_what_was_answered_without_data_is_in_the_decision_log_at_the_end(away: Away, tmp_path: Path) -> None:
    """SIGTERM writes it out, as a pod that ends needs it; the control plane is still away."""
    log = tmp_path / "decisions.ndjson"
    with Process(*away.arguments("--startup-deadline", "0.5", "--decision-log", str(log))) as process:
        process.event(SERVING_WITHOUT_DATA)
        with process.connect() as connection:
            for used in range(500):
                assert connection.ask(check_request(used=used)).status == 200
        assert process.end(signal.SIGTERM) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["request"]["used"] for line in lines] == list(range(500))


def test_files_that_cannot_be_loaded_do_not_hold_up_a_pod_either(tmp_path: Path) -> None:
    """The deadline is the same whatever data comes from; but it gets no callers, as long as it denies everything."""
    (tmp_path / "catalog.yaml").write_text("apiVersion: tiergate/v1\nfeatures: 5\n")
    (tmp_path / "subjects.yaml").write_text("apiVersion: tiergate/v1\ncustomers: [{id: acme}]\n")
    files = ("--catalog", tmp_path / "catalog.yaml", "--subjects", tmp_path / "subjects.yaml")
    with Process(*files, "--startup-deadline", "8") as process:
        assert process.event(SERVING_WITHOUT_DATA)["error"].startswith(str(tmp_path))
        assert (process.probe("/startupz")[0], process.probe("/readyz")[0]) == (200, 503)
        assert _answer(process) == (False, "stale_data", 0, True)
        (tmp_path / "catalog.yaml").write_text(CATALOG)
        process.event("ready")
        assert _answer(process) == (False, "subscription_inactive", 1, False)


@pytest.mark.slow
def test_fifty_at_once_begin_with_the_object_store(away: Away) -> None:
    """All of them decide, and none needed its deadline."""
    with ExitStack() as stack:
        arguments = away.arguments("--object-store", away.bucket.as_uri(), "--startup-deadline", "600")
        for process in _start(stack, arguments):
            process.event("ready")
            assert _answer(process) == (True, "granted", 1, False)
            assert process.events(SERVING_WITHOUT_DATA) == []


@pytest.mark.slow
def test_fifty_at_once_without_any_source_start_and_decide_when_it_is_back(away: Away) -> None:
    """After the deadline all have started and deny; once the control plane is back all decide, with no hand."""
    with ExitStack() as stack:
        processes = _start(stack, away.arguments("--startup-deadline", "2"))
        for process in processes:
            process.event(SERVING_WITHOUT_DATA)
        for process in processes:
            assert (process.probe("/startupz")[0], process.probe("/readyz")[0]) == (200, 503)
            assert _answer(process) == (False, "stale_data", 0, True)
        plane = stack.enter_context(away.plane.restarted())
        plane.process.event("ready")
        for process in processes:
            process.event("ready")
            assert _answer(process) == (True, "granted", 1, False)
            assert process.status()["unloaded"] is False
        plane.kill()


def _start(stack: ExitStack, arguments: Sequence[str]) -> list[Process]:
    return [stack.enter_context(Process(*arguments)) for _ in range(MANY)]
