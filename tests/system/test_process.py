"""The sidecar's process: how it starts, what it listens on, what it says."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.system.processes import Process, check_request, sidecar
from tests.unit.sidecar.catalogs import Files, catalog_text, subjects_text
from tests.wire import Connection


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A catalog with a customer."""
    return Files(tmp_path / "files")


def given(files: Files) -> list[str]:
    """The flags that name them."""
    return ["--catalog", str(files.catalog), "--subjects", str(files.subjects), "--rules", str(files.rules)]


def test_the_start_is_logged_with_addresses_and_revision(files: Files) -> None:
    """One sees where to ask, and by what is decided."""
    with sidecar(*given(files)) as process:
        listening, ready = process.event("listening"), process.event("ready")
        assert listening["api"].startswith("http://127.0.0.1:")
        assert ready["revision"] == process.status()["revision"]
        assert ready["publication"] == 1
        assert ready["api"] == listening["api"]


def test_everything_can_be_said_in_the_environment_or_a_file(files: Files) -> None:
    """A container image needs no command line."""
    settings = files.folder / "settings.toml"
    settings.write_text('catalog = ["catalog.yaml"]\nsubjects = ["subjects.yaml"]\nport = 1\n')
    environ = {
        "TIERGATE_SETTINGS": str(settings),
        "TIERGATE_PORT": "0",
        "TIERGATE_PROBE_PORT": "0",
        "TIERGATE_RULES": str(files.rules),
        "TIERGATE_UNHEARD_OF": "1",
    }
    with Process(environ=environ, ports=False) as process:
        process.event("ready")
        assert [source["kind"] for source in process.status()["sources"]] == ["catalog", "rules", "subjects"]
        assert process.event("unknown variable ignored")["variable"] == "TIERGATE_UNHEARD_OF"


def test_a_setting_that_makes_no_sense_ends_the_start(files: Files) -> None:
    """With the exit code for settings, naming it."""
    with Process(*given(files), "--host", "0.0.0.0") as process:
        assert process.wait() == 2
        assert "beyond loopback" in process.log()


def test_a_port_in_use_ends_the_start(files: Files) -> None:
    """With the exit code for the machine, naming it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Process(*given(files), "--port", str(port)) as process:
            assert process.wait() == 4
            assert f"port {port}" in process.log()


def test_before_the_first_load_nothing_is_decided(files: Files) -> None:
    """It lives, is not ready, answers 503, and says why; mended files make it ready."""
    files.write(files.catalog, catalog_text() + "oops: 1\n")
    with Process(*given(files)) as process:
        process.event("load failed")
        assert process.probe("/livez")[0] == 200
        assert process.probe("/readyz")[0] == 503
        assert process.ask(check_request()).status == 503
        assert f"{files.catalog}:6:1" in process.status()["load"]["error"]
        assert f"{files.catalog}:6:1" in process.event("problem in a file")["problem"]
        files.write(files.catalog, catalog_text())
        process.event("ready")
        assert process.ask(check_request()).json()["allowed"] is True


def test_an_edit_changes_the_next_answer(files: Files) -> None:
    """Over a connection that stays; nothing remembered outlives its publication."""
    with sidecar(*given(files)) as process, process.connect() as connection:
        for _ in range(3):
            assert connection.ask(check_request()).json()["entitlement"]["value"] == 50
        files.write(files.catalog, catalog_text(60))
        process.until(lambda status: status["publication"] == 2)
        answer = connection.ask(check_request()).json()
        assert (answer["entitlement"]["value"], answer["publication"]) == (60, 2)


def test_a_broken_edit_shows_in_status_metrics_and_log(files: Files) -> None:
    """While the last good state goes on answering."""
    with sidecar(*given(files)) as process:
        assert "tiergate_load_failing 0.0" in process.probe("/metrics")[1]
        files.write(files.catalog, catalog_text() + "oops: 1\n")
        status = process.until(lambda status: status["load"]["failures"])
        assert status["ready"] is True
        assert status["load"]["problems"][0]["line"] == 6
        assert "tiergate_load_failing 1.0" in process.probe("/metrics")[1]
        assert process.event("load failed")["in_force"] == "the last good state"
        assert process.ask(check_request()).json()["publication"] == 1


@pytest.mark.slow
def test_a_loader_that_is_killed_leaves_the_last_good_state(files: Files) -> None:
    """As by the system when memory runs out; once the file can be read, it is loaded by itself."""
    with sidecar(*given(files)) as process:
        files.subjects.unlink()
        os.mkfifo(files.subjects)  # which the loader waits for
        process.until(lambda status: status["load"]["loading"])
        children = Path(f"/proc/{process.process.pid}/task/{process.process.pid}/children")
        while not children.read_text():
            time.sleep(0.01)
        os.kill(int(children.read_text()), signal.SIGKILL)
        status = process.until(lambda status: status["load"]["failures"])
        assert "SIGKILL" in status["load"]["error"]
        assert process.ask(check_request()).json()["allowed"] is True
        files.write(files.subjects, subjects_text("beta"))
        process.until(lambda status: status["publication"] == 2)


def test_a_unix_socket_serves_the_same(files: Files) -> None:
    """With its mode, and gone at the end."""
    path = files.folder / "s"
    with sidecar(*given(files), "--uds", path, "--uds-mode", "660") as process:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with socket.socket(socket.AF_UNIX) as made:
            made.connect(str(path))
            over_unix = Connection(made).ask(check_request())
        assert over_unix.body == process.ask(check_request()).body
        assert process.end() == 0
    assert not path.exists()


def test_a_killed_sidecar_leaves_nothing_in_the_way(files: Files) -> None:
    """Its socket is replaced, its data directory taken over, its state served at once."""
    path, data = files.folder / "s", files.folder / "data"
    with sidecar(*given(files), "--uds", path, "--data", data) as process:
        process.until(lambda status: not status["load"]["loading"])
        process.process.kill()
        process.process.wait()
    assert path.exists()
    with sidecar(*given(files), "--uds", path, "--data", data) as process:
        assert process.status()["publication"] == 1
        with Process(*given(files), "--data", data) as second:
            assert second.wait() == 2
            assert "in use by another sidecar" in second.log()


@pytest.mark.slow
def test_a_temporary_data_directory_is_removed(files: Files) -> None:
    """Nothing about customers stays behind."""
    folder = files.folder / "tmp"
    folder.mkdir()
    with sidecar(*given(files), environ={"TMPDIR": str(folder)}) as process:
        assert len(list(folder.iterdir())) == 1
        assert process.end() == 0
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_a_token_file_without_a_token_ends_the_start(files: Files) -> None:
    """An empty secret protects nothing."""
    (files.folder / "token").write_text("\n")
    with Process(*given(files), "--token-file", files.folder / "token") as process:
        assert process.wait() == 2
        assert "token-file" in process.log()


@pytest.mark.slow
def test_the_health_command_asks_the_probe_port(files: Files) -> None:
    """0 ready, 1 not, 5 unreachable."""

    def health(port: int, *arguments: str) -> int:
        command = [sys.executable, "-m", "tiergate", "health", "--port", str(port), *arguments]
        return subprocess.run(command, capture_output=True, check=False).returncode

    def light(port: int) -> int:
        command = [sys.executable, "-m", "tiergate.cli.health"]
        return subprocess.run(
            command, env={"TIERGATE_PROBE_PORT": str(port)}, capture_output=True, check=False
        ).returncode

    with sidecar(*given(files)) as process:
        port = process.probes[1]
        assert (health(port), light(port)) == (0, 0)
        process.end()
    assert (health(port), light(port)) == (5, 5)
    files.catalog.unlink()
    with Process(*given(files)) as process:
        port = process.probes[1]
        assert (health(port), health(port, "--live"), light(port)) == (1, 0, 1)


@pytest.mark.slow
def test_subjects_may_be_many_files(files: Files) -> None:
    """Given several times, they are read as one."""
    more = files.folder / "more.ndjson"
    more.write_text('{"apiVersion":"tiergate/v1"}\n{"type":"customer","id":"beta"}\n')
    with sidecar(*given(files), "--subjects", str(more)) as process:
        assert process.status()["customers"] == 2


@pytest.mark.slow
def test_the_log_for_people_is_no_json(files: Files) -> None:
    """`--log-format console`."""
    with Process(*given(files), "--log-format", "console") as process:
        with process._news:
            assert process._news.wait_for(lambda: any("ready" in line for line in process.lines), 60)
        with pytest.raises(json.JSONDecodeError):
            json.loads(process.lines[0])


@pytest.mark.slow
def test_a_change_of_subjects_is_answered(files: Files) -> None:
    """Who is new is known, who has left is not."""
    with sidecar(*given(files)) as process, process.connect() as connection:
        assert connection.ask(check_request("beta")).json()["reason"] == "unknown_subject"
        files.write(files.subjects, subjects_text("beta"))
        process.until(lambda status: status["publication"] == 2)
        assert connection.ask(check_request("beta")).json()["allowed"] is True
        assert connection.ask(check_request("acme")).json()["reason"] == "unknown_subject"
