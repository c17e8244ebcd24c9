"""The tokens that requests may carry, and what becomes of them when their file changes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.serving import Service, customer, post
from tests.wire import Connection
from tiergate.errors import SettingsError
from tiergate.sidecar.api.request_limits import Access
from tiergate.sidecar.api.tokens import TokenFile, Tokens

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = b"the-old-token-of-16", b"the-new-token-of-16"


def replace_file(path: Path, content: bytes) -> None:
    """Put a new file in the place of the old one, as a deployment does."""
    other = path.with_name("other")
    other.write_bytes(content)
    other.rename(path)


@pytest.mark.parametrize("content", [OLD, OLD + b"\n", b"\n " + OLD + b" \r\n" + NEW + b"\n\n"])
def test_a_file_holds_tokens_one_a_line(content: bytes, tmp_path: Path) -> None:
    """Any of them will do, and nothing else."""
    path = tmp_path / "tokens"
    path.write_bytes(content)
    tokens = TokenFile(path, "token-file").tokens
    assert tokens.admit(OLD)
    assert tokens.admit(NEW) is (NEW in content)
    assert not any(map(tokens.admit, (b"", OLD[:-1], OLD + b"x", OLD + b"\n" + NEW)))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"short", OLD + b"\nshort\n", b"with a blank in it", b"x" * 70_000])
def test_a_file_without_tokens_is_refused(content: bytes, tmp_path: Path) -> None:
    """One wrong line is enough: it may be the token of somebody."""
    path = tmp_path / "tokens"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="one a line"):
        TokenFile(path, "token-file")


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """Whoever remembers what was admitted hears of it, and only then."""
    path = tmp_path / "tokens"
    path.write_bytes(OLD)
    file = TokenFile(path, "token-file")
    heard: list[bool] = []
    file.changed.append(lambda: heard.append(file.tokens.admit(NEW)))
    file.refresh()
    replace_file(path, OLD + b"\n" + NEW)
    file.refresh()
    file.refresh()
    replace_file(path, OLD + b"\n" + NEW + b"\n")
    file.refresh()
    replace_file(path, NEW)
    file.refresh()
    assert heard == [True, True]
    assert not file.tokens.admit(OLD)


def test_a_file_that_cannot_be_read_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once, whether it is away, half-written, or a pipe that nobody writes to."""
    path = tmp_path / "tokens"
    path.write_bytes(OLD)
    file = TokenFile(path, "token-file")
    path.unlink()
    for _ in range(3):
        file.refresh()
    assert len(caplog.records) == 1
    path.write_bytes(NEW[:5])
    file.refresh()
    path.unlink()
    os.mkfifo(path)
    file.refresh()
    assert file.tokens.admit(OLD)
    assert len(caplog.records) == 3
    path.unlink()
    path.write_bytes(NEW)
    file.refresh()
    assert (file.tokens.admit(OLD), file.tokens.admit(NEW)) == (False, True)


def test_a_token_that_was_taken_away_is_refused_at_once() -> None:
    """Also where the same request was admitted, answered and remembered before."""
    tokens = Tokens(OLD)
    service = Service(customer("acme"), access=Access(tokens=tokens))
    check = {"subject": "acme", "feature": "movies"}

    def asked(token: bytes) -> bytes:
        return post("/v1/check", check, headers={"Authorization": f"Bearer {token.decode()}"})

    with service.serve() as where, Connection(where.connect()) as connection:
        assert [connection.ask(asked(OLD)).status for _ in range(4)] == [200] * 4
        assert connection.ask(asked(NEW)).status == 401
        service.run(lambda: tokens.replace(NEW))
        service.run(service.quick.forget)
        assert [connection.ask(asked(OLD)).status for _ in range(3)] == [401] * 3
        assert [connection.ask(asked(NEW)).status for _ in range(3)] == [200] * 3
