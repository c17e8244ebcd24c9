from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import pytest

from tiergate.bundle import MANIFEST, Manifest, encode_manifest, manifest_of, read_archive, write_archive
from tiergate.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = {"catalog.json": b"{}\n", "policies/items/plan/pro@7.cedar": b"permit (principal, action, resource);\n"}
WHOLE = manifest_of(FILES)
MIB = 1024**2


def zipped(*entries: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these entries, as somebody else would make it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return buffer.getvalue()


def test_a_bundle_survives_being_packed_and_unpacked() -> None:
    """Manifest and all files."""
    assert read_archive(write_archive(WHOLE, FILES), WHOLE.revision) == (WHOLE, FILES)


def test_only_files_that_differ_are_packed() -> None:
    """Of two bundles with one file in common, the other one travels."""
    new = {**FILES, "catalog.json": b"{ }\n"}
    packed = write_archive(manifest_of(new), new, WHOLE)
    assert read_archive(packed, manifest_of(new).revision).files == {"catalog.json": b"{ }\n"}


def test_equal_bundles_are_equal_packs() -> None:
    """Whatever the order of the files."""
    assert write_archive(WHOLE, FILES) == write_archive(WHOLE, dict(reversed(FILES.items())))


def test_nothing_torn_is_packed() -> None:
    """A file that is missing or not the one listed is no pack."""
    with pytest.raises(BundleError, match="is missing"):
        write_archive(WHOLE, {"catalog.json": b"{}\n"})
    with pytest.raises(BundleError, match="does not have"):
        write_archive(WHOLE, {**FILES, "catalog.json": b"x"})


def head(manifest: Manifest = WHOLE) -> tuple[str, bytes]:
    """The manifest as an entry."""
    return MANIFEST, encode_manifest(manifest)


def lying_sizes() -> bytes:
    """A pack whose directory says that a file is small, which unpacks to much more."""
    content = zipped(head(), ("catalog.json", b"\0" * MIB))
    return content.replace(MIB.to_bytes(4, "little"), (3).to_bytes(4, "little"))


ATTACKS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "no zip": ("readable archive", lambda: b"hello"),
    "nothing": ("readable archive", lambda: b""),
    "cut short": ("readable archive", lambda: write_archive(WHOLE, FILES)[:-30]),
    "no manifest": ("is missing from the archive", lambda: zipped(*FILES.items())),
    "the manifest of another bundle": ("not of `sha256", lambda: zipped(head(manifest_of({})))),
    "a manifest that is none": ("is not a manifest", lambda: zipped((MANIFEST, b"{}"))),
    "a path out of the folder": ("is not listed", lambda: zipped(head(), ("../../etc/passwd", b"x"))),
    "an absolute path": ("is not listed", lambda: zipped(head(), ("/etc/passwd", b"x"))),
    "a file that is not listed": ("is not listed", lambda: zipped(head(), ("extra.json", b"x"))),
    "a file with other bytes": ("its hash differs", lambda: zipped(head(), ("catalog.json", b"[]\n"))),
    "a bomb": ("does not have", lambda: zipped(head(), ("catalog.json", b"\0" * MIB))),
    "a bomb that lies about its size": ("readable archive|does not have", lying_sizes),
    "another method": ("unsupported compression", lambda: zipped(head(), *FILES.items(), method=zipfile.ZIP_LZMA)),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_pack_that_was_tampered_with_is_refused(attack: str) -> None:
    """Nothing of it is returned."""
    words, make = ATTACKS[attack]
    with pytest.raises(BundleError, match=words):
        read_archive(make(), WHOLE.revision)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_stands_twice_is_refused() -> None:
    """Two readers could take two different ones."""
    with pytest.raises(BundleError, match="in the archive twice"):
        read_archive(zipped(head(), ("catalog.json", b"{}\n"), ("catalog.json", b"{}\n")), WHOLE.revision)
