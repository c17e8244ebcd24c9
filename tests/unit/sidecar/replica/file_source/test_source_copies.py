from __future__ import annotations

import os
import socket
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.unit.sidecar.catalogs import Files, catalog_text, subjects_text
from tiergate.errors import CatalogError
from tiergate.model import Problem
from tiergate.process.regular_files import open_regular
from tiergate.sidecar.replica.file_source import source_copies
from tiergate.sidecar.replica.file_source.source_copies import ChangedError, SourceCopies
from tiergate.sidecar.replica.file_source.source_files import Sources, stamp_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tiergate.sidecar.replica.file_source.source_copies import CopiedFiles


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A catalog with a customer."""
    return Files(tmp_path / "files")


def copies_of(files: Files, sources: Sources | None = None) -> SourceCopies:
    """Copies beside the files."""
    return SourceCopies(sources or files.sources, files.folder.with_name("copies"))


@contextmanager
def all_the_while(write: Callable[[int], None]) -> Iterator[None]:
    """Have somebody write without pause."""
    end = threading.Event()

    def work() -> None:
        number = 0
        while not end.is_set():
            number += 1
            write(number)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def test_copies_say_what_the_files_said(files: Files) -> None:
    """Under their own names, with their stamps, whatever becomes of the files; and they go."""
    stamps = stamp_files([files.catalog, files.rules, files.subjects])
    with copies_of(files) as copies:
        files.write(files.catalog, catalog_text(60))
        files.subjects.unlink()
        assert copies.catalog.paths[0].read_text() == catalog_text()
        assert copies.subjects.paths[0].read_text() == subjects_text("acme")
        assert [path.name for path in (*copies.catalog.paths, *copies.subjects.paths)] == [
            "catalog.yaml",
            "rules",
            "subjects.yaml",
        ]
        assert copies.rules == copies.catalog.paths[1]
        assert copies.catalog.stamps + copies.subjects.stamps == stamps
        assert (os.stat(copies.subjects.paths[0]).st_mode & 0o777) == 0o600  # noqa: PTH116 - a mode
    assert not files.folder.with_name("copies").exists()


def test_a_digest_is_of_names_and_bytes(files: Files) -> None:
    """And of what else is said to matter; not of the place."""

    def digest(salt: bytes = b"") -> str:
        with copies_of(files) as copies:
            return copies.catalog.digest(CatalogError, salt=salt)

    first = digest()
    files.write(files.catalog, catalog_text())
    assert digest() == first
    assert digest(b"salt") != first
    files.write(files.catalog, catalog_text(60))
    assert digest() != first


@pytest.mark.slow
def test_files_that_are_exchanged_all_the_while_are_copied_whole(files: Files) -> None:
    """Each time one version or another, never a part, and never nothing."""
    versions = {n: subjects_text(*(f"c{n}-{i}" for i in range(2_000))) for n in range(5)}
    with all_the_while(lambda number: files.write(files.subjects, versions[number % 5])):
        for _ in range(20):
            with copies_of(files) as copies:
                found = copies.subjects.paths[0].read_text()
                assert found in versions.values() or found == subjects_text("acme")


def test_a_file_that_is_rewritten_in_place_all_the_while_is_not_taken_half(files: Files) -> None:
    """It is refused as long as that goes on."""

    def write(number: int) -> None:
        with files.subjects.open("r+b") as file:
            file.write(b"#%08d\n" % number)

    with all_the_while(write), pytest.raises(ChangedError):
        copies_of(files)
    with copies_of(files) as copies:
        assert copies.subjects.problems == ()


def test_files_that_change_while_others_are_copied_are_copied_again(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What belongs together is copied together."""
    opened: list[str] = []

    def meanwhile(path: Path) -> int:
        opened.append(path.name)
        if opened == ["catalog.yaml", "subjects.yaml"]:
            files.write(files.catalog, catalog_text(60))
            files.write(files.subjects, subjects_text("beta"))
        return open_regular(path)

    monkeypatch.setattr(source_copies, "open_regular", meanwhile)
    with copies_of(files) as copies:
        assert copies.catalog.paths[0].read_text() == catalog_text(60)
        assert copies.subjects.paths[0].read_text() == subjects_text("beta")


def test_a_file_that_leaves_a_folder_leaves_its_copy(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where an earlier try had copied it."""
    (files.rules / "old.cedar").write_text("// old")

    def meanwhile(path: Path) -> int:
        (files.rules / "old.cedar").unlink(missing_ok=True) if path == files.subjects else None
        return open_regular(path)

    monkeypatch.setattr(source_copies, "open_regular", meanwhile)
    with copies_of(files) as copies:
        assert copies.rules is not None
        assert list(copies.rules.iterdir()) == []


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as bound:
        bound.bind(str(path))


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _nothing(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_fifo, "it is a fifo, not a file"),
        (_socket, "it is a socket, not a file"),
        (_device, "it is a device, not a file"),
        (_nothing, "no such file or directory"),
    ],
)
@pytest.mark.parametrize("which", ["catalog", "subjects"])
def test_what_is_no_file_is_a_problem_and_holds_up_nobody(
    files: Files, make: Callable[[Path], None], why: str, which: str
) -> None:
    """Named by its place; the others are copied all the same."""
    path: Path = getattr(files, which)
    path.unlink()
    make(path)
    with copies_of(files) as copies:
        groups: dict[str, CopiedFiles] = {"catalog": copies.catalog, "subjects": copies.subjects}
        (problem,) = groups.pop(which).problems
        assert (problem.file, problem.code, problem.message) == (
            str(path),
            "unreadable-file",
            f"the file cannot be read: {why}",
        )
        assert [other.problems for other in groups.values()] == [()]


def test_a_folder_of_rules_keeps_its_shape(files: Files) -> None:
    """Folders in it are there by name, hidden things are not."""
    (files.rules / "inner").mkdir()
    (files.rules / "inner" / "a.cedar").touch()
    (files.rules / ".git").mkdir()
    (files.rules / "b.cedar").touch()
    with copies_of(files) as copies:
        assert copies.rules is not None
        assert sorted(path.name for path in copies.rules.rglob("*")) == ["b.cedar", "inner"]


def test_a_file_that_is_named_twice_is_one_file(files: Files) -> None:
    """As it is for who reads the files themselves."""
    (files.folder / "more").mkdir()
    (files.folder / "more" / "link.yaml").symlink_to(files.catalog)
    sources = Sources((str(files.catalog), str(files.folder / "more")), (str(files.subjects),))
    with copies_of(files, sources) as copies:
        one, folder = copies.catalog.paths
        assert os.path.realpath(folder / "link.yaml") == os.path.realpath(one)


def test_problems_of_copies_name_the_files(files: Files) -> None:
    """In their messages too."""
    with copies_of(files) as copies:
        copy = copies.subjects.paths[0]
        problem = copies.map_problem(Problem(str(copy), 3, 1, "duplicate-id", f"exists already, in {copy}, line 2"))
        assert problem == Problem(
            str(files.subjects), 3, 1, "duplicate-id", f"exists already, in {files.subjects}, line 2"
        )
        inside = copies.map_problem(Problem(str(copies.catalog.paths[1] / "a.cedar"), 1, 1, "x", ""))
        assert inside.file == str(files.rules / "a.cedar")
        assert copies.map_problem(Problem("", 0, 0, "x", "y")) == Problem("", 0, 0, "x", "y")
