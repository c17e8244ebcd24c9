"""The pieces of which the schemas of the API are made."""

from __future__ import annotations

import copy
from typing import Any, Final

from tiergate.wire.schemas import object_of

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


def optional_object(properties: Schema, description: str = "") -> Schema:
    """An object with some of these properties and no others."""
    return object_of(properties, required=(), description=description or None)


def with_more(schema: Schema, properties: Schema, *, required: bool = True) -> Schema:
    """A closed schema with more properties."""
    extended = copy.deepcopy(schema)
    extended["properties"] |= properties
    if required:
        extended["required"] = [*extended.get("required", ()), *properties]
    return extended


def without(schema: Schema, names: tuple[str, ...]) -> Schema:
    """A closed schema without some properties, and without what it says of them together."""
    reduced = copy.deepcopy(schema)
    for name in names:
        del reduced["properties"][name]
    reduced.pop("oneOf", None)
    return reduced
