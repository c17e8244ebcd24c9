"""Terms: the values of expressions in conditions, as far as they are known before a check.

Also the attributes and tags of entities as terms; `UnsupportedExpressionError` if they are not supported.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tiergate.cedar import Uid
from tiergate.impact.symbolic.formulas import Formula, Linear, Truth

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.impact.symbolic.symbolic_context import BundleEntities


class UnsupportedExpressionError(Exception):
    """An expression that is not supported."""


class TextTerm(NamedTuple):
    """A known text."""

    value: str


class AttributeTerm(NamedTuple):
    """An attribute of the customer."""

    key: str


class CustomerTerm(NamedTuple):
    """The customer's id."""


class TagsTerm(NamedTuple):
    """The customer's tags."""


class PrincipalTerm(NamedTuple):
    """The requester."""


class ContextTerm(NamedTuple):
    """The context, or a record in it."""

    path: str = ""


class SetTerm(NamedTuple):
    """A set."""

    members: tuple[Term, ...]


class RecordTerm(NamedTuple):
    """A record."""

    fields: dict[str, Term]


class StatusTerm(NamedTuple):
    """The status of the feature: one of five texts, whose ranks are a number of the context."""


class StepTerm(NamedTuple):
    """A number that grows with a form: `bound` returns the greatest form for which it is at most a number."""

    of: Linear
    bound: Callable[[int], int]


Term = (
    Truth | Linear | Uid | TextTerm | AttributeTerm | CustomerTerm | TagsTerm | PrincipalTerm | ContextTerm | SetTerm
    | RecordTerm | StepTerm | StatusTerm
)  # fmt: skip


class TermResult(NamedTuple):
    """The value of an expression, and when it fails."""

    term: Term
    errs: Formula = False


_OF_SUBJECT: Final = {"tags": "reads the tags of the subject", "customer": "reads the id of the customer"}


def describe_unsupported(text: str) -> str:
    """Return what a condition, in Cedar's JSON, reads that is not compared."""
    stack = [json.loads(text)]
    result = []
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            if "getTag" in node or "hasTag" in node:
                result.append("reads attributes of the subject, or what an item grants")
            for op in (".", "has"):
                access = node.get(op)
                if isinstance(access, dict) and access.get("left") == {"Var": "context"}:
                    result.append(f"reads `context.{access['attr']}`")
                elif isinstance(access, dict) and access.get("left") == {"Var": "principal"}:
                    result.append(_OF_SUBJECT.get(access["attr"], f"reads `principal.{access['attr']}`"))
                elif isinstance(access, dict) and access.get("left") == {"Var": "resource"}:
                    result.append(f"reads `resource.{access['attr']}`")
            if "__entity" in node:
                result.append(f"""tests for `{node["__entity"]["type"]}::"{node["__entity"]["id"]}"`""")
            stack.extend(node.values())
    return min(result, default="is more than a comparison with constants", key=len)


_SUBJECTS: Final = frozenset({"Customer", "Subscription", "User"})
_KNOWN_TYPES: Final = _SUBJECTS | {"Item", "Feature", "Tag", "Action"}
_OF_FEATURE: Final = frozenset({"type", "unit", "scale"})


def entity_attribute(uid: Uid, name: str, data: BundleEntities) -> Term:
    """Return an attribute of an entity that is no subject."""
    if uid.type == "Feature":
        feature = data.index.features.get(uid.id)
        if feature is None or name not in _OF_FEATURE:
            raise UnsupportedExpressionError
        if name == "scale":
            return Linear((), feature.scale)
        return TextTerm(feature.type.value if name == "type" else feature.unit)
    attributes = data.own.get(uid, {}).get("attrs", {})
    if name not in attributes:
        raise UnsupportedExpressionError
    return parse_term(attributes[name], data)


def has_attribute(uid: Uid, name: str, data: BundleEntities) -> bool:
    """Return whether an entity has an attribute."""
    if uid.type in _SUBJECTS:
        raise UnsupportedExpressionError
    if uid.type == "Feature":
        return uid.id in data.index.features and name in _OF_FEATURE
    return name in data.own.get(uid, {}).get("attrs", {})


def entity_tags(uid: Uid, data: BundleEntities) -> dict[str, Any]:
    """Return the tags of an entity: what an item version grants, as text, or user-defined ones."""
    if uid.type == "Item":
        return dict(data.item_tags(uid.id) or {})
    tags: dict[str, Any] = data.own.get(uid, {}).get("tags", {})
    return tags


def parse_term(value: object, data: BundleEntities) -> Term:
    """Parse a value of an entity file."""
    match value:
        case bool():
            return Truth(true=value)
        case int():
            return Linear((), value)
        case str():
            return TextTerm(value)
        case list():
            return SetTerm(tuple(parse_term(entry, data) for entry in value))
        case {"__entity": dict(entity)}:
            return parse_uid(entity)
        case {"type": str(kind), "id": str(name), **rest} if not rest and (
            kind in _KNOWN_TYPES or any(it.type == kind for it in data.own)
        ):
            return Uid(kind, name)
        case dict() if "__extn" not in value and "fn" not in value:
            return RecordTerm({str(name): parse_term(it, data) for name, it in value.items()})
        case _:
            raise UnsupportedExpressionError


def parse_uid(entity: object) -> Uid:
    """Parse an entity UID in Cedar's JSON."""
    match entity:
        case {"__entity": inner}:
            return parse_uid(inner)
        case {"type": str(kind), "id": str(name)}:
            return Uid(kind, name)
        case _:
            raise UnsupportedExpressionError
