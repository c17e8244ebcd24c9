"""What a subscription gives, as one definition; and what is published for one customer alone.

A plan made of a subscription gives, held once, exactly what the subscription gives at that moment: its items in the
versions in force, with its own overrides. What lies above it (the customer's overrides, suspensions) and what comes
later is no part of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tiergate.engine.active_items import resolve_active_items
from tiergate.engine.facts import resolve_facts
from tiergate.errors import ConflictError
from tiergate.impact.subject_change.change_effects import catalog_definitions
from tiergate.model import (
    UNLIMITED,
    AddedAmount,
    Amount,
    Customer,
    Definition,
    FeatureType,
    Level,
    Rollout,
    Subject,
    SubjectRecord,
    SubjectType,
    Switch,
    to_units,
)
from tiergate.model.amounts import from_units
from tiergate.publish.changeset import Changeset, replace_catalog
from tiergate.publish.item_history import read_item_history
from tiergate.publish.publication_plan import PublicationPlan
from tiergate.publish.published_state import current_entitlements
from tiergate.publish.rollouts import set_rollouts
from tiergate.store.items import add_item, read_items
from tiergate.store.publications import PublishedItem, update_published_items, versions
from tiergate.store.working_catalog import read_working, write_items

if TYPE_CHECKING:
    from tiergate.catalog import PlainData
    from tiergate.engine.facts import Facts
    from tiergate.model import Feature, Instant, Item, Subscription, Value
    from tiergate.publish.publication_plan import Planner
    from tiergate.publish.published_state import PublishedState
    from tiergate.store import PublishedCatalog, ReadUnit, WriteUnit

SELF_SERVICE: Final = "self-service"
"""The tag of features that buyers may put into plans of their own."""

OWN_PREFIX: Final = "own-"
"""How the ids of the items begin that hold the plans of buyers."""


def entitlements_of(
    customer: Customer, subscription: Subscription, state: PublishedCatalog, now: Instant
) -> dict[str, Value]:
    """What a subscription gives at a moment, by feature: entitlements of one definition that gives the same.

    Raises:
        ConflictError: it is not live, or gives what no definition may give.
    """
    live = subscription.live_interval()
    if not live.start <= now < live.until:
        raise ConflictError("not-live", f"the subscription `{subscription.id}` gives nothing now: it is not live")
    alone = SubjectRecord(replace(customer, overrides=(), suspensions=()), (replace(subscription, suspensions=()),))
    subject = Subject(subscription.id, SubjectType.SUBSCRIPTION)
    holdings = resolve_active_items(alone, subject, state.index, now)
    bundle = catalog_definitions(state.catalog, state.index)
    found: dict[str, Value] = {}
    for feature in state.index.features.values():
        facts = resolve_facts(replace(feature, suspensions=()), holdings, subject, bundle, now)
        if (facts.given or facts.overridden) and not facts.disabled:
            found[feature.id] = _value(facts, feature)
    return found


def _value(facts: Facts, feature: Feature) -> Value:
    if feature.type is FeatureType.SWITCH:
        return Switch(bool(facts.total))
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
    return AddedAmount(facts.total) if binds or below else Amount(facts.total)


def plan_private_item(item: Item, entitlements: dict[str, Value], data: dict[str, PlainData]) -> Planner:
    """Publish an item for one customer, with its first version, beside what is in force; `data` is for the log.

    Where there is an item of its id, nothing is published: the request may be one that is sent again.
    """

    def plan(unit: ReadUnit, current: PublishedState) -> PublicationPlan:
        if item.id in current.catalog.items or item.id in read_items(unit):
            return PublicationPlan(Changeset(current.catalog, current.rules, current.roles))
        number = max(versions(unit.session, [item.id])[item.id], default=0) + 1
        definition = Definition(number, entitlements)
        rollouts = (Rollout(number),)
        whole = replace(item, versions=(definition,), rollouts=rollouts)

        def also(unit: WriteUnit, sequence: int) -> None:
            add_item(unit, item, None)
            update_published_items(unit, {item.id: PublishedItem(rollouts, number)})
            after = {**data, "publication": sequence}
            unit.audit("item.sold", "item", item.id, after=after, customer=item.private_to)

        items = {**current.catalog.items, item.id: whole}
        changeset = Changeset(
            replace_catalog(current.catalog, items=items),
            current.rules,
            current.roles,
            versions=((item.id, definition),),
            items_read={item.id: None},
        )
        return PublicationPlan(changeset, note=f"`{item.id}`, for `{item.private_to}` alone", also=also)

    return plan


def plan_own_plan(item: Item, entitlements: dict[str, Value], data: dict[str, PlainData]) -> Planner:
    """Publish the own plan of a customer: its item with a first version, or with the next one; `data` is for the log.

    Where it gives that already, nothing is published; neither where another item has its id.
    """

    def plan(unit: ReadUnit, current: PublishedState) -> PublicationPlan:
        known = current.catalog.items.get(item.id)
        working = read_working(unit.session, (), [item.id]).items.get(item.id)
        is_foreign = working is not None and working.item.private_to != item.private_to
        nothing = PublicationPlan(Changeset(current.catalog, current.rules, current.roles))
        if is_foreign or (known is None and working is not None):
            return nothing
        if known is None or working is None:
            return plan_private_item(item, entitlements, data)(unit, current)
        parts = read_item_history(unit, [item.id])[item.id]
        versions_ = {**parts.versions, **{it.version: it for it in known.versions}}
        published = current_entitlements(known, unit.now)
        head = replace(item, metadata=known.metadata)
        if published == entitlements and known.name == item.name:
            return nothing
        new: tuple[tuple[str, Definition], ...] = ()
        version = max((number for number, it in versions_.items() if it.entitlements == entitlements), default=0)
        if not version:
            version = max(versions_, default=0) + 1
            versions_[version] = Definition(version, entitlements)
            new = ((item.id, versions_[version]),)
        after = set_rollouts(replace(head, versions=known.versions), (Rollout(version),), versions_, parts.pins)

        def also(unit: WriteUnit, sequence: int) -> None:
            newest = max(working.newest, version)
            write_items(unit, [working._replace(item=head, rollouts=after.rollouts, draft=None, newest=newest)])
            said = {**data, "version": version, "publication": sequence}
            unit.audit("item.sold", "item", item.id, after=said, customer=item.private_to)

        changeset = Changeset(
            replace_catalog(current.catalog, items={**current.catalog.items, item.id: after}),
            current.rules,
            current.roles,
            versions=new,
            items_read={item.id: working.etag},
        )
        return PublicationPlan(changeset, note=f"`{item.id}`, for `{item.private_to}` alone", also=also)

    return plan
