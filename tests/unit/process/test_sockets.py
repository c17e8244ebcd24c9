from __future__ import annotations

import os
import socket
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from tiergate.errors import ListenError, SettingsError
from tiergate.process.sockets import UnixListener, bind_tcp, url_of

if TYPE_CHECKING:
    from pathlib import Path


def answers(path: Path) -> bool:
    """Say whether somebody listens at a Unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def test_a_free_port_is_found() -> None:
    """Port 0 is any."""
    (bound,) = bind_tcp("127.0.0.1", 0)
    with bound:
        assert url_of(bound) == f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_a_port_in_use_is_an_error_that_names_it() -> None:
    """It shows at the start."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"`127.0.0.1` port {port}: Address already in use: .*`--port 0`"):
            bind_tcp("127.0.0.1", port)


def test_all_addresses_of_a_name_get_one_port() -> None:
    """`localhost` may be two addresses."""
    bound = bind_tcp("localhost", 0)
    assert len({one.getsockname()[1] for one in bound}) == 1
    for one in bound:
        one.close()


def test_an_unknown_host_is_an_error() -> None:
    """It shows at the start."""
    with pytest.raises(ListenError, match=r"cannot listen on `no-such-host\.invalid`"):
        bind_tcp("no-such-host.invalid", 0)


def test_an_address_of_another_machine_is_an_error() -> None:
    """It shows at the start."""
    with pytest.raises(ListenError, match=r"192\.0\.2\.1"):
        bind_tcp("192.0.2.1", 0)


def test_an_ipv6_address_is_written_in_brackets() -> None:
    """As URLs want it."""
    try:
        (bound,) = bind_tcp("::1", 0)
    except ListenError:
        pytest.skip("no IPv6 here")
    with bound:
        assert url_of(bound).startswith("http://[::1]:")


def test_a_unix_socket_answers_with_its_mode(tmp_path: Path) -> None:
    """Permissions are as asked, whatever the umask."""
    before = os.umask(0o077)
    try:
        listener = UnixListener(tmp_path / "s", 0o666)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o666
    assert answers(tmp_path / "s")
    listener.close()


def test_a_unix_socket_is_never_open_to_more_than_its_mode_says(tmp_path: Path) -> None:
    """It appears under its path with its permissions; at no instant without."""
    before = os.umask(0)
    seen: set[int] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            try:
                seen.add(stat.S_IMODE((tmp_path / "s").stat().st_mode))
            except FileNotFoundError:
                continue

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for _ in range(100):
            UnixListener(tmp_path / "s", 0o600).close()
    finally:
        done.set()
        watcher.join()
        os.umask(before)
    assert seen <= {0o600}


def test_the_group_may_be_given_by_name_or_number(tmp_path: Path) -> None:
    """One's own group may always be given."""
    UnixListener(tmp_path / "s", 0o660, str(os.getgid())).close()


def test_an_unknown_group_is_a_setting_at_fault(tmp_path: Path) -> None:
    """Nothing is left behind."""
    with pytest.raises(SettingsError, match="no group `no-such-group`"):
        UnixListener(tmp_path / "s", 0o660, "no-such-group")
    assert list(tmp_path.iterdir()) == []


def test_the_socket_of_a_dead_process_is_replaced(tmp_path: Path) -> None:
    """A crash leaves its file behind."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    assert not answers(tmp_path / "s")
    listener = UnixListener(tmp_path / "s", 0o600)
    assert answers(tmp_path / "s")
    listener.close()


def test_the_socket_of_a_living_sidecar_is_refused(tmp_path: Path) -> None:
    """The first one goes on."""
    first = UnixListener(tmp_path / "s", 0o600)
    with pytest.raises(ListenError, match="another sidecar listens there"):
        UnixListener(tmp_path / "s", 0o600)
    assert answers(tmp_path / "s")
    first.close()


def test_the_socket_of_another_living_program_is_refused(tmp_path: Path) -> None:
    """Whoever it is, it goes on."""
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "s"))
        other.listen()
        with pytest.raises(ListenError, match="another program listens there"):
            UnixListener(tmp_path / "s", 0o600)
        assert answers(tmp_path / "s")


def test_something_other_than_a_socket_is_refused(tmp_path: Path) -> None:
    """A slip must not remove a file."""
    (tmp_path / "s").write_text("precious")
    with pytest.raises(ListenError, match="not a socket"):
        UnixListener(tmp_path / "s", 0o600)
    assert (tmp_path / "s").read_text() == "precious"


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """It is not made."""
    with pytest.raises(ListenError, match="No such file"):
        UnixListener(tmp_path / "folder" / "s", 0o600)


def test_a_path_too_long_for_a_socket_is_an_error(tmp_path: Path) -> None:
    """The system takes some hundred characters."""
    with pytest.raises(ListenError, match="too long"):
        UnixListener(tmp_path / ("s" * 120), 0o600)


def test_closing_removes_socket_and_lock(tmp_path: Path) -> None:
    """Nothing is left behind."""
    UnixListener(tmp_path / "s", 0o600).close()
    assert list(tmp_path.iterdir()) == []


def test_closing_leaves_a_successor_alone(tmp_path: Path) -> None:
    """Who removed the file and took the path keeps it."""
    first = UnixListener(tmp_path / "s", 0o600)
    (tmp_path / "s").unlink()
    with socket.socket(socket.AF_UNIX) as second:
        second.bind(str(tmp_path / "s"))
        first.close()
        assert (tmp_path / "s").exists()
