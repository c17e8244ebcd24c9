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
from tiergate.engine import CacheLimits, EngineOptions, Evaluator
from tiergate.engine.cedar_entities import lean_principal, principal_entities
from tiergate.model import Check, Customer, Subject, SubjectRecord, Subscription, SubscriptionItem, SubscriptionStatus
from tiergate.publish import compile_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_NOW = 1_800_000_000_000
_SIZE = Size(features=400, plans=1_000, customers=20_000)
_CHECKS = 20_000
_TAGS = ("beta", "partner", "banned", "eu", "trial")
_ATTRIBUTES = {"region": ("eu", "us", "xx"), "tier": ("gold", "silver"), "industry": ("games", "government")}
_RULES = """\
@id("banned") forbid(principal, action, resource) when { principal.tags.contains("banned") };
@id("partner") permit(principal, action, resource) when { principal.tags.contains("partner") };
@id("region") forbid(principal, action, resource)
  when { principal.hasTag("region") && principal.getTag("region") == "xx" };
@id("gold-beta") permit(principal, action, resource)
  when { principal.tags.contains("beta") && principal.hasTag("tier") && principal.getTag("tier") == "gold" };
@id("industry") forbid(principal, action, resource)
  when { principal.hasTag("industry") && principal.getTag("industry") like "gov*" && !principal.tags.contains("eu") };
@id("customer") forbid(principal, action, resource) when { principal.customer == "c17" };
@id("overridden") forbid(principal, action, resource) when { context.overridden && !context.given };
@id("unit") permit(principal, action, resource) when { context.given && resource.unit == "gigabytes" };
@id("plan") forbid(principal, action, resource)
  when { principal in Item::"plan/p7" && resource.type == "range" && context.held };
@id("suspended") forbid(principal, action, resource) when { context.suspended && context.live };
"""


class _Records:
    """All records in memory. The HTTP rows measure the replica."""

    def __init__(self, records: dict[str, SubjectRecord]) -> None:
        self._records = records

    def find(self, subject: Subject) -> SubjectRecord | None:
        return self._records.get(subject.id)


def engine_rows(directory: Path, rounds: int) -> Iterator[Row]:
    """Decide new checks, in turn with Cedar alone on the same slices and entities."""
    yield _engine_row("an engine decision / cedarpy.is_authorized", _bundle(directory, ""), rounds, 0.6)
    what = "… with 10 rules of the users' own on every feature / cedarpy.is_authorized"
    yield _engine_row(what, _bundle(directory, _RULES), rounds, 1.2)


def _engine_row(what: str, bundle: Bundle, rounds: int, target: float) -> Row:
    draw = random.Random(4)
    records = {f"c{i}": _record(f"c{i}", draw) for i in range(_SIZE.customers)}
    checks = [_check(body) for body in check_bodies(_SIZE, _CHECKS, 5)]
    maker = Evaluator(bundle, _Records(records))
    ready = []
    for check in checks:
        made = maker.evaluate(check, _NOW)
        if made.slice is None or made.active_items is None or made.principal is None or made.record is None:
            continue
        feature, rules, refs = maker.index.features[check.feature], made.slice.rules, made.active_items.refs
        full = principal_entities(check.subject, made.record.customer, refs)
        text = full if rules else lean_principal(check.subject, refs)
        request = {
            "principal": {"type": made.principal.type, "id": made.principal.id},
            "action": {"type": "Action", "id": made.action},
            "resource": {"type": "Feature", "id": check.feature},
            "context": json.loads(made.context),
        }
        ready.append((request, made.slice.group.handle, maker.factory.entities(feature, rules, text, refs).handle))
    engine = EngineOptions(CacheLimits(subjects=2_000)).build(bundle, _Records(records))
    gc.collect()
    gc.freeze()
    ratios, ours, theirs = [], [], []
    step = _CHECKS // (rounds + 1)
    for check in checks[:step]:
        engine.decide(check, _NOW)
    for begin in range(step, step * (rounds + 1), step):
        start = time.process_time()
        for request, policies, entities_handle in ready[begin : begin + step]:
            cedarpy.is_authorized(request, policies, entities_handle)
        between = time.process_time()
        for check in checks[begin : begin + step]:
            engine.decide(check, _NOW)
        end = time.process_time()
        theirs.append((between - start) / step)
        ours.append((end - between) / step)
        ratios.append(ours[-1] / theirs[-1])
    gc.unfreeze()
    text = f"{statistics.median(ours) * 1e6:.0f} µs / {statistics.median(theirs) * 1e6:.0f} µs"
    return Row(what, statistics.median(ratios), target, text, most=True)


def _bundle(directory: Path, rules: str) -> Bundle:
    """Return the measured bundle, with or without rules; create it once."""
    home = directory / ("engine-rules" if rules else "engine")
    if not (home / "bundle").exists():
        (home / "rules").mkdir(parents=True, exist_ok=True)
        write_catalog(home / "catalog.yaml", _SIZE.features, _SIZE.plans)
        if rules:
            (home / "rules" / "own.cedar").write_text(rules, encoding="utf-8")
        write_bundle(compile_bundle([home / "catalog.yaml"], home / "rules" if rules else None), home / "bundle")
    return Bundle.open(home / "bundle")


def _record(customer: str, draw: random.Random) -> SubjectRecord:
    plans = draw.sample(range(_SIZE.plans), draw.randint(1, 3))
    items = tuple(SubscriptionItem(f"p{plan}") for plan in plans)
    subscription = Subscription(f"s{customer}", customer, SubscriptionStatus.ACTIVE, items)
    tags = tuple(tag for tag in _TAGS if draw.random() < 0.2)
    attributes = {name: draw.choice(values) for name, values in _ATTRIBUTES.items() if draw.random() < 0.7}
    return SubjectRecord(Customer(customer, tags, attributes), (subscription,))


def _check(body: str) -> Check:
    fields = msgspec.json.decode(body.encode(), type=dict[str, str | int])
    fields["subject"] = Subject(str(fields["subject"]))  # type: ignore[assignment]
    return Check(**fields)  # type: ignore[arg-type]
