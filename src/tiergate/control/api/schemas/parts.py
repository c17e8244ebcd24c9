"""The pieces of which the schemas of the API are made."""

from __future__ import annotations

import copy
from typing import Any, Final

Schema = dict[str, Any]

PREFIX: Final = "#/components/schemas/"
"""Where the components stand."""

TEXT: Final[Schema] = {"type": "string"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
TEXTS: Final[Schema] = {"type": "array", "items": TEXT}
ETAG: Final[Schema] = {"type": "string", "pattern": '^"[0-9]+"$', "description": "For `If-Match`."}


def ref(name: str) -> Schema:
    """A reference to a component."""
    return {"$ref": PREFIX + name}


def closed(properties: Schema, *, optional: tuple[str, ...] = (), description: str = "") -> Schema:
    """An object with these properties and no others."""
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    required = [name for name in properties if name not in optional]
    if required:
        found["required"] = required
    return found | ({"description": description} if description else {})


def optional_object(properties: Schema, description: str = "") -> Schema:
    """An object with some of these properties and no others."""
    return closed(properties, optional=tuple(properties), description=description)


def with_more(schema: Schema, properties: Schema, *, required: bool = True) -> Schema:
    """A closed schema with more properties."""
    found = copy.deepcopy(schema)
    found["properties"] |= properties
    if required:
        found["required"] = [*found.get("required", ()), *properties]
    return found


def without(schema: Schema, names: tuple[str, ...]) -> Schema:
    """A closed schema without some properties, and without what it says of them together."""
    found = copy.deepcopy(schema)
    for name in names:
        del found["properties"][name]
    found.pop("oneOf", None)
    return found
