"""The OpenAPI 3.1 document of the administration API, generated from the routes and served at `/openapi.json`.

Routes define paths, parameters, actions and summaries (`router.Endpoint`), `route_schemas` the schemas of their bodies
and responses, `schemas` what these are. What all routes have in common is defined here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from tiergate import __version__
from tiergate.admin.subscription_lifecycle import STEPS
from tiergate.control.api.operation_ids import operation_id
from tiergate.control.api.query_parameters import query_parameter
from tiergate.control.api.request import Response
from tiergate.control.api.route_schemas import NDJSON, SHAPES, Shape
from tiergate.control.api.router import OPAQUE, Endpoint, Open
from tiergate.control.api.schemas import Schema, component_schemas, ref
from tiergate.control.api.schemas.client_forms import reachable
from tiergate.control.api.schemas.examples import EXAMPLES
from tiergate.control.api.schemas.subscribing import step_schema_name
from tiergate.wire.problem import MEDIA_TYPE
from tiergate.wire.schemas import object_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.control.api.request import AdminRequest

_PARAMETER: Final = re.compile(r"\{([a-z0-9_]+)\}")
_UNKNOWN: Final = Shape(takes="Anything", media="*/*")
_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_OPTIONAL_BODIES: Final = frozenset(
    {
        *(step_schema_name(name) for name, step in STEPS.items() if not step.required),
        "Rotation",
        "Preview",
        "Publish",
        "Rollback",
        "NewFeatureSuspension",
        "Erasure",
        "Anything",
    }
)
_REJECTIONS: Final = {
    "400": "The request as a whole is wrong.",
    "401": "The credentials are missing or unknown.",
    "403": "No role of the caller allows it.",
    "404": "The resource does not exist.",
    "409": "The request contradicts the current state.",
    "412": "The resource has changed (`If-Match`).",
    "422": "The body is invalid; all errors are listed.",
}
_TEXT: Final[Schema] = {"type": "string"}
_BYTES: Final[Schema] = {"type": "string", "format": "binary"}
_TEXTS: Final = frozenset({NDJSON, "text/plain"})
_REVIEWED: Final = frozenset({"/v1/publish", "/v1/apply"})
"""Paths of no thing whose writes can demand, by `If-Match`, that they do what a dry run said."""


def _header(name: str, description: str) -> Schema:
    return {"name": name, "in": "header", "schema": {"type": "string"}, "description": description}


_HEADERS: Final = {
    "Reason": _header("Tiergate-Reason", "The reason, for the audit log; percent-encoded if it is not ASCII."),
    "IdempotencyKey": _header(
        "Idempotency-Key", "A repeated request with the same key gets the same response and has no second effect."
    ),
    "IfMatch": _header("If-Match", "The expected entity tag; 412 if the resource has changed."),
}


def endpoint(endpoints: Sequence[Endpoint]) -> Endpoint:
    """The route of the document of these routes and itself."""
    document: bytes | None = None

    def show(_request: AdminRequest) -> Response:
        """Describe this API (OpenAPI 3.1)."""
        nonlocal document
        if document is None:
            document = msgspec.json.encode(description([*endpoints, own]))
        return Response(200, document, {"content-type": "application/json"})

    own = Endpoint("GET", "/openapi.json", Open.ANYBODY, show)
    return own


def description(endpoints: Sequence[Endpoint]) -> Schema:
    """The document of some routes as a value."""
    paths: dict[str, Schema] = {}
    for route in sorted(endpoints, key=lambda it: it.path):
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    responses = {
        status: {"description": text, "content": {MEDIA_TYPE: {"schema": ref("Problem")}}}
        for status, text in {**_REJECTIONS, "default": "Any other problem."}.items()
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tiergate control plane",
            "version": __version__,
            "summary": "Edit and publish what plans include; manage customers, subscriptions and overrides.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": reachable([paths, responses, _HEADERS], component_schemas() | _pages()),
            "parameters": _HEADERS,
            "headers": {"ETag": {"description": "Identifies this version.", "schema": {"type": "string"}}},
            "responses": responses,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "An API key, or an OIDC token."}
            },
        },
    }


def _operation(route: Endpoint) -> Schema:
    shape = SHAPES.get(f"{route.method} {route.path}", _UNKNOWN)
    operation: Schema = {
        "operationId": operation_id(route.method, route.path, is_list=shape.page),
        "tags": [route.path.removeprefix("/v1").strip("/").partition("/")[0]],
        "summary": route.summary,
        **({"description": route.description} if route.description else {}),
        "parameters": _parameters(route),
        "responses": _responses(route, shape),
    }
    if isinstance(route.action, Open):
        operation["security"] = [] if route.action is Open.ANYBODY else [{"token": []}]
    else:
        operation["x-tiergate-action"] = route.action.value
    if shape.takes is not None and route.method in _WRITES - {"DELETE"}:
        operation["requestBody"] = {
            "required": shape.takes not in _OPTIONAL_BODIES,
            "content": {media: _content(shape.takes) for media in route.media_types},
        }
    return operation


def _content(takes: str) -> Schema:
    example = {"example": EXAMPLES[takes]} if takes in EXAMPLES else {}
    return {"schema": ref(takes), **example}


def _parameters(route: Endpoint) -> list[Schema]:
    parameters: list[Schema] = [_path_parameter(name) for name in _PARAMETER.findall(route.path)]
    parameters += [
        query_parameter(route.path, name) for name in (*route.query, *(("limit", "cursor") if route.paged else ()))
    ]
    if route.method not in _WRITES:
        return parameters
    shared = ["Reason"]
    if route.method == "POST":
        shared.append("IdempotencyKey")
    if _PARAMETER.search(route.path) or route.path in _REVIEWED:
        shared.append("IfMatch")
    return [*parameters, *({"$ref": f"#/components/parameters/{name}"} for name in shared)]


def _path_parameter(name: str) -> Schema:
    parameter: Schema = {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    if name in OPAQUE:
        parameter["description"] = "The id, percent-encoded: a slash in it is `%2F`."
    return parameter


def _responses(route: Endpoint, shape: Shape) -> Schema:
    success: Schema = {"description": "Done."}
    if shape.gives is not None:
        success["content"] = {shape.media: {"schema": ref(_page_name(shape.gives) if shape.page else shape.gives)}}
    elif shape.status != 204:
        success["content"] = {shape.media: {"schema": _TEXT if shape.media in _TEXTS else _BYTES}}
    if not shape.page:
        success["headers"] = {"ETag": {"$ref": "#/components/headers/ETag"}}
    responses: Schema = {str(shape.status): success}
    if shape.created:
        responses["201"] = success
    if shape.ordered:
        either = [ref(name) for name in (shape.gives if shape.status == 200 else None, "PassedOver") if name]
        content = {shape.media: {"schema": either[0] if len(either) == 1 else {"anyOf": either}}}
        responses["200"] = success | {
            "description": "Done, or ignored because newer data is known.",
            "content": content,
        }
    if route.method == "GET" and not shape.page:
        responses["304"] = {"description": "Not modified (`If-None-Match`)."}
    rejections = [status for status in _REJECTIONS if route.method in _WRITES or status < "409"]
    return responses | {status: {"$ref": f"#/components/responses/{status}"} for status in [*rejections, "default"]}


def _page_name(gives: str) -> str:
    return f"{gives}Page"


def _pages() -> dict[str, Schema]:
    """Return the schemas of pages of lists."""
    return {
        _page_name(gives): object_of(
            {
                "items": {"type": "array", "items": ref(gives)},
                "next": {"type": ["string", "null"], "description": "The `cursor` of the next page; null: no more."},
            }
        )
        for gives in {shape.gives for shape in SHAPES.values() if shape.page and shape.gives}
    }
