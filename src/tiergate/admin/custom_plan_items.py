"""What a subscription gives, as one definition; and what is published for one customer alone.

A plan made of a subscription gives, held once, exactly what the subscription gives at that moment: its items in the
versions in force, with its own overrides. What lies above it (the customer's overrides, suspensions) and what comes
later is no part of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tiergate.engine.active_items import hold
from tiergate.engine.facts import facts_about
from tiergate.errors import ConflictError
from tiergate.impact.subject.subject_changes import definitions_of
from tiergate.model import (
    UNLIMITED,
    Amount,
    Customer,
    Definition,
    Extra,
    FeatureType,
    Given,
    Level,
    Rollout,
    Subject,
    SubjectRecord,
    SubjectType,
    to_units,
)
from tiergate.model.amounts import from_units
from tiergate.publish.changeset import Proposal
from tiergate.publish.publish_plans import item_parts, replace_catalog
from tiergate.publish.published_state import current_entitlements
from tiergate.publish.publisher import Plan
from tiergate.publish.rollouts import with_rollouts
from tiergate.store.items import add_item, read_items
from tiergate.store.publications import PublishedItem, update_published_items, versions
from tiergate.store.working_catalog import read_working, write_items

if TYPE_CHECKING:
    from tiergate.catalog import Plain
    from tiergate.engine.facts import Facts
    from tiergate.model import Feature, Instant, Item, Subscription, Value
    from tiergate.publish.published_state import Standing
    from tiergate.publish.publisher import Planner
    from tiergate.store import PublishedState, ReadUnit, WriteUnit

__all__ = ["OWN_PREFIX", "SELF_SERVICE", "given_by", "own_plan", "private_item_plan"]

SELF_SERVICE: Final = "self-service"
"""The tag of features that buyers may put into plans of their own."""

OWN_PREFIX: Final = "own-"
"""How the ids of the items begin that hold the plans of buyers."""


def given_by(customer: Customer, subscription: Subscription, state: PublishedState, now: Instant) -> dict[str, Value]:
    """What a subscription gives at a moment, by feature: entitlements of one definition that gives the same.

    Raises:
        ConflictError: it is not live, or gives what no definition may give.
    """
    live = subscription.live()
    if not live.start <= now < live.until:
        raise ConflictError("not-live", f"the subscription `{subscription.id}` gives nothing now: it is not live")
    alone = SubjectRecord(replace(customer, overrides=(), suspensions=()), (replace(subscription, suspensions=()),))
    subject = Subject(subscription.id, SubjectType.SUBSCRIPTION)
    holdings = hold(alone, subject, state.index, now)
    bundle = definitions_of(state.catalog, state.index)
    found: dict[str, Value] = {}
    for feature in state.index.features.values():
        facts = facts_about(replace(feature, suspensions=()), holdings, subject, bundle, now)
        if (facts.given or facts.overridden) and not facts.disabled:
            found[feature.id] = _value(facts, feature)
    return found


def _value(facts: Facts, feature: Feature) -> Value:
    if feature.type is FeatureType.SWITCH:
        return Given(bool(facts.total))
    if feature.type is FeatureType.CUSTOM:
        return Level(feature.labels[facts.total - 1])
    if facts.unlimited:
        if feature.unlimited_level and feature.maximum is None:
            return UNLIMITED
        raise ConflictError(
            "not-definable", f"no definition may give `{feature.id}` as `unlimited`, as this one has it"
        )
    try:
        to_units(from_units(facts.total, feature.scale), feature.scale)
    except ValueError as error:
        raise ConflictError("not-definable", f"what this one has of `{feature.id}` {error}") from None
    binds = feature.numbers is not None and facts.total not in feature.numbers
    below = feature.minimum is not None and facts.total < feature.minimum
    # Levels and bounds bind what is given directly; what is added, on top of nothing here, is free of them.
    return Extra(facts.total) if binds or below else Amount(facts.total)


def private_item_plan(item: Item, entitlements: dict[str, Value], data: dict[str, Plain]) -> Planner:
    """Publish an item for one customer, with its first version, beside what is in force; `data` is for the log.

    Where there is an item of its id, nothing is published: the request may be one that is sent again.
    """

    def plan(unit: ReadUnit, standing: Standing) -> Plan:
        if item.id in standing.catalog.items or item.id in read_items(unit):
            return Plan(Proposal(standing.catalog, standing.rules, standing.roles))
        number = max(versions(unit.session, [item.id])[item.id], default=0) + 1
        definition = Definition(number, entitlements)
        rollouts = (Rollout(number),)
        whole = replace(item, versions=(definition,), rollouts=rollouts)

        def also(unit: WriteUnit, sequence: int) -> None:
            add_item(unit, item, None)
            update_published_items(unit, {item.id: PublishedItem(rollouts, number)})
            after = {**data, "publication": sequence}
            unit.audit("item.sold", "item", item.id, after=after, customer=item.private_to)

        items = {**standing.catalog.items, item.id: whole}
        proposal = Proposal(
            replace_catalog(standing.catalog, items=items),
            standing.rules,
            standing.roles,
            versions=((item.id, definition),),
            items_read={item.id: None},
        )
        return Plan(proposal, note=f"`{item.id}`, for `{item.private_to}` alone", also=also)

    return plan


def own_plan(item: Item, entitlements: dict[str, Value], data: dict[str, Plain]) -> Planner:
    """Publish the own plan of a customer: its item with a first version, or with the next one; `data` is for the log.

    Where it gives that already, nothing is published; neither where another item has its id.
    """

    def plan(unit: ReadUnit, standing: Standing) -> Plan:
        known = standing.catalog.items.get(item.id)
        working = read_working(unit.session, (), [item.id]).items.get(item.id)
        is_foreign = working is not None and working.item.private_to != item.private_to
        nothing = Plan(Proposal(standing.catalog, standing.rules, standing.roles))
        if is_foreign or (known is None and working is not None):
            return nothing
        if known is None or working is None:
            return private_item_plan(item, entitlements, data)(unit, standing)
        parts = item_parts(unit, [item.id])[item.id]
        versions_ = {**parts.versions, **{it.version: it for it in known.versions}}
        current = current_entitlements(known, unit.now)
        head = replace(item, metadata=known.metadata)
        if current == entitlements and known.name == item.name:
            return nothing
        new: tuple[tuple[str, Definition], ...] = ()
        version = max((number for number, it in versions_.items() if it.entitlements == entitlements), default=0)
        if not version:
            version = max(versions_, default=0) + 1
            versions_[version] = Definition(version, entitlements)
            new = ((item.id, versions_[version]),)
        after = with_rollouts(replace(head, versions=known.versions), (Rollout(version),), versions_, parts.pins)

        def also(unit: WriteUnit, sequence: int) -> None:
            newest = max(working.newest, version)
            write_items(unit, [working._replace(item=head, rollouts=after.rollouts, draft=None, newest=newest)])
            said = {**data, "version": version, "publication": sequence}
            unit.audit("item.sold", "item", item.id, after=said, customer=item.private_to)

        proposal = Proposal(
            replace_catalog(standing.catalog, items={**standing.catalog.items, item.id: after}),
            standing.rules,
            standing.roles,
            versions=new,
            items_read={item.id: working.etag},
        )
        return Plan(proposal, note=f"`{item.id}`, for `{item.private_to}` alone", also=also)

    return plan
