"""Read the entities that conditions name: their attributes and tags as terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tiergate.cedar import Uid
from tiergate.impact.symbolic.condition_terms import RecordTerm, SetTerm, Term, TextTerm, UnsupportedExpressionError
from tiergate.impact.symbolic.formulas import Linear, Truth

if TYPE_CHECKING:
    from tiergate.impact.symbolic.symbolic_context import BundleEntities

_SUBJECTS: Final = frozenset({"Customer", "Subscription", "User"})
_KNOWN_TYPES: Final = _SUBJECTS | {"Item", "Feature", "Tag", "Action"}
_OF_FEATURE: Final = frozenset({"type", "unit", "scale"})


def entity_attribute(uid: Uid, name: str, data: BundleEntities) -> Term:
    """Return an attribute of an entity that is no subject.

    Raises:
        UnsupportedExpressionError: if it does not exist, or is not supported.
    """
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
    """Return whether an entity has an attribute.

    Raises:
        UnsupportedExpressionError: if it is a subject, whose data is unknown.
    """
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
    """Parse a value of an entity file.

    Raises:
        UnsupportedExpressionError: if it is a value of a Cedar extension.
    """
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
