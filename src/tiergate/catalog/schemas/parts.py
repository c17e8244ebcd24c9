"""The parts of the schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tiergate.catalog.entries.calendar_periods import MAX_PERIODS
from tiergate.catalog.entries.metadata import MAX_METADATA, MAX_METADATA_KEY, MAX_METADATA_VALUE
from tiergate.catalog.reading.fields import MAX_LINE, MAX_PROSE, MAX_TAGS
from tiergate.catalog.reading.files import API_VERSION
from tiergate.model import MAX_THRESHOLDS, CalendarUnit, LimitKind
from tiergate.naming import EXTERNAL_PREFIX, ID, MAX_SUBJECT_ID, SUBJECT_ID_PATTERN

if TYPE_CHECKING:
    from collections.abc import Iterable
    from enum import StrEnum

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
"""The JSON Schema dialect."""

_INSTANT: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2}))?$"
)


def closed(properties: Schema, required: Iterable[str] = (), description: str = "") -> Schema:
    """Return an object schema with these properties and no others."""
    schema: Schema = {"type": "object"}
    if description:
        schema["description"] = description
    schema["properties"] = properties
    if required:
        schema["required"] = list(required)
    schema["additionalProperties"] = False
    return schema


def ref(name: str, description: str = "") -> Schema:
    """Return a reference to a shared definition."""
    schema: Schema = {"$ref": f"#/$defs/{name}"}
    if description:
        schema["description"] = description
    return schema


def listing(ref: str, description: str) -> Schema:
    """Return a list schema with the items of `ref`."""
    return {"type": "array", "description": description, "items": {"$ref": ref}}


def ids(description: str, least: int = 0) -> Schema:
    """Return a list of unique ids."""
    schema: Schema = {"type": "array", "description": description, "items": ref("id"), "uniqueItems": True}
    if least:
        schema["minItems"] = least
    return schema


def tags(description: str) -> Schema:
    """Return a list of tags."""
    return ids(description) | {"maxItems": MAX_TAGS}


def words(choices: type[StrEnum], description: str, *more: str, default: StrEnum | None = None) -> Schema:
    """Return the words of an enumeration, and `more`."""
    schema: Schema = {"enum": [*(choice.value for choice in choices), *more], "description": description}
    if default is not None:
        schema["default"] = default.value
    return schema


def line(description: str) -> Schema:
    """Return one line of text."""
    return {"type": "string", "description": description, "minLength": 1, "maxLength": MAX_LINE}


def prose(description: str) -> Schema:
    """Return text of several lines."""
    return {"type": "string", "description": description, "minLength": 1, "maxLength": MAX_PROSE}


def metadata() -> Schema:
    """Return text by key, for people and other systems."""
    return {
        "type": "object",
        "maxProperties": MAX_METADATA,
        "propertyNames": {"minLength": 1, "maxLength": MAX_METADATA_KEY},
        "additionalProperties": {"type": "string", "minLength": 1, "maxLength": MAX_METADATA_VALUE},
        "description": "Text for people and programs outside, such as ids of prices; no rule reads it.",
    }


def api_version() -> Schema:
    """Return the version of the format."""
    return {"const": API_VERSION, "description": "The version of this format."}


def number(description: str, *, positive: bool = False) -> Schema:
    """Return a number that is not negative."""
    bound = "exclusiveMinimum" if positive else "minimum"
    return {"type": "number", bound: 0, "description": description}


def whole(least: int, most: int, description: str) -> Schema:
    """Return a whole number."""
    return {"type": "integer", "minimum": least, "maximum": most, "description": description}


def calendar_period(description: str, *more: str) -> Schema:
    """Return a period of calendar time, `month` or `{every: 3, of: month}`, or one of the words `more`."""
    several = closed(
        {
            "every": whole(1, MAX_PERIODS, "How many of these units."),
            "of": words(CalendarUnit, "The unit of time."),
        },
        ["every", "of"],
    )
    return {"anyOf": [{"enum": [*(unit.value for unit in CalendarUnit), *more]}, several], "description": description}


def limit_kind(description: str) -> Schema:
    """Return `hard` or `soft`."""
    return words(LimitKind, description)


def overage_max() -> Schema:
    """Return the units above a soft limit."""
    return number("How much may be used above a soft limit; left out: any amount.", positive=True)


def thresholds() -> Schema:
    """Return the levels of usage at which somebody is told."""
    percent: Schema = {"type": "string", "pattern": r"^(1000|[1-9][0-9]{0,2})%$"}
    amount: Schema = {"type": "number", "exclusiveMinimum": 0}
    return {
        "type": "array",
        "items": {"anyOf": [percent, amount]},
        "uniqueItems": True,
        "maxItems": MAX_THRESHOLDS,
        "description": "Levels of usage at which an event is sent: percentages of the limit, such as 80%, and amounts.",
    }


def soft_for_overage() -> Schema:
    """Return the condition that `overage_max` needs `limit: soft`."""
    soft: Schema = {"properties": {"limit": {"const": LimitKind.SOFT.value}}, "required": ["limit"]}
    return {"if": {"required": ["overage_max"]}, "then": soft}


def shared() -> Schema:
    """Return the definitions that every schema uses."""
    return {
        "id": {
            "type": "string",
            "pattern": f"^{ID.pattern}$",
            "description": "1 to 100 letters, digits, `.`, `_` or `-`, the first a letter or digit.",
        },
        "instant": {
            "type": "string",
            "pattern": _INSTANT,
            "description": "An instant such as 2026-11-01T00:00:00Z, or a date, which is its midnight in UTC.",
        },
    }


def subject_id() -> Schema:
    """Return the definition of ids of customers, subscriptions and users."""
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_SUBJECT_ID,
        "pattern": SUBJECT_ID_PATTERN,
        "not": {"pattern": f"^{EXTERNAL_PREFIX}"},
        "description": (
            f"1 to {MAX_SUBJECT_ID} characters of any script: no control characters, no white space at either end, "
            f"not beginning with `{EXTERNAL_PREFIX}`. Compared in the Unicode normal form C."
        ),
    }


def suspension(*, in_feature: bool) -> Schema:
    """Return a suspension, of a feature for all subjects or of one subject."""
    properties: Schema = {} if in_feature else {"feature": ref("id", "The feature that is switched off.")}
    properties |= {
        "from": ref("instant", "When it begins; left out: it has always been so."),
        "until": ref("instant", "When it ends; left out: never."),
        "reason": prose("Why."),
    }
    target = "everybody" if in_feature else "this subject"
    return closed(
        properties, () if in_feature else ["feature"], f"A feature switched off for {target} over an interval."
    )
