"""Compare one engine decision with the public `cedarpy.is_authorized` on prepared input."""

from __future__ import annotations

import gc
import json
import random
import statistics
import time
from typing import TYPE_CHECKING

import cedarpy
import msgspec

from benchmarks.table import Row
from benchmarks.workload import Size, check_bodies, write_catalog
from tiergate.bundle import Bundle, write_bundle
from tiergate.engine import CachedEvaluator, CacheLimits, Evaluator
from tiergate.engine.cedar_entities import lean_principal
from tiergate.model import Check, Customer, Subject, SubjectRecord, Subscription, SubscriptionItem, SubscriptionStatus
from tiergate.publish import compile_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_NOW = 1_800_000_000_000
_SIZE = Size(features=400, plans=1_000, customers=20_000)
_CHECKS = 20_000


class _Records:
    """All records in memory. The HTTP rows measure the replica."""

    def __init__(self, records: dict[str, SubjectRecord]) -> None:
        self._records = records

    def find(self, subject: Subject) -> SubjectRecord | None:
        return self._records.get(subject.id)


def engine_rows(directory: Path, rounds: int) -> Iterator[Row]:
    """Decide new checks, in turn with Cedar alone on the same slices and entities."""
    bundle = _bundle(directory)
    draw = random.Random(4)
    records = {f"c{i}": _record(f"c{i}", draw) for i in range(_SIZE.customers)}
    checks = [_check(body) for body in check_bodies(_SIZE, _CHECKS, 5)]
    maker = Evaluator(bundle, _Records(records))
    ready = []
    for check in checks:
        made = maker.evaluate(check, _NOW)
        if made.slice is None or made.active_items is None or made.principal is None:
            continue
        feature = maker.index.features[check.feature]
        entities = maker.factory.entities(feature, (), lean_principal(check.subject, made.active_items.refs), ())
        request = {
            "principal": {"type": made.principal.type, "id": made.principal.id},
            "action": {"type": "Action", "id": made.action},
            "resource": {"type": "Feature", "id": check.feature},
            "context": json.loads(made.context),
        }
        ready.append((request, made.slice.group.handle, entities.handle))
    engine = CachedEvaluator(Evaluator(bundle, _Records(records), limits=CacheLimits(subjects=2_000)))
    gc.collect()
    gc.freeze()
    ratios, ours, theirs = [], [], []
    step = _CHECKS // (rounds + 1)
    for check in checks[:step]:
        engine.decide(check, _NOW)
    for begin in range(step, step * (rounds + 1), step):
        start = time.perf_counter()
        for request, policies, entities_handle in ready[begin : begin + step]:
            cedarpy.is_authorized(request, policies, entities_handle)
        between = time.perf_counter()
        for check in checks[begin : begin + step]:
            engine.decide(check, _NOW)
        end = time.perf_counter()
        theirs.append((between - start) / step)
        ours.append((end - between) / step)
        ratios.append(ours[-1] / theirs[-1])
    gc.unfreeze()
    text = f"{statistics.median(ours) * 1e6:.0f} µs / {statistics.median(theirs) * 1e6:.0f} µs"
    yield Row("an engine decision / cedarpy.is_authorized", statistics.median(ratios), 2.5, text, most=True)


def _bundle(directory: Path) -> Bundle:
    """Return the measured bundle; create it once."""
    home = directory / "engine"
    if not (home / "bundle").exists():
        home.mkdir(parents=True, exist_ok=True)
        write_catalog(home / "catalog.yaml", _SIZE.features, _SIZE.plans)
        write_bundle(compile_bundle([home / "catalog.yaml"]), home / "bundle")
    return Bundle.open(home / "bundle")


def _record(customer: str, draw: random.Random) -> SubjectRecord:
    plans = draw.sample(range(_SIZE.plans), draw.randint(1, 3))
    items = tuple(SubscriptionItem(f"p{plan}") for plan in plans)
    subscription = Subscription(f"s{customer}", customer, SubscriptionStatus.ACTIVE, items)
    return SubjectRecord(Customer(customer), (subscription,))


def _check(body: str) -> Check:
    fields = msgspec.json.decode(body.encode(), type=dict[str, str | int])
    fields["subject"] = Subject(str(fields["subject"]))  # type: ignore[assignment]
    return Check(**fields)  # type: ignore[arg-type]
