"""Validate the items and ladders of a publication: what they name, and what their versions give."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.catalog import check_draft, entitlements_data, read_entitlements_body, to_json_line
from tiergate.catalog.checks.item_references import Holdability
from tiergate.catalog.lint.granted_amounts import current_definition, grants_by_feature
from tiergate.catalog.lint.plans import find_broken_steps
from tiergate.errors import BodyError
from tiergate.model import Definition, ItemKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.catalog.lint.plans import BrokenStep
    from tiergate.model import Catalog, Item, Problem
    from tiergate.publish.catalog_change import CatalogChange


def validate_item_references(change: CatalogChange) -> Iterator[Problem]:
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


def validate_versions(change: CatalogChange) -> Iterator[Problem]:
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


def validate_ladders(change: CatalogChange) -> Iterator[Problem]:
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
    features, known = change.new.features, {}
    for name, value in definition.entitlements.items():
        if name in features:
            known[name] = value
        else:
            message = f"`{item.id}` gives `{name}`, which is not a published feature"
            yield change.problem(("item", item.id, definition.version, name), "unknown-feature", message)
    try:
        read_entitlements_body(to_json_line({"entitlements": entitlements_data(known, features)}), features)
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
