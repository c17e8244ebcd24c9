"""A plan made of a subscription gives, held once, exactly what the subscription gives: the engine decides the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.example_counts import part_of_examples
from tests.properties.documents import Document, worlds
from tests.properties.engines import Subjects, World
from tests.properties.inquiries import Inquirer
from tiergate.admin.subscription_entitlements import entitlements_of
from tiergate.bundle import Bundle
from tiergate.compiler import compile_catalog
from tiergate.engine import Evaluator
from tiergate.errors import ConflictError
from tiergate.model import (
    Catalog,
    Check,
    Customer,
    Decision,
    Definition,
    Feature,
    FeatureType,
    Item,
    ItemKind,
    Reason,
    Rollout,
    Rules,
    Subject,
    SubjectRecord,
    SubjectType,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
    from_units,
)
from tiergate.store import PublishedCatalog

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAN = "made-of-it"


class Found(NamedTuple):
    """A subscription, and the moment at which it is looked at."""

    customer: Customer
    subscription: Subscription
    now: int


@given(worlds(), st.integers(0, 2**32))
@settings(max_examples=part_of_examples(8))
def test_a_plan_gives_what_its_subscription_gave(drawn: tuple[Document, Document], seed: int) -> None:
    """Whatever the items, versions, rollouts, quantities and overrides."""
    catalog, subjects = drawn
    world = World(catalog, subjects)
    inquirer = Inquirer(catalog, subjects, seed)
    found = [
        Found(record.customer, subscription, now)
        for record in world.records.values()
        for subscription in record.subscriptions
        for now in [inquirer.now()]
    ]
    state = PublishedCatalog(1, world.bundle.revision, world.catalog, world.catalog.index())
    compared = 0
    for one in found[:3]:
        try:
            entitlements = entitlements_of(one.customer, one.subscription, state, one.now)
        except ConflictError:
            continue
        compared += 1
        before = Evaluator(world.bundle, Subjects({"c": alone(one)}))
        sold = with_plan(world.catalog, Definition(1, entitlements))
        after = Evaluator(Bundle.from_files(compile_catalog(sold, Rules())), Subjects({"c": buyer()}))
        for feature in world.catalog.features.values():
            for check in at_limits(feature, before, one):
                asked = before.decide(check, one.now)
                told = after.decide(replace(check, subject=Subject("s", SubjectType.SUBSCRIPTION)), one.now)
                assert said(told, asked) == said(asked, asked), check
    assume(compared)


def alone(one: Found) -> SubjectRecord:
    """The customer with that subscription alone, and nothing above it."""
    customer = replace(one.customer, overrides=(), suspensions=())
    return SubjectRecord(customer, (replace(one.subscription, suspensions=()),))


def buyer() -> SubjectRecord:
    """Somebody who holds the plan once."""
    held = Subscription("s", "c", SubscriptionStatus.ACTIVE, (SubscriptionItem(PLAN),))
    return SubjectRecord(Customer("c"), (held,))


def with_plan(catalog: Catalog, definition: Definition) -> Catalog:
    """The catalog with one more plan."""
    item = Item(id=PLAN, kind=ItemKind.PLAN, versions=(definition,), rollouts=(Rollout(1),))
    return replace(catalog, items=dict(sorted({**catalog.items, PLAN: item}.items())))


def at_limits(feature: Feature, engine: Evaluator, one: Found) -> Iterator[Check]:
    """The least check, and those just below and above what is held."""
    subject = Subject(one.subscription.id, SubjectType.SUBSCRIPTION)
    yield Check(subject, feature.id)
    if feature.type is FeatureType.CUSTOM:
        for label in feature.labels:
            yield Check(subject, feature.id, level=label)
    if feature.type in {FeatureType.SWITCH, FeatureType.CUSTOM}:
        return
    held = engine.decide(Check(subject, feature.id), one.now).entitlement.value
    units = int(held * 10**feature.scale) if held and not isinstance(held, str) else 0
    for limit in (units, units + 1):
        edge = from_units(limit, feature.scale)
        if len(str(limit).rstrip("0")) > 15 or limit > 10**18 or not limit:
            continue
        if feature.type is FeatureType.QUANTITY:
            yield Check(subject, feature.id, amount=edge)
        else:
            yield Check(subject, feature.id, value=edge)


def said(decision: Decision, asked: Decision) -> tuple[object, ...]:
    """What counts of a decision. Where an override took a feature away, a plan just does not give it."""
    taken = asked.reason is Reason.OVERRIDE_DENIED
    return decision.allowed, decision.entitlement, None if taken else decision.reason
