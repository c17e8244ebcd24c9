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

import pytest

from tiergate.cli.story import STORY
from tiergate.client import Sidecar
from tiergate.errors import SidecarUnreachableError

if TYPE_CHECKING:
    from types import TracebackType

DEMO = [sys.executable, "-m", "tiergate", "demo", "--port", "0"]

VERDICTS = [
    "yes: granted",
    "no: nothing that is held gives it (not_entitled)",
    "yes: granted",
    "no: the limit is reached (limit_reached)",
    "yes: granted",
    "no: it is more than is granted (out_of_range)",
    "yes: granted",
    "no: it takes a higher level (level_too_low)",
    "yes: granted",
    "no: no subscription counts at this time (subscription_inactive)",
    "yes: granted",
    "no: the feature is suspended (feature_suspended)",
    "no: a rule forbids it (rule_denied)",
]


def test_the_demo_asks_a_real_sidecar_and_ends_by_itself(tmp_path: Path) -> None:
    """Without a terminal the demo compiles, serves, asks everything aloud, ends with 0 and leaves nothing behind."""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "TIERGATE_PORT": "1", "TIERGATE_CATALOG": "/nowhere"}
    ran = subprocess.run(DEMO, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert re.findall(r"^(?:yes|no): .*$", ran.stdout, re.MULTILINE) == VERDICTS
    assert ran.stdout.count("curl -s http://127.0.0.1:") == len(STORY)
    assert '@id("plan/gold@1/movies")' in ran.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_folder_that_was_asked_for_stays(tmp_path: Path) -> None:
    """With `--folder` the sample and its bundle are left for whoever wants to go on with them."""
    subprocess.run([*DEMO, "--once", "--folder", tmp_path / "mine"], capture_output=True, check=True)
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {"catalog.yaml", "subjects.yaml", "rules", "bundle"}


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


def listening(text: str) -> tuple[str, Path]:
    """The sidecar's address and the catalog that it follows, as the demo wrote them."""
    url = re.search(r"--url (http://127\.0\.0\.1:\d+)", text)
    catalog = re.search(r"^(/\S+/catalog\.yaml)\r?$", text, re.MULTILINE)
    assert url is not None
    assert catalog is not None
    return url[1], Path(catalog[1])


def test_at_a_terminal_the_sidecar_listens_on_and_follows_the_files(tmp_path: Path) -> None:
    """The demo invites to change the catalog, and the answer changes with it; Ctrl-C ends everything with 0."""
    with Terminal(tmp_path) as terminal:
        url, catalog = listening(terminal.read_to("Ctrl-C ends it."))
        with closing(Sidecar(url, timeout=10)) as sidecar:
            assert sidecar.check("ada", "movies", used=69).allowed
            text = catalog.read_text(encoding="utf-8")
            catalog.write_text(
                text.replace("movies: 50, support: phone", "movies: 30, support: phone"), encoding="utf-8"
            )
            terminal.read_to("publication=2")
            answer = sidecar.check("ada", "movies", used=69)
            assert (answer.allowed, answer.entitlement.value) == (False, 50)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(30) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_is_terminated_leaves_no_sidecar_behind(tmp_path: Path) -> None:
    """SIGTERM ends the sidecar with the demo."""
    with Terminal(tmp_path) as terminal:
        url, _ = listening(terminal.read_to("Ctrl-C ends it."))
        terminal.process.terminate()
        assert terminal.process.wait(30) == 128 + signal.SIGTERM
    with closing(Sidecar(url)) as sidecar, pytest.raises(SidecarUnreachableError):
        sidecar.check("ada", "movies")
    assert list(tmp_path.iterdir()) == []
