from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.signing import key
from tiergate.errors import SettingsError
from tiergate.sidecar.replica.sync.trust_config import Credential, read_credential, read_trust_config

if TYPE_CHECKING:
    from pathlib import Path

PEM = key().verify_key.to_pem()
WHOLE = {"control_plane": "https://plane.example", "key": "tg_0123456789", "store": "shop", "public_keys": [PEM]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a key file stands."""
    return tmp_path / "key"


def test_a_file_may_hold_a_bare_key(file: Path) -> None:
    """With or without a newline at its end."""
    file.write_text("tg_0123456789\n")
    assert read_credential(file) == Credential("tg_0123456789")


def test_a_file_may_hold_a_token(file: Path) -> None:
    """As Kubernetes projects it."""
    file.write_text("eyJhbGciOiJSUzI1NiJ9." + "e" * 1200 + ".sig-_nature")
    assert read_credential(file).key.startswith("eyJ")


def test_a_file_may_hold_everything(file: Path) -> None:
    """Then no other setting is needed."""
    file.write_text(json.dumps(WHOLE))
    assert read_trust_config(None, None, (), file) == ("https://plane.example", "shop", (key().verify_key,))


def test_settings_come_before_the_file(file: Path, tmp_path: Path) -> None:
    """Public keys of both are trusted."""
    file.write_text(json.dumps(WHOLE))
    other = key("other").verify_key
    (tmp_path / "other.pem").write_text(other.to_pem())
    found = read_trust_config("https://other.example", "other", [tmp_path / "other.pem"], file)
    assert found == ("https://other.example", "other", (other, key().verify_key))


def test_without_a_public_key_it_says_how_to_get_one(file: Path) -> None:
    """Nothing unsigned is accepted, so there is no start without one."""
    file.write_text("tg_0123456789")
    with pytest.raises(SettingsError, match=r"`public-key`: is required.*tiergate keys"):
        read_trust_config("https://plane.example", None, (), file)


@pytest.mark.parametrize(
    "content", ["", "two words", "short", '{"key": 5}', '{"store": "x"}', "{", '{"key": "a\\nb45678"}']
)
def test_what_holds_no_key_is_refused(file: Path, content: str) -> None:
    """In words that hold nothing of it."""
    file.write_text(content)
    with pytest.raises(SettingsError, match="`key-file`") as refused:
        read_credential(file)
    assert "two words" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(file: Path) -> None:
    """With what the system says."""
    with pytest.raises(SettingsError, match=r"key` cannot be read: No such file"):
        read_credential(file)


def test_a_public_key_that_is_none_is_named(tmp_path: Path) -> None:
    """The file, and what is wrong with it."""
    (tmp_path / "x.pem").write_text("hello")
    with pytest.raises(SettingsError, match=r"`public-key`: .*x\.pem.* is no public key"):
        read_trust_config("https://plane.example", None, [tmp_path / "x.pem"], None)


def test_a_public_key_may_be_given_itself(file: Path, tmp_path: Path) -> None:
    """Beside those of files, all of which are believed; one that is none is refused."""
    file.write_text("tg_0123456789")
    other = key("other").verify_key
    (tmp_path / "other.pem").write_text(other.to_pem())
    found = read_trust_config("https://plane.example", None, [tmp_path / "other.pem"], file, [PEM])
    assert found.keys == (other, key().verify_key)
    with pytest.raises(SettingsError, match=r"`public-key-pem`: .*is no public key"):
        read_trust_config(
            "https://plane.example", None, (), file, ["-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
        )
