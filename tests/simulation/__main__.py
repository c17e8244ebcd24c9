"""Run any number of schedules over all cores: `python -m tests.simulation --schedules 1000000 --seed 1`.

Schedule n of a run is the one of seed + n, so a failure is repeated by `--schedules 1 --seed <its seed>`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from multiprocessing import Pool
from typing import NamedTuple

from tests.simulation.oracle import ViolationError
from tests.simulation.world import STEPS, World

CHUNK = 200
FAILURES_MAX = 20


class Chunk(NamedTuple):
    """Seeds that one process runs one after the other."""

    first: int
    schedules: int
    steps: int


def run_chunk(chunk: Chunk) -> list[tuple[int, str]]:
    """Run schedules; return the seeds of those that failed, with what was violated."""
    failures = []
    for seed in range(chunk.first, chunk.first + chunk.schedules):
        try:
            World(seed).run(chunk.steps)
        except ViolationError as violation:
            failures.append((seed, str(violation)))
        except Exception as error:  # noqa: BLE001 - a schedule must not raise anything else either
            failures.append((seed, repr(error)))
    return failures


def main() -> int:
    """Run the schedules, and print what failed; the exit status is 1 if any did."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Simulate the lease protocol.")
    parser.add_argument("--schedules", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first schedule")
    parser.add_argument("--steps", type=int, default=STEPS, help="how many things happen in a schedule")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    end = options.seed + options.schedules
    chunks = [Chunk(first, min(CHUNK, end - first), options.steps) for first in range(options.seed, end, CHUNK)]
    started = time.monotonic()
    failed = done = 0
    with Pool(options.processes) as pool:
        for failures in pool.imap(run_chunk, chunks):
            done += CHUNK
            for seed, violation in failures:
                failed += 1
                print(f"seed {seed}: {violation}", flush=True)  # noqa: T201
            if sys.stderr.isatty() and done % 10_000 == 0:
                print(f"{done} schedules, {failed} failed", file=sys.stderr)  # noqa: T201
            if failed >= FAILURES_MAX:
                break
    print(f"{min(done, options.schedules)} schedules, {failed} failed, {time.monotonic() - started:.0f} s")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
