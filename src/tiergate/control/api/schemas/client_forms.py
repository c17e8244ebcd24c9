"""Schemas in the form that generators of clients understand.

The schemas of the files also state conditions: which keys a feature of a type has, which date a status needs. Types of
programming languages cannot say that, and generators stop at it or drop the whole schema. So the API's document has the
types alone, and each condition is a problem of a request (422). Defaults stand in descriptions: a client that fills
them in would send what its user did not say, and undo edits of others with a `PATCH`.

`edit_form` is the form of a JSON Merge Patch: every member is optional, and null removes it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tiergate.control.api.schemas.parts import PREFIX, Schema
from tiergate.impact.preview.subject_effects import Effect
from tiergate.model import (
    CalendarUnit,
    Combine,
    FeatureStatus,
    FeatureType,
    ItemKind,
    LimitKind,
    OverrideMode,
    Per,
    Reason,
    SubscriptionStatus,
)
from tiergate.model.subscription_state import SubscriptionState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

_CONDITIONS: Final = frozenset({"if", "then", "else", "not", "dependentRequired", "propertyNames"})
_ALTERNATIVES: Final = ("allOf", "anyOf", "oneOf")
_TYPES: Final = {bool: "boolean", str: "string", int: "integer"}
_ENUMS: Final[dict[str, type[StrEnum]]] = {
    "FeatureType": FeatureType,
    "CatalogStatus": FeatureStatus,  # that of items has the same words
    "ItemKind": ItemKind,
    "SubscriptionStatus": SubscriptionStatus,
    "SubscriptionState": SubscriptionState,
    "OverrideMode": OverrideMode,
    "Combine": Combine,
    "Per": Per,
    "CalendarUnit": CalendarUnit,
    "LimitKind": LimitKind,
    "Reason": Reason,
    "Effect": Effect,
}
_NAMES: Final = {tuple(sorted(enum)): name for name, enum in _ENUMS.items()}


def client_form(schema: Schema) -> Schema:
    """Return a schema without conditions and defaults, in which enumerations and constants name their type."""
    form = {key: _inner_form(key, value) for key, value in schema.items() if key not in _CONDITIONS}
    for key in _ALTERNATIVES:
        form[key] = [option for option in form.get(key, ()) if _describes(option)]
        if not form[key]:
            del form[key]
    if "default" in form:
        said = f"Default: `{json.dumps(form.pop('default')).strip(chr(34))}`."
        form["description"] = f"{form['description']} {said}" if "description" in form else said
    values = form.get("enum", [form["const"]] if "const" in form else [])
    name = _NAMES.get(tuple(sorted(values))) if "enum" in form and all(isinstance(it, str) for it in values) else None
    if name is not None:
        described = {"description": form["description"]} if "description" in form else {}
        return {"$ref": PREFIX + name, **described}
    types = {_TYPES.get(type(value)) for value in values}
    if "type" not in form and len(types) == 1 and None not in types:
        form["type"] = types.pop()
    if isinstance(form.get("type"), list) and {"array", "object"} & {*form["type"]}:
        options = [client_form({"type": type_}) for type_ in form.pop("type")]
        return {"anyOf": options, **form}
    if form.get("type") == "array":
        form.setdefault("items", {})
    if form.get("type") == "object" and "properties" not in form:
        form.setdefault("additionalProperties", True)
    return form


def enum_schemas() -> dict[str, Schema]:
    """Return the enumerations that have names, so that a client has one type for each."""
    return {name: {"type": "string", "enum": [word.value for word in enum]} for name, enum in _ENUMS.items()}


def edit_form(schema: Schema, components: Mapping[str, Schema], edits: dict[str, Schema]) -> Schema:
    """Return the schema of a JSON Merge Patch of an object.

    `components`: the schemas that references lead to; `edits`: takes the edits of those that are objects, by name.
    """
    form = {key: value for key, value in schema.items() if key not in {"required", "minProperties"}}
    if "properties" in schema:
        form["properties"] = {name: _or_null(it, components, edits) for name, it in schema["properties"].items()}
    if isinstance(schema.get("additionalProperties"), dict):
        form["additionalProperties"] = _or_null(schema["additionalProperties"], components, edits)
    return form


def reachable(paths: object, schemas: Mapping[str, Schema]) -> dict[str, Schema]:
    """Return the schemas that paths refer to, directly or through others."""
    found: set[str] = set()
    pending = list(_references(paths))
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += _references(schemas[name])
    return {name: schema for name, schema in schemas.items() if name in found}


def _or_null(schema: Schema, components: Mapping[str, Schema], edits: dict[str, Schema]) -> Schema:
    described = {"description": schema["description"]} if "description" in schema else {}
    name = schema.get("$ref", "").removeprefix(PREFIX)
    if name and components[name].get("type") == "object":
        edit = f"{name}Edit"
        if edit not in edits:
            edits[edit] = edit_form(components[name], components, edits)
        schema = {"$ref": PREFIX + edit}
    elif schema.get("type") == "object":
        schema = edit_form(schema, components, edits)
    return {"anyOf": [{key: it for key, it in schema.items() if key != "description"}, {"type": "null"}], **described}


def _inner_form(key: str, value: Any) -> Any:  # noqa: ANN401 - a schema is any JSON
    if key == "properties":
        return {name: client_form(inner) for name, inner in value.items() if inner is not False}
    if key in {"items", "additionalProperties"} and isinstance(value, dict):
        return client_form(value)
    if key in _ALTERNATIVES:
        return [client_form(option) for option in value]
    return value


def _describes(option: Schema) -> bool:
    """Return whether an alternative says something of a type: it was not a condition only."""
    return bool(option.keys() - {"required", "description"}) and option != {"properties": {}}


def _references(value: Any) -> list[str]:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        own = [value["$ref"].removeprefix(PREFIX)] if str(value.get("$ref", "")).startswith(PREFIX) else []
        return own + [name for inner in value.values() for name in _references(inner)]
    return [name for inner in value for name in _references(inner)] if isinstance(value, list) else []
