"""Names in rules that nobody has, spelled nearly as some that exist: attributes, tags, customers, tags of items."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tiergate.impact.rule_lint.findings import RuleFinding
from tiergate.model import AudienceType, Customer
from tiergate.naming import nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from tiergate.cedar import Policy
    from tiergate.model import CatalogIndex, Subscription

_SETS = ("contains", "containsAll", "containsAny")


@dataclass
class KnownNames:
    """What subjects have: tags, attributes, and their ids by type of entity. Empty where no subjects are known."""

    tags: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    subjects: dict[str, set[str]] = field(default_factory=lambda: {"Customer": set(), "Subscription": set()})

    def add(self, entry: Customer | Subscription) -> None:
        """Add the names of a customer or a subscription."""
        if isinstance(entry, Customer):
            self.tags.update(entry.tags)
            self.attributes.update(entry.attributes)
            self.subjects["Customer"].add(entry.id)
        else:
            self.subjects["Subscription"].add(entry.id)


def find_near_misses(rule: str, policy: Policy, index: CatalogIndex, names: KnownNames) -> Iterator[RuleFinding]:
    """Yield the names of a rule that are near misses."""
    rolled_out = {
        rollout.audience.tag
        for item in index.items.values()
        for rollout in item.rollouts
        if rollout.audience.type is AudienceType.TAG
    }
    tags, attributes, given = _names_read(policy.json["conditions"])
    yield from _missed(rule, "tag-near-miss", "customer has the tag", tags, names.tags | rolled_out)
    yield from _missed(rule, "attribute-near-miss", "customer has the attribute", attributes, names.attributes)
    yield from _missed(rule, "feature-near-miss", "item gives a feature", given, index.features.keys())
    for reference in policy.references():
        kind, id_ = reference.uid
        known = names.subjects.get(kind)
        if known and id_ not in known:
            message = f"no {kind.lower()} `{id_}` among the subjects"
            yield RuleFinding(rule, "subject-not-found", message, nearest(id_, known) or "", id_)


def _missed(rule: str, code: str, what: str, named: Collection[str], known: Collection[str]) -> Iterator[RuleFinding]:
    for name in sorted(named):
        near = None if name in known else nearest(name, known)
        if near:
            yield RuleFinding(rule, code, f"no {what} `{name}`", near, name)


def _names_read(conditions: object) -> tuple[set[str], set[str], set[str]]:
    """Return the tags and attributes of the principal, and the features of items, that conditions name."""
    tags: set[str] = set()
    attributes: set[str] = set()
    given: set[str] = set()
    stack = [conditions]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            for op, inner in node.items():
                if op in _SETS and _is_tags(inner.get("left")):
                    tags.update(_texts(inner.get("right")))
                elif op in _SETS and _is_tags(inner.get("right")):
                    tags.update(_texts(inner.get("left")))
                elif op in {"hasTag", "getTag"}:
                    if inner.get("left") == {"Var": "principal"}:
                        attributes.update(_texts(inner.get("right")))
                    elif _is_item(inner.get("left")):
                        given.update(_texts(inner.get("right")))
            stack.extend(node.values())
    return tags, attributes, given


def _is_tags(node: object) -> bool:
    return node == {".": {"left": {"Var": "principal"}, "attr": "tags"}}


def _is_item(node: Any) -> bool:  # noqa: ANN401 - Cedar's JSON
    value = node.get("Value") if isinstance(node, dict) else None
    return isinstance(value, dict) and value.get("__entity", {}).get("type") == "Item"


def _texts(node: Any) -> Iterator[str]:  # noqa: ANN401 - Cedar's JSON
    if isinstance(node, dict):
        if isinstance(node.get("Value"), str):
            yield node["Value"]
        for member in node.get("Set", ()):
            yield from _texts(member)
