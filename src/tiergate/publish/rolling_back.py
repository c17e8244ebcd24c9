"""Rolling back: what a past publication fixed becomes a new one.

It undoes what was published since, in the working state too; what was edited since and not published stays pending, and
so does what the past publication did not have: nothing is lost. Versions keep their numbers. What was sold to one
customer alone since then stays in force: it is no part of what went wrong, and nothing would stand in for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.errors import ConflictError, NotFoundError
from tiergate.publish.pending import Pending, Standing, head_of, rule_texts
from tiergate.publish.plans import find_pending, item_parts, replace_catalog
from tiergate.publish.proposals import Proposal
from tiergate.publish.publisher import Plan
from tiergate.store.policy_files import ROLES, put_policy_file, remove_files
from tiergate.store.publications import PublishedItem, published_policies
from tiergate.store.uses import item_uses
from tiergate.store.working import WorkingItem, read_working, write_features, write_items

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from tiergate.model import Catalog, Feature, Item
    from tiergate.publish.publisher import Planner
    from tiergate.store import ReadUnit, WriteUnit

__all__ = ["rollback_plan"]


def rollback_plan(sequence: int, *, roles: bool = False, note: str = "") -> Planner:
    """Publish the catalog and the rules of a past publication again, and with `roles` its roles.

    Versions to which subscriptions are pinned since then come along, and so do items private to a customer; what else
    they hold must be there. Features stay suspended, or not, as they are now: that is operated elsewhere.
    """

    def plan(unit: ReadUnit, standing: Standing) -> Plan:
        if not 1 <= sequence <= standing.sequence:
            raise NotFoundError("publication", str(sequence))
        if sequence == standing.sequence:
            raise ConflictError("in-force", f"publication {sequence} is in force")
        past = unit.published_at(sequence)
        its_rules, its_roles = published_policies(unit, sequence)
        items = {**past.catalog.items, **_private_since(unit, standing.catalog, past.catalog)}
        for id_, parts in item_parts(unit, list(items)).items():
            missing = parts.pins - {it.version for it in items[id_].versions}
            more = [parts.versions[version] for version in missing if version in parts.versions]
            if more:
                all_versions = sorted((*items[id_].versions, *more), key=lambda it: it.version)
                items[id_] = replace(items[id_], versions=tuple(all_versions))
        target = Standing(
            sequence,
            past.revision,
            replace_catalog(past.catalog, features=_suspended_as_now(past.catalog, standing.catalog), items=items),
            its_rules,
            its_roles if roles else standing.roles,
        )
        return _plan(unit, standing, target, sequence, note)

    return plan


def _suspended_as_now(past: Catalog, now: Catalog) -> dict[str, Feature]:
    return {
        id_: replace(feature, suspensions=now.features[id_].suspensions) if id_ in now.features else feature
        for id_, feature in past.features.items()
    }


def _private_since(unit: ReadUnit, now: Catalog, past: Catalog) -> dict[str, Item]:
    """The items private to a customer that the past did not have: those that are held, or need nothing that goes."""
    found = {id_: item for id_, item in now.items.items() if item.private_to and id_ not in past.items}
    known = past.items.keys() | found.keys()
    return {
        id_: item
        for id_, item in found.items()
        if _needs_only(item, known, past.features.keys()) or item_uses(unit, id_)
    }


def _needs_only(item: Item, items: AbstractSet[str], features: AbstractSet[str]) -> bool:
    named = {*item.available_for, *item.depends_on, *item.excludes}
    return named <= items and all(it.entitlements.keys() <= features for it in item.versions)


def _plan(unit: ReadUnit, standing: Standing, target: Standing, sequence: int, note: str) -> Plan:
    pending = find_pending(unit, standing)
    working = read_working(unit.session)
    features = [
        feature
        for id_, feature in target.catalog.features.items()
        if id_ not in working.features or (id_ not in pending.features and working.features[id_].feature != feature)
    ]
    items, updates = _items(unit, target, pending)
    updates |= {
        id_: PublishedItem((), working.items[id_].newest)
        for id_ in standing.catalog.items.keys() - target.catalog.items.keys()
        if id_ in working.items
    }
    proposal = Proposal(
        target.catalog,
        target.rules,
        target.roles,
        items=updates,
        features_read={feature.id: _etag(working.features.get(feature.id)) for feature in features},
        items_read={id_: _etag(working.items.get(id_)) for id_ in {*updates, *(it.item.id for it in items)}},
    )

    def also(unit: WriteUnit, _: int) -> None:
        write_features(unit, features)
        write_items(unit, items)
        _undo_files(unit, standing, target, pending)

    return Plan(proposal, "publication.rolled_back", note, sequence, also)


def _items(unit: ReadUnit, target: Standing, pending: Pending) -> tuple[list[WorkingItem], dict[str, PublishedItem]]:
    """The working items that become what they were, and the rollouts of the others."""
    working = read_working(unit.session).items
    missing = [id_ for id_ in target.catalog.items if id_ not in working]
    known = item_parts(unit, missing)
    written: list[WorkingItem] = []
    updates: dict[str, PublishedItem] = {}
    for id_, item in target.catalog.items.items():
        its = working.get(id_)
        if its is None:
            newest = max((*known[id_].versions, *(it.version for it in item.versions)))
            written.append(WorkingItem(head_of(item), item.rollouts, None, newest, 0))
        elif _is_as_published(its, pending) and its.item != head_of(item):
            written.append(its._replace(item=head_of(item), rollouts=item.rollouts))
        elif its.rollouts != item.rollouts:
            updates[id_] = PublishedItem(item.rollouts, its.newest)
    return written, updates


def _is_as_published(working: WorkingItem, pending: Pending) -> bool:
    return working.item.id not in pending.items and working.item.id not in pending.idle


def _undo_files(unit: WriteUnit, standing: Standing, target: Standing, pending: Pending) -> None:
    """Make the working files of the rules, and the roles, what they were, but for those that were edited since."""
    now, then = rule_texts(standing.rules), rule_texts(target.rules)
    for key in sorted(now.keys() | then.keys()):
        kind, _, name = key.partition("/")
        if key in pending.rules or now.get(key) == then.get(key):
            continue
        if key in then:
            put_policy_file(unit, kind, name, then[key])
        else:
            remove_files(unit.session, [(kind, name)])
    if pending.roles is None and target.roles != standing.roles:
        if target.roles:
            put_policy_file(unit, ROLES, ROLES, target.roles)
        else:
            remove_files(unit.session, [(ROLES, ROLES)])


def _etag(found: object) -> int | None:
    return getattr(found, "etag", None)
