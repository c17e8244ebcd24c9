"""OFREP in the OpenAPI document: its paths, and the structs whose schemas they name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.sidecar.api.openapi_parts import body, header_refs, ref, rejections, success
from tiergate.wire.ofrep import BulkEvaluation, Configuration, EvaluationRequest, FlagEvaluation, FlagFailure
from tiergate.wire.schemas import struct_schemas

if TYPE_CHECKING:
    from tiergate.wire.schemas import Json

_STRUCTS: Final = (EvaluationRequest, FlagEvaluation, FlagFailure, BulkEvaluation, Configuration)

_IF_NONE_MATCH: Final[Json] = {"name": "If-None-Match", "in": "header", "schema": {"type": "string"}}


def ofrep_paths() -> Json:
    """Return the paths."""
    return {
        "/ofrep/v1/evaluate/flags": {"post": _bulk()},
        "/ofrep/v1/evaluate/flags/{key}": {"post": _flag()},
        "/ofrep/v1/configuration": {"get": _configuration()},
        "/ofrep/v1/events": {"get": _events()},
    }


def ofrep_schemas() -> Json:
    """Return the schemas. A request and its context may have members that we do not know."""
    schemas = struct_schemas(_STRUCTS)
    schemas["BulkEvaluation"]["properties"]["flags"]["items"] = {"anyOf": [ref("FlagEvaluation"), ref("FlagFailure")]}
    for name in ("EvaluationRequest", "EvaluationContext"):
        schemas[name]["additionalProperties"] = True
    return schemas


def _failure(description: str, *headers: str) -> Json:
    content = {"application/json": {"schema": ref("FlagFailure")}}
    return {"description": description, "headers": header_refs("X-Request-ID", *headers), "content": content}


def _refused() -> Json:
    refused = rejections("408", "413", "415")
    return refused | {"503": _failure("Nothing can be decided now (`GENERAL`); too many connections are a problem.")}


def _flag() -> Json:
    return {
        "operationId": "ofrepFlag",
        "summary": "OFREP: the value of one flag.",
        "description": "A feature's key gives its natural value, `<feature>:allowed` the decision on a check with the "
        "members of the context that fit the feature. Other members are ignored.",
        "parameters": [
            {"name": "key", "in": "path", "required": True, "schema": {"type": "string"}, "example": "movies:allowed"}
        ],
        "requestBody": body(
            "EvaluationRequest",
            customer={"context": {"targetingKey": "acme"}},
            subscription={"context": {"targetingKey": "subscription:sub_1", "user": "u1", "amount": 1, "used": 12}},
        ),
        "responses": {
            "200": success("The flag.", "FlagEvaluation", "Tiergate-Decision-Id", "X-Request-ID"),
            "400": _failure("`PARSE_ERROR`, `TARGETING_KEY_MISSING` or `INVALID_CONTEXT`."),
            "404": _failure("`FLAG_NOT_FOUND`: the catalog has no such feature."),
            **_refused(),
        },
    }


def _bulk() -> Json:
    hint = {"in": "query", "schema": {"type": "string"}, "description": "A hint of an event; ignored."}
    return {
        "operationId": "ofrepFlags",
        "summary": "OFREP: the values of all flags.",
        "parameters": [
            _IF_NONE_MATCH,
            {"name": "flagConfigEtag", **hint},
            {"name": "flagConfigLastModified", **hint},
        ],
        "requestBody": body("EvaluationRequest", customer={"context": {"targetingKey": "acme"}}),
        "responses": {
            "200": success("Two flags for each feature, by id.", "BulkEvaluation", "ETag", "X-Request-ID"),
            "304": {"description": "Not modified.", "headers": header_refs("ETag", "X-Request-ID")},
            "400": _failure("`PARSE_ERROR`, `TARGETING_KEY_MISSING` or `INVALID_CONTEXT`."),
            **_refused(),
        },
    }


def _configuration() -> Json:
    return {
        "operationId": "ofrepConfiguration",
        "summary": "OFREP: how clients should be set up.",
        "description": "Of versions of the protocol before 0.3.0; always the same.",
        "parameters": [_IF_NONE_MATCH],
        "responses": {
            "200": success("The configuration.", "Configuration", "ETag", "X-Request-ID"),
            "304": {"description": "Not modified.", "headers": header_refs("ETag", "X-Request-ID")},
            **rejections(),
        },
    }


def _events() -> Json:
    description = "Server-sent events, each with a JSON object whose `type` is `refetchEvaluation`."
    return {
        "operationId": "ofrepEvents",
        "summary": "OFREP: when the flags of a subject may have changed.",
        "parameters": [
            {"name": "targetingKey", "in": "query", "required": True, "schema": {"type": "string"}, "example": "acme"},
            {"name": "user", "in": "query", "schema": {"type": "string"}},
        ],
        "responses": {
            "200": {"description": description, "content": {"text/event-stream": {"schema": {"type": "string"}}}},
            "400": _failure("`TARGETING_KEY_MISSING` or `INVALID_CONTEXT`."),
            **(rejections() | {"503": _refused()["503"]}),
        },
    }
