"""Bundles and snapshots on an object store: a folder, and a local server that speaks S3."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import msgspec
import pytest
from moto.server import ThreadedMotoServer
from obstore.store import from_url

from tests.unit.control.feeds import KEY, write
from tiergate.bundle import Manifest, TrustedFeed, encode_manifest, manifest_of, read_archive, read_snapshot_page
from tiergate.control.feed_api.bundle_archives import BundleArchives
from tiergate.control.feed_api.feed_pages import HeadSigner
from tiergate.control.feed_api.object_store import ObjectStoreWriter
from tiergate.control.feed_api.snapshots import Snapshots, StoredSnapshot
from tiergate.errors import SettingsError
from tiergate.feed.unreadable_records import UnreadableRecord
from tiergate.publish.signer import Signer
from tiergate.store import SYSTEM, Store
from tiergate.store.blobs import put_blobs
from tiergate.store.publications import put_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tiergate.store import WriteUnit

LATER = 4_000_000_000_000
FILES = {"catalog.json": b"{}", "policies/a.cedar": b"permit (principal, action, resource);"}


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    """A store with a customer."""
    opened = Store.open(sqlite_url)
    write(opened, "acme")
    yield opened
    opened.close()


def put_files(store: Store) -> Manifest:
    """Put a bundle into the store."""
    manifest = manifest_of(FILES)

    def work(unit: WriteUnit) -> None:
        put_blobs(unit, {entry.sha256: FILES[path] for path, entry in manifest.files.items()})
        put_bundle(unit, manifest.revision, encode_manifest(manifest))

    store.change(work, SYSTEM)
    return manifest


def head_of(store: Store, offer: StoredSnapshot) -> bytes:
    """The head that vouches for a snapshot."""
    found = offer.manifest
    heads = HeadSigner(store.id, Signer([KEY]))
    return heads.head(found.position, found.chain, 0, latest=found.position, at=store.clock(), snapshot=offer.sha256)


def test_a_folder_holds_what_a_sidecar_believes(store: Store, tmp_path: Path) -> None:
    """The head leads to the manifest, that to the pages; bundles are whole and named by their revision."""
    manifest, snapshots = put_files(store), Snapshots(store)
    depot = ObjectStoreWriter(f"file://{tmp_path}/depot", snapshots, BundleArchives(store))
    offer = snapshots.create(1)
    assert depot.write(manifest.revision, offer, head_of(store, offer))
    folder = tmp_path / "depot"
    content = (folder / "snapshots" / f"{offer.sha256}.json").read_bytes()
    trust = TrustedFeed([KEY.verify_key], store=store.id)
    found = trust.verify_snapshot((folder / "head.json").read_bytes(), content, LATER)
    (entry,) = found.manifest.pages
    page = read_snapshot_page((folder / "pages" / f"{entry.sha256}.ndjson.gz").read_bytes(), entry)
    assert [record.customer.id for record in page if not isinstance(record, UnreadableRecord)] == ["acme"]
    pack = (folder / "bundles" / f"{manifest.revision.removeprefix('sha256:')}.zip").read_bytes()
    assert read_archive(pack, manifest.revision).files == FILES


def test_what_never_changes_is_put_once(store: Store, tmp_path: Path) -> None:
    """A second time touches the head alone, also after a restart."""
    snapshots = Snapshots(store)
    offer = snapshots.create(1)
    seen = []
    for _ in range(2):
        assert ObjectStoreWriter(f"file://{tmp_path}/depot", snapshots, BundleArchives(store)).write(
            "", offer, head_of(store, offer)
        )
        files = [path for path in (tmp_path / "depot").rglob("*") if path.is_file() and path.name != "head.json"]
        seen.append({path.name: path.stat().st_mtime_ns for path in files})
    assert seen[0] == seen[1]
    assert len(seen[0]) == 2


def test_pages_of_before_are_removed_after_a_while(store: Store, tmp_path: Path) -> None:
    """Whoever is fetching them has hours to do so; then they go, and with them what was erased."""
    snapshots = Snapshots(store)
    now = [store.clock() / 1000]
    depot = ObjectStoreWriter(f"file://{tmp_path}/depot", snapshots, BundleArchives(store), clock=lambda: now[0])
    first = snapshots.create(1)
    depot.write("", first, head_of(store, first))
    write(store, "beta")
    second = snapshots.create(2)
    depot.write("", second, head_of(store, second))
    assert len(list((tmp_path / "depot" / "pages").iterdir())) == 2
    now[0] += 7 * 3600
    depot.write("", second, head_of(store, second))
    (page,) = (tmp_path / "depot" / "pages").iterdir()
    assert page.name.startswith(second.manifest.pages[0].sha256)


def test_a_store_that_fails_is_said_once_and_tried_again(store: Store, tmp_path: Path) -> None:
    """Nothing is raised: publishing goes on without it."""
    snapshots = Snapshots(store)
    offer = snapshots.create(1)
    depot = ObjectStoreWriter(f"file://{tmp_path}/depot", snapshots, BundleArchives(store))
    (tmp_path / "depot" / "pages").write_text("in the way")
    assert not depot.write("", offer, head_of(store, offer))
    assert (depot.failing, depot.failures, depot.put_at) == (True, 1, 0.0)
    (tmp_path / "depot" / "pages").unlink()
    assert depot.write("", offer, head_of(store, offer))
    assert not depot.failing
    assert depot.put_at > 0


def test_what_is_no_address_is_refused() -> None:
    """Before anything is served."""
    with pytest.raises(SettingsError, match="object-store"):
        ObjectStoreWriter("https://bucket.example", None, None)  # type: ignore[arg-type]


def test_a_server_that_speaks_s3_is_one_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put, looked for, listed and removed as in a folder, with types and lifetimes for caches."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ENDPOINT": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }.items():
            monkeypatch.setenv(name, value)
        httpx.put(f"http://{host}:{port}/depot").raise_for_status()
        manifest, snapshots = put_files(store), Snapshots(store)
        offer = snapshots.create(1)
        depot = ObjectStoreWriter("s3://depot/plans", snapshots, BundleArchives(store))
        for _ in range(2):
            assert depot.write(manifest.revision, offer, head_of(store, offer))
        bucket = from_url("s3://depot/plans", client_options={"allow_http": True})
        head = bucket.get("head.json")
        assert (head.attributes["Content-Type"], head.attributes["Cache-Control"]) == ("application/json", "no-cache")
        assert msgspec.json.decode(bytes(head.bytes()))["signatures"]
        pack = bytes(bucket.get(f"bundles/{manifest.revision.removeprefix('sha256:')}.zip").bytes())
        assert read_archive(pack, manifest.revision).files == FILES
    finally:
        server.stop()
