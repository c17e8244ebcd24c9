"""Validate the features of a publication: edit rules, values, and the meaning that their ids had before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.catalog import ValueUse, check_feature_change, feature_data, read_feature_body, to_json_line
from tiergate.errors import BodyError
from tiergate.model import FeatureStatus
from tiergate.naming import version_ref
from tiergate.store.publications import first_versions_with
from tiergate.store.published_types import published_types
from tiergate.store.references import count_suspensions, override_references

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.model import Catalog, Feature, FeatureType, Problem
    from tiergate.publish.catalog_change import CatalogChange


def validate_features(change: CatalogChange) -> Iterator[Problem]:
    """Yield the problems of features that change."""
    old, new, session = change.old, change.new, change.unit.session
    given = _value_uses(new, change.features)
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
            read_feature_body(to_json_line(feature_data(after)), new.features.keys())
        except BodyError as error:
            for problem in error.problems:
                yield change.problem(("feature", id_), problem.code, f"`{problem.pointer}`: {problem.detail}")
    yield from _find_reinterpreted(change)
    removed = change.features - new.features.keys()
    for id_, feature in sorted(new.features.items()) if removed else ():
        for linked in sorted(removed.intersection(feature.linked)):
            message = f"`{id_}` names `{linked}` in `linked`, which would be removed"
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
