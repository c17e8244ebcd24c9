"""JSON Schemas (2020-12) of the wire, generated from its structs for the OpenAPI documents.

Objects are closed: an answer has these members and no others. Tests compare real answers with the schemas.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tiergate.wire.decision import DecisionDocument
from tiergate.wire.explanation import Reasoning
from tiergate.wire.problem import ProblemDocument

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Json = dict[str, Any]

_PREFIX: Final = "#/components/schemas/"
_NAMES: Final = {
    "SubjectBody": "Subject",
    "CheckBody": "Check",
    "CheckAtBody": "CheckAt",
    "ChecksBody": "Checks",
    "DecisionDocument": "Decision",
    "Reasoning": "Explanation",
    "EntitlementList": "Entitlements",
    "ProblemDocument": "Problem",
    "ConsumeBody": "Consume",
    "ReserveBody": "Reserve",
    "CommitBody": "Commit",
    "UsageRecordBody": "UsageRecord",
    "UsageRecordsBody": "UsageRecords",
    "OutcomeBody": "Outcome",
    "OutcomesBody": "Outcomes",
    "ConsumptionDocument": "Consumption",
    "ReservationDocument": "ReservationEnd",
    "UsageWindowDocument": "UsageWindow",
    "UsageList": "Usage",
    "CorrectionBody": "UsageCorrection",
    "GrantBody": "NewGrant",
    "GrantEditBody": "GrantEdit",
    "ThresholdsBody": "UsageThresholds",
}
_NUMBER: Final[Json] = {"type": "string", "format": "decimal"}
_UNLOADED: Final = {"Explanation": ("counting", "action"), "ExplainedCheck": ("type",)}


def struct_schemas(structs: Iterable[type[msgspec.Struct]], prefix: str = "") -> dict[str, Json]:
    """Return the schemas of structs and everything in them, by name. `prefix` is put before each name."""
    _, components = msgspec.json.schema_components(structs, ref_template=_PREFIX + "{name}")
    names = {name: prefix + _NAMES.get(name, name) for name in components}
    return {names[name]: _adapted(schema, names) for name, schema in components.items()}


def decision_schemas(prefix: str = "", *, unloaded: bool = False) -> dict[str, Json]:
    """Return the schemas of decisions and explanations.

    `unloaded`: whether explanations may come before a catalog is loaded; they lack what only a catalog defines.
    """
    schemas = struct_schemas([DecisionDocument, Reasoning], prefix)
    for name, members in _UNLOADED.items() if unloaded else ():
        schema = schemas[prefix + name]
        schema["required"] = [member for member in schema["required"] if member not in members]
    if not unloaded:
        schemas[f"{prefix}Decision"]["required"].append("type")
    return schemas


def problem_schemas(*, without: Iterable[str]) -> dict[str, Json]:
    """Return the schemas of problems, without the members that a process never writes."""
    schemas = struct_schemas([ProblemDocument])
    for name in without:
        del schemas["Problem"]["properties"][name]
    if "errors" in without:
        del schemas["ProblemDetail"]
    return schemas


def object_of(
    properties: Json,
    *,
    required: tuple[str, ...] | None = None,
    optional: tuple[str, ...] = (),
    description: str | None = None,
) -> Json:
    """Return a closed object with these properties; all required but `optional`, or exactly `required`."""
    needed = [name for name in properties if name not in optional] if required is None else [*required]
    schema: Json = {"type": "object", "properties": properties, "additionalProperties": False}
    if needed:
        schema["required"] = needed
    if description is not None:
        schema["description"] = description
    return schema


def _adapted(schema: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401 - a schema is any JSON
    """Close objects, rename components, write decimals as numbers, and drop titles and defaults."""
    if isinstance(schema, list):
        return [_adapted(entry, names) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    options = schema.get("anyOf", ())
    if _NUMBER in options:
        return {"type": "number"} | {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
    if "default" in schema and schema["default"] is None and {"type": "null"} in options:
        present = [option for option in options if option != {"type": "null"}]
        schema = schema | ({"anyOf": present} if len(present) > 1 else present[0])
        if len(present) == 1:
            schema = {key: value for key, value in schema.items() if key != "anyOf"}
        return _adapted({key: value for key, value in schema.items() if key != "default"}, names)
    adapted = {key: value for key, value in schema.items() if key not in {"title", "default"}}
    if isinstance(adapted.get("description"), str):
        adapted["description"] = inspect.cleandoc(adapted["description"])
    if not adapted.get("required", True):
        del adapted["required"]
    if "properties" in adapted:
        members = {name: _adapted(member, names) for name, member in adapted.pop("properties").items()}
        adapted = {key: _adapted(value, names) for key, value in adapted.items()}
        return {"type": "object", "properties": members, "additionalProperties": False} | adapted
    if "$ref" in adapted:
        adapted["$ref"] = _PREFIX + names[adapted["$ref"].removeprefix(_PREFIX)]
    return {key: value if key == "$ref" else _adapted(value, names) for key, value in adapted.items()}
