"""The record of how far anything was in force: whole, damaged, or of an earlier version."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from tests.following import BETTER, files
from tests.signing import revision
from tiergate.bundle import Cursor
from tiergate.errors import ReplicaError
from tiergate.sidecar.replica.sync.rollback_floor import RollbackFloor, read_floor, write_floor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.following import Follow
    from tests.sync_simulator import Simulator

FLOOR = RollbackFloor("shop", Cursor(8, "0" * 64, 2, revision(2), 1_700_000_000_000))


def test_a_floor_is_its_owners_alone_and_comes_back(tmp_path: Path) -> None:
    """None where there was none."""
    folder = tmp_path
    assert read_floor(folder) is None
    write_floor(folder, FLOOR)
    assert read_floor(folder) == FLOOR
    path = tmp_path / "floor.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [it.name for it in path.parent.iterdir()] == ["floor.json"]


def test_every_digit_that_is_another_one_shows(tmp_path: Path) -> None:
    """Wherever it stands."""
    folder = tmp_path
    write_floor(folder, FLOOR)
    path = tmp_path / "floor.json"
    whole = path.read_bytes()
    for place, byte in enumerate(whole):
        path.write_bytes(whole[:place] + bytes((byte ^ 1,)) + whole[place + 1 :])
        try:
            found = read_floor(folder)
        except ReplicaError:
            continue
        # A name that nobody knows: the file is then one of an earlier version, and says what it said.
        assert found == FLOOR
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ReplicaError):
            read_floor(folder)


def test_a_floor_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """It had no checksum."""
    folder = tmp_path
    write_floor(folder, FLOOR)
    path = tmp_path / "floor.json"
    written = json.loads(path.read_bytes())
    del written["sha256"]
    path.write_text(json.dumps(written))
    assert read_floor(folder) == FLOOR


def _other_revision(content: bytes) -> bytes:
    place = content.index(b"sha256:") + 10
    return content[:place] + (b"0" if content[place : place + 1] != b"0" else b"1") + content[place + 1 :]


def _higher(content: bytes) -> bytes:
    floor = json.loads(content)
    floor["cursor"]["position"] += 1_000
    return json.dumps(floor).encode()


@pytest.mark.parametrize("damage", [_other_revision, _higher, lambda _: b"", lambda content: content[:-20]])
def test_a_damaged_floor_keeps_nobody_from_starting(
    follow: Follow, simulator: Simulator, damage: Callable[[bytes], bytes]
) -> None:
    """The replica beside it proves how far it was: it is in force at once, without a word from the store."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(simulator.put("beta"))
        path = follow.folder / "sync" / "floor.json"
        whole = json.loads(path.read_bytes())
        path.write_bytes(damage(path.read_bytes()))
        async with follow() as sidecar:
            await sidecar.at(5)
            assert sidecar.limit("beta") == 50
            await sidecar.at(simulator.put("acme", "silver"))
            assert sidecar.limit("acme") == 30
        assert json.loads(path.read_bytes())["cursor"]["position"] == whole["cursor"]["position"] + 1
        assert simulator.asked.count("snapshot") == 1

    asyncio.run(scenario())


def test_a_damaged_floor_lets_nothing_older_in(
    follow: Follow, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that has not come as far yet says itself how far it must come."""
    feed = simulator.feed
    _, manifest, pages = feed.snapshot()

    def older(**_: object) -> tuple[bytes, bytes, dict[str, bytes]]:
        """The snapshot as it was, of a feed that has gone on since."""
        return feed.head(4, snapshot=hashlib.sha256(manifest).hexdigest()), manifest, pages

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            simulator.publish(files(BETTER))
            await sidecar.at(simulator.put("beta"))
        for path in (follow.folder / "sync").glob("*.sqlite*"):
            path.unlink()
        monkeypatch.setattr(feed, "snapshot", older)
        simulator.tamper = lambda path, body: 503 if path == "changes" else body
        async with follow() as sidecar:  # it begins with the old snapshot, and cannot go on
            await sidecar.failed("503")
            assert sidecar.state.current is None
        (follow.folder / "sync" / "floor.json").write_bytes(b"{")
        async with follow() as sidecar:
            await sidecar.failed("503")
            assert sidecar.state.current is None
            simulator.tamper = lambda _, body: body
            await sidecar.at(6)
            assert sidecar.limit("acme") == 20

    asyncio.run(scenario())
