"""Open files of this process: the limit raised as far as it goes, connections kept within it, a shortage noticed.

Containers and services start with a soft limit of 1,024 and a hard one far above (containerd 2, systemd); a process may
raise the first to the second by itself. What does not fit even then is lowered, so that descriptors are left for
probes, the database and files: connections beyond the bound are answered with 503, or closed where many are silent.

At the limit the event loop closes new connections unseen (libuv sheds them), so a shortage shows by looking alone.
"""

from __future__ import annotations

import errno
import os
import resource
from typing import Final, Protocol

import structlog

_SURPLUS: Final = 32
_MOST: Final = 2**20  # where the hard limit has no end; Linux takes no more by default
_TELLING: Final = frozenset({errno.EMFILE, errno.ENFILE})

_log = structlog.get_logger(__name__)


def raise_open_files_limit() -> int:
    """Raise the soft limit of open files to the hard one, and return the limit that holds then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else hard
    if soft not in (resource.RLIM_INFINITY, wanted):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # a system that wants less than it says
            return soft
    return wanted


def connection_limit(limit: int, kept_back: int) -> int:
    """How many connections fit into `limit` open files.

    `kept_back`: descriptors for everything else, such as probes, the database and files; at most half of the limit.
    """
    return limit - min(kept_back, limit // 2)


def fit_to_limit(room: int, setting: str, wanted: int, *, times: int = 1) -> int:
    """The value of a setting that bounds connections: what is wanted, or what fits, which is logged as a warning.

    `times`: how many listeners take as many each.
    """
    taken = max(1, min(wanted, room // times))
    if taken < wanted:
        _log.warning(
            "the limit of open files is too low for a setting; the setting is lowered",
            setting=setting,
            wanted=wanted,
            taken=taken,
            open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        )
    return taken


class Closable(Protocol):
    """A connection that can be given up at once."""

    def give_up(self) -> None:
        """Close it, whatever is under way."""
        ...


class ExcessConnections:
    """The connections beyond the limit of one listener: some, for long enough to be told that there are too many.

    Who asks is answered at once, and is gone. Who is silent is closed when others come.
    """

    def __init__(self, most: int = _SURPLUS) -> None:
        """Keep `most` of them."""
        self._most = most
        self._kept: dict[Closable, None] = {}
        self.closed = 0

    def add(self, connection: Closable) -> None:
        """Take one more; the one that was there longest goes, where there are too many."""
        self._kept[connection] = None
        if len(self._kept) > self._most:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            self.closed += 1
            oldest.give_up()

    def discard(self, connection: Closable) -> None:
        """Forget one that is closed, or has been answered."""
        self._kept.pop(connection, None)


class DescriptorShortage:
    """Whether this process, or the machine, has run out of descriptors. To be looked at every second or so."""

    def __init__(self) -> None:
        self.is_now = False
        self.count = 0

    def look(self) -> bool:
        """Say whether there is none left; the first time, and its end, are logged."""
        try:
            os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            if error.errno not in _TELLING:
                return self.is_now
            if not self.is_now:
                self.count += 1
                self.is_now = True
                _log.error("no file can be opened, and new connections are reset", error=error.strerror)
            return True
        if self.is_now:
            self.is_now = False
            _log.info("files can be opened again")
        return False
