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

    from tiergate.model import Catalog, Feature, Item, Rules, Value
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
    removed = {} if before is None else {it.version: it for it in before.versions}
    added = {} if after is None else {it.version: it for it in after.versions}
    versions = removed | added
    for number in sorted(removed.keys() ^ added.keys()):
        path, base_number = f"versions/{number}", max((it for it in versions if it < number), default=None)
        if number in removed:
            yield ValueChange(path, raw_json(definition_data(removed[number], old.features)["entitlements"]))
            continue
        data, changes = _given(added[number].entitlements, new.features), []
        if base_number is not None:
            base = removed.get(base_number) or added[base_number]
            base_data = _given(base.entitlements, old.features | new.features)
            changes = list(compare_values(base_data, data, f"{path}/"))
        yield from changes or [ValueChange(path, None, raw_json(data))]


def _given(entitlements: Mapping[str, Value], features: Mapping[str, Feature]) -> _Data:
    return entitlements_data({id_: value for id_, value in entitlements.items() if id_ in features}, features)


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
