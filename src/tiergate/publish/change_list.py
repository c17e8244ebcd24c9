"""List what changes from one catalog, with its rules and roles, to another: for people and for programs.

Pure. Both sides are compared in the form of the files, so that a change can be found there.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from tiergate.catalog import (
    PlainData,
    definition_data,
    entitlements_data,
    feature_data,
    item_head_data,
    rollout_data,
)
from tiergate.catalog.writing.value_changes import ValueChange, compare_values, raw_json
from tiergate.publish.catalog_change import differing_ids
from tiergate.publish.published_state import rule_texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiergate.model import Catalog, Item, Rules, Value
    from tiergate.publish.changeset import Changeset
    from tiergate.publish.published_state import PublishedState


_Data = dict[str, PlainData]


class ChangeKind(StrEnum):
    """Whether something is added, changed or removed."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


class Change(msgspec.Struct, frozen=True):
    """Something that changes; `kind`: `feature`, `item`, `ladder`, `plans`, `rule` (as `policies/eu`) or `roles`."""

    kind: str
    id: str
    change: ChangeKind
    details: tuple[ValueChange, ...] = ()


def list_changes(old: PublishedState | Changeset, new: PublishedState | Changeset) -> list[Change]:
    """Return all changes, by kind, in the order of the ids."""
    return [
        *_features(old.catalog, new.catalog),
        *_items(old.catalog, new.catalog),
        *_ladders(old.catalog, new.catalog),
        *_plan_rule(old.catalog, new.catalog),
        *_rules(old.rules, new.rules),
        *([Change("roles", "roles", ChangeKind.CHANGED)] if old.roles != new.roles else []),
    ]


def _features(old: Catalog, new: Catalog) -> Iterator[Change]:
    for id_ in sorted(differing_ids(old.features, new.features)):
        both = (old.features.get(id_), new.features.get(id_))
        yield _change("feature", id_, *({} if it is None else feature_data(it) for it in both))


def _items(old: Catalog, new: Catalog) -> Iterator[Change]:
    for id_ in sorted(differing_ids(old.items, new.items)):
        before, after = old.items.get(id_), new.items.get(id_)
        head = _change(
            "item", id_, *({} if it is None else item_head_data(it) | _rollouts(it) for it in (before, after))
        )
        versions = tuple(_versions(before, old, after, new))
        yield Change(head.kind, head.id, head.change, head.details + versions)


def _rollouts(item: Item) -> _Data:
    return {"rollouts": [rollout_data(rollout) for rollout in item.rollouts]}


def _versions(before: Item | None, old: Catalog, after: Item | None, new: Catalog) -> Iterator[ValueChange]:
    """Yield added and removed versions; an added one is compared with the one before it, feature by feature."""
    was = {} if before is None else {it.version: it for it in before.versions}
    now = {} if after is None else {it.version: it for it in after.versions}
    for number in sorted(was.keys() | now.keys()):
        if number in was and number in now:
            continue
        path = f"versions/{number}"
        if number in was:
            yield ValueChange(path, raw_json(definition_data(was[number], old.features)["entitlements"]))
            continue
        lower = [it for it in (*was, *now) if it < number]
        base = (was.get(max(lower)) or now[max(lower)]) if lower else None
        if base is None:
            yield ValueChange(path, None, raw_json(_given(now[number].entitlements, new)))
            continue
        known = {**old.features, **new.features}
        one = entitlements_data({id_: it for id_, it in base.entitlements.items() if id_ in known}, known)
        found = list(compare_values(one, _given(now[number].entitlements, new), f"{path}/"))
        yield from found or [ValueChange(path, None, raw_json(_given(now[number].entitlements, new)))]


def _given(entitlements: Mapping[str, Value], catalog: Catalog) -> _Data:
    known = {id_: value for id_, value in entitlements.items() if id_ in catalog.features}
    return entitlements_data(known, catalog.features)


def _ladders(old: Catalog, new: Catalog) -> Iterator[Change]:
    before, after = ({ladder.id: ladder.plans for ladder in it.ladders} for it in (old, new))
    for id_ in sorted(differing_ids(before, after)):
        yield _change("ladder", id_, _plans(before.get(id_)), _plans(after.get(id_)))


def _plans(plans: tuple[str, ...] | None) -> _Data:
    return {} if plans is None else {"plans": list(plans)}


def _plan_rule(old: Catalog, new: Catalog) -> Iterator[Change]:
    if old.plans is not new.plans:
        yield _change("plans", "plans", {"plans": old.plans.value}, {"plans": new.plans.value})


def _rules(old: Rules, new: Rules) -> Iterator[Change]:
    before, after = rule_texts(old), rule_texts(new)
    for key in sorted(differing_ids(before, after)):
        texts: list[_Data] = [{"text": it[key]} if key in it else {} for it in (before, after)]
        yield _change("rule", key, *texts)


def _change(kind: str, id_: str, before: _Data, after: _Data) -> Change:
    if not before or not after:
        return Change(
            kind, id_, ChangeKind.REMOVED if before else ChangeKind.ADDED, tuple(compare_values(before, after))
        )
    return Change(kind, id_, ChangeKind.CHANGED, tuple(compare_values(before, after)))
