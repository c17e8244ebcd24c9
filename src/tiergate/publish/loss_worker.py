"""Weighs a publication in a process of its own: `python -m tiergate.publish.loss_worker`.

Reads a `Job` as one line of JSON from standard input, and writes lines of JSON to standard output as `loss` says. It
gives way to others, and ends when whoever started it does: when its standard input ends.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from tiergate.bundle import Bundle
from tiergate.errors import TiergateError
from tiergate.impact.preview.preview import Preview
from tiergate.process.parent_watch import end_with_parent
from tiergate.publish.loss_gate import Job, Line, weighed
from tiergate.store import Store

__all__ = ["main"]

_NICENESS = 10

_encode = msgspec.json.Encoder(decimal_format="number").encode


def main() -> None:
    """Do the job on standard input."""
    os.nice(_NICENESS)
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    end_with_parent()
    try:
        old, new = (Bundle.open(Path(side)) for side in (job.old, job.new))
        preview = Preview(old, new, now=job.now, at=job.at)
        store = Store.open(job.database)
        try:
            for line in weighed(store, preview, job.now, listing=job.listing):
                _say(line)
        finally:
            store.close()
    except TiergateError as error:
        _say({"error": str(error)})


def _say(line: Line) -> None:
    sys.stdout.buffer.write(_encode(line) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
