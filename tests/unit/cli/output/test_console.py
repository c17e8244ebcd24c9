from __future__ import annotations

import io
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from tests.unit.cli.conftest import FILES
from tiergate.cli.output import console

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Terminal(io.StringIO):
    """A stream that says that it is a terminal, and tells when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def isatty(self) -> bool:
        """Say so."""
        return True

    def write(self, text: str) -> int:
        """Write, and tell."""
        count = super().write(text)
        if text.strip():
            self.written.set()
        return count


def test_colours_are_for_terminals_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """What goes to a file or a pipe has no escape codes."""
    console.print_line("yes", "bold green")
    assert capsys.readouterr().out == "yes\n"


def test_text_is_written_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brackets in a text are not taken for markup, and long lines are not broken."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("NO_COLOR", "1")
    text = "[red]x[/red] :smile: " + "a" * 200
    console.print_line(text)
    assert stream.getvalue() == text + "\n"


def test_long_work_shows_that_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a terminal, work that takes longer than the patience says what it is."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(console, "_ACTIVITY_DELAY", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    with console.show_activity("compiling"):
        assert stream.written.wait(10)
    assert "compiling" in stream.getvalue()


def test_short_work_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that is done at once leaves no trace."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with console.show_activity("compiling"):
        pass
    assert stream.getvalue().strip() == ""


def test_a_reader_who_stops_reading_changes_no_answer(tmp_path: Path) -> None:
    """A closed pipe ends neither the work nor the exit code: `tiergate explain … | head -1` exports still."""
    command = [sys.executable, "-m", "tiergate", "explain", "ben", "analytics", *FILES, "--export", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0
    assert (tmp_path / "policies.cedar").exists()
