from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tiergate.bundle import MANIFEST, decode_manifest, write_bundle
from tiergate.errors import BundleError

FILES = {"catalog.json": b"{}\n", "policies/items/plan/pro@7.cedar": b"permit (principal, action, resource);\n"}


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_bundle_is_written_with_its_manifest(tmp_path: Path) -> None:
    """The directory holds the files as they were given, and a manifest whose revision is returned."""
    revision = write_bundle(FILES, tmp_path / "out")
    found = tree(tmp_path / "out")
    manifest = decode_manifest(found.pop(MANIFEST))
    assert found == FILES
    assert manifest.revision == revision


def test_missing_parents_are_made(tmp_path: Path) -> None:
    """A bundle can be written to a place whose parent does not exist yet."""
    write_bundle(FILES, tmp_path / "a" / "b" / "out")
    assert (tmp_path / "a" / "b" / "out" / MANIFEST).is_file()


def test_an_old_bundle_is_replaced_whole(tmp_path: Path) -> None:
    """Files of the bundle that stood there before are gone."""
    write_bundle({"policies/old.cedar": b"", **FILES}, tmp_path / "out")
    write_bundle(FILES, tmp_path / "out")
    assert tree(tmp_path / "out").keys() == FILES.keys() | {MANIFEST}


def test_nothing_is_left_beside_the_bundle(tmp_path: Path) -> None:
    """Neither the staging directory nor the replaced bundle remain."""
    write_bundle(FILES, tmp_path / "out")
    write_bundle({}, tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_an_empty_directory_is_filled(tmp_path: Path) -> None:
    """A directory that somebody made for the bundle is used."""
    (tmp_path / "out").mkdir()
    write_bundle(FILES, tmp_path / "out")
    assert (tmp_path / "out" / MANIFEST).is_file()


def test_a_directory_with_other_things_is_left_alone(tmp_path: Path) -> None:
    """A slip in the command line does not cost anybody their files."""
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BundleError, match="exists and is not a bundle"):
        write_bundle(FILES, tmp_path)
    assert tree(tmp_path) == {"thesis.tex": b"years of work"}


@pytest.mark.parametrize("kind", ["file", "link"])
def test_only_a_directory_is_replaced(tmp_path: Path, kind: str) -> None:
    """A file or a link in the place of the bundle is left alone."""
    if kind == "file":
        (tmp_path / "out").write_text("text")
    else:
        (tmp_path / "real").mkdir()
        (tmp_path / "out").symlink_to(tmp_path / "real")
    with pytest.raises(BundleError, match="exists and is not a directory"):
        write_bundle(FILES, tmp_path / "out")


def test_a_relative_path_is_taken_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-o out` is a directory here."""
    monkeypatch.chdir(tmp_path)
    write_bundle(FILES, Path("out"))
    assert (tmp_path / "out" / MANIFEST).is_file()


def test_a_failure_while_writing_leaves_the_old_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk in the middle of writing changes nothing."""
    write_bundle({"catalog.json": b"old\n"}, tmp_path / "out")
    before = tree(tmp_path)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_bundle(FILES, tmp_path / "out")
    assert tree(tmp_path) == before


def test_a_failure_while_renaming_puts_the_old_bundle_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old bundle is back in its place where the new one cannot take it."""
    write_bundle({"catalog.json": b"old\n"}, tmp_path / "out")
    before = tree(tmp_path)
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if (self / "policies").exists():
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        write_bundle(FILES, tmp_path / "out")
    monkeypatch.undo()
    assert tree(tmp_path) == before


def test_every_file_and_folder_is_synced_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle in place survives a power cut: what it consists of was synced first, its parent after."""
    events: list[str] = []
    fsync = os.fsync
    rename = Path.rename

    def note_sync(descriptor: int) -> None:
        events.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def note_rename(self: Path, target: Path) -> Path:
        events.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "rename", note_rename)
    write_bundle(FILES, tmp_path / "out")
    assert events == ["file"] * 3 + ["folder"] * 4 + ["rename", "folder"]


def test_two_paths_that_are_one_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system that knows no case, two items whose ids differ only in case are an error, not one item."""
    opened = os.open

    def caseless(path: Path, flags: int, mode: int = 0o777) -> int:
        return opened(path.with_name(path.name.lower()) if flags & os.O_CREAT else path, flags, mode)

    monkeypatch.setattr(os, "open", caseless)
    with pytest.raises(BundleError, match="is the same file as another one"):
        write_bundle({"policies/Pro.cedar": b"", "policies/pro.cedar": b""}, tmp_path / "out")


def test_a_file_that_stays_the_same_is_linked(tmp_path: Path) -> None:
    """A small change is a small write: what an old bundle holds already is linked, in place or beside it."""
    write_bundle(FILES, tmp_path / "old")
    inodes = {path: (tmp_path / "old" / path).stat().st_ino for path in FILES}
    write_bundle({**FILES, "catalog.json": b"[]\n"}, tmp_path / "new", like=tmp_path / "old")
    write_bundle(FILES, tmp_path / "old")
    for place in ["old", "new"]:
        assert (tmp_path / place / "policies/items/plan/pro@7.cedar").stat().st_ino in inodes.values()
    assert (tmp_path / "new" / "catalog.json").read_bytes() == b"[]\n"
    assert (tmp_path / "new" / "catalog.json").stat().st_ino not in inodes.values()


def test_a_damaged_file_is_written_anew(tmp_path: Path) -> None:
    """Only a file that holds exactly the right bytes is linked: a damaged bundle is repaired by writing it again."""
    write_bundle(FILES, tmp_path / "out")
    damaged = tmp_path / "out" / "policies/items/plan/pro@7.cedar"
    damaged.write_bytes(damaged.read_bytes().replace(b"permit", b"forbid"))
    write_bundle(FILES, tmp_path / "out")
    assert damaged.read_bytes() == FILES["policies/items/plan/pro@7.cedar"]


def test_a_file_system_without_links_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be linked, everything is written."""
    write_bundle(FILES, tmp_path / "out")

    def refuse(_source: Path, _place: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    revision = write_bundle(FILES, tmp_path / "out")
    found = tree(tmp_path / "out")
    assert decode_manifest(found.pop(MANIFEST)).revision == revision
    assert found == FILES
