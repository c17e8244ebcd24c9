"""Preview many subjects in several processes, each with its own parts of the spool; the result is the same.

The processes open both bundles and the usage from disk. Effects are written to a file per part, and joined in the order
of the parts.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from tiergate import bundle
from tiergate.bundle import Bundle
from tiergate.impact.preview.preview import ImpactPreview, preview_impact
from tiergate.impact.preview.subject_effects import Impact, effect_data
from tiergate.impact.preview.subject_spool import PARTS, part_records
from tiergate.impact.preview.usage_data import UsageTable
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.impact.preview.subject_effects import SubjectEffect
    from tiergate.impact.preview.subject_spool import Spool
    from tiergate.model import Instant

MOST_HERE: Final = 50_000
"""Up to this many customers no other process is started: starting would take as long."""


class _Job(NamedTuple):
    """The input of every process: folders of bundles and parts, the usage file, the instants, the folder of effects."""

    baseline: str
    candidate: str
    parts: str
    figures: str | None
    now: Instant
    at: Instant | None
    effects: str | None


def preview_spool(  # noqa: PLR0913 - all of it has a use of its own
    baseline: Bundle,
    candidate: Bundle,
    spool: Spool,
    *,
    now: Instant,
    at: Instant | None = None,
    usage: UsageTable | None = None,
    progress: Callable[[int], None] | None = None,
    listing: IO[bytes] | None = None,
    processes: int | None = None,
) -> Impact:
    """Preview a change for all subjects of a spool, with one process per processor.

    As `preview_impact`; `listing` receives every effect as a line of JSON.

    Raises:
        BundleError: if a bundle cannot be read.
    """
    count = (os.cpu_count() or 1) if processes is None else processes
    if count < 2 or (processes is None and spool.customers <= MOST_HERE):

        def each(effect: SubjectEffect) -> None:
            if listing is not None:
                listing.write(encode(effect_data(effect)) + b"\n")

        return preview_impact(
            baseline, candidate, spool.records(), now=now, at=at, usage=usage, progress=progress, each=each
        )
    with tempfile.TemporaryDirectory(prefix="tiergate-preview-") as folder:
        sides = [Path(folder, name) for name in ("old", "new")]
        for side, place in zip((baseline, candidate), sides, strict=True):
            bundle.write_bundle({path: side.content(path) for path in side.paths()}, place)
        effects = None if listing is None else folder
        where = None if usage is None else str(usage.flushed())
        job = _Job(str(sides[0]), str(sides[1]), str(spool.folder), where, now, at, effects)
        impact = _preview_parts(job, count, progress)
        if listing is not None:
            for part in range(PARTS):
                listing.write(Path(folder, f"effects-{part}").read_bytes())
    return impact


def _preview_parts(job: _Job, count: int, progress: Callable[[int], None] | None) -> Impact:
    """Run all parts, and add their totals in the order of the parts."""
    tallies: dict[int, Impact] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, initializer=_start_worker, initargs=(job,)) as pool:
        waiting = {pool.submit(_preview_part, part): part for part in range(PARTS)}
        for done in as_completed(waiting):
            tallies[waiting[done]] = done.result()
            if progress is not None:
                progress(sum(tally.examined for tally in tallies.values()))
    result = Impact()
    for part in range(PARTS):
        result.add(tallies[part])
    return result


# ── in the other processes ───────────────────────────────────────────────────────────────────────────────────────────


class _Worker(NamedTuple):
    job: _Job
    preview: ImpactPreview


_workers: list[_Worker] = []
"""The worker of this process."""


def _start_worker(job: _Job) -> None:
    baseline, candidate = (Bundle.open(Path(side)) for side in (job.baseline, job.candidate))
    usage = None if job.figures is None else UsageTable(Path(job.figures))
    _workers[:] = [_Worker(job, ImpactPreview(baseline, candidate, now=job.now, at=job.at, usage=usage))]


def _preview_part(part: int) -> Impact:
    (worker,) = _workers
    impact = Impact()
    lines: list[bytes] = []
    path = None if worker.job.effects is None else Path(worker.job.effects, f"effects-{part}")
    if path is not None:
        path.touch()
    for record in part_records(Path(worker.job.parts), part):
        effects = worker.preview.effects(record)
        impact.count(effects)
        if path is not None and effects:
            lines += [encode(effect_data(effect)) + b"\n" for effect in effects]
    if path is not None:
        path.write_bytes(b"".join(lines))
    return impact
