"""The operations about outcomes in the OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.sidecar.api.openapi_parts import header_refs, ref, rejections, response_ref, success
from tiergate.wire.outcomes import (
    MAX_OUTCOME_ID,
    MAX_OUTCOMES,
    OutcomeBody,
    OutcomeMinutes,
    OutcomesBody,
    RecordedOutcome,
)

if TYPE_CHECKING:
    import msgspec

    from tiergate.wire.schemas import Json

OUTCOME_STRUCTS: Final[tuple[type[msgspec.Struct], ...]] = (OutcomeBody, OutcomesBody, RecordedOutcome, OutcomeMinutes)
"""The structs of their bodies and answers."""

_ID_HEADER: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The id of one outcome, in place of the body's. It may be quoted, as a structured field.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_OUTCOME_ID},
}
_COUNTS: Final = "501: nothing is counted in this sidecar. 503: what would be counted cannot be written."


def outcome_paths() -> Json:
    """Return the path about outcomes with its operations."""
    return {"/v1/outcomes": {"post": _report(), "get": _read()}}


def _report() -> Json:
    one = {"feature": "movies", "ok": True, "duration_ms": 41.5}
    failed = {"feature": "movies", "ok": False, "at": "2026-11-30T14:03:00Z", "id": "r-17"}
    return {
        "operationId": "reportOutcomes",
        "summary": f"Say how requests to features went: one outcome, or up to {MAX_OUTCOMES}.",
        "description": "Outcomes are added up by feature and minute, and answered when they are on disk. One is "
        "answered alone: 422, it ended more than 24 hours ago, or in the future. Several are answered in order, each "
        f"with what was counted or a problem. {_COUNTS}",
        "parameters": [_ID_HEADER],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"anyOf": [ref("Outcome"), ref("Outcomes")]},
                    "examples": {"one": {"value": one}, "several": {"value": {"outcomes": [one, failed]}}},
                }
            },
        },
        "responses": {
            "200": {
                "description": "What was counted.",
                "headers": header_refs("X-Request-ID"),
                "content": {"application/json": {"schema": {"anyOf": [ref("RecordedOutcome"), ref("OutcomeResults")]}}},
            },
            "404": response_ref("UnknownFeature"),
            **rejections("400", "408", "413", "415", "422", "501"),
        },
    }


def _read() -> Json:
    return {
        "operationId": "outcomes",
        "summary": "How requests to a feature went, by minute.",
        "description": "What was reported to this sidecar, and is not older than it keeps.",
        "parameters": [
            {"name": "feature", "in": "query", "required": True, "schema": {"type": "string"}, "example": "movies"},
            {
                "name": "from",
                "in": "query",
                "schema": {"type": "string"},
                "description": "Minutes that begin from this instant or date on; by default the last hour.",
            },
        ],
        "responses": {
            "200": success("The minutes, in their order.", "OutcomeMinutes", "X-Request-ID"),
            "404": response_ref("UnknownFeature"),
            **rejections("400", "501"),
        },
    }
