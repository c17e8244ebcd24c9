"""The OpenAPI 3.1 document of the sidecar's API, which it serves at `/openapi.json`.

Written by hand, in the order in which a person reads it. What it says of enumerations and bounds comes from the model;
tests hold it equal to the routes, and to what the API answers to whatever a fuzzer makes of it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tiergate import __version__
from tiergate.engine.requests import MAX_CHECKS
from tiergate.model import FeatureType, OverrideMode, Per, Reason, SubjectType
from tiergate.naming import ID

__all__ = ["description", "document"]

Json = dict[str, Any]

_ID: Json = {"type": "string", "pattern": f"^{ID.pattern}$"}
_NAME: Json = {"type": "string", "minLength": 1}
_INSTANT: Json = {"type": "string", "format": "date-time"}


def document() -> bytes:
    """The document as JSON."""
    return msgspec.json.encode(description())


def description() -> Json:
    """The document as a value."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tiergate sidecar",
            "version": __version__,
            "summary": "What a customer's plan allows, answered on localhost.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "paths": {
            "/v1/check": {"post": _check()},
            "/v1/checks": {"post": _checks()},
            "/v1/entitlements": {"get": _entitlements()},
            "/openapi.json": {"get": _self()},
        },
        "components": {
            "schemas": _schemas(),
            "headers": _headers(),
            "responses": _responses(),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Needed where the sidecar has a token file, as it must beyond loopback.",
                }
            },
        },
    }


# ── operations ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _check() -> Json:
    return {
        "operationId": "check",
        "summary": "May this subject use this feature?",
        "description": "Answers 200 for allow and deny alike. An unknown subject is a denial, an unknown feature not.",
        "requestBody": _body(
            "Check",
            switch={"subject": "acme", "feature": "analytics"},
            quantity={"subject": "acme", "feature": "movies", "amount": 1, "used": 12},
            range={"subject": {"type": "subscription", "id": "sub_1"}, "feature": "api-limit", "value": 500},
            custom={"subject": {"id": "acme", "user": "u1"}, "feature": "support", "level": "chat"},
        ),
        "responses": {
            "200": {
                "description": "A decision.",
                "headers": _header_refs("Tiergate-Decision-Id", "X-Request-ID"),
                "content": {"application/json": {"schema": _ref("Decision")}},
            },
            "404": _response_ref("UnknownFeature"),
            **_refusals("400", "408", "413", "415"),
        },
    }


def _checks() -> Json:
    return {
        "operationId": "checks",
        "summary": f"Up to {MAX_CHECKS} checks at once.",
        "description": "Results stand in the order of the checks; each is a decision or a problem. All rest on one "
        "publication and one instant. The decision id of the n-th, counted from 0, is the header's with `.n`.",
        "requestBody": _body(
            "Checks",
            two={"checks": [{"subject": "acme", "feature": "analytics"}, {"subject": "acme", "feature": "movies"}]},
        ),
        "responses": {
            "200": {
                "description": "The results.",
                "headers": _header_refs("Tiergate-Decision-Id", "X-Request-ID"),
                "content": {"application/json": {"schema": _ref("Results")}},
            },
            **_refusals("400", "408", "413", "415"),
        },
    }


def _entitlements() -> Json:
    return {
        "operationId": "entitlements",
        "summary": "What a subject holds of every feature.",
        "parameters": [
            {"name": "subject", "in": "query", "required": True, "schema": _ID, "example": "acme"},
            {"name": "type", "in": "query", "schema": {"enum": [*SubjectType], "default": SubjectType.CUSTOMER}},
            {"name": "user", "in": "query", "schema": _ID},
            {"name": "If-None-Match", "in": "header", "schema": {"type": "string"}},
        ],
        "responses": {
            "200": {
                "description": "Every feature of the catalog, by id, with the decision on the least check of it.",
                "headers": _header_refs("ETag", "X-Request-ID"),
                "content": {"application/json": {"schema": _ref("Entitlements")}},
            },
            "304": {
                "description": "It is what the entity tag names.",
                "headers": _header_refs("ETag", "X-Request-ID"),
            },
            **_refusals("400"),
        },
    }


def _self() -> Json:
    return {
        "operationId": "openapi",
        "summary": "This document.",
        "responses": {
            "200": {"description": "OpenAPI 3.1.", "content": {"application/json": {"schema": {"type": "object"}}}},
            "default": _response_ref("Problem"),
        },
    }


def _body(schema: str, **examples: Json) -> Json:
    shown = {name: {"value": value} for name, value in examples.items()}
    return {"required": True, "content": {"application/json": {"schema": _ref(schema), "examples": shown}}}


def _refusals(*statuses: str) -> Json:
    found = {status: _response_ref("Problem") for status in (*statuses, "401", "403", "421", "431", "503")}
    return {**dict(sorted(found.items())), "default": _response_ref("Problem")}


# ── what they share ──────────────────────────────────────────────────────────────────────────────────────────────────


def _headers() -> Json:
    return {
        "Tiergate-Decision-Id": {
            "description": "Names this answer, as in the decision log.",
            "required": True,
            "schema": {"type": "string", "pattern": "^[0-9a-f]{20,}$"},
        },
        "X-Request-ID": {
            "description": "The request's, where it is 1 to 128 letters, digits and `._~:/+=@-`.",
            "schema": {"type": "string"},
        },
        "ETag": {
            "description": "Names this state of the list. It changes with the data, the publication and time.",
            "required": True,
            "schema": {"type": "string"},
        },
    }


def _responses() -> Json:
    content = {"application/problem+json": {"schema": _ref("Problem")}}
    return {
        "Problem": {
            "description": "A problem (RFC 9457).",
            "headers": _header_refs("X-Request-ID"),
            "content": content,
        },
        "UnknownFeature": {
            "description": "The catalog has no such feature.",
            "headers": _header_refs("X-Request-ID"),
            "content": content,
        },
    }


def _schemas() -> Json:
    number = {"type": "number"}
    shown = {"type": ["boolean", "number", "string", "null"]}
    return {
        "Subject": {
            "description": "A customer's id, or whom the check is about in full.",
            "oneOf": [
                _ID,
                _object(
                    {
                        "type": {"enum": [*SubjectType], "default": SubjectType.CUSTOMER},
                        "id": _ID,
                        "user": {**_ID, "description": "A user inside it."},
                    },
                    required=("id",),
                ),
            ],
        },
        "Check": _object(
            {
                "subject": _ref("Subject"),
                "feature": _NAME,
                "amount": {
                    "type": "number",
                    "exclusiveMinimum": 0,
                    "description": "Quantity: how many more; one whole unit, or the least amount, where absent.",
                },
                "used": {"type": "number", "minimum": 0, "description": "Quantity: how many were used before."},
                "user_used": {"type": "number", "minimum": 0, "description": "Quantity: how many of them by the user."},
                "value": {"type": "number", "minimum": 0, "description": "Range: the value; any, where absent."},
                "level": {**_NAME, "description": "Custom: the level; any, where absent."},
            },
            required=("subject", "feature"),
            description="A question. A field that the feature's type does not know is a mistake.",
        ),
        "Checks": _object(
            {"checks": {"type": "array", "maxItems": MAX_CHECKS, "items": _ref("Check")}}, required=("checks",)
        ),
        "Decision": _object(
            {
                "allowed": {"type": "boolean"},
                "reason": {"enum": [*Reason], "description": "One that you do not know: go by `allowed`."},
                "feature": {"type": "string"},
                "type": {"enum": [*FeatureType]},
                "entitlement": _ref("Entitlement"),
                "sources": {"type": "array", "items": _ref("Source")},
                "policies": {"type": "array", "items": {"type": "string"}},
                "publication": {"type": "integer"},
                "revision": {"type": "string"},
                "valid_until": {**_INSTANT, "description": "The next instant at which this may change by itself."},
                "stale": {"type": "boolean"},
            },
            optional=("valid_until",),
        ),
        "Entitlement": _object(
            {
                "value": {**shown, "description": "What is held; absent where `unlimited`."},
                "unlimited": {"type": "boolean"},
                "unit": {"type": "string"},
                "used": number,
                "remaining": {**number, "description": "Absent where `unlimited`."},
            },
            required=(),
            description="What the subject holds, on a denial too.",
        ),
        "Source": _object(
            {
                "item": {"type": "string"},
                "version": {"type": "integer"},
                "quantity": {"type": "integer"},
                "override": {"type": "string"},
                "mode": {"enum": [*OverrideMode]},
                "subscription": {"type": "string"},
                "value": shown,
                "unlimited": {"type": "boolean"},
                "add": {"type": "boolean", "description": "The value came on top of the others."},
                "per": {"enum": [*Per]},
            },
            required=(),
            description="An item or an override that contributed.",
        ),
        "Results": _object({"results": {"type": "array", "items": {"anyOf": [_ref("Decision"), _ref("Problem")]}}}),
        "Entitlements": _object(
            {
                "subject": _object(
                    {"type": {"enum": [*SubjectType]}, "id": {"type": "string"}, "user": {"type": "string"}},
                    optional=("user",),
                ),
                "entitlements": {
                    "type": "array",
                    "items": _object(
                        {
                            "feature": {"type": "string"},
                            "type": {"enum": [*FeatureType]},
                            "allowed": {"type": "boolean"},
                            "reason": {"enum": [*Reason]},
                            "entitlement": _ref("Entitlement"),
                            "sources": {"type": "array", "items": _ref("Source")},
                            "valid_until": _INSTANT,
                        },
                        optional=("valid_until",),
                    ),
                },
                "publication": {"type": "integer"},
                "revision": {"type": "string"},
                "valid_until": _INSTANT,
                "stale": {"type": "boolean"},
            },
            optional=("valid_until",),
        ),
        "Problem": _object(
            {
                "type": {"type": "string", "format": "uri"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
                "field": {"type": "string", "description": "A JSON Pointer into the body, or a query parameter."},
                "suggestion": {"type": "string", "description": "What was probably meant."},
            },
            optional=("field", "suggestion"),
        ),
    }


def _object(
    properties: Json,
    *,
    required: tuple[str, ...] | None = None,
    optional: tuple[str, ...] = (),
    description: str | None = None,
) -> Json:
    """An object with these properties and no others; all required but `optional`, or exactly `required`."""
    needed = [name for name in properties if name not in optional] if required is None else [*required]
    found: Json = {"type": "object", "properties": properties, "additionalProperties": False}
    if needed:
        found["required"] = needed
    if description is not None:
        found["description"] = description
    return found


def _ref(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}


def _response_ref(response: str) -> Json:
    return {"$ref": f"#/components/responses/{response}"}


def _header_refs(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
