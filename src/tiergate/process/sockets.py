"""Binding sockets, before anything is served on them: an address in use shows at once, and nothing is half open."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import os
import socket
import stat
from typing import TYPE_CHECKING, Final

from tiergate.errors import ListenError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BACKLOG: Final = 2048
"""How many connections may wait to be accepted."""

_ALL_IPV6: Final = "::"


def bind_tcp(host: str, port: int) -> list[socket.socket]:
    """Bind every address that `host` means, on one port; port 0 takes a free one. Not listening yet.

    `::` takes IPv4 too.

    Raises:
        ListenError: there is no such host, or none of its addresses can be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ListenError(f"cannot listen on `{host}`: {error.strerror}") from None
    bound: list[socket.socket] = []
    refused: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        try:
            bound.append(_bind(socket.socket(family, kind, protocol), (address[0], port, *address[2:])))
        except OSError as error:
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                _close(bound)
                raise ListenError(f"cannot listen on `{host}` port {port}: {os.strerror(error.errno or 0)}") from None
            refused = error
            continue
        port = bound[0].getsockname()[1]
    if not bound:
        raise ListenError(f"cannot listen on `{host}` port {port}: {refused}")
    return bound


def url_of(bound: socket.socket) -> str:
    """The URL under which a bound TCP socket is reached."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class UnixListener:
    """A Unix socket under a path, for as long as it is open.

    It is bound beside its place, given its owner and mode, and only then renamed there: nobody can connect before its
    permissions hold, and a client finds the old socket or the new. A lock beside it says that its server lives; the
    socket that a dead one left is replaced.
    """

    def __init__(self, path: Path, mode: int, group: str | None = None) -> None:
        """Bind and listen.

        Raises:
            ListenError: the path is taken, or cannot be used.
            SettingsError: there is no such group, or it may not be given the socket.
        """
        self.path = path.absolute()
        self._lock_path = self.path.with_name(f".{self.path.name}.lock")
        self._lock = self._take_lock()
        unfinished = self.path.with_name(f".{os.getpid()}")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._refuse_what_is_not_ours()
            with contextlib.suppress(FileNotFoundError):
                unfinished.unlink()
            self.socket.bind(str(unfinished))
            if group is not None:
                _give_to(unfinished, group)
            unfinished.chmod(mode)
            self.socket.listen(BACKLOG)
            unfinished.rename(self.path)
            self._inode = self.path.stat().st_ino
        except OSError as error:
            self._abandon(unfinished)
            raise ListenError(f"cannot listen on `{path}`: {error.strerror or error}") from None
        except (ListenError, SettingsError):
            self._abandon(unfinished)
            raise

    def remove(self) -> None:
        """Take the socket away from its path, if it is still this one, so that nobody new can connect."""
        with contextlib.suppress(OSError):
            if self.path.stat().st_ino == self._inode:
                self.path.unlink()

    def close(self) -> None:
        """Close it, and let go of the path."""
        self.remove()
        self.socket.close()
        self._drop_lock()

    def _take_lock(self) -> int:
        while True:
            try:
                descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise ListenError(f"cannot listen on `{self.path}`: {error.strerror}") from None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                raise ListenError(f"cannot listen on `{self.path}`: another sidecar does") from None
            with contextlib.suppress(FileNotFoundError):
                if self._lock_path.stat().st_ino == os.fstat(descriptor).st_ino:
                    return descriptor
            os.close(descriptor)  # its holder has removed it meanwhile

    def _drop_lock(self) -> None:
        with contextlib.suppress(OSError):
            self._lock_path.unlink()
        os.close(self._lock)

    def _refuse_what_is_not_ours(self) -> None:
        """Refuse a path where something lives, or something other than a socket is.

        Raises:
            ListenError: for these reasons.
            OSError: nobody could ever connect to this path.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self.path))
            except FileNotFoundError:
                return
            except ConnectionRefusedError:
                if not stat.S_ISSOCK(self.path.lstat().st_mode):
                    raise ListenError(f"cannot listen on `{self.path}`: it exists and is no socket") from None
                return
        raise ListenError(f"cannot listen on `{self.path}`: another program does")

    def _abandon(self, unfinished: Path) -> None:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        self.socket.close()
        self._drop_lock()


def _bind(made: socket.socket, address: tuple[object, ...]) -> socket.socket:
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != _ALL_IPV6)
        made.bind(address)
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made


def _close(sockets: Sequence[socket.socket]) -> None:
    for one in sockets:
        one.close()


def _give_to(path: Path, group: str) -> None:
    try:
        number = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
        os.chown(path, -1, number)
    except KeyError:
        raise SettingsError("uds-group", f"there is no group `{group}`") from None
    except PermissionError:
        raise SettingsError("uds-group", f"this user may not give a file to `{group}`") from None
