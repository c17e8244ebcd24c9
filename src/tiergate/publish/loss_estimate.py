"""Find what a publication changes for the customers of a store, before it is committed.

Only subjects in the affected scope are evaluated: a few in this process, many in a process of its own, so that other
requests do not wait. The result is a stream of `ImpactLine`s: progress, single effects if they are wanted, and last the
tally with the loss token. `loss_check` decides whether the loss is accepted.

Raises `StoreError` if the store cannot be used, and `BundleError` if a bundle cannot be read.
"""

from __future__ import annotations

import tempfile
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from tiergate import bundle
from tiergate.errors import StoreError
from tiergate.impact.preview.loss_analysis import can_reduce
from tiergate.impact.preview.loss_token import LossAccumulator, losses_of
from tiergate.impact.preview.preview import ImpactPreview
from tiergate.impact.preview.subject_effects import Impact, effect_data, impact_data
from tiergate.model.canonical_json import canonical_json
from tiergate.naming import version_ref
from tiergate.process.worker import Worker, worker_command
from tiergate.publish.stored_usage import StoredUsage
from tiergate.store.affected_records import count_affected_customers, read_affected_records, read_changed_records

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tiergate.bundle import Bundle
    from tiergate.engine import BundleSource
    from tiergate.model import Catalog, Instant, Value
    from tiergate.store import ReadUnit, Store

ImpactLine = dict[str, Any]
"""`progress` (`examined`, `of`), `effect` (as `effect_data`), `error`, or `impact` (as `impact_data`) with `loss`."""

MAX_IN_PROCESS: Final = 2_000
"""Customers that are evaluated in this process, in about a tenth of a second."""

_MOST_CHANGED: Final = 2_000
_PROGRESS_EVERY: Final = 2_000
_USAGE_AT_ONCE: Final = 500
_WORKER: Final = worker_command("tiergate.publish.loss_worker")

_decode = msgspec.json.Decoder(ImpactLine, float_hook=Decimal).decode


class LossJob(msgspec.Struct, frozen=True):
    """The worker's input: the store's database, the folders of both bundles, from when on (`now`), or when (`at`)."""

    database: str
    old: str
    new: str
    now: int
    at: int | None = None
    listing: bool = False


class _BundleWithCatalog:
    """A bundle with its catalog in memory: its definitions need no reading, and unchanged ones are the same objects."""

    def __init__(self, bundle: Bundle, catalog: Catalog) -> None:
        self.revision, self.index = bundle.revision, bundle.index
        self.text, self.paths = bundle.text, bundle.paths
        self._given = {
            version_ref(item.kind, item.id, definition.version): definition.entitlements
            for item in catalog.items.values()
            for definition in item.versions
        }

    def definition(self, ref: str) -> Mapping[str, Value]:
        """Return the entitlements of a version."""
        return self._given[ref]


class LossEstimate:
    """A change from one bundle to another, ready to be compared for the subjects of the store."""

    def __init__(
        self, old: tuple[Bundle, Catalog], new: tuple[Bundle, Catalog], now: Instant, at: Instant | None = None
    ) -> None:
        """Compare both bundles, given with their catalogs.

        `now` in UTC milliseconds; `at`: the only instant that counts; default: all from `now` on.
        """
        self._old, self._new = old[0], new[0]
        self._now, self._at = now, at
        before, after = _BundleWithCatalog(*old), _BundleWithCatalog(*new)
        self._preview = ImpactPreview(before, after, now=now, at=at)
        self.can_reduce = can_reduce(before, after, self._preview.touched, now)

    def lines(self, store: Store, *, listing: bool = False) -> Iterator[ImpactLine]:
        """Find every effect; the last line is the tally."""
        touched = self._preview.touched

        def count(unit: ReadUnit) -> int:
            return count_affected_customers(unit.session, touched.items, touched.features)

        if not touched.features:
            yield {"impact": impact_data(Impact()), "loss": ""}
        elif store.read(count) <= MAX_IN_PROCESS:
            yield from stream_impact(store, self._preview, self._now, listing=listing)
        else:
            yield from self._run_worker(store, listing=listing)

    def tally(self, store: Store) -> ImpactLine:
        """Return the tally, with the loss token as `loss`; raises as `lines`."""
        tally: ImpactLine = {}
        for line in self.lines(store):
            if "impact" in line:
                tally = {**line["impact"], "loss": line["loss"]}
        return tally

    def takes_from_changed(self, unit: ReadUnit, position: int) -> bool:
        """Return whether a subject that changed after a feed position may lose something."""
        records = read_changed_records(unit.session, position, _MOST_CHANGED)
        return records is None or any(it.effect.reduces for record in records for it in self._preview.effects(record))

    def _run_worker(self, store: Store, *, listing: bool) -> Iterator[ImpactLine]:
        with tempfile.TemporaryDirectory(prefix="tiergate-loss-") as folder:
            old, new = Path(folder, "old"), Path(folder, "new")
            for side, place in ((self._old, old), (self._new, new)):
                bundle.write_bundle({path: side.content(path) for path in side.paths()}, place)
            url = store.database.engine.url.render_as_string(hide_password=False)
            job = LossJob(url, str(old), str(new), self._now, self._at, listing)
            yield from _run_worker_job(job)


def _run_worker_job(job: LossJob) -> Iterator[ImpactLine]:
    worker, done = Worker(_WORKER), False
    try:
        for line in worker.run(job):
            message = _decode(line)
            if "error" in message:
                raise StoreError(f"cannot estimate what customers lose: {message['error']}")
            done = "impact" in message
            yield message
        worker.wait()
        failure = worker.failure()
    finally:
        worker.kill()
        worker.wait()
        worker.close()
    if failure is not None or not done:
        raise StoreError(f"cannot estimate what customers lose: {failure or 'the worker ended early'}")


def stream_impact(store: Store, preview: ImpactPreview, now: Instant, *, listing: bool) -> Iterator[ImpactLine]:
    """Compare all affected subjects, from `now` on."""
    touched, impact, lost = preview.touched, Impact(), LossAccumulator()
    with store.database.reading() as session:
        total = count_affected_customers(session, touched.items, touched.features)
        usage = StoredUsage(session, preview.sides[0].index, touched.features, now)
        records = read_affected_records(session, touched.items, touched.features)
        while part := list(islice(records, _USAGE_AT_ONCE)):
            usage.choose([record.customer.id for record in part])
            for record in part:
                effects = preview.effects(record, usage)
                impact.count(effects)
                lost.add(record.customer.id, losses_of(effects, now))
                if listing:
                    for effect in effects:
                        yield {"effect": effect_data(effect)}
                if not impact.examined % _PROGRESS_EVERY:
                    yield {"progress": {"examined": impact.examined, "of": total}}
    yield {"impact": impact_data(impact), "loss": lost.token(_basis(preview, lost.features))}


def _basis(preview: ImpactPreview, features: Iterable[str]) -> Iterator[str]:
    """Return what determines the loss besides the values: the rules and features that differ between both sides."""
    if preview.touched.by_cedar:
        old, new = (_rules(side) for side in preview.sides)
        for path in sorted(old.keys() | new.keys()):
            if old.get(path) != new.get(path):
                yield from (path, repr(old.get(path)), repr(new.get(path)))
    for id_ in sorted(features):
        before, after = (side.index.features.get(id_) for side in preview.sides)
        if before != after:
            for feature in (before, after):
                plain = None if feature is None else replace(feature, name="", description="", tags=(), linked=())
                yield canonical_json(plain).decode()


def _rules(side: BundleSource) -> dict[str, str]:
    paths = (*side.paths("policies/rules/"), *side.paths("entities/rules/"))
    return {path: side.text(path) for path in paths}
