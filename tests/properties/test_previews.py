"""A preview finds exactly those whom a change gives something or takes it from, as the reference model decides.

The model is asked about every subject and feature, at every instant that a document mentions, with many checks at and
around everything that anybody holds or may ask for: the effect is how the sets of allowed checks stand to each other.
"""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from tests.example_counts import part_of_examples
from tests.properties.choices import Seeded
from tests.properties.documents import INSTANTS, catalog, feature, item, subjects_of
from tests.properties.engines import World
from tests.properties.rules import files
from tests.reference.entitlement import UNLIMITED, Catalogue, amount_of, boundaries, facts, millis, reason_of, versions
from tiergate.impact.preview.affected_scope import find_affected_scope
from tiergate.impact.preview.loss_analysis import can_reduce
from tiergate.impact.preview.preview import ImpactPreview
from tiergate.impact.preview.subject_effects import Effect, Impact
from tiergate.model import SubjectType

if TYPE_CHECKING:
    from tests.properties.choices import Choices
    from tests.properties.documents import Document
    from tiergate.bundle import Bundle

Found = set[tuple[str, str, str, str, int]]

SEEDS = st.integers(0, 2**64)


def changed(choose: Choices, before: Document) -> Document:
    """Another catalog that the same subjects fit: features keep type, scale and labels, items and versions stay."""
    after = copy.deepcopy(before)
    for place, was in enumerate(before["features"]):
        if choose.number(1, 4) > 1:
            continue
        for _ in range(20):
            new = feature(choose, was["id"])
            if new["type"] == was["type"] and new.get("scale", 0) == was.get("scale", 0):
                for key in ("levels", "min", "max"):  # what definitions must keep to
                    new.pop(key, None)
                    if key in was:
                        new[key] = was[key]
                after["features"][place] = new
                break
    for place, was in enumerate(before["items"]):
        kind = choose.number(1, 4)
        if kind == 1:
            new = item(choose, was["id"], after["features"]) | {"kind": was["kind"]}
            after["items"][place] = new
        elif kind == 2:
            numbers = [it["version"] for it in versions(was)]
            next_one = {"version": max(numbers) + 1} | {"entitlements": _given(choose, was, after["features"])}
            new = {key: value for key, value in was.items() if key not in {"entitlements", "version"}}
            new["versions"] = [*versions(was), next_one]
            if "rollouts" in was or choose.number(0, 1):
                start = {"from": choose.one(INSTANTS)} if choose.number(0, 1) else {}
                new["rollouts"] = [
                    *was.get("rollouts", [{"version": max(numbers)}]),
                    next_one_of(choose, next_one, start),
                ]
            after["items"][place] = new
    return after


def next_one_of(choose: Choices, version: Document, start: Document) -> Document:
    """A rollout of a version."""
    audiences: list[Any] = ["everybody", "everybody", {"share": 50}, {"tag": "eu"}, *(["new"] if start else [])]
    return {"version": version["version"], "audience": choose.one(audiences)} | start


def _given(choose: Choices, was: Document, features: list[Document]) -> Document:
    made = item(choose, was["id"], features)
    given: Document = versions(made)[0]["entitlements"]
    return given


def several(choose: Choices, of: Document) -> Document:
    """Many customers, by other ids than those of `subjects_of` alone."""
    found: Document = {"apiVersion": "tiergate/v1", "customers": [], "subscriptions": []}
    for turn in range(3):
        one = subjects_of(choose, of)
        found["customers"] += [it | {"id": f"{it['id']}-{turn}"} for it in one["customers"]]
        found["subscriptions"] += [
            it | {"id": f"{it['id']}-{turn}", "customer": f"{it['customer']}-{turn}"} for it in one["subscriptions"]
        ]
    return found


def expected(sides: tuple[Catalogue, Catalogue], known: Document, now: int, instants: list[int]) -> Found:
    """Every effect, and the first instant at which it holds, by the reference model."""
    found: Found = set()
    for customer in known["customers"]:
        held = [it for it in known["subscriptions"] if it["customer"] == customer["id"]]
        subjects = [("customer", customer["id"], held)]
        if len(held) > 1:
            subjects += [("subscription", it["id"], [it | {"asked": True}]) for it in held]
        for kind, id_, asked_about in subjects:
            for name in sides[0].features.keys() | sides[1].features.keys():
                told: set[str] = set()
                for instant in [now, *instants]:
                    effect = effect_on(sides, name, customer, asked_about, instant)
                    if effect is not None and effect not in told:
                        told.add(effect)
                        found.add((kind, id_, name, effect, instant))
    return found


def effect_on(
    sides: tuple[Catalogue, Catalogue], name: str, customer: Document, asked_about: list[Document], now: int
) -> str | None:
    """How the sets of allowed checks stand to each other."""
    both = [(side, side.features[name]) for side in sides if name in side.features]
    totals = [facts(side, of, customer, asked_about, now) for side, of in both]
    checks = [check for _, of in both for check in questions(of, [it.total for it in totals], [it for _, it in both])]
    allowed: list[set[int]] = []
    for side in sides:
        if name not in side.features:
            allowed.append(set())
            continue
        of = side.features[name]
        known = facts(side, of, customer, asked_about, now)
        allowed.append({n for n, check in enumerate(checks) if reason_of(of, known, check) == "granted"})
    before, after = allowed
    if before == after:
        return None
    if not before or not after:
        return "gains" if after else "loses"
    return "less" if after < before else "more" if before < after else "other"


def questions(of: Document, totals: list[Decimal], features: list[Document]) -> list[Document]:
    """Checks at and around everything that can matter."""
    if of["type"] == "switch":
        return [{}]
    if of["type"] == "custom":
        return [{}, *({"level": label} for label in of["levels"])]
    unit = Decimal(1).scaleb(-of.get("scale", 0))
    marks = [it for it in totals if it != UNLIMITED] + [Decimal(10) ** 17]
    if of["type"] == "range":
        return [{}, *({"value": mark + step} for mark in marks for step in (-unit, 0, unit) if mark + step >= 0)]
    amounts = {unit, 2 * unit, Decimal(1), Decimal(2), Decimal(3)}
    caps = [Decimal(cap) for it in features for cap in it.get("caps", {}).values()]
    for it in features:
        batch = it.get("batch", {})
        amounts.add(amount_of(it, {}))
        step = Decimal(batch.get("increment", unit))
        least = Decimal(batch.get("minimum", unit))
        first = -(-least // step) * step
        amounts |= {least, first, first + step, first + 2 * step, step}
        amounts |= {mark // step * step for mark in (*marks, *caps)}
    found: list[Document] = [{}]
    for amount in sorted(it for it in amounts if it > 0):
        found += [
            {"amount": amount, "used": mark - amount + step}
            for mark in (*marks, amount)
            for step in (0, unit)
            if mark - amount + step >= 0
        ]
        found += [
            {"amount": amount, "user_used": cap - amount + step} for cap in caps for step in (0, unit) if cap >= amount
        ]
    return found


@example(23279119)  # a version that goes, to which somebody is pinned
@example(777)  # a version that gives something else under its old number, to who is pinned to it
@settings(max_examples=part_of_examples(4))
@given(SEEDS)
def test_the_effects_of_a_change_are_those_that_the_reference_model_decides(seed: int) -> None:
    """Of every subject and feature, exactly the effects that all checks come to, from the same instant on."""
    choose = Seeded(seed)
    before = catalog(choose)
    after = changed(choose, before)
    known = several(choose, before)
    now = millis(choose.one(INSTANTS[1:6])) + choose.number(-1, 1)
    instants = sorted(it for it in boundaries(before, after, known) if it > now)
    found, impact = previewed(World(before, known), World(after, empty()), now)
    wanted = expected((Catalogue(before, known), Catalogue(after, known)), known, now, instants)
    for kind in {effect for _, _, _, effect, _ in wanted} or {"nothing"}:
        event(kind)
    assert found == wanted
    customers = {it["id"]: it["id"] for it in known["customers"]}
    owner = {it["id"]: it["customer"] for it in known["subscriptions"]} | customers
    old, new = World(before, known).bundle, World(after, empty()).bundle
    if could_store(World(before, known), new) and not can_reduce(old, new, find_affected_scope(old, new, now), now):
        assert impact.reduces == 0
    assert impact.touched == len({owner[id_] for _, id_, _, _, _ in wanted})
    assert impact.reduces == len({owner[id_] for _, id_, _, it, _ in wanted if Effect(it).reduces})


def could_store(world: World, new: Bundle) -> bool:
    """Whether a store that has these subjects could publish it: no version goes that somebody is pinned to."""
    pins = {
        (held.item, held.version)
        for record in world.records.values()
        for subscription in record.subscriptions
        for held in subscription.items
        if held.version is not None
    }
    items = new.index.items
    return all(item not in items or version in items[item].versions for item, version in pins)


def previewed(old: World, new: World, now: int) -> tuple[Found, Impact]:
    """What the preview finds."""
    preview, impact = ImpactPreview(old.bundle, new.bundle, now=now), Impact()
    found: Found = set()
    for record in old.records.values():
        effects = preview.effects(record)
        impact.count(effects)
        for it in (one for one in effects if one.effect is not Effect.KEPT):
            kind = "customer" if it.subject.type is SubjectType.CUSTOMER else "subscription"
            found.add((kind, it.subject.id, it.feature, it.effect.value, it.since))
    return found, impact


def empty() -> Document:
    """No subjects."""
    return {"apiVersion": "tiergate/v1", "customers": [], "subscriptions": []}


@settings(max_examples=part_of_examples(5))
@given(SEEDS)
def test_those_of_one_shape_are_touched_alike(seed: int) -> None:
    """Whoever was looked at before, each subject is told the same as if it were the only one, rules or not."""
    choose = Seeded(seed)
    before = catalog(choose)
    after = changed(choose, before)
    known = several(choose, before)
    now = millis(choose.one(INSTANTS[1:6]))
    rules = files(choose, before, known)
    others = choose.one([rules, files(choose, before, known)])
    old, new = World(before, known, rules), World(after, empty(), others)
    together = ImpactPreview(old.bundle, new.bundle, now=now)
    for record in old.records.values():
        alone = ImpactPreview(old.bundle, new.bundle, now=now)
        assert together.effects(record) == alone.effects(record)
