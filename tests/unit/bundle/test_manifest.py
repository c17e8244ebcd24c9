from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiergate.bundle import MANIFEST, Manifest, decode_manifest, encode_manifest
from tiergate.bundle.manifest import manifest_of
from tiergate.errors import BundleError

if TYPE_CHECKING:
    from random import Random

FILES = {"catalog.json": b"{}\n", "policies/items/plan/pro@7.cedar": b"permit (principal, action, resource);\n"}

SEGMENT = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,8}", fullmatch=True)
PATHS = st.lists(SEGMENT, min_size=1, max_size=3).map("/".join).filter(lambda path: path != MANIFEST)


def altered(change: dict[str, object]) -> bytes:
    """The manifest of `FILES` with some fields changed, in canonical layout."""
    document = json.loads(encode_manifest(manifest_of(FILES))) | change
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


@given(st.dictionaries(PATHS, st.binary(max_size=20), max_size=6), st.randoms())
def test_the_order_of_the_files_does_not_matter(files: dict[str, bytes], random: Random) -> None:
    """Equal files make an equal manifest, in whatever order they come."""
    shuffled = list(files.items())
    random.shuffle(shuffled)
    assert encode_manifest(manifest_of(dict(shuffled))) == encode_manifest(manifest_of(files))


@given(st.dictionaries(PATHS, st.binary(max_size=20), max_size=6))
def test_a_manifest_survives_being_written_and_read(files: dict[str, bytes]) -> None:
    """What is encoded decodes to the same manifest."""
    manifest = manifest_of(files)
    assert decode_manifest(encode_manifest(manifest)) == manifest


def test_the_revision_is_the_hash_of_format_and_files() -> None:
    """Anybody can compute a revision with a JSON library and SHA-256."""
    document = json.loads(encode_manifest(manifest_of(FILES)))
    revision = document.pop("revision")
    canonical = (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()
    assert revision == "sha256:" + hashlib.sha256(canonical).hexdigest()


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("policies/rules/house.cedar", 'forbid (principal, action, resource) when { context.status == "down" };', 3),
        ("policies/rules/house.cedar", 'forbid (principal, action, resource) when { context["\\u{73}tatus"] };', 3),
        ("policies/rules/house.cedar", "forbid (principal, action, resource) when { context.live };", 2),
        ("policies/guards.cedar", "// status", 2),
    ],
)
def test_rules_that_may_read_the_status_need_a_later_format(path: str, text: str, expected: int) -> None:
    """Earlier versions reject only those bundles; both are read here."""
    manifest = manifest_of(FILES | {path: text.encode()})
    assert manifest.format == expected
    assert decode_manifest(encode_manifest(manifest)) == manifest


def test_an_empty_bundle_has_a_manifest_too() -> None:
    """No files at all are a manifest that can be read."""
    assert decode_manifest(encode_manifest(manifest_of({}))).files == {}


@pytest.mark.parametrize(
    "path",
    [
        "../outside",
        "a/../../outside",
        "/etc/passwd",
        "a//b",
        "a/./b",
        "",
        ".hidden",
        "a/.hidden",
        "a\\b",
        "a\x00b",
        "a b",
        "C:/a",
        "a/",
        "é",
        MANIFEST,
    ],
)
def test_a_path_that_could_lead_elsewhere_is_refused(path: str) -> None:
    """Neither a compiler nor a manifest from outside can name a file that is not plainly inside the bundle."""
    with pytest.raises(BundleError, match="not a path that a bundle may have") as caught:
        manifest_of({path: b""})
    assert caught.value.path == path
    files = {path: {"sha256": "0" * 64, "size": 0}}
    with pytest.raises(BundleError, match="not a path that a bundle may have"):
        decode_manifest(altered({"files": files}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a manifest"),
        (b"[]", "is not a manifest"),
        (b'{"format": 1', "is not a manifest"),
        (b'{"format": true, "files": {}, "revision": ""}', "is not a manifest"),
        (b'{"format": 1, "files": {"a": {"sha256": "", "size": "3"}}, "revision": ""}', "is not a manifest"),
        (b"\xff\xfe", "is not a manifest"),
        (b'{"format": "' + b"[" * 100_000, "is not a manifest"),
        (b'{"files": ' + b"[" * 100_000, "is not a manifest"),
        (altered({"format": 4}), "has format `4`; this version of Tiergate reads formats up to `3`"),
        (b'{"format": 4, "everything": "else"}', "has format `4`; this version of Tiergate reads formats up to `3`"),
        (altered({"revision": "sha256:" + "0" * 64}), "its revision is not that of the files"),
        (altered({"files": {}}), "its revision is not that of the files"),
        (altered({"signature": "x"}), "is not a manifest"),
        (altered({}).replace(b"\n", b"\r\n"), "is not in canonical form"),
        (altered({}) + b" ", "is not in canonical form"),
    ],
)
def test_what_is_no_whole_manifest_is_refused(content: bytes, message: str) -> None:
    """A torn, foreign, newer or reworded manifest is refused, and the message says which."""
    with pytest.raises(BundleError, match=message) as caught:
        decode_manifest(content)
    assert caught.value.path == MANIFEST


def test_a_key_that_stands_twice_is_refused() -> None:
    """A manifest that two readers could understand differently is refused."""
    content = altered({}).replace(b'  "format": 2,', b'  "format": 2,\n  "format": 2,')
    with pytest.raises(BundleError, match="is not in canonical form"):
        decode_manifest(content)


def test_a_manifest_is_made_of_values() -> None:
    """Two manifests of the same files are equal."""
    assert isinstance(manifest_of(FILES), Manifest)
    assert manifest_of(FILES) == manifest_of(dict(FILES))
