"""The limit of open files: raise it, keep connections within it, detect when descriptors run out.

Containers and services start with a soft limit of 1,024 and a much higher hard limit (containerd 2, systemd); a process
may raise its soft limit to the hard one. Settings that still do not fit are lowered, so that descriptors remain for
probes, the database and files: further connections get 503, or are closed if many are silent.

At the limit the event loop closes new connections silently (libuv), so that only polling shows a shortage.
"""

from __future__ import annotations

import errno
import os
import resource
from typing import Final

import structlog

_MAX_LIMIT: Final = 2**20  # if there is no hard limit; the default maximum of Linux
_SHORTAGE_ERRORS: Final = frozenset({errno.EMFILE, errno.ENFILE})

_log = structlog.get_logger(__name__)


def raise_open_files_limit() -> int:
    """Raise the soft limit of open files to the hard limit, and return the resulting limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_LIMIT if hard == resource.RLIM_INFINITY else hard
    if soft not in (resource.RLIM_INFINITY, wanted):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # the system accepts less than its hard limit
            return soft
    return wanted


def connection_limit(limit: int, reserved: int) -> int:
    """Return how many connections fit into `limit` open files.

    `reserved`: descriptors for everything else, such as probes, the database and files; at most half of the limit.
    """
    return limit - min(reserved, limit // 2)


def fit_to_limit(room: int, setting: str, wanted: int, *, times: int = 1) -> int:
    """Return a setting that limits connections, lowered to what fits, with a warning.

    `times`: the number of listeners with this limit.
    """
    allowed = max(1, min(wanted, room // times))
    if allowed < wanted:
        _log.warning(
            "setting lowered: the limit of open files is too low",
            setting=setting,
            wanted=wanted,
            allowed=allowed,
            open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        )
    return allowed


class DescriptorShortage:
    """Detects when this process or the machine has no descriptors left. Call `check` about every second."""

    def __init__(self) -> None:
        self.is_now = False
        self.count = 0

    def check(self) -> bool:
        """Return whether no descriptor is left; log when that begins and ends."""
        try:
            os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            if error.errno not in _SHORTAGE_ERRORS:
                return self.is_now
            if not self.is_now:
                self.count += 1
                self.is_now = True
                _log.error("no file descriptors left; new connections are reset", error=error.strerror)
            return True
        if self.is_now:
            self.is_now = False
            _log.info("file descriptors available again")
        return False
