"""What changes of one customer take, against the reference model: nothing that is lost is overlooked.

A change for which no loss is found lowers no total, of the customer or of any of its subscriptions, at any instant, and
whatever becomes of the lives of these subscriptions. A loss that is found, and holds as things are, is one.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from hypothesis import event, given, reject

from tests.properties.choices import Choices, random_strategy
from tests.properties.documents import Document, metered_world, override, with_limit
from tests.properties.engines import World
from tests.reference.entitlement import NOTHING_COUNTED, Catalogue, Facts, boundaries, ceiling, facts, millis
from tiergate.errors import SubjectsError
from tiergate.impact.subject_change.change_effects import (
    CatalogDefinitions,
    RecordChange,
    affected_features,
    only_raises_quantities,
    subject_effects,
)
from tiergate.model import SubjectType

if TYPE_CHECKING:
    from decimal import Decimal

NOW = millis("2026-02-01T00:00:00.001Z")
ALIVE = ("start", "end", "trial_end", "grace_until", "resume_at", "resumes_as")


def change(choose: Choices) -> tuple[Document, Document, Document, str, str]:
    """A world, its subjects after a change of one customer, that customer, and what was done."""
    catalog, before = metered_world(choose)
    after = copy.deepcopy(before)
    customer = choose.one(after["customers"])
    its = [it for it in after["subscriptions"] if it["customer"] == customer["id"]]
    holder = choose.one([customer, *its])
    how = choose.one(["give", "give", "give", "take", "item", "quantity", "tags"])
    if how == "give":
        about = choose.one(catalog["features"])
        new = override(choose, about) | {"id": choose.one(["0", "zz"])}
        if "metered" in about and new.get("mode", "replace") == "replace":
            new["value"] = with_limit(choose, about, new["value"])
        holder["overrides"] = [*holder.get("overrides", []), new]
    elif how == "take" and holder.get("overrides"):
        holder["overrides"] = holder["overrides"][1:]
    elif how == "tags":
        customer["tags"] = choose.one([[], ["eu"], ["pilot"], ["eu", "pilot"]])
    elif holder.get("items"):
        held = choose.one(holder["items"])
        if how == "quantity":
            held["quantity"] = choose.number(1, 4)
        else:
            holder["items"] = [it for it in holder["items"] if it is not held]
    return catalog, before, after, customer["id"], how


changes = random_strategy(change)


def with_lives(subjects: Document, lives: dict[str, str]) -> Document:
    """The subjects without suspensions, their subscriptions with other lives: as they are, always on, or over."""
    found = copy.deepcopy(subjects)
    for holder in (*found["customers"], *found["subscriptions"]):
        holder.pop("suspensions", None)
    for it in found["subscriptions"]:
        life = lives[it["id"]]
        if life != "as it is":
            for held in it["items"]:
                if "added_at" not in held and "start" in it:
                    held["added_at"] = it["start"]  # rollouts to those who are new go by it
            for date in ALIVE:
                it.pop(date, None)
            it["status"] = life
    return found


def totals(
    catalog: Document, subjects: Document, customer: str, feature: Document, now: int
) -> dict[str, tuple[Decimal, Decimal]]:
    """What the customer and each of its subscriptions come to, and what may be used, by the reference model."""
    known = Catalogue(catalog, subjects)
    whole = known.customers[customer]
    its = [it for it in known.subscriptions.values() if it["customer"] == customer]

    def allowed(found: Facts) -> tuple[Decimal, Decimal]:
        return found.total, ceiling(feature, found, NOTHING_COUNTED) if found.total else found.total

    result = {"": allowed(facts(known, feature, whole, its, now))}
    return result | {it["id"]: allowed(facts(known, feature, whole, [it | {"asked": True}], now)) for it in its}


def worlds(catalog: Document, before: Document, after: Document) -> tuple[World, World]:
    """Both sides; what cannot be stored is no change."""
    try:
        return World(catalog, before), World(catalog, after)
    except SubjectsError:  # an item went with which another one is held
        reject()


@given(changes())
def test_no_loss_of_one_customer_is_overlooked(drawn: tuple[Document, Document, Document, str, str]) -> None:
    """Of overrides that come and go, items, quantities and tags; where none is found, no total is ever lower."""
    catalog, before, after, customer, how = drawn
    for feature in catalog["features"]:
        feature["status"], feature["suspensions"] = "active", []
    old, new = worlds(catalog, before, after)
    source = CatalogDefinitions(old.catalog, old.bundle.index)
    records = old.records[customer], new.records[customer]
    features = affected_features(*records, source)
    effects = subject_effects(RecordChange(*records, features), source, NOW, revived=True)
    lost = {it.feature for it in effects if it.effect.reduces}
    assert not (lost and only_raises_quantities(*records))
    event(f"{how}: {'takes' if lost else 'takes nothing'}")
    ids = [it["id"] for it in before["subscriptions"]]
    ways = [dict.fromkeys(ids, "as it is"), dict.fromkeys(ids, "active"), dict.fromkeys(ids, "expired")]
    ways += [
        {id_: "active" if (number >> place) % 2 else "expired" for place, id_ in enumerate(ids)} for number in (1, 2, 5)
    ]
    instants = sorted({NOW, *(it for it in boundaries(before, after, catalog) if it > NOW)})
    for lives in ways:
        one, other = with_lives(before, lives), with_lives(after, lives)
        for feature in catalog["features"]:
            if feature["id"] in lost:
                continue
            for at in instants:
                was, becomes = (totals(catalog, it, customer, feature, at) for it in (one, other))
                for key, (total, most) in was.items():
                    assert becomes[key][0] >= total, (feature["id"], key, at, lives, was, becomes)
                    assert becomes[key][1] >= most, (feature["id"], key, at, lives, was, becomes)


@given(changes())
def test_a_loss_that_is_found_is_one(drawn: tuple[Document, Document, Document, str, str]) -> None:
    """At its instant the total is lower, as things are or were all subscriptions to count."""
    catalog, before, after, customer, _ = drawn
    for feature in catalog["features"]:
        feature["status"], feature["suspensions"] = "active", []
    old, new = worlds(catalog, before, after)
    source = CatalogDefinitions(old.catalog, old.bundle.index)
    records = old.records[customer], new.records[customer]
    ids = [it["id"] for it in before["subscriptions"]]
    known = {it["id"]: it for it in catalog["features"]}
    for effect in subject_effects(
        RecordChange(*records, affected_features(*records, source)), source, NOW, revived=True
    ):
        if not effect.effect.reduces:
            continue
        key = effect.subject.id if effect.subject.type is SubjectType.SUBSCRIPTION else ""
        found = []
        for life in ("as it is", "active", "expired"):
            lives = dict.fromkeys(ids, life)
            one, other = (with_lives(it, lives) for it in (before, after))
            was, becomes = (totals(catalog, it, customer, known[effect.feature], effect.since) for it in (one, other))
            found.append(any(new < old for new, old in zip(becomes[key], was[key], strict=True)))
        assert any(found), effect
