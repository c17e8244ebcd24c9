from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
from moto.server import ThreadedMotoServer

from tests.following import BETTER, Follow, files
from tests.signing import NOW
from tiergate.errors import SettingsError, SyncError
from tiergate.sidecar.replica.sync import bundle_origins
from tiergate.sidecar.replica.sync.bundle_origins import BundleOrigins
from tiergate.sidecar.replica.sync.control_plane_client import ControlPlaneClient
from tiergate.sidecar.replica.sync.object_store import ObjectStoreOrigin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sync_simulator import Simulator

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def bucket(simulator: Simulator, tmp_path: Path) -> Path:
    """A folder with everything that the store has put on an object store."""
    folder = tmp_path / "bucket"
    folder.mkdir()
    simulator.write_objects(folder)
    return folder


def test_a_first_start_needs_no_control_plane(follow: Follow, bucket: Path) -> None:
    """Head, snapshot, pages and bundle come from a folder; the age is that of the head."""
    follow.objects = ObjectStoreOrigin(bucket.as_uri())

    async def scenario() -> None:
        async with follow(NOWHERE) as sidecar:
            await sidecar.at(4)
            assert (sidecar.limit("acme"), sidecar.limit("beta")) == (50, 30)
            assert sidecar.state.stale_at == NOW + 60_000
            await sidecar.failed("no response")

    asyncio.run(scenario())


def test_files_come_from_the_object_store_and_changes_from_the_control_plane(
    follow: Follow, simulator: Simulator, bucket: Path
) -> None:
    """Which is what takes the load off it."""
    follow.objects = ObjectStoreOrigin(bucket.as_uri())

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            simulator.publish(files(BETTER))
            simulator.write_objects(bucket)
            await sidecar.at(simulator.put("dent"))
            assert (sidecar.publication, sidecar.limit("dent")) == (2, 20)

    asyncio.run(scenario())
    assert set(simulator.asked) <= {"snapshot", "changes"} | {path for path in simulator.asked if "bundles" in path}
    assert not any(path.startswith("snapshot/pages") for path in simulator.asked)


@pytest.mark.parametrize("kind", ["pages", "bundles"])
def test_a_forged_object_is_asked_for_elsewhere(follow: Follow, simulator: Simulator, bucket: Path, kind: str) -> None:
    """Whoever can write the bucket can only withhold, and the control plane has it too."""
    for path in (bucket / kind).iterdir():
        path.write_bytes(bytes(path.stat().st_size))
    follow.objects = ObjectStoreOrigin(bucket.as_uri())

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            assert sidecar.limit("acme") == 50

    asyncio.run(scenario())
    assert any(kind in path for path in simulator.asked)


def test_a_forged_head_is_not_begun_with(follow: Follow, bucket: Path) -> None:
    """It is signed, or nothing."""
    (bucket / "head.json").write_bytes((bucket / "head.json").read_bytes().replace(b'"sig":"', b'"sig":"AAAA'))
    follow.objects = ObjectStoreOrigin(bucket.as_uri())

    async def scenario() -> None:
        async with follow(NOWHERE) as sidecar:
            await sidecar.failed("bad_signature")
            assert not sidecar.state.ready

    asyncio.run(scenario())


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    """An empty folder has no head."""
    with pytest.raises(SyncError, match="no such object"):
        asyncio.run(ObjectStoreOrigin(tmp_path.as_uri()).snapshot())


@pytest.mark.parametrize("url", ["ftp://x/y", "http://x/y", "bucket", "file://relative"])
def test_other_addresses_are_refused(url: str) -> None:
    """Only what is an object store."""
    with pytest.raises(SettingsError, match="must be one of"):
        ObjectStoreOrigin(url)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """An S3-compatible server on this machine."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_first_start_from_s3(follow: Follow, simulator: Simulator, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With credentials and address from the environment, as its own tools take them."""
    for path, content in {"": b"", **{f"/prod/{path}": it for path, it in simulator.objects().items()}}.items():
        httpx.put(f"{s3}/tiergate{path}", content=content).raise_for_status()
    for name, value in {"ENDPOINT": s3, "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    assert "AWS_PROFILE" not in os.environ
    follow.objects = ObjectStoreOrigin("s3://tiergate/prod", insecure=True)

    async def scenario() -> None:
        async with follow(NOWHERE) as sidecar:
            await sidecar.at(4)
            assert sidecar.limit("acme") == 50

    asyncio.run(scenario())


def test_a_folder_needs_no_library(bucket: Path) -> None:
    """So that a plain installation can begin with what its node keeps."""
    script = (
        "import asyncio, sys; sys.modules['obstore'] = None\n"
        "from tiergate.sidecar.replica.sync.object_store import ObjectStoreOrigin\n"
        f"print(len(asyncio.run(ObjectStoreOrigin({bucket.as_uri()!r}).snapshot())))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("2\n", "")


def test_a_folder_with_any_name_is_read(bucket: Path, tmp_path: Path) -> None:
    """Spaces and letters of any language stand in its address as `as_uri` writes them."""
    moved = bucket.rename(tmp_path / "Tier gäte %41")
    assert len(asyncio.run(ObjectStoreOrigin(moved.as_uri() + "/").snapshot())) == 2


def test_a_file_that_is_larger_than_any_such_object_is_not_read_whole(bucket: Path) -> None:
    """Whoever can write the folder cannot fill the memory."""
    with (bucket / "head.json").open("ab") as file:
        file.truncate(10 * 1024**3)
    with pytest.raises(SyncError, match="has more than"):
        asyncio.run(ObjectStoreOrigin(bucket.as_uri()).snapshot())


@pytest.fixture
def silent() -> Iterator[str]:
    """Somebody who listens, and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_silent_control_plane_does_not_hold_up_a_first_start(
    bucket: Path, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its snapshot is waited for in full only where the object store's was of no use."""
    monkeypatch.setattr(bundle_origins, "_FIRST_SECONDS", 0.05)
    objects = ObjectStoreOrigin(bucket.as_uri())

    async def scenario() -> None:
        control = ControlPlaneClient(silent, None)
        found = BundleOrigins(control, objects)
        assert await found.snapshot() == await objects.snapshot()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await found.snapshot()
        await control.close()

    asyncio.run(scenario())


def test_where_neither_has_a_snapshot_both_are_named(tmp_path: Path) -> None:
    """Whoever reads the log need not guess which of them was asked."""

    async def scenario() -> None:
        control = ControlPlaneClient(NOWHERE, None)
        with pytest.raises(
            SyncError, match=r"head\.json`: there is no such object; and the control plane: .*no response"
        ):
            await BundleOrigins(control, ObjectStoreOrigin(tmp_path.as_uri())).snapshot()
        await control.close()

    asyncio.run(scenario())
