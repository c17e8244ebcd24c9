"""What is known of a check before it is made, on one side of a comparison.

A side knows the feature, the user-defined entities, and what item versions grant; known values replace what a condition
reads. More may be known: the requester, its items, or the time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tiergate.cedar import Uid
from tiergate.engine.cedar_entities import item_tags, referenced_uids
from tiergate.impact.rule_set import fields_read_by_rules
from tiergate.impact.symbolic.formulas import Atom, Formula, Linear, equals, linear
from tiergate.model import FeatureStatus, FeatureType
from tiergate.model.features import ACTIONS
from tiergate.naming import version_ref

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tiergate.engine import BundleSource
    from tiergate.model import Feature

BOOLEANS = ("active", "suspended", "live", "held", "given", "overridden", "disabled")
_OF_ACTION: dict[FeatureType, tuple[str, ...]] = {
    FeatureType.SWITCH: (),
    FeatureType.QUANTITY: (
        *("limit", "allowance", "ceiling", "soft", "unlimited", "used", "amount", "minimum", "remainder"),
    ),
    FeatureType.RANGE: ("limit", "unlimited", "value"),
    FeatureType.CUSTOM: ("rank", "heldRank"),
}


HAS_RESET = "has resetsAt"
"""The fact that it is known when the usage of a metered feature resets."""

_FLAGS = frozenset({"unlimited", "soft"})
"""Boolean attributes of single actions."""


class KnownSubject(NamedTuple):
    """What is known of the requester: facts, numbers, tags, attributes, and the items and versions it is in."""

    facts: Mapping[str, bool]
    numbers: Mapping[str, int]
    tags: frozenset[str]
    attributes: Mapping[str, str]
    items: frozenset[str]


class BundleEntities:
    """What conditions can read of a bundle beside the facts of a check."""

    def __init__(self, bundle: BundleSource) -> None:
        self.bundle = bundle
        self.index = bundle.index
        self.own: dict[Uid, dict[str, Any]] = {}
        for path in bundle.paths("entities/rules/"):
            for load in json.loads(bundle.text(path)):
                self.own[Uid(load["uid"]["type"], load["uid"]["id"])] = load
        self.schema = bundle.text("schema.cedarschema")

    def item_tags(self, ref: str) -> dict[str, str] | None:
        """Return what an item version grants, as text; `None` if there is no such version."""
        return item_tags(self.bundle, ref)

    def parents(self, uid: Uid) -> frozenset[Uid]:
        """Return all ancestors of an entity."""
        if uid.type == "Feature":
            feature = self.index.features.get(uid.id)
            return frozenset(Uid("Tag", tag) for tag in feature.tags) if feature else frozenset()
        if uid.type == "Item":
            item, at, _ = uid.id.rpartition("@")
            return frozenset({Uid("Item", item)}) if at else frozenset()
        if uid.type == "Action":
            return frozenset({Uid("Action", "access")}) if uid.id != "access" else frozenset()
        result: set[Uid] = set()
        stack = [uid]
        while stack:
            for entry in self.own.get(stack.pop(), {}).get("parents", ()):
                parent = _uid(entry)
                if parent not in result:
                    result.add(parent)
                    stack.append(parent)
        for parent in list(result):
            if parent.type in {"Feature", "Item"}:
                result |= self.parents(parent)
        return frozenset(result)


def _uid(data: dict[str, Any]) -> Uid:
    inner = data.get("__entity", data)
    return Uid(inner["type"], inner["id"])


def read_equal_data(baseline: BundleEntities, candidate: BundleEntities) -> bool:
    """Return whether conditions read the same of both sides, beside facts and item versions."""
    sides = [
        (side.schema, side.own, {id_: fields_read_by_rules(it) for id_, it in side.index.features.items()})
        for side in (baseline, candidate)
    ]
    return sides[0] == sides[1]


def item_refs_read(named: set[str], sides: tuple[BundleEntities, BundleEntities]) -> set[str]:
    """Return the item references that rules can read: those `named`, or all if user-defined entities refer to items."""
    own = (entity for side in sides for entity in side.own.values())
    if not any(uid.type == "Item" for entity in own for uid in referenced_uids(entity)):
        return named
    items = [item for side in sides for item in side.index.items.values()]
    return named | {version_ref(item.kind, item.id, version) for item in items for version in item.versions}


@dataclass(frozen=True)
class SymbolicContext:
    """A side, a feature, and what is known of the requester.

    `label`: separates membership in `moved` items, which holders have in another version on the other side.
    `fingerprint`: equal if unsupported conditions read the same data on both sides.
    """

    data: BundleEntities
    feature: Feature
    label: str = ""
    moved: Collection[str] = ()
    fixed: KnownSubject | None = None
    fingerprint: str = ""

    @property
    def action(self) -> str:
        """The id of the requested action."""
        return ACTIONS[self.feature.type]

    def has(self, name: str) -> bool:
        """Return whether the context has an attribute."""
        if name == "userCap":
            return self.feature.caps.per_user is not None and self.feature.type is FeatureType.QUANTITY
        if name == "totalCap":
            return self.feature.caps.total is not None and self.feature.type is FeatureType.QUANTITY
        if name == "draws":
            return self.feature.draws is not None and self.feature.type is FeatureType.QUANTITY
        return name in {"now", "weekday", "status", *BOOLEANS, *_OF_ACTION[self.feature.type]}

    @property
    def is_metered(self) -> bool:
        """Whether the feature is metered, so that its limit may be soft and grants may add to its allowance."""
        return self.feature.metered is not None and self.feature.type is FeatureType.QUANTITY

    def fact(self, name: str) -> Formula | None:
        """Return a Boolean attribute of the context; `None` if there is none."""
        if name == "active":
            return self.feature.status is not FeatureStatus.DRAFT
        if name not in BOOLEANS and not (name in _FLAGS and self.has(name)):
            return None
        if name == "soft" and not self.is_metered:
            return False
        if self.fixed is not None and name in self.fixed.facts:
            return self.fixed.facts[name]
        return Atom(("fact", name), test=True)

    def has_reset(self) -> Formula:
        """Return when the context has `resetsAt`: never, or depending on what is known of the usage."""
        metered = self.feature.metered
        if metered is None or metered.reset is None or not self.is_metered:
            return False
        return Atom(("fact", HAS_RESET), test=True)

    def number(self, name: str) -> Linear | None:
        """Return a number of the context, or of a record in it; `None` if there is none."""
        feature, batch = self.feature, self.feature.batch
        known: dict[str, int | None] = {
            "minimum": batch.minimum or 1 if self.has("minimum") else None,
            "userCap.limit": feature.caps.per_user,
            "totalCap.limit": feature.caps.total,
        }
        if name in known:
            constant = known[name]
            return None if constant is None else Linear((), constant)
        if name == "remainder" and self.has(name):
            if (batch.increment or 1) == 1:
                return Linear((), 0)
            name = f"remainder/{batch.increment}"
        elif name in {"userCap.used", "totalCap.used", "draws.used", "draws.amount", "draws.ceiling"}:
            if not self.has(name.partition(".")[0]):
                return None
            draws = feature.draws
            if name == "draws.amount" and draws is not None:
                name = f"{name}/{draws.cost}/{feature.scale}"
        elif name not in {"time", "resetsAt"} and (not self.has(name) or name in BOOLEANS or name in _FLAGS):
            return None
        if name in ("allowance", "ceiling") and not self.is_metered:
            name = "limit"
        if self.fixed is not None and name in self.fixed.numbers:
            return Linear((), self.fixed.numbers[name])
        return linear({name: 1})

    def status(self, rank: int) -> Formula:
        """Return when the status of the feature has a rank."""
        number = self.number("status")
        return number is not None and equals(number, Linear((), rank))

    def tag(self, name: str) -> Formula:
        """Return when the customer has a tag."""
        if self.fixed is not None:
            return name in self.fixed.tags
        return Atom(("tag", name), test=True)

    def tags_within(self, names: frozenset[str]) -> Formula:
        """Return when the customer has no other tags than these."""
        if self.fixed is not None:
            return self.fixed.tags <= names
        return Atom(("tags",), names)

    def attribute(self, key: str, test: tuple[str, object]) -> Formula:
        """Return a test of an attribute of the customer: `present`, `is` a text, `like` a pattern."""
        if self.fixed is not None:
            value = self.fixed.attributes.get(key)
            return test_text(value, test)
        return Atom(("text", key), test)

    def member(self, ref: str) -> Formula:
        """Return when the requester is in an item or a version of it."""
        if self.fixed is not None:
            return ref in self.fixed.items
        item = ref.partition("/")[2].partition("@")[0]
        return Atom(("item", ref, self.label if item in self.moved else ""), test=True)

    @staticmethod
    def who(test: tuple[str, object]) -> Formula:
        """Return a test of the requester: `is` of a type, `equal` or `in` an entity, `customer`, `like` a pattern."""
        return Atom(("who",), test)


def test_text(value: str | None, test: tuple[str, object]) -> bool:
    """Test a text that may be missing."""
    kind, what = test
    if kind == "present":
        return value is not None
    if value is None:
        return False
    return value == what if kind == "is" else matches_pattern(value, what)  # type: ignore[arg-type]


def matches_pattern(text: str, pattern: tuple[str | None, ...]) -> bool:
    """Return whether a text matches a pattern: characters, and `None` for any number of any."""
    places = {0}
    for part in pattern:
        if part is None:
            places = set(range(min(places), len(text) + 1)) if places else places
        else:
            places = {value + 1 for value in places if value < len(text) and text[value] == part}
    return len(text) in places
