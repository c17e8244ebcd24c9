"""Run `tiergate` with a clock that somebody else can step: `python shifted_clock.py FILE ARGUMENTS…`.

The file holds eight bytes, a signed number of milliseconds that is added to the wall clock. The monotonic clock goes on
as it does on a machine whose time is set.
"""

from __future__ import annotations

import mmap
import struct
import sys
import time
from pathlib import Path


def step_clock(file: Path, milliseconds: int) -> None:
    """Set how far the clock of the process that runs with `file` is off."""
    file.write_bytes(struct.pack("<q", milliseconds))


def _main() -> None:
    file = Path(sys.argv[1])
    with file.open("r+b") as opened:
        shift = mmap.mmap(opened.fileno(), 8)
    true_time_ns = time.time_ns

    def shifted_ns() -> int:
        milliseconds: int = struct.unpack("<q", shift[:8])[0]
        return true_time_ns() + milliseconds * 1_000_000

    time.time_ns = shifted_ns
    time.time = lambda: shifted_ns() / 1e9
    sys.argv = ["tiergate", *sys.argv[2:]]
    from tiergate.cli import main  # noqa: PLC0415 - after the clock is another one

    main()


if __name__ == "__main__":
    _main()
