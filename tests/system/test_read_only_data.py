"""A data folder on a volume that takes nothing any more, as after an error of its disk: a real mount, read-only."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.following import files
from tests.sync_simulator import KEY, Simulator
from tests.system.processes import Process, check_request, sidecar
from tests.unit.sidecar.catalogs import Files, catalog_text

if TYPE_CHECKING:
    from pathlib import Path

_MOUNT = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'


def read_only(folder: Path) -> tuple[str, ...]:
    """A command line that runs the rest of its own where a folder is read-only."""
    return ("unshare", "-m", "sh", "-c", _MOUNT, str(folder))


needs_mounts = pytest.mark.skipif(
    subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0,
    reason="this user may not mount",
)


def allowed(process: Process, movies: int) -> bool:
    """Whether acme may have the last of so many movies, and none more."""
    answers = [json.loads(process.ask(check_request("acme", used=used)).body) for used in (movies - 1, movies)]
    return [answer["allowed"] for answer in answers] == [True, False]


@needs_mounts
def test_files_are_followed_from_a_read_only_folder(tmp_path: Path) -> None:
    """What is in it is in force at once, what is new goes elsewhere, and it is said everywhere."""
    made, data = Files(tmp_path / "files"), tmp_path / "data"
    arguments = ("--catalog", made.catalog, "--subjects", made.subjects, "--data", data)
    with sidecar(*arguments) as process:
        assert allowed(process, 50)
    with Process(*arguments, before=read_only(data)) as process:
        process.event("ready")
        assert process.event("cannot write the data folder; using a temporary one, which is deleted at the end")
        assert allowed(process, 50)
        made.write(made.catalog, catalog_text(60))
        process.until(lambda status: status["publication"] == 2)
        assert allowed(process, 60)
        status = process.until(lambda status: "data" in status)
        assert (status["data"]["folder"], status["data"]["writable"]) == (str(data), False)
        assert status["data"]["stand_in"] != str(data)
        assert "tiergate_data_writable 0.0" in process.probe("/metrics")[1]
    with sidecar(*arguments) as process:
        assert allowed(process, 60)


@needs_mounts
@pytest.mark.slow
def test_a_store_is_followed_from_a_read_only_folder(tmp_path: Path) -> None:
    """It begins with the replica that is there, also while the store is away, and goes on from it."""
    simulator = Simulator()
    simulator.put("acme")
    simulator.publish(files())
    data, key, public = tmp_path / "data", tmp_path / "key", tmp_path / "public.pem"
    key.write_text(KEY)
    public.write_text(simulator.feed.keys[0].verify_key.to_pem())
    with simulator.serve() as store:
        arguments = ("--control-plane", store.url, "--key-file", key, "--public-key", public, "--data", data)
        with sidecar(*arguments) as process:
            process.until(lambda status: status.get("position") == "2")
    away = ("--control-plane", "http://127.0.0.1:9", *arguments[2:])
    with Process(*away, before=read_only(data)) as process:
        process.event("ready")
        assert allowed(process, 50)
    with simulator.serve() as store:
        arguments = ("--control-plane", store.url, *arguments[2:])
        with Process(*arguments, before=read_only(data)) as process:
            process.event("ready")
            simulator.put("acme", "silver")
            process.until(lambda status: status.get("position") == "3")
            assert allowed(process, 30)
            assert "snapshot" not in simulator.asked[-3:]
    assert simulator.asked.count("snapshot") == 1
