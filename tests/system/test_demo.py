from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx
import pytest

from tiergate.cli.demo_script import REVERT, STORY
from tiergate.client import Sidecar
from tiergate.errors import SidecarUnreachableError

if TYPE_CHECKING:
    from types import TracebackType

DEMO = [sys.executable, "-m", "tiergate", "demo", "--port", "0"]

VERDICTS = [
    "yes: granted",
    "no: the customer's plan does not include it (not_entitled)",
    "yes: granted",
    "no: the limit is reached (limit_reached)",
    "yes: granted",
    "no: the value is above the limit (out_of_range)",
    "yes: granted",
    "no: a higher level is required (level_too_low)",
    "yes: granted",
    "no: no subscription is active (subscription_inactive)",
    "yes: granted",
    "no: the feature is suspended (feature_suspended)",
    "no: a rule forbids it (rule_denied)",
    "no: the limit is reached (limit_reached)",
]


@pytest.mark.slow
def test_the_demo_asks_a_real_sidecar_and_ends_by_itself(tmp_path: Path) -> None:
    """Without a terminal it publishes, follows, asks, changes an answer, ends with 0 and leaves nothing behind."""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "TIERGATE_PORT": "1", "TIERGATE_CATALOG": "/nowhere"}
    ran = subprocess.run(DEMO, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert re.findall(r"^(?:yes|no): .*$", ran.stdout, re.MULTILINE) == VERDICTS
    assert ran.stdout.count("/v1/check") == len(STORY) + 1
    assert re.search(r"Published as publication 2; the sidecar decides with it after \d+ ms", ran.stdout)
    assert "from         plan/gold@2: 30" in ran.stdout
    assert '@id("plan/gold@1/movies")' in ran.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_folder_that_was_asked_for_stays(tmp_path: Path) -> None:
    """With `--folder` everything is left for whoever wants to go on with it."""
    subprocess.run([*DEMO, "--once", "--folder", tmp_path / "mine"], capture_output=True, check=True)
    left = {path.name for path in (tmp_path / "mine").iterdir()}
    assert left >= {"sample", "bundle", "store.sqlite", "admin.key", "sidecar.json", "sidecar"}


class Terminal:
    """The demo at a terminal of its own."""

    def __init__(self, temporary: Path) -> None:
        self._end, demo = pty.openpty()
        environment = {**os.environ, "TMPDIR": str(temporary), "TERM": "dumb", "COLUMNS": "200"}
        self.process = subprocess.Popen(
            DEMO, env=environment, stdin=demo, stdout=demo, stderr=demo, start_new_session=True
        )
        os.close(demo)
        self.text = ""

    def read_to(self, words: str) -> str:
        """Read until the demo has written these words, and give everything up to here."""
        while words not in self.text:
            try:
                self.text += os.read(self._end, 4096).decode()
            except OSError:  # the demo has ended
                pytest.fail(f"the demo never wrote {words!r}: {self.text}")
        before, _, self.text = self.text.partition(words)
        return before

    def close(self) -> None:
        """End the demo, if it still runs."""
        self.process.kill()
        self.process.wait()
        os.close(self._end)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def listening(text: str) -> tuple[str, str, str]:
    """The addresses of the sidecar and the control plane, and the admin's key, as the demo wrote them."""
    sidecar = re.search(r"--url (http://127\.0\.0\.1:\d+)", text)
    control = re.search(r"-X POST (http://127\.0\.0\.1:\d+)/v1/publish", text)
    key = re.search(r"KEY=\$\(cat (/\S+)\)", text)
    assert sidecar is not None
    assert control is not None
    assert key is not None
    return sidecar[1], control[1], Path(key[1]).read_text(encoding="utf-8").strip()


@pytest.mark.slow
def test_at_a_terminal_both_listen_on_and_can_be_changed(tmp_path: Path) -> None:
    """The demo invites to publish again, and the answer changes with it; Ctrl-C ends everything with 0."""
    with Terminal(tmp_path) as terminal:
        url, control, key = listening(terminal.read_to("Ctrl-C stops both."))
        with closing(Sidecar(url, timeout=10)) as sidecar:
            assert not sidecar.check("ada", "movies", used=69).allowed
            for request in REVERT:
                answer = httpx.request(
                    request.method,
                    control + request.path,
                    json=request.body,
                    headers={"authorization": f"Bearer {key}"},
                    timeout=30,
                )
                assert answer.is_success, answer.text
            terminal.read_to("publication=3")
            assert sidecar.check("ada", "movies", used=69).allowed
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(30) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_demo_that_is_terminated_leaves_nothing_behind(tmp_path: Path) -> None:
    """SIGTERM ends the sidecar and the control plane with the demo."""
    with Terminal(tmp_path) as terminal:
        url, control, _ = listening(terminal.read_to("Ctrl-C stops both."))
        terminal.process.terminate()
        assert terminal.process.wait(30) == 128 + signal.SIGTERM
    with closing(Sidecar(url)) as sidecar, pytest.raises(SidecarUnreachableError):
        sidecar.check("ada", "movies")
    with pytest.raises(httpx.ConnectError):
        httpx.get(control)
    assert list(tmp_path.iterdir()) == []
