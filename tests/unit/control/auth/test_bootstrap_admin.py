from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

import httpx
import pytest
from structlog.testing import capture_logs

from tests.control_planes import ControlPlane, prepare_store
from tiergate.control.auth.bootstrap_admin import read_admin_key, register_admin_key
from tiergate.errors import SettingsError
from tiergate.store import SYSTEM, Store
from tiergate.store.keys import authenticate_key, generate_key_text, list_keys, revoke_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tiergate.store.keys import ApiKey


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """Give a store on either database."""
    with contextlib.closing(Store.open(store_url)) as opened:
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give a file with a key that was made up."""
    path = tmp_path / "made-up.key"
    path.write_text(generate_key_text() + "\n")
    return path


def key_of(store: Store, file: Path) -> ApiKey | None:
    """What the store knows of the key in a file."""
    text = file.read_text().strip()
    return store.read(lambda unit: authenticate_key(unit, text))


def test_a_new_store_takes_the_key(store: Store, file: Path) -> None:
    """As its first admin's."""
    register_admin_key(read_admin_key(file), store)
    key = key_of(store, file)
    assert key is not None
    assert (key.roles, key.created_by) == (("admin",), "operator")


def test_a_store_takes_one_key_in_its_life(store: Store, file: Path) -> None:
    """Whoever can write the file later on gains nothing, and a key that was revoked stays so."""
    register_admin_key(read_admin_key(file), store)
    first = key_of(store, file)
    assert first is not None
    store.change(lambda unit: revoke_key(unit, first.id), SYSTEM)
    register_admin_key(read_admin_key(file), store)
    file.write_text(generate_key_text())
    register_admin_key(read_admin_key(file), store)
    [only] = store.read(lambda unit: list_keys(unit, None, 10))
    assert only.id == first.id
    assert only.revoked_at is not None


def test_of_several_replicas_that_start_together_one_registers_it(store: Store, file: Path) -> None:
    """And the others go on, for it is there."""
    together = threading.Barrier(4)
    failed: list[Exception] = []

    def start() -> None:
        together.wait()
        try:
            register_admin_key(read_admin_key(file), store)
        except Exception as error:  # noqa: BLE001 - told below
            failed.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(store.read(lambda unit: list_keys(unit, None, 10))) == 1


def test_without_the_setting_nobody_is_registered(store: Store) -> None:
    """The first admin is made on the host then."""
    register_admin_key(read_admin_key(None), store)
    assert store.read(lambda unit: list_keys(unit, None, 10)) == []


def test_it_says_that_a_key_is_not_taken(store: Store, file: Path) -> None:
    """Where it is another one than the store took, and so does not open anything; a known one needs no word."""
    register_admin_key(read_admin_key(file), store)
    with capture_logs() as said:
        register_admin_key(read_admin_key(file), store)
        assert said == []
        file.write_text(generate_key_text())
        register_admin_key(read_admin_key(file), store)
    assert [(line["log_level"], line["setting"]) for line in said] == [("warning", "bootstrap-admin-key-file")]
    assert file.read_text() not in str(said)


@pytest.mark.parametrize("content", [b"", b"secret", b"\xff\xfe", b"tg_abcdefghijkl_short\n", b"two\nlines"])
def test_a_file_without_a_key_is_refused(tmp_path: Path, content: bytes) -> None:
    """By the setting's name, and without telling what it holds."""
    (tmp_path / "admin.key").write_bytes(content)
    with pytest.raises(SettingsError, match="must contain one API key") as refused:
        read_admin_key(tmp_path / "admin.key")
    assert refused.value.setting == "bootstrap-admin-key-file"
    assert "short" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(SettingsError, match=r"admin\.key"):
        read_admin_key(tmp_path / "admin.key")


def test_a_control_plane_takes_it_at_its_start(tmp_path: Path, file: Path) -> None:
    """Whoever holds the key is its admin from the first answer on."""
    with ControlPlane(prepare_store(tmp_path), "--bootstrap-admin-key-file", file) as plane:
        plane.process.event("ready")
        headers = {"authorization": f"Bearer {file.read_text().strip()}"}
        said = httpx.get(f"{plane.url}/v1/whoami", headers=headers, trust_env=False).json()
    assert said["roles"] == ["admin"]
