"""What a subscription gives, as one definition; and what is published for one customer alone.

A plan made of a subscription gives, held once, exactly what the subscription gives at that moment: its items in the
versions in force, with its own overrides. What lies above it (the customer's overrides, suspensions) and what comes
later is no part of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tiergate.engine.facts import facts_about
from tiergate.engine.holdings import hold
from tiergate.errors import ConflictError
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
from tiergate.naming import version_ref
from tiergate.publish.plans import replace_catalog
from tiergate.publish.proposals import Proposal
from tiergate.publish.publisher import Plan
from tiergate.store.items import add_item, read_items
from tiergate.store.publications import PublishedItem, update_published_items, versions

if TYPE_CHECKING:
    from tiergate.catalog import Plain
    from tiergate.engine.facts import Facts
    from tiergate.model import Catalog, CatalogIndex, Feature, Instant, Item, Subscription, Value
    from tiergate.publish.pending import Standing
    from tiergate.publish.publisher import Planner
    from tiergate.store import PublishedState, ReadUnit, WriteUnit

__all__ = ["SELF_SERVICE", "given_by", "private_item_plan"]

SELF_SERVICE: Final = "self-service"
"""The tag of features that buyers may put into plans of their own."""


class _Definitions:
    """A catalog in memory, as a bundle that gives definitions alone."""

    revision = ""

    def __init__(self, catalog: Catalog, index: CatalogIndex) -> None:
        self.index = index
        self._definitions = {
            version_ref(item.kind, item.id, one.version): one.entitlements
            for item in catalog.items.values()
            for one in item.versions
        }

    def definition(self, ref: str) -> dict[str, Value]:
        """What a version gives."""
        return self._definitions[ref]

    def text(self, path: str) -> str:
        """Nothing: nobody decides here."""
        raise NotImplementedError(path)

    def paths(self, prefix: str) -> list[str]:
        """No files."""
        raise NotImplementedError(prefix)


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
    bundle = _Definitions(state.catalog, state.index)
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
