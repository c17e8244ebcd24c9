"""Find what a publication changes for customers in a process of its own: `python -m tiergate.publish.loss_worker`.

Reads a `LossJob` as one line of JSON from standard input and writes `ImpactLine`s to standard output. It runs with a
low priority, and ends when its standard input ends: when the process that started it is gone.
"""

from __future__ import annotations

from pathlib import Path

from tiergate.bundle import Bundle
from tiergate.errors import TiergateError
from tiergate.impact.preview.preview import ImpactPreview
from tiergate.process.worker import read_job, write_line
from tiergate.publish.loss_estimate import LossJob, stream_impact
from tiergate.store import Store
from tiergate.wire.json import encode


def main() -> None:
    """Run the job on standard input."""
    job = read_job(LossJob)
    try:
        old, new = (Bundle.open(Path(side)) for side in (job.old, job.new))
        preview = ImpactPreview(old, new, now=job.now, at=job.at)
        store = Store.open(job.database)
        try:
            for line in stream_impact(store, preview, job.now, listing=job.listing):
                write_line(encode(line))
        finally:
            store.close()
    except TiergateError as error:
        write_line(encode({"error": str(error)}))


if __name__ == "__main__":
    main()
