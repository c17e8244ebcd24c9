from __future__ import annotations

import json
import os
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.unit.control.accountability import SIGNING_KEY, accountable
from tiergate.bundle import SigningKey
from tiergate.cli.exit_codes import ExitCode
from tiergate.control.settings import TABLE, resolve
from tiergate.sidecar.replica.sync.trust_config import read_credential, read_trust_config
from tiergate.store import SYSTEM, Store
from tiergate.store.keys import authenticate_key, create_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.unit.cli.conftest import Cli, Ran
    from tests.unit.control.accountability import Accountable


@pytest.fixture
def api(sqlite_url: str) -> Iterator[Accountable]:
    """Give the API."""
    with accountable(sqlite_url) as served:
        yield served


@pytest.fixture
def admin(api: Accountable, cli: Cli, tmp_path: Path) -> Callable[..., Ran]:
    """Give `tiergate keys` with an admin's key."""
    made = api.store.change(lambda unit: create_key(unit, "admin", ["admin"]), SYSTEM)
    (tmp_path / "admin.key").write_text(made.text + "\n")

    def call(command: str, *args: str | Path) -> Ran:
        return cli("keys", command, "--key-file", tmp_path / "admin.key", "--control-plane", api.admin.url, *args)

    return call


def test_a_key_is_made_shown_once_listed_and_revoked(api: Accountable, admin: Callable[..., Ran]) -> None:
    """The key alone goes to standard output, so that it can go straight into a file."""
    made = admin("create", "for the pipeline", "--role", "publisher", "--role", "analyst", "--customer", "acme")
    assert made.code == ExitCode.OK
    text = made.out.strip()
    key = api.store.read(lambda unit: authenticate_key(unit, text))
    assert key is not None
    assert (key.roles, key.customers) == (("analyst", "publisher"), ("acme",))
    assert key.id in made.err
    shown = admin("list")
    assert f"{key.id}  for the pipeline" in shown.out
    assert text not in shown.out
    assert admin("revoke", key.id).out.startswith(f"key {key.id} revoked at 2")
    listed = {it["id"]: it for it in json.loads(admin("list", "--json").out)["keys"]}
    assert "revoked_at" in listed[key.id]


def test_a_key_goes_into_a_file_of_its_owner(api: Accountable, admin: Callable[..., Ran], tmp_path: Path) -> None:
    """A new one; what is there already is not written over, and no key is made for nothing."""
    out = tmp_path / "ci.key"
    made = admin("create", "ci", "--role", "publisher", "--out", out, "--json")
    assert made.code == ExitCode.OK
    assert "key" not in json.loads(made.out)
    assert out.stat().st_mode & 0o777 == 0o600
    assert api.store.read(lambda unit: authenticate_key(unit, out.read_text().strip())) is not None
    count = len(json.loads(admin("list", "--json").out)["keys"])
    assert admin("create", "ci", "--role", "publisher", "--out", out).code == ExitCode.OPERATOR
    assert len(json.loads(admin("list", "--json").out)["keys"]) == count


def test_a_sidecars_key_comes_with_all_that_it_needs(
    api: Accountable, admin: Callable[..., Ran], tmp_path: Path
) -> None:
    """Where the control plane is, and which store by which keys to believe: in a file that a sidecar reads."""
    out = tmp_path / "sidecar.json"
    made = admin("create", "shop", "--role", "sidecar", "--out", out)
    assert made.code == ExitCode.OK, made.err
    found = read_trust_config(None, None, [], out)
    assert found == (api.admin.url, api.store.id, (SIGNING_KEY.verify_key,))
    assert api.store.read(lambda unit: authenticate_key(unit, read_credential(out).key)) is not None


def test_what_the_control_plane_refuses_is_told(
    api: Accountable, admin: Callable[..., Ran], cli: Cli, tmp_path: Path
) -> None:
    """With what is wrong, and with what may not be done."""
    wrong = admin("create", "ci", "--role", "publihser")
    assert wrong.code == ExitCode.USAGE
    assert "did you mean `publisher`?" in wrong.err
    made = api.store.change(lambda unit: create_key(unit, "viewer", ["analyst"]), SYSTEM)
    (tmp_path / "viewer.key").write_text(made.text)
    denied = cli("keys", "list", "--key-file", tmp_path / "viewer.key", "--control-plane", api.admin.url)
    assert denied.code == ExitCode.USAGE
    assert "you may not `manageKeys` here" in denied.err
    assert admin("revoke", "nothing").code == ExitCode.USAGE
    assert admin("revoke", "../audit").code == ExitCode.USAGE


def test_a_control_plane_that_does_not_answer_is_said_to_be_away(cli: Cli, tmp_path: Path) -> None:
    """By an exit code of its own."""
    (tmp_path / "k").write_text("tg_x")
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        assert cli("keys", "list", "--key-file", tmp_path / "k", "--control-plane", url).code == ExitCode.UNREACHABLE


@pytest.mark.parametrize("url", ["http://tiergate.example.com", "ftp://localhost", "localhost:8440", "https://"])
def test_a_key_is_not_sent_in_the_clear(cli: Cli, tmp_path: Path, url: str) -> None:
    """Beyond this machine it goes by https alone."""
    (tmp_path / "k").write_text("tg_x")
    assert cli("keys", "list", "--key-file", tmp_path / "k", "--control-plane", url).code == ExitCode.USAGE


@pytest.mark.parametrize("content", ["", " \n", "two words", "tg_a\ntg_b", "tg_ä"])
def test_a_file_without_one_key_is_refused(cli: Cli, tmp_path: Path, content: str) -> None:
    """Before anything is sent."""
    (tmp_path / "k").write_text(content)
    assert cli("keys", "list", "--key-file", tmp_path / "k").code == ExitCode.USAGE


def test_the_first_admin_is_made_once(cli: Cli, sqlite_url: str, tmp_path: Path) -> None:
    """On the host, without any key; again only by force."""
    out = tmp_path / "admin.key"
    first = cli("keys", "bootstrap-admin", "--database", sqlite_url, "--out", out)
    assert (first.code, first.out) == (ExitCode.OK, "")
    refused = cli("keys", "bootstrap-admin", "--database", sqlite_url)
    assert (refused.code, refused.out) == (ExitCode.USAGE, "")
    assert "already" in refused.err
    second = cli("keys", "bootstrap-admin", "--database", sqlite_url, "--force", "--name", "again")
    with closing(Store.open(sqlite_url)) as store:
        for text in (out.read_text().strip(), second.out.strip()):
            key = store.read(lambda unit, text=text: authenticate_key(unit, text))  # type: ignore[misc]
            assert key is not None
            assert key.roles == ("admin",)


def test_the_store_is_named_by_one_variable_for_all(cli: Cli, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control plane's own: what migrates it and makes its first admin need no other."""
    monkeypatch.setenv(TABLE.prefix + "DATABASE", sqlite_url)
    assert resolve({"insecure": True}, os.environ).database == sqlite_url
    assert cli("migrate").code == ExitCode.OK
    made = cli("keys", "bootstrap-admin")
    assert made.code == ExitCode.OK
    with closing(Store.open(sqlite_url)) as store:
        assert store.read(lambda unit: authenticate_key(unit, made.out.strip())) is not None


def test_a_signing_key_is_made_for_its_owner_alone(cli: Cli, tmp_path: Path) -> None:
    """Its public half is shown, then and later."""
    path = tmp_path / "signing.pem"
    made = cli("keys", "signing-key", "generate", "--out", path)
    assert made.code == ExitCode.OK
    assert path.stat().st_mode & 0o777 == 0o600
    assert made.out == SigningKey.from_pem(path.read_bytes()).verify_key.to_pem()
    assert cli("keys", "signing-key", "public-key", path).out == made.out
    assert cli("keys", "signing-key", "generate", "--out", path).code == ExitCode.OPERATOR


def test_what_is_no_signing_key_is_refused(cli: Cli, tmp_path: Path) -> None:
    """Without a word of what is in it."""
    path = tmp_path / "signing.pem"
    path.write_text("secret")
    refused = cli("keys", "signing-key", "public-key", path)
    assert refused.code == ExitCode.USAGE
    assert "secret" not in refused.err
