from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.signing import key
from tiergate.engine import EngineOptions
from tiergate.errors import SettingsError
from tiergate.sidecar.replica.data_directory import DataDirectory
from tiergate.sidecar.replica.sync.follower_factory import create_follower
from tiergate.sidecar.settings import Settings
from tiergate.sidecar.state import State

if TYPE_CHECKING:
    from pathlib import Path

    from tiergate.sidecar.replica.sync.feed_follower import FeedFollower


def made(folder: Path, credential: dict[str, object] | str, settings: Settings | None = None) -> FeedFollower:
    """What is made of a key file, and of settings beside it."""
    (folder / "key").write_text(credential if isinstance(credential, str) else json.dumps(credential))
    settings = settings or Settings(key_file=folder / "key")
    return create_follower(settings, DataDirectory(folder), State(lambda: 0), EngineOptions())


def whole(**changes: object) -> dict[str, object]:
    """A key file with everything."""
    keys = [key().verify_key.to_pem()]
    return {"control_plane": "https://plane.example", "key": "tg_0123456789", "public_keys": keys, **changes}


def test_a_key_file_with_everything_is_enough(tmp_path: Path) -> None:
    """It names the control plane, which `/status` shows, and how stale data may be."""
    status = made(tmp_path, whole()).report()
    assert (status.mode, status.control_plane, status.max_staleness) == ("sync", "https://plane.example", 300.0)


def test_the_object_store_is_a_source_too(tmp_path: Path) -> None:
    """In the order in which they are named."""
    settings = Settings(key_file=tmp_path / "key", object_store=tmp_path.as_uri(), on_demand=True)
    found = made(tmp_path, whole(), settings)
    assert [source.kind for source in found.report().sources] == ["control-plane", "object-store"]
    assert found.on_demand is not None


def test_a_control_plane_must_be_named_somewhere(tmp_path: Path) -> None:
    """In the settings or in the key file."""
    with pytest.raises(SettingsError, match="`control-plane`: is required"):
        made(tmp_path, whole(control_plane=None))


def test_a_control_plane_beyond_loopback_needs_https(tmp_path: Path) -> None:
    """Unless `insecure` says that the network is to be trusted."""
    credential = whole(control_plane="http://plane.example")
    with pytest.raises(SettingsError, match="beyond loopback"):
        made(tmp_path, credential)
    made(tmp_path, credential, Settings(key_file=tmp_path / "key", insecure=True))


def test_there_is_no_start_without_a_public_key(tmp_path: Path) -> None:
    """It says how to get one."""
    with pytest.raises(SettingsError, match="tiergate keys signing-key public-key"):
        made(tmp_path, whole(public_keys=[]))
