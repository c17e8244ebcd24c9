from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tiergate.sidecar.replica.file_source.source_files import MISSING, Sources, Watched, entries_to_watch, stamp_files

if TYPE_CHECKING:
    from pathlib import Path


def test_a_stamp_says_what_stat_says(tmp_path: Path) -> None:
    """Size, time of change and inode."""
    file = tmp_path / "a"
    file.write_text("12345")
    (stamp,) = stamp_files([file])
    found = file.stat()
    assert stamp.path == str(file)
    assert (stamp.size, stamp.mtime_ns, stamp.inode) == (5, found.st_mtime_ns, found.st_ino)


def test_a_missing_file_has_a_stamp_too(tmp_path: Path) -> None:
    """So that its appearing is a change."""
    (stamp,) = stamp_files([tmp_path / "a"])
    assert stamp.size == MISSING


def test_a_file_that_is_replaced_has_another_stamp(tmp_path: Path) -> None:
    """Even where size and time of change are the same."""
    file, other = tmp_path / "a", tmp_path / "b"
    file.write_text("1")
    other.write_text("2")
    os.utime(file, ns=(0, 0))
    os.utime(other, ns=(0, 0))
    before = stamp_files([file])
    other.rename(file)
    assert stamp_files([file]) != before


def test_a_folder_is_the_files_in_it_that_are_not_hidden(tmp_path: Path) -> None:
    """Editors leave hidden files, Kubernetes hidden folders."""
    for name in ("b.yaml", "a.yaml", ".a.yaml.swp"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    assert [stamp.path for stamp in stamp_files([tmp_path])] == [str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")]


def test_sources_keep_catalog_and_rules_apart_from_subjects() -> None:
    """A bundle is made of the ones, a replica of the others."""
    sources = Sources(("/c1", "/c2"), ("/s",), "/rules")
    assert [str(path) for path in sources.catalog_paths] == ["/c1", "/c2", "/rules"]
    assert [str(path) for path in sources.subject_paths] == ["/s"]


def test_a_file_is_watched_in_its_folder(tmp_path: Path) -> None:
    """There it is written or replaced; what else happens there is nothing to us."""
    (tmp_path / "a").touch()
    assert entries_to_watch([tmp_path / "a"]) == {Watched(tmp_path, "a")}


def test_a_folder_is_watched_itself(tmp_path: Path) -> None:
    """Files come and go in it."""
    assert entries_to_watch([tmp_path]) == {Watched(tmp_path, None)}


def test_what_does_not_exist_is_awaited_in_the_nearest_folder(tmp_path: Path) -> None:
    """Its appearing shows there."""
    assert entries_to_watch([tmp_path / "later" / "catalog.yaml"]) == {Watched(tmp_path, "later")}


def test_every_link_on_the_way_is_watched_where_it_stands(tmp_path: Path) -> None:
    """A mounted ConfigMap changes by exchanging the link `..data`."""
    mount = tmp_path / "mount"
    (mount / "..2026_1").mkdir(parents=True)
    (mount / "..2026_1" / "catalog.yaml").touch()
    (mount / "..data").symlink_to("..2026_1")
    (mount / "catalog.yaml").symlink_to("..data/catalog.yaml")
    assert entries_to_watch([mount / "catalog.yaml"]) == {
        Watched(mount, "catalog.yaml"),
        Watched(mount, "..data"),
        Watched(mount / "..2026_1", "catalog.yaml"),
    }


def test_an_absolute_link_leads_elsewhere(tmp_path: Path) -> None:
    """Both the link and its target matter."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").touch()
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "b").symlink_to(tmp_path / "real" / "a")
    assert entries_to_watch([tmp_path / "links" / "b"]) == {
        Watched(tmp_path / "links", "b"),
        Watched(tmp_path / "real", "a"),
    }


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    """They lead nowhere; they are watched for somebody to mend them."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert entries_to_watch([tmp_path / "a"]) == {Watched(tmp_path, "a"), Watched(tmp_path, "b")}
    assert stamp_files([tmp_path / "a"])[0].size == MISSING
