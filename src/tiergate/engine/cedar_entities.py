"""Entities for one check: the principal out of its subject's record, its items, the feature, what rules name.

INVARIANT (action groups): the base of every check is parsed with the schema. Without it the groups of actions are not
among the entities, and a rule on `Action::"access"` silently matches nothing.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from tiergate.cedar import BaseEntities, Schema, Uid
from tiergate.engine.bounded_cache import BoundedCache
from tiergate.errors import BundleError
from tiergate.model import SubjectType, format_value
from tiergate.naming import version_ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tiergate.cedar import EntitySet
    from tiergate.engine.slices import StaticPolicy
    from tiergate.engine.sources import BundleSource
    from tiergate.model import Customer, Feature, Subject

_BASES = 5_000
_BASE_BYTES = 24 * 2**20
_ENTITY_BYTES = 2_000
_TEXT_FACTOR = 12  # what Cedar keeps for a byte of JSON, as measured

Entity = dict[str, Any]


def principal_uid(subject: Subject) -> Uid:
    """Return the principal of a check about this subject."""
    if subject.user is not None:
        return Uid("User", subject.user)
    return _subject_uid(subject)


def user_parents(subject: Subject) -> tuple[Uid, ...]:
    """Return the parents of a principal besides items: a user's customer or subscription."""
    return (_subject_uid(subject),) if subject.user is not None else ()


def _subject_uid(subject: Subject) -> Uid:
    return Uid("Customer" if subject.type is SubjectType.CUSTOMER else "Subscription", subject.id)


def _uid(uid: Uid) -> dict[str, str]:
    return {"type": uid.type, "id": uid.id}


def principal_entities(subject: Subject, customer: Customer, refs: Iterable[str]) -> str:
    """The principal, and for a user its subject, as JSON entities without the brackets around them.

    Written by hand because it is made for every subject: references need no escaping, the rest is encoded.
    """
    holder = _subject_uid(subject)
    shared = (
        f'"attrs":{{"customer":{_quoted(customer.id)},"tags":{_encode(customer.tags)}}},'
        f'"tags":{_encode(customer.attributes)},"parents":'
    )
    parents = ",".join([f'{{"type":"Item","id":"{ref}"}}' for ref in refs])
    text = f'{{"uid":{_uid_text(holder)},{shared}[{parents}]}}'
    if subject.user is not None:
        user = Uid("User", subject.user)
        text += f',{{"uid":{_uid_text(user)},{shared}[{_uid_text(holder)}]}}'
    return text


def lean_principal(subject: Subject, refs: Iterable[str]) -> str:
    """Return the principal without what only rules can read, for slices without rules."""
    holder = _uid_text(_subject_uid(subject))
    parents = ",".join([f'{{"type":"Item","id":"{ref}"}}' for ref in refs])
    text = f'{{"uid":{holder},"attrs":{{}},"parents":[{parents}]}}'
    if subject.user is not None:
        text += f',{{"uid":{_uid_text(Uid("User", subject.user))},"attrs":{{}},"parents":[{holder}]}}'
    return text


def _encode(value: str | tuple[str, ...] | dict[str, str]) -> str:
    return msgspec.json.encode(value).decode()


def _uid_text(uid: Uid) -> str:
    return f'{{"type":"{uid.type}","id":{_quoted(uid.id)}}}'


def _quoted(id_: str) -> str:
    """Encode a subject's id as JSON. It has no control characters, so only two characters need an escape."""
    if '"' in id_ or "\\" in id_:
        return _encode(id_)
    return f'"{id_}"'


class EntityFactory:
    """Makes the entities of checks against one bundle."""

    def __init__(self, bundle: BundleSource) -> None:
        self._bundle = bundle
        try:
            self._schema = _schema(bundle.text("schema.cedarschema"))
        except ValueError as error:
            raise BundleError("schema.cedarschema", str(error)) from None
        self._bases: BoundedCache[tuple[str, tuple[StaticPolicy, ...]], tuple[BaseEntities, frozenset[str]]] = (
            BoundedCache(_BASES, _BASE_BYTES)
        )
        self._own: list[Entity] | None = None
        self._items: dict[str, str] = {}

    def entities(
        self, feature: Feature, rules: tuple[StaticPolicy, ...], principal: str, refs: Sequence[str]
    ) -> EntitySet:
        """The entities of a check of `feature` under `rules`.

        `principal` is what `lean_principal` wrote where there are no rules, else `principal_entities`. What a version
        is in matters to rules alone: all else names the versions themselves.
        """
        found = self._bases.get((feature.id, rules))
        if found is None:
            listed = self._base_entities(feature, rules)
            items = frozenset(it["uid"]["id"] for it in listed if it["uid"]["type"] == "Item")
            whole = json.dumps(listed)
            found = (BaseEntities(whole, self._schema), items)
            # Kept whatever its size, because to make it for every check would be worse: of huge ones, only a few.
            size = min(_ENTITY_BYTES + _TEXT_FACTOR * len(whole), _BASE_BYTES // 10)
            self._bases.put((feature.id, rules), found, size)
        base, present = found
        if not rules:
            return base.with_entities(f"[{principal}]")
        parts = [principal]
        for ref in refs:
            if ref not in present:
                text = self._items.get(ref)
                if text is None:
                    text = self._items[ref] = json.dumps(_item_entity(ref, {}))
                parts.append(text)
        return base.with_entities("[" + ",".join(parts) + "]")

    def item_texts(self, refs: Iterable[str]) -> list[str]:
        """The entities of item versions, without their values, as JSON."""
        return [json.dumps(_item_entity(ref, {})) for ref in refs]

    def listed(
        self, feature: Feature, rules: tuple[StaticPolicy, ...], principal: str, refs: Sequence[str]
    ) -> list[Entity]:
        """The same entities as data, for `explain` and for other engines."""
        listed = self._base_entities(feature, rules)
        present = {it["uid"]["id"] for it in listed if it["uid"]["type"] == "Item"}
        own: list[Entity] = json.loads(f"[{principal}]")
        return own + listed + [_item_entity(ref, {}) for ref in refs if ref not in present]

    def _base_entities(self, feature: Feature, rules: tuple[StaticPolicy, ...]) -> list[Entity]:
        """What stands beside the principal: the feature, and all that the rules or the users' entities name.

        An item's tags are what a version gives: large, and there only where a condition can come to read them.
        """
        own = self._own_entities() if rules else []
        read = set(referenced_uids(own))
        scoped: set[Uid] = set()
        for rule in rules:
            for reference in rule.policy.references():
                (scoped if reference.in_scope else read).add(reference.uid)
        if not any(rule.policy.reads_tags() for rule in rules):
            scoped, read = scoped | read, set()
        features = self._bundle.index.features
        named = {feature.id: feature}
        named.update((uid.id, features[uid.id]) for uid in sorted(scoped | read) if _is_feature(uid, features))
        tags = {uid.id for uid in scoped | read if uid.type == "Tag"}
        listed: list[Entity] = []
        for it in named.values():
            tags.update(it.tags)
            attrs = {"type": it.type.value, "unit": it.unit, "scale": it.scale}
            parents = [{"type": "Tag", "id": tag} for tag in it.tags]
            listed.append({"uid": _uid(Uid("Feature", it.id)), "attrs": attrs, "parents": parents})
        listed += [{"uid": _uid(Uid("Tag", tag)), "attrs": {}, "parents": []} for tag in sorted(tags)]
        for ref in sorted({uid.id for uid in scoped | read if uid.type == "Item"}):
            listed.append(_item_entity(ref, item_tags(self._bundle, ref) or {} if Uid("Item", ref) in read else {}))
        return listed + own

    def _own_entities(self) -> list[Entity]:
        """Return the entities of the users' own, read once."""
        if self._own is None:
            self._own = [
                it for path in self._bundle.paths("entities/rules/") for it in json.loads(self._bundle.text(path))
            ]
        return self._own


def item_tags(bundle: BundleSource, ref: str) -> dict[str, str] | None:
    """Return what an item version grants, as text; `None` if there is no such version."""
    item = bundle.index.items.get(ref.partition("/")[2].rpartition("@")[0])
    if item is None or ref not in {version_ref(item.kind, item.id, version) for version in item.versions}:
        return None
    features = bundle.index.features
    return {name: format_value(value, features[name].scale) for name, value in bundle.definition(ref).items()}


@lru_cache(maxsize=4)
def _schema(text: str) -> Schema:
    """Parse a schema, which is usually the same in the next bundle."""
    return Schema(text)


def _is_feature(uid: Uid, features: Mapping[str, Feature]) -> bool:
    return uid.type == "Feature" and uid.id in features


def referenced_uids(tree: object) -> Iterator[Uid]:
    """Yield everything in users' entities that may name an entity. A record that only looks like one does no harm."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            if isinstance(node.get("type"), str) and isinstance(node.get("id"), str):
                yield Uid(node["type"], node["id"])
            stack.extend(node.values())


def _item_entity(ref: str, tags: dict[str, str]) -> Entity:
    item, at, _ = ref.rpartition("@")
    parents = [{"type": "Item", "id": item}] if at else []
    return {"uid": {"type": "Item", "id": ref}, "attrs": {}, "parents": parents, "tags": tags}
