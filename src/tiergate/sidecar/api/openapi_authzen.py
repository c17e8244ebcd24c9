"""AuthZEN in the OpenAPI document: its paths, and the structs whose schemas they name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.sidecar.api.openapi_parts import body, rejections, success
from tiergate.wire.authzen import (
    AccessDecision,
    AccessDecisions,
    AccessEvaluation,
    AccessEvaluations,
    ActionSearch,
    AuthzenConfiguration,
    FoundActions,
    FoundEntities,
    ResourceSearch,
    SubjectSearch,
)
from tiergate.wire.schemas import struct_schemas

if TYPE_CHECKING:
    from tiergate.wire.schemas import Json

_REQUESTS: Final = (AccessEvaluation, AccessEvaluations, SubjectSearch, ResourceSearch, ActionSearch)
_RESPONSES: Final = (AccessDecision, AccessDecisions, FoundEntities, FoundActions, AuthzenConfiguration)

_CUSTOMER: Final = {"type": "customer", "id": "acme"}
_USER: Final = {"type": "user", "id": "u1", "properties": {"customer": "acme"}}
_CONSUME: Final = {"name": "consume", "properties": {"amount": 1, "used": 12}}
_MOVIES: Final = {"type": "feature", "id": "movies"}


def authzen_paths() -> Json:
    """Return the paths."""
    return {
        "/access/v1/evaluation": {"post": _evaluation()},
        "/access/v1/evaluations": {"post": _evaluations()},
        "/access/v1/search/subject": {
            "post": _search(
                "authzenSearchSubject",
                "which subjects may do this?",
                "SubjectSearch",
                "FoundEntities",
                {"subject": {"type": "customer"}, "action": {"name": "access"}, "resource": _MOVIES},
            )
        },
        "/access/v1/search/resource": {
            "post": _search(
                "authzenSearchResource",
                "with which resources may it be done?",
                "ResourceSearch",
                "FoundEntities",
                {"subject": _CUSTOMER, "action": {"name": "access"}, "resource": {"type": "feature"}},
            )
        },
        "/access/v1/search/action": {
            "post": _search(
                "authzenSearchAction",
                "what may be done?",
                "ActionSearch",
                "FoundActions",
                {"subject": _CUSTOMER, "resource": _MOVIES, "page": {"limit": 10}},
            )
        },
        "/.well-known/authzen-configuration": {"get": _configuration()},
    }


def authzen_schemas() -> Json:
    """Return the schemas. Requests may have members that we do not know, at any place."""
    schemas = struct_schemas(_REQUESTS)
    for schema in schemas.values():
        schema["additionalProperties"] = True
    return schemas | struct_schemas(_RESPONSES)


def _evaluation() -> Json:
    return {
        "operationId": "authzenEvaluation",
        "summary": "AuthZEN: may this subject do this?",
        "description": "The status is 200 for permit and deny, also where the subject, action or resource is unknown.",
        "requestBody": body(
            "AccessEvaluation",
            customer={"subject": _CUSTOMER, "action": {"name": "access"}, "resource": _MOVIES},
            user={"subject": _USER, "action": _CONSUME, "resource": _MOVIES},
        ),
        "responses": {
            "200": success("The decision.", "AccessDecision", "X-Request-ID"),
            **rejections("400", "408", "413"),
        },
    }


def _evaluations() -> Json:
    return {
        "operationId": "authzenEvaluations",
        "summary": "AuthZEN: several questions at once.",
        "description": "One that is wrong in itself is `false`, with the error in its context. Without `evaluations`, "
        "the response is that of a single evaluation.",
        "requestBody": body(
            "AccessEvaluations",
            two={
                "subject": _CUSTOMER,
                "action": {"name": "access"},
                "evaluations": [{"resource": _MOVIES}, {"resource": {"type": "feature", "id": "analytics"}}],
                "options": {"evaluations_semantic": "deny_on_first_deny"},
            },
        ),
        "responses": {
            "200": success("The decisions.", "AccessDecisions", "X-Request-ID"),
            **rejections("400", "408", "413"),
        },
    }


def _search(operation: str, summary: str, request: str, response: str, example: Json) -> Json:
    return {
        "operationId": operation,
        "summary": f"AuthZEN: {summary}",
        "requestBody": body(request, one=example),
        "responses": {
            "200": success("A page of results.", response, "X-Request-ID"),
            **rejections("400", "408", "413", "501"),
        },
    }


def _configuration() -> Json:
    return {
        "operationId": "authzenConfiguration",
        "summary": "AuthZEN: where everything is.",
        "responses": {"200": success("The metadata.", "AuthzenConfiguration", "X-Request-ID"), **rejections()},
    }
