"""Bind sockets before anything is served, so that an address in use is an error at the start."""

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
"""Maximum number of connections that wait to be accepted."""

_ALL_IPV6: Final = "::"


def bind_tcp(host: str, port: int, *, option: str = "port", is_shared: bool = False) -> list[socket.socket]:
    """Bind all addresses of a host to one port, without listening yet. Port 0 selects a free one; `::` includes IPv4.

    `option`: the name of the setting of the port, for errors. `is_shared`: other sockets of this user may share the
    port.

    Raises:
        ListenError: the host does not exist, or no address can be bound.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ListenError(f"cannot listen on `{host}`: {error.strerror}") from None
    bound: list[socket.socket] = []
    failure: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(addresses):
        try:
            place = (address[0], port, *address[2:])
            bound.append(_bind(socket.socket(family, kind, protocol), place, is_shared=is_shared))
        except OSError as error:
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                _close(bound)
                raise ListenError(_refused(host, port, option, error.errno or 0)) from None
            failure = error
            continue
        port = bound[0].getsockname()[1]
    if not bound:
        raise ListenError(f"cannot listen on `{host}` port {port}: {failure}")
    return bound


def bind_shared_tcp(host: str, port: int, count: int) -> list[list[socket.socket]]:
    """Bind all addresses of a host to one port, `count` times: the system spreads connections over the sockets.

    Only sockets of this call share the port. Port 0 selects a free one. Raises as `bind_tcp`.
    """
    first = bind_tcp(host, port)  # it fails if another process has the port
    port = first[0].getsockname()[1]
    _close(first)
    shared: list[list[socket.socket]] = []
    try:
        for _ in range(count):
            sockets = bind_tcp(host, port, is_shared=True)
            shared.append(sockets)
    except ListenError:
        for sockets in shared:
            _close(sockets)
        raise
    return shared


def _refused(host: str, port: int, option: str, number: int) -> str:
    """Return why a port cannot be bound, and what to do about it."""
    cures = {
        errno.EADDRINUSE: f": choose another one with `--{option}`, or any free one with `--{option} 0`",
        errno.EACCES: f": ports below 1024 need a right of their own; choose another one with `--{option}`",
    }
    return f"cannot listen on `{host}` port {port}: {os.strerror(number)}{cures.get(number, '')}"


def url_of(bound: socket.socket) -> str:
    """Return the URL of a bound TCP socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class UnixListener:
    """A Unix socket that listens at a path until it is closed.

    It is bound beside its path, gets its owner and mode, and is then renamed: nobody can connect before its permissions
    are set, and clients find the old socket or the new one. A lock file shows that its server runs; the socket of a
    dead server is replaced.
    """

    def __init__(self, path: Path, mode: int, group: str | None = None) -> None:
        """Bind and listen.

        Raises:
            ListenError: the path is in use or unusable.
            SettingsError: the group does not exist, or this user may not give it the socket.
        """
        self.path = path.absolute()
        self._lock_path = self.path.with_name(f".{self.path.name}.lock")
        self._lock = self._acquire_lock()
        unfinished = self.path.with_name(f".{os.getpid()}")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._check_path()
            with contextlib.suppress(FileNotFoundError):
                unfinished.unlink()
            self.socket.bind(str(unfinished))
            if group is not None:
                _change_group(unfinished, group)
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
        """Remove the socket from its path, if it is still this one, so that nobody new can connect."""
        with contextlib.suppress(OSError):
            if self.path.stat().st_ino == self._inode:
                self.path.unlink()

    def close(self) -> None:
        """Close it and release the path."""
        self.remove()
        self.socket.close()
        self._release_lock()

    def _acquire_lock(self) -> int:
        while True:
            try:
                descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise ListenError(f"cannot listen on `{self.path}`: {error.strerror}") from None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                raise ListenError(f"cannot listen on `{self.path}`: another sidecar listens there") from None
            with contextlib.suppress(FileNotFoundError):
                if self._lock_path.stat().st_ino == os.fstat(descriptor).st_ino:
                    return descriptor
            os.close(descriptor)  # the other process removed it

    def _release_lock(self) -> None:
        with contextlib.suppress(OSError):
            self._lock_path.unlink()
        os.close(self._lock)

    def _check_path(self) -> None:
        """Check that no program listens at the path, and that it is free or a socket.

        Raises:
            ListenError: otherwise.
            OSError: nobody can connect to this path.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self.path))
            except FileNotFoundError:
                return
            except ConnectionRefusedError:
                if not stat.S_ISSOCK(self.path.lstat().st_mode):
                    raise ListenError(f"cannot listen on `{self.path}`: it exists and is not a socket") from None
                return
        raise ListenError(f"cannot listen on `{self.path}`: another program listens there")

    def _abandon(self, unfinished: Path) -> None:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        self.socket.close()
        self._release_lock()


def _bind(bound: socket.socket, address: tuple[object, ...], *, is_shared: bool) -> socket.socket:
    try:
        if is_shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if bound.family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != _ALL_IPV6)
        bound.bind(address)
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


def _close(sockets: Sequence[socket.socket]) -> None:
    for bound in sockets:
        bound.close()


def _change_group(path: Path, group: str) -> None:
    try:
        number = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
        os.chown(path, -1, number)
    except KeyError:
        raise SettingsError("uds-group", f"there is no group `{group}`") from None
    except PermissionError:
        raise SettingsError("uds-group", f"this user may not give a file to `{group}`") from None
