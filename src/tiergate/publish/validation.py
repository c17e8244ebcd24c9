"""Validate that a catalog may replace the published one: edit rules, references, values, and what customers have.

Only changes are validated. The readers of files check values, so that what is published could come from a file;
ordinary values need no reader (`is_plainly_valid`). Only
customers who have something that changes can matter, and they are read only if their totals could be too large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.catalog import (
    TotalBounds,
    ValueUse,
    check_draft,
    check_feature_change,
    entitlements_data,
    feature_data,
    read_entitlements_body,
    read_feature_body,
    to_json_line,
)
from tiergate.catalog.checks.item_references import Holdability
from tiergate.catalog.entries.service_levels import find_service_level_problems
from tiergate.catalog.entries.subjects import MAX_QUANTITY
from tiergate.catalog.entries.values import is_plainly_valid
from tiergate.catalog.lint.granted_amounts import current_definition, grants_by_feature
from tiergate.catalog.lint.plans import find_broken_steps
from tiergate.errors import BodyError
from tiergate.model import MAX_TOTAL_UNITS, AddedAmount, Amount, Definition, FeatureStatus, ItemKind
from tiergate.naming import version_ref
from tiergate.publish.catalog_change import CatalogChange
from tiergate.store.publications import first_versions_with, published_types
from tiergate.store.references import (
    count_suspensions,
    customers_above_quantity,
    describe_item_references,
    other_subscription_with_item,
    override_references,
    pinned_versions,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.catalog.lint.plans import BrokenStep
    from tiergate.model import Catalog, Feature, FeatureType, Item, Problem
    from tiergate.publish.catalog_change import SourcePositions
    from tiergate.store import ReadUnit


MAX_SUMMED_ITEMS: Final = 1000
"""Number of items of one feature, of one customer, up to which totals are proved without reading the customer."""

_MAX_CUSTOMERS: Final = 1000
_MAX_SHOWN: Final = 3


def validate_catalog(unit: ReadUnit, old: Catalog, new: Catalog, positions: SourcePositions) -> list[Problem]:
    """Return the problems that prevent replacing `old` by `new`, sorted by position."""
    change = CatalogChange.between(unit, old, new, positions)
    problems = {
        *_validate_features(change),
        *_validate_item_references(change),
        *_validate_versions(change),
        *_validate_service_levels(change),
        *_validate_ladders(change),
        *_validate_subscribed_items(change),
    }
    return sorted(problems) or sorted(_validate_totals(change))


def _validate_features(change: CatalogChange) -> Iterator[Problem]:
    """Yield the problems of features that change."""
    old, new, session = change.old, change.new, change.unit.session
    given = _value_uses(new, change.features & old.features.keys())
    for id_ in sorted(change.features):
        before, after = old.features.get(id_), new.features.get(id_)
        uses = given.get(id_, [])
        if before is not None:
            overrides = override_references(session, before)
            uses = [*uses, *(ValueUse(use.value, use.holders, use.count, is_bound=False) for use in overrides)]
        if after is None:
            suspended = count_suspensions(session, id_)
            uses += [ValueUse(None, ("a suspension of a subject",), suspended)] if suspended else []
            if uses:
                users = ValueUse(None, tuple(holder for use in uses for holder in use.holders), len(uses))
                message = f"`{id_}` cannot be removed: it is in use, by {users}"
                yield change.problem(("feature", id_), "feature-mapped", message)
            continue
        if before is not None:
            for problem in check_feature_change(before, after, uses):
                # a status moves by way of `active`, but several moves can be published at once
                if problem.code != "status-move" or after.status is FeatureStatus.DRAFT:
                    yield change.problem(("feature", id_), problem.code, problem.detail)
        try:
            read_feature_body(to_json_line(feature_data(after)), new.features)
        except BodyError as error:
            for problem in error.problems:
                yield change.problem(("feature", id_), problem.code, f"`{problem.pointer}`: {problem.detail}")
    yield from _find_reinterpreted(change)
    yield from _find_missing_names(change)


def _find_missing_names(change: CatalogChange) -> Iterator[Problem]:
    """Yield features that name a feature that would be removed."""
    features = change.new.features
    removed = change.features - features.keys()
    for id_, feature in sorted(features.items()) if removed else ():
        for linked in sorted(removed.intersection(feature.linked)):
            message = f"`{id_}` names `{linked}` in `linked`, which would be removed"
            yield change.problem(("feature", id_), "unknown-feature", message)
        if feature.draws is not None and feature.draws.source in removed:
            message = f"`{id_}` draws on `{feature.draws.source}`, which would be removed"
            yield change.problem(("feature", id_), "unknown-feature", message)


def explain_fixed_type(id_: str, type_: FeatureType) -> str:
    """Return why a published feature cannot have another type, and how to correct that."""
    return (
        f"`{id_}` was published as a {type_.value}, and a feature's id keeps its type forever: "
        f"choose another id, or make it a {type_.value} again"
    )


def _find_reinterpreted(change: CatalogChange) -> Iterator[Problem]:
    """Yield features whose numbers would mean something else in old versions, which can become active again."""
    unit, old, new = change.unit, change.old, change.new
    if not old.features and not old.items:
        return
    doubtful = {
        id_
        for id_ in change.features & new.features.keys()
        if _type_and_scale(old.features.get(id_)) != _type_and_scale(new.features[id_])
    }
    for id_, type_ in sorted(published_types(unit.session, doubtful - old.features.keys()).items()):
        if type_ is not new.features[id_].type:
            yield change.problem(("feature", id_), "type-changed", explain_fixed_type(id_, type_))
            doubtful.discard(id_)
    for id_, (item, version, sequence) in first_versions_with(unit.session, doubtful).items() if doubtful else ():
        past, now = unit.published_at(sequence).catalog.features.get(id_), new.features[id_]
        if past is not None and _type_and_scale(past) != _type_and_scale(now):
            code = "type-changed" if past.type is not now.type else "scale-mapped"
            was = f"`{id_}` was a {past.type.value} of scale {past.scale} when"
            message = f"{was} version {version} of `{item}` was published, whose meaning cannot change"
            yield change.problem(("feature", id_), code, message)


def _type_and_scale(feature: Feature | None) -> object:
    return None if feature is None else (feature.type, feature.scale)


def _value_uses(catalog: Catalog, features: frozenset[str]) -> dict[str, list[ValueUse]]:
    """Return the values that versions of the catalog give of features."""
    uses: dict[str, list[ValueUse]] = {}
    for item in catalog.items.values() if features else ():
        for definition in item.versions:
            for id_ in features & definition.entitlements.keys():
                ref = version_ref(item.kind, item.id, definition.version)
                uses.setdefault(id_, []).append(ValueUse(definition.entitlements[id_], (f"`{ref}`",), 1))
    return uses


def _validate_item_references(change: CatalogChange) -> Iterator[Problem]:
    """Yield items that name what is not published, change their kind, or that nobody could get."""
    old, new = change.old, change.new
    if all(_references(old.items.get(id_)) == _references(new.items.get(id_)) for id_ in change.items):
        return
    are_known = True
    for item in new.items.values():
        before = old.items.get(item.id)
        if before is not None and before.kind is not item.kind:
            message = f"`{item.id}` is published as a {before.kind}, and the kind of an item never changes"
            yield change.problem(("item", item.id), "kind-changed", message)
        for key in ("available_for", "depends_on", "excludes"):
            for name in getattr(item, key):
                if name not in new.items:
                    are_known = False
                    message = f"`{item.id}` names `{name}` in `{key}`, which is not published"
                    yield change.problem(("item", item.id), "unknown-item", message)
                elif key == "available_for" and new.items[name].kind is not ItemKind.PLAN:
                    message = f"`{item.id}` is available for `{name}`, which is not a plan"
                    yield change.problem(("item", item.id), "not-a-plan", message)
    if not are_known:
        return
    holdability = Holdability(new.items)
    for item in new.items.values():
        obstacle = holdability.obstacle(item)
        if obstacle:
            yield change.problem(("item", item.id), "unsatisfiable", obstacle)


def _validate_versions(change: CatalogChange) -> Iterator[Problem]:
    """Yield versions that change after they were published, or give what they must not."""
    new = change.new
    for id_ in sorted(change.items & new.items.keys()):
        item = new.items[id_]
        before = {} if id_ not in change.old.items else {it.version: it for it in change.old.items[id_].versions}
        newest = max(before, default=0)
        given = {name for it in before.values() for name in it.entitlements}
        for definition in item.versions:
            published = before.get(definition.version)
            if published is definition or published == definition:
                continue
            if published is not None:
                message = f"version {definition.version} of `{id_}` is published, and a published version never changes"
                yield change.problem(("item", id_, definition.version), "version-published", message)
            yield from _validate_values(change, item, definition)
            if newest and definition.version > newest:
                known = {name: new.features[name] for name in definition.entitlements if name in new.features}
                values = {name: value for name, value in definition.entitlements.items() if name in known}
                for problem in check_draft(values, given, known):
                    key = ("item", id_, definition.version, problem.pointer.rpartition("/")[2])
                    yield change.problem(key, problem.code, problem.detail)


def _validate_service_levels(change: CatalogChange) -> Iterator[Problem]:
    """Yield service levels of items for features that are not published, and those without any availability."""
    features = change.new.features
    for id_, item in sorted(change.new.items.items()):
        if item.service_levels and (id_ in change.items or not change.features.isdisjoint(item.service_levels)):
            for feature, code, message in find_service_level_problems(item.service_levels, features):
                yield change.problem(("item", id_), code, f"`service_levels/{feature}`: {message}")


def _validate_ladders(change: CatalogChange) -> Iterator[Problem]:
    """Yield ladders that name what is not a plan, and steps that are broken now and were not before."""
    new = change.new
    for ladder in new.ladders:
        for plan in ladder.plans:
            if plan not in new.items or new.items[plan].kind is not ItemKind.PLAN:
                message = f"the ladder `{ladder.id}` names `{plan}`, which is not a published plan"
                yield change.problem(("ladder", ladder.id), "not-a-plan", message)
    known = {step[:4] for step in _broken_steps(change.old)}
    for step in _broken_steps(new):
        if step[:4] not in known:
            yield change.problem(step.finding.key, step.finding.code, step.finding.message)


def _references(item: Item | None) -> object:
    return None if item is None else (item.kind, item.available_for, item.depends_on, item.excludes)


def _validate_values(change: CatalogChange, item: Item, definition: Definition) -> Iterator[Problem]:
    """Yield values that no file could contain: the reader of files checks them."""
    features, doubtful = change.new.features, {}
    for name, value in definition.entitlements.items():
        if name in features:
            if not is_plainly_valid(value, features[name]):
                doubtful[name] = value
        else:
            message = f"`{item.id}` gives `{name}`, which is not a published feature"
            yield change.problem(("item", item.id, definition.version, name), "unknown-feature", message)
    if not doubtful:
        return
    try:
        read_entitlements_body(to_json_line({"entitlements": entitlements_data(doubtful, features)}), features)
    except BodyError as error:
        for problem in error.problems:
            name = problem.pointer.removeprefix("/entitlements/").partition("/")[0]
            yield change.problem(("item", item.id, definition.version, name), problem.code, problem.detail)


def _broken_steps(catalog: Catalog) -> Iterator[BrokenStep]:
    """Yield the broken steps of ladders; unknown plans and features are other problems."""
    for ladder in catalog.ladders:
        granted = {}
        for plan in ladder.plans:
            item = catalog.items.get(plan)
            if item is not None and item.versions:
                definition = current_definition(item)
                known = {id_: it for id_, it in definition.entitlements.items() if id_ in catalog.features}
                granted[plan] = grants_by_feature(Definition(definition.version, known), catalog.features)
        yield from find_broken_steps(ladder, catalog, granted)


def _validate_subscribed_items(change: CatalogChange) -> Iterator[Problem]:
    """Yield items and versions that subscriptions have and that would be removed, or private to somebody else."""
    unit, old, new = change.unit, change.old, change.new
    for id_, pins in pinned_versions(unit.session, change.items & old.items.keys()).items():
        item = new.items.get(id_)
        if item is None:
            users = describe_item_references(unit, id_)
            if users:
                message = f"`{id_}` cannot be removed: it is in use, by {', '.join(users)}"
                yield change.problem(("item", id_), "item-held", message)
            continue
        for version in sorted(pins - {definition.version for definition in item.versions}):
            message = f"version {version} of `{id_}` cannot be removed: a subscription is pinned to it"
            yield change.problem(("item", id_, version), "version-pinned", message)
        if item.private_to and item.private_to != old.items[id_].private_to:
            other = other_subscription_with_item(unit, id_, item.private_to)
            if other is not None:
                message = f"`{id_}` cannot be private to `{item.private_to}`: the subscription `{other}` of another \
customer has it"
                yield change.problem(("item", id_), "item-held", message)


def _validate_totals(change: CatalogChange) -> Iterator[Problem]:
    """Yield customers whose totals could exceed the largest one.

    A total can only if an item gives more than before and a customer has a large quantity of it: with ordinary numbers,
    no quantity is large enough, and no customer is read.
    """
    old, new, unit = change.old, change.new, change.unit
    recombined = {id_ for id_ in change.features if _combine(old.features.get(id_)) != _combine(new.features.get(id_))}
    quantities: dict[str, int] = {}
    for id_, item in new.items.items():
        is_recombined = recombined and any(not recombined.isdisjoint(it.entitlements) for it in item.versions)
        if id_ not in change.items and not is_recombined:
            continue
        largest = _largest_units(item)
        before = 0 if is_recombined or id_ not in old.items else _largest_units(old.items[id_])
        quantity = MAX_TOTAL_UNITS // (largest * MAX_SUMMED_ITEMS) if largest else MAX_QUANTITY
        if largest > before and id_ in old.items and quantity < MAX_QUANTITY:
            quantities[id_] = quantity
    bounds = TotalBounds.of(new) if quantities else None
    for customer in customers_above_quantity(unit.session, quantities, _MAX_CUSTOMERS):
        record = unit.record(customer, public=True)
        if bounds is None or record is None:
            continue
        excess = bounds.excess(record.subscriptions, record.customer)
        if excess:
            message = f"all subscriptions of `{customer}` together: {'; '.join(excess[:_MAX_SHOWN])}"
            yield change.problem(("item", min(quantities)), "total-too-large", message)


def _combine(feature: Feature | None) -> object:
    return None if feature is None else feature.combine


def _largest_units(item: Item) -> int:
    values = (value for it in item.versions for value in it.entitlements.values())
    return max((value.units for value in values if isinstance(value, Amount | AddedAmount)), default=0)
