"""Parts that the operations of the OpenAPI document share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiergate.wire.schemas import Json


def body(schema: str, **examples: Json) -> Json:
    """Return the body of a request, with examples by name."""
    shown = {name: {"value": value} for name, value in examples.items()}
    return {"required": True, "content": {"application/json": {"schema": ref(schema), "examples": shown}}}


def success(description: str, schema: str, *headers: str) -> Json:
    """Return a response with JSON."""
    content = {"application/json": {"schema": ref(schema)}}
    return {"description": description, "headers": header_refs(*headers), "content": content}


def rejections(*statuses: str) -> Json:
    """Return the responses that are problems: of these statuses, and of those that every operation has."""
    problems = {status: response_ref("Problem") for status in (*statuses, "401", "403", "421", "431", "503")}
    return {**dict(sorted(problems.items())), "default": response_ref("Problem")}


def ref(schema: str) -> Json:
    """Return a reference to a schema."""
    return {"$ref": f"#/components/schemas/{schema}"}


def response_ref(response: str) -> Json:
    """Return a reference to a response."""
    return {"$ref": f"#/components/responses/{response}"}


def header_refs(*names: str) -> Json:
    """Return references to headers, by name."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
