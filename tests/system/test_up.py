"""`tiergate up`: both parts in one command, and again on the same data."""

from __future__ import annotations

import json
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from tiergate.cli.demo_script import CHANGE
from tiergate.cli.exit_codes import ExitCode
from tiergate.client import Sidecar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PORTS = ("--port", "0", "--control-port", "0")


class Up:
    """A running `tiergate up`."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "tiergate", "up", "--data", str(folder), *PORTS, *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith("Ctrl-C stops both"):
                break
        self.said = "".join(lines)
        # Its log goes on, and nobody may hold it up.
        self._drain = threading.Thread(target=self.process.stderr.read, daemon=True)
        self._drain.start()

    def close(self) -> None:
        """Close what it was listened to by."""
        self._drain.join(60)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    def url(self, before: str) -> str:
        """The address that stands before something in what it said."""
        found = re.search(rf"(http://127\.0\.0\.1:\d+){re.escape(before)}", self.said)
        assert found is not None, self.said
        return found[1]


@contextmanager
def up(folder: Path, *arguments: str) -> Iterator[Up]:
    """Run it until it is ready; it ends by Ctrl-C, with 0."""
    running = Up(folder, *arguments)
    try:
        yield running
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(60) == 0
    finally:
        running.process.terminate()
        running.process.wait(60)
        running.close()


@pytest.mark.slow
def test_up_serves_the_sample_and_goes_on_where_it_was(tmp_path: Path) -> None:
    """A fresh folder gets keys and the sample; what was published then is in force after a second `up`."""
    folder = tmp_path / "data"
    with up(folder) as first:
        key = (folder / "admin.key").read_text(encoding="utf-8").strip()
        assert key in first.said
        with closing(Sidecar(first.url("/v1/check"), timeout=10)) as sidecar:
            assert sidecar.check("ada", "movies", used=69).allowed
        for request in CHANGE:
            answer = httpx.request(
                request.method,
                first.url("/v1/publish") + request.path,
                json=request.body,
                headers={"authorization": f"Bearer {key}"},
                timeout=30,
            )
            assert answer.is_success, answer.text
    for name in ("admin.key", "sidecar.json", "signing-key.pem", "store.sqlite"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name
    with up(folder) as second:
        assert key not in second.said
        with closing(Sidecar(second.url("/v1/check"), timeout=10)) as sidecar:
            while (decided := sidecar.check("ada", "movies", used=69)).publication < 2:
                time.sleep(0.02)  # it may have ended before it heard of that, and begins by what it knew
            assert not decided.allowed
    assert json.loads((folder / "sidecar.json").read_text())["control_plane"] == second.url("/v1/publish")


@pytest.mark.slow
def test_what_is_in_the_way_of_up_is_named(tmp_path: Path) -> None:
    """Another `up` on the same folder, which goes on undisturbed, and a port that is taken, with the option for it."""
    folder = tmp_path / "data"
    with up(folder, "--no-sample") as running:
        known = (folder / "sidecar.json").read_text()
        port = running.url("/openapi.json").rpartition(":")[2]
        assert "is in use by another `tiergate up`" in refused("--data", folder, *PORTS)
        taken = refused("--data", tmp_path / "other", "--port", "0", "--control-port", port)
        assert f"port {port} is in use" in taken
        assert "`--control-port`" in taken
        assert (folder / "sidecar.json").read_text() == known


def refused(*arguments: str | Path) -> str:
    """What `tiergate up` says when it cannot begin."""
    command = [sys.executable, "-m", "tiergate", "up", *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == ExitCode.OPERATOR
    return ran.stderr


@pytest.mark.slow
def test_up_can_leave_the_sample_out(tmp_path: Path) -> None:
    """Without the sample the store is empty, the sidecar has nothing to decide by yet, and Ada is not there."""
    with up(tmp_path / "data", "--no-sample") as running:
        key = (tmp_path / "data" / "admin.key").read_text(encoding="utf-8").strip()
        headers = {"authorization": f"Bearer {key}"}
        answer = httpx.get(f"{running.url('/openapi.json')}/v1/features", headers=headers)
        assert answer.json()["items"] == []
        assert "tiergate apply -f catalog.yaml" in running.said
        assert "ada" not in running.said
