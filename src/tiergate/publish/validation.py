"""Why a catalog may not follow the one that is published: the edit rules, references, and what subjects hold.

Only what changed is looked at. The values of features and items are checked by the readers of the files, so that what
is published could have been written in a file; which edits would break what is sold, `catalog.edits` says. Of subjects,
only those can matter that hold something that changed: none is looked at by itself but where totals could overflow.
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
from tiergate.catalog.entries.subjects import MAX_QUANTITY
from tiergate.catalog.lint.granted_amounts import current, grants
from tiergate.catalog.lint.plans import broken_steps
from tiergate.errors import BodyError
from tiergate.model import MAX_TOTAL_UNITS, AddedAmount, Amount, Definition, FeatureStatus, ItemKind
from tiergate.naming import version_ref
from tiergate.store.publications import first_given
from tiergate.store.published_types import published_types
from tiergate.store.references import held_by_others, item_uses
from tiergate.store.value_references import held_quantities, override_uses, pinned_versions, suspension_uses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiergate.catalog.lint.plans import BrokenStep
    from tiergate.model import Catalog, Feature, FeatureType, Item, Problem
    from tiergate.publish.source_positions import SourcePositions
    from tiergate.store import ReadUnit

MAX_SUMMED_ITEMS: Final = 1000
"""How many items of the same feature a customer may hold before the totals are not proved in one go any more."""

_MOST_CUSTOMERS: Final = 1000
_SHOWN: Final = 3


def validate_catalog(unit: ReadUnit, old: Catalog, new: Catalog, positions: SourcePositions) -> list[Problem]:
    """All that stands against putting `new` in the place of `old`, sorted by place."""
    features = {id_ for id_ in old.features.keys() | new.features.keys() if _differs(old.features, new.features, id_)}
    items = {id_ for id_ in old.items.keys() | new.items.keys() if _differs(old.items, new.items, id_)}
    changed = {id_: new.items[id_] for id_ in sorted(items & new.items.keys())}
    found = [
        *_features(unit, old, new, features, positions),
        *_relations(old, new, items, positions),
        *_entitlements(old, new, changed, positions),
        *_ladders(old, new, positions),
        *_held(unit, old, new, items, positions),
    ]
    return sorted(set(found)) or sorted(_totals(unit, old, new, features, changed, positions))


def _differs(old: Mapping[str, object], new: Mapping[str, object], id_: str) -> bool:
    one, other = old.get(id_), new.get(id_)
    return one is not other and one != other


# ── Features ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _features(
    unit: ReadUnit, old: Catalog, new: Catalog, ids: set[str], positions: SourcePositions
) -> Iterator[Problem]:
    given = _given(new, ids)
    for id_ in sorted(ids):
        before, after = old.features.get(id_), new.features.get(id_)
        uses = given.get(id_, [])
        if before is not None:
            overridden = override_uses(unit.session, before)
            uses = [*uses, *(ValueUse(use.value, (use.holder,), use.count, is_bound=False) for use in overridden)]
        if after is None:
            suspended = suspension_uses(unit.session, id_)
            uses += [ValueUse(None, ("a suspension of a subject",), suspended)] if suspended else []
            if uses:
                held = ValueUse(None, tuple(holder for use in uses for holder in use.holders), len(uses))
                yield positions.problem(
                    ("feature", id_), "feature-mapped", f"`{id_}` cannot go: it is in use, by {held}"
                )
            continue
        if before is not None:
            for refusal in check_feature_change(before, after, uses):
                if refusal.code != "status-move" or after.status is FeatureStatus.DRAFT:  # others go by way of `active`
                    yield positions.problem(("feature", id_), refusal.code, refusal.detail)
        try:
            read_feature_body(to_json_line(feature_data(after)), new.features.keys())
        except BodyError as error:
            for problem in error.problems:
                yield positions.problem(("feature", id_), problem.code, f"`{problem.pointer}`: {problem.sentence}")
    yield from _reinterpreted(unit, old, new, ids, positions)
    gone = {id_ for id_ in ids if id_ not in new.features}
    for id_, feature in sorted(new.features.items()) if gone else ():
        for linked in sorted(gone.intersection(feature.linked)):
            message = f"`{id_}` names `{linked}` in `linked`, which would be gone"
            yield positions.problem(("feature", id_), "unknown-feature", message)


def _reinterpreted(
    unit: ReadUnit, old: Catalog, new: Catalog, ids: set[str], positions: SourcePositions
) -> Iterator[Problem]:
    """Features whose numbers would say something else in versions that nobody can reach now, and that can come back."""
    if not old.features and not old.items:
        return
    doubtful = {id_ for id_ in ids & new.features.keys() if _scale(old.features.get(id_)) != _scale(new.features[id_])}
    for id_, type_ in sorted(published_types(unit.session, doubtful - old.features.keys()).items()):
        if type_ is not new.features[id_].type:
            yield positions.problem(("feature", id_), "type-changed", explain_fixed_type(id_, type_))
            doubtful.discard(id_)
    for id_, (item, version, sequence) in first_given(unit.session, doubtful).items() if doubtful else ():
        then, now = unit.published_at(sequence).catalog.features.get(id_), new.features[id_]
        if then is not None and (then.type, then.scale) != (now.type, now.scale):
            code = "type-changed" if then.type is not now.type else "scale-mapped"
            was = f"`{id_}` was a {then.type.value} of scale {then.scale} when"
            message = f"{was} version {version} of `{item}` was published, which cannot come to say something else"
            yield positions.problem(("feature", id_), code, message)


def explain_fixed_type(id_: str, type_: FeatureType) -> str:
    """Say why a feature that was published as of a type cannot be of another one, and what can be done."""
    return (
        f"`{id_}` was published as a {type_.value}, and the id of a feature keeps its type for ever: "
        f"choose another id, or make it a {type_.value} again"
    )


def _scale(feature: Feature | None) -> object:
    return None if feature is None else (feature.type, feature.scale)


def _given(catalog: Catalog, features: set[str]) -> dict[str, list[ValueUse]]:
    """The values that versions of the catalog give of these features."""
    found: dict[str, list[ValueUse]] = {}
    if not features:
        return found
    for item in catalog.items.values():
        for definition in item.versions:
            for id_ in features & definition.entitlements.keys():
                ref = version_ref(item.kind, item.id, definition.version)
                found.setdefault(id_, []).append(ValueUse(definition.entitlements[id_], (f"`{ref}`",), 1))
    return found


# ── Items ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _relations(old: Catalog, new: Catalog, ids: set[str], positions: SourcePositions) -> Iterator[Problem]:
    if all(_related(old.items.get(id_)) == _related(new.items.get(id_)) for id_ in ids):
        return
    sound = True
    for item in new.items.values():
        before = old.items.get(item.id)
        if before is not None and before.kind is not item.kind:
            message = f"`{item.id}` is published as a {before.kind}, and the kind of an item never changes"
            yield positions.problem(("item", item.id), "kind-changed", message)
        for key, names in (
            ("available_for", item.available_for),
            ("depends_on", item.depends_on),
            ("excludes", item.excludes),
        ):
            for name in names:
                if name not in new.items:
                    sound = False
                    message = f"`{item.id}` names `{name}` in `{key}`, which is not published"
                    yield positions.problem(("item", item.id), "unknown-item", message)
                elif key == "available_for" and new.items[name].kind is not ItemKind.PLAN:
                    message = f"`{item.id}` is available for `{name}`, which is no plan"
                    yield positions.problem(("item", item.id), "not-a-plan", message)
    if not sound:
        return
    holdability = Holdability(new.items)
    for item in new.items.values():
        why = holdability.obstacle(item)
        if why:
            yield positions.problem(("item", item.id), "unsatisfiable", why)


def _related(item: Item | None) -> object:
    return None if item is None else (item.kind, item.available_for, item.depends_on, item.excludes)


def _entitlements(
    old: Catalog, new: Catalog, items: Mapping[str, Item], positions: SourcePositions
) -> Iterator[Problem]:
    for id_, item in items.items():
        before = {} if id_ not in old.items else {it.version: it for it in old.items[id_].versions}
        newest = max(before, default=0)
        given = {name for it in before.values() for name in it.entitlements}
        for definition in item.versions:
            was = before.get(definition.version)
            if was is definition or was == definition:
                continue
            if was is not None:
                message = f"version {definition.version} of `{id_}` is published, and a published version never changes"
                yield positions.problem(("item", id_, definition.version), "version-published", message)
            yield from _values(item, definition, new, positions)
            if newest and definition.version > newest:
                known = {name: new.features[name] for name in definition.entitlements if name in new.features}
                values = {name: value for name, value in definition.entitlements.items() if name in known}
                for refusal in check_draft(values, given, known):
                    key = ("item", id_, definition.version, refusal.pointer.rpartition("/")[2])
                    yield positions.problem(key, refusal.code, refusal.detail)


def _values(item: Item, definition: Definition, catalog: Catalog, positions: SourcePositions) -> Iterator[Problem]:
    known = {}
    for name, value in definition.entitlements.items():
        if name in catalog.features:
            known[name] = value
        else:
            message = f"`{item.id}` gives `{name}`, and there is no such feature among the published ones"
            yield positions.problem(("item", item.id, definition.version, name), "unknown-feature", message)
    try:
        read_entitlements_body(
            to_json_line({"entitlements": entitlements_data(known, catalog.features)}), catalog.features
        )
    except BodyError as error:
        for problem in error.problems:
            name = problem.pointer.removeprefix("/entitlements/").partition("/")[0]
            yield positions.problem(("item", item.id, definition.version, name), problem.code, problem.sentence)


def _ladders(old: Catalog, new: Catalog, positions: SourcePositions) -> Iterator[Problem]:
    for ladder in new.ladders:
        for plan in ladder.plans:
            if plan not in new.items or new.items[plan].kind is not ItemKind.PLAN:
                message = f"the ladder `{ladder.id}` names `{plan}`, which is no published plan"
                yield positions.problem(("ladder", ladder.id), "not-a-plan", message)
    broken = {step[:4] for step in _broken_steps(old)}
    for step in _broken_steps(new):
        if step[:4] not in broken:  # what was broken before keeps nobody from publishing something else
            yield positions.problem(step.finding.key, step.finding.code, step.finding.message)


def _broken_steps(catalog: Catalog) -> Iterator[BrokenStep]:
    """Where ladders are broken, of the plans that there are; what they give of no feature is another problem."""
    for ladder in catalog.ladders:
        granted = {}
        for plan in ladder.plans:
            item = catalog.items.get(plan)
            if item is not None and item.versions:
                definition = current(item)
                known = {id_: it for id_, it in definition.entitlements.items() if id_ in catalog.features}
                granted[plan] = grants(Definition(definition.version, known), catalog.features)
        yield from broken_steps(ladder, catalog, granted)


# ── Subjects ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _held(unit: ReadUnit, old: Catalog, new: Catalog, items: set[str], positions: SourcePositions) -> Iterator[Problem]:
    for id_, pins in pinned_versions(unit.session, items & old.items.keys()).items():
        item = new.items.get(id_)
        if item is None:
            held = item_uses(unit, id_)
            if held:
                message = f"`{id_}` cannot go: it is held by {', '.join(held)}"
                yield positions.problem(("item", id_), "item-held", message)
            continue
        for version in sorted(pins - {definition.version for definition in item.versions}):
            message = f"version {version} of `{id_}` cannot go: a subscription is pinned to it"
            yield positions.problem(("item", id_, version), "version-pinned", message)
        if item.private_to and item.private_to != old.items[id_].private_to:
            other = held_by_others(unit, id_, item.private_to)
            if other is not None:
                message = f"`{id_}` cannot be private to `{item.private_to}`: the subscription `{other}` of another \
customer holds it"
                yield positions.problem(("item", id_), "item-held", message)


def _totals(
    unit: ReadUnit,
    old: Catalog,
    new: Catalog,
    features: set[str],
    items: Mapping[str, Item],
    positions: SourcePositions,
) -> Iterator[Problem]:
    """Customers whose totals could pass the largest one now.

    Somebody's can only where an item gives more than before and is held in a large quantity: with ordinary numbers no
    quantity is large enough, and nobody is looked for.
    """
    combined = {id_ for id_ in features if _combine(old.features.get(id_)) != _combine(new.features.get(id_))}
    suspects: dict[str, int] = {}
    for id_, item in new.items.items():
        gives = combined and any(not combined.isdisjoint(it.entitlements) for it in item.versions)
        if id_ not in items and not gives:
            continue
        most = _most(item)
        before = 0 if gives or id_ not in old.items else _most(old.items[id_])
        quantity = MAX_TOTAL_UNITS // (most * MAX_SUMMED_ITEMS) if most else MAX_QUANTITY
        if most > before and id_ in old.items and quantity < MAX_QUANTITY:
            suspects[id_] = quantity
    bounds = TotalBounds.of(new) if suspects else None
    for customer in held_quantities(unit.session, suspects, _MOST_CUSTOMERS):
        record = unit.record(customer, public=True)
        if bounds is None or record is None:
            continue
        excess = bounds.excess(record.subscriptions, record.customer)
        if excess:
            where = ("item", min(suspects))
            message = f"all subscriptions of `{customer}` together: {'; '.join(excess[:_SHOWN])}"
            yield positions.problem(where, "total-too-large", message)


def _combine(feature: Feature | None) -> object:
    return None if feature is None else feature.combine


def _most(item: Item) -> int:
    values = (value for it in item.versions for value in it.entitlements.values())
    return max((value.units for value in values if isinstance(value, Amount | AddedAmount)), default=0)
