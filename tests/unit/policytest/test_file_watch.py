from __future__ import annotations

import os
import threading
from pathlib import Path

from tiergate.policytest.file_watch import FileWatch, file_stamps


def test_a_change_during_the_run_is_not_missed(tmp_path: Path) -> None:
    """What changed after the watch was made and before it waits is reported at once."""
    path = tmp_path / "a_test.yaml"
    path.write_text("a")
    watch = FileWatch([tmp_path])
    path.write_text("ab")
    assert watch.wait() == {os.path.realpath(path)}


def test_a_removed_file_is_a_change(tmp_path: Path) -> None:
    """A file that is gone is one that the run was made of."""
    path = tmp_path / "a.yaml"
    path.write_text("a")
    watch = FileWatch([path])
    path.unlink()
    assert watch.wait() == {os.path.realpath(path)}


def test_a_file_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    """A broken reference is mended by making the file."""
    path = tmp_path / "later" / "a.yaml"
    watch = FileWatch([tmp_path])
    watch.include([path])
    path.parent.mkdir()
    path.write_text("a")
    assert watch.wait() == {os.path.realpath(path)}


def test_what_the_run_writes_or_does_not_read_is_no_change(tmp_path: Path) -> None:
    """Outputs, hidden files and other files in the folder do not start a run; a test file then does."""
    watch = FileWatch([tmp_path], [tmp_path / "out.json"])
    (tmp_path / ".hidden").mkdir()
    for name in ("out.json", "notes.txt", ".swap.yaml", ".hidden/a.yaml"):
        (tmp_path / name).write_text("a")
    found: list[frozenset[str]] = []
    waiting = threading.Thread(target=lambda: found.append(watch.wait()), daemon=True)
    waiting.start()
    waiting.join(1.5)
    assert waiting.is_alive()
    (tmp_path / "b_test.yaml").write_text("b")
    waiting.join(20)
    assert found == [{os.path.realpath(tmp_path / "b_test.yaml")}]


def test_stamps_are_of_inputs_alone(tmp_path: Path) -> None:
    """Of a folder the files count that a run can be made of; a file that was named counts whatever it is called."""
    for name in ("a.yaml", "b.cedar", "c.txt", ".d.yaml"):
        (tmp_path / name).touch()
    found = file_stamps([tmp_path, tmp_path / "c.txt", tmp_path / "none.yaml"])
    assert {Path(path).name for path in found} == {"a.yaml", "b.cedar", "c.txt", "none.yaml"}
    assert found[os.path.realpath(tmp_path / "none.yaml")] is None
