"""A `tiergate` process that can be killed, paused, starved of disk or of true time, and started again at any time."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.system.shifted_clock import step_clock

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHIFTED: Final = Path(__file__).with_name("shifted_clock.py")


class Supervised:
    """One process, as a supervisor keeps it: the same arguments each time, and one log."""

    def __init__(self, folder: Path, name: str, arguments: Sequence[str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.clock = folder / f"{name}.clock"
        step_clock(self.clock, 0)
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def lives(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def ensure(self) -> None:
        """Start it if it does not run."""
        if not self.lives:
            environment = {name: value for name, value in os.environ.items() if not name.startswith("TIERGATE_")}
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, str(_SHIFTED), str(self.clock), *self._arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    start_new_session=True,
                )

    def kill(self) -> None:
        """Kill it, with everything that it started, and wait until it is gone."""
        if self._process is not None and self.lives:
            self.signal(signal.SIGKILL)
            self._process.wait()

    def terminate(self) -> None:
        """Ask it to end, and wait until it is gone."""
        if self._process is not None and self.lives:
            self.signal(signal.SIGTERM)
            self._process.wait(60)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and to everything that it started."""
        if self._process is not None and self.lives:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def starve(self, size: int | None) -> None:
        """Let it write no file beyond `size` bytes, as on a full disk; none: any size again."""
        if self._process is not None and self.lives:
            limit = resource.RLIM_INFINITY if size is None else size
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def step_clock(self, milliseconds: int) -> None:
        """Set how far its wall clock is off."""
        step_clock(self.clock, milliseconds)
