"""The OpenAPI 3.1 document of the sidecar's API, served at `/openapi.json`.

Operations are written by hand, in reading order; schemas are generated from the structs of the wire. Tests compare the
document with the routes, and with real responses.
"""

from __future__ import annotations

import msgspec

from tiergate import __version__
from tiergate.model import SubjectType
from tiergate.sidecar.api.openapi_authzen import authzen_paths, authzen_schemas
from tiergate.sidecar.api.openapi_ofrep import ofrep_paths, ofrep_schemas
from tiergate.sidecar.api.openapi_outcomes import OUTCOME_STRUCTS, outcome_paths
from tiergate.sidecar.api.openapi_parts import body, header_refs, ref, rejections, response_ref, success
from tiergate.sidecar.api.openapi_usage import USAGE_STRUCTS, usage_paths
from tiergate.wire.check import MAX_CHECKS, SUBJECT_ID_SCHEMA, CheckAtBody, CheckBody, ChecksBody
from tiergate.wire.decision import EntitlementList
from tiergate.wire.problem import MEDIA_TYPE
from tiergate.wire.schemas import Json, decision_schemas, object_of, problem_schemas, struct_schemas


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
            "summary": "Decides on localhost what a customer's plan allows.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "paths": {
            "/v1/check": {"post": _check()},
            "/v1/checks": {"post": _checks()},
            "/v1/entitlements": {"get": _entitlements()},
            "/v1/explain": {"post": _explain()},
            **usage_paths(),
            **ofrep_paths(),
            **outcome_paths(),
            **authzen_paths(),
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
                    "description": "Required if the sidecar has a token file; beyond loopback it must have one.",
                }
            },
        },
    }


# ── operations ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _check() -> Json:
    return {
        "operationId": "check",
        "summary": "May this subject use this feature?",
        "description": "The status is 200 for allow and deny. An unknown subject is denied; an unknown feature is 404.",
        "requestBody": body(
            "Check",
            switch={"subject": "acme", "feature": "analytics"},
            quantity={"subject": "acme", "feature": "movies", "amount": 1, "used": 12},
            range={"subject": {"type": "subscription", "id": "sub_1"}, "feature": "api-limit", "value": 500},
            custom={"subject": {"id": "acme", "user": "u1"}, "feature": "support", "level": "chat"},
        ),
        "responses": {
            "200": success("A decision.", "Decision", "Tiergate-Decision-Id", "X-Request-ID"),
            "404": response_ref("UnknownFeature"),
            **rejections("400", "408", "413", "415"),
        },
    }


def _checks() -> Json:
    return {
        "operationId": "checks",
        "summary": f"Up to {MAX_CHECKS} checks at once.",
        "description": "Results are in the order of the checks; each is a decision or a problem. All use the same "
        "publication and instant. The decision id of the n-th, counted from 0, is the header's with `.n`.",
        "requestBody": body(
            "Checks",
            two={"checks": [{"subject": "acme", "feature": "analytics"}, {"subject": "acme", "feature": "movies"}]},
        ),
        "responses": {
            "200": success("The results.", "Results", "Tiergate-Decision-Id", "X-Request-ID"),
            **rejections("400", "408", "413", "415"),
        },
    }


def _entitlements() -> Json:
    return {
        "operationId": "entitlements",
        "summary": "What a subject has of every feature.",
        "parameters": [
            {"name": "subject", "in": "query", "required": True, "schema": SUBJECT_ID_SCHEMA, "example": "acme"},
            {"name": "type", "in": "query", "schema": {"enum": [*SubjectType], "default": SubjectType.CUSTOMER}},
            {"name": "user", "in": "query", "schema": SUBJECT_ID_SCHEMA},
            {
                "name": "feature",
                "in": "query",
                "style": "form",
                "explode": False,
                "schema": {"type": "array", "items": {"type": "string", "pattern": "^[^,]+$"}, "minItems": 1},
                "description": "Only these features. By default all.",
            },
            {"name": "If-None-Match", "in": "header", "schema": {"type": "string"}},
        ],
        "responses": {
            "200": success(
                "Every feature of the catalog, or those asked for, by id, with the decision on the least check of it.",
                "Entitlements",
                "ETag",
                "X-Request-ID",
            ),
            "304": {"description": "Not modified.", "headers": header_refs("ETag", "X-Request-ID")},
            **rejections("400"),
        },
    }


def _explain() -> Json:
    return {
        "operationId": "explain",
        "summary": "Why is this check decided as it is?",
        "description": "The decision of the same check at that instant, with everything that it is based on. It has "
        "no id and is not in the decision log.",
        "requestBody": body(
            "CheckAt",
            now={"subject": "acme", "feature": "movies", "used": 50},
            then={"subject": "acme", "feature": "analytics", "at": "2026-11-17T14:03:00Z"},
        ),
        "responses": {
            "200": success("The reasoning, as data and as sentences.", "Explanation", "X-Request-ID"),
            "404": response_ref("UnknownFeature"),
            **rejections("400", "408", "413", "415"),
        },
    }


def _self() -> Json:
    return {
        "operationId": "openapi",
        "summary": "This document.",
        "responses": {
            "200": {"description": "OpenAPI 3.1.", "content": {"application/json": {"schema": {"type": "object"}}}},
            "default": response_ref("Problem"),
        },
    }


# ── shared parts ──────────────────────────────────────────────────────────────────────────────────────────────────


def _headers() -> Json:
    return {
        "Tiergate-Decision-Id": {
            "description": "Identifies this decision in the decision log.",
            "required": True,
            "schema": {"type": "string", "pattern": "^[0-9a-f]{20,}$"},
        },
        "X-Request-ID": {
            "description": "The request's, if it has 1 to 128 letters, digits and `._~:/+=@-`.",
            "schema": {"type": "string"},
        },
        "ETag": {
            "description": "Identifies this state of the list. It changes with the data, the publication and time.",
            "required": True,
            "schema": {"type": "string"},
        },
    }


def _responses() -> Json:
    descriptions = {"Problem": "A problem (RFC 9457).", "UnknownFeature": "The catalog has no such feature."}
    content = {MEDIA_TYPE: {"schema": ref("Problem")}}
    return {
        name: {"description": description, "headers": header_refs("X-Request-ID"), "content": content}
        for name, description in descriptions.items()
    }


def _schemas() -> Json:
    return {
        **ofrep_schemas(),
        **struct_schemas([CheckBody, CheckAtBody, ChecksBody, EntitlementList, *USAGE_STRUCTS, *OUTCOME_STRUCTS]),
        **authzen_schemas(),
        **decision_schemas(unloaded=True),
        **problem_schemas(without=("errors", "etag", "impact", "accept_loss")),
        "UsageResults": object_of(
            {"results": {"type": "array", "items": {"anyOf": [ref("RecordedUsage"), ref("Problem")]}}},
            description="What became of each record, in the order of the request.",
        ),
        "OutcomeResults": object_of(
            {"results": {"type": "array", "items": {"anyOf": [ref("RecordedOutcome"), ref("Problem")]}}},
            description="What became of each outcome, in the order of the request.",
        ),
        "Results": object_of({"results": {"type": "array", "items": {"anyOf": [ref("Decision"), ref("Problem")]}}}),
    }
