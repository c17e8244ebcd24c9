"""The part of a leader that counts usage: it answers what its workers hand on, on a Unix socket of its own.

The socket is in the data folder, which only this user can enter and this process has locked; where its path would be
too long for a socket, in a temporary folder.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tiergate.errors import ListenError

if TYPE_CHECKING:
    from contextlib import ExitStack

_NAME: Final = "workers.sock"
_LONGEST_PATH: Final = 100
_BACKLOG: Final = 1_024


def bind_for_workers(folder: Path, opened: ExitStack) -> tuple[socket.socket, Path]:
    """Bind the socket for workers; `opened` closes and removes it.

    Raises:
        ListenError: it cannot be bound.
    """
    path = folder.absolute() / _NAME
    if len(str(path)) > _LONGEST_PATH:
        temporary = tempfile.mkdtemp(prefix="tiergate-")
        opened.callback(shutil.rmtree, temporary, ignore_errors=True)
        path = Path(temporary, _NAME)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    opened.callback(bound.close)
    try:
        path.unlink(missing_ok=True)  # of a process that was killed
        bound.bind(str(path))
        path.chmod(0o600)
        bound.listen(_BACKLOG)
    except OSError as error:
        raise ListenError(f"cannot listen on `{path}` for the workers: {error.strerror}") from None
    opened.callback(_remove, path)
    bound.setblocking(False)
    return bound, path


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
