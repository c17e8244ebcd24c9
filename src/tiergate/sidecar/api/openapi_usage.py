"""The operations about usage in the OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.model import SubjectType
from tiergate.sidecar.api.openapi_parts import body, header_refs, ref, rejections, response_ref, success
from tiergate.wire.check import SUBJECT_ID_SCHEMA
from tiergate.wire.usage import (
    CLOUD_EVENT,
    CLOUD_EVENTS,
    KEY_SCHEMA,
    MAX_RECORDS,
    CommitBody,
    ConsumeBody,
    ConsumptionDocument,
    RecordedUsage,
    ReservationDecision,
    ReservationDocument,
    ReserveBody,
    UsageEvent,
    UsageList,
    UsageRecordBody,
    UsageRecordsBody,
)

if TYPE_CHECKING:
    import msgspec

    from tiergate.wire.schemas import Json

USAGE_STRUCTS: Final[tuple[type[msgspec.Struct], ...]] = (
    ConsumeBody,
    ReserveBody,
    CommitBody,
    UsageRecordBody,
    UsageRecordsBody,
    UsageEvent,
    RecordedUsage,
    ConsumptionDocument,
    ReservationDecision,
    ReservationDocument,
    UsageList,
)
"""The structs of their bodies and answers."""

_KEY_HEADER: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The idempotency key, in place of the body's. It may be quoted, as a structured field.",
    "schema": KEY_SCHEMA,
}
_DECIDED: Final = ("Tiergate-Decision-Id", "X-Request-ID")
_RESERVATION: Final = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
_COUNTS: Final = "501: nothing is counted in this sidecar. 503: what would be counted cannot be written."


def usage_paths() -> Json:
    """Return the paths about usage with their operations."""
    return {
        "/v1/consume": {"post": _consume()},
        "/v1/reserve": {"post": _reserve()},
        "/v1/reservations/{id}/commit": {"post": _commit()},
        "/v1/reservations/{id}/release": {"post": _release()},
        "/v1/usage": {"post": _report(), "get": _read()},
    }


def _consume() -> Json:
    return {
        "operationId": "consume",
        "summary": "Check a metered quantity, and count its amount if it is allowed.",
        "description": "The answer is the check's, with the usage after it, and is sent when the usage is on disk. A "
        f"denial counts nothing. 409: the key was used for other content. {_COUNTS}",
        "parameters": [_KEY_HEADER],
        "requestBody": body(
            "Consume",
            one={"subject": "acme", "feature": "movies"},
            several={"subject": {"id": "acme", "user": "u1"}, "feature": "movies", "amount": 3, "key": "order-17"},
        ),
        "responses": {
            "200": success(
                "The decision, and what was counted.", "Consumption", "Tiergate-Decision-Id", "X-Request-ID"
            ),
            "404": response_ref("UnknownFeature"),
            **rejections("400", "408", "409", "413", "415", "501"),
        },
    }


def _reserve() -> Json:
    return {
        "operationId": "reserve",
        "summary": "Check a metered quantity, and set its amount aside if it is allowed.",
        "description": "Reserved units count as used until they are committed, released, or the reservation expires. "
        f"409: the key was used for other content. {_COUNTS}",
        "parameters": [_KEY_HEADER],
        "requestBody": body("Reserve", minute={"subject": "acme", "feature": "movies", "amount": 5, "expires_in": 60}),
        "responses": {
            "200": success(
                "The decision, and the reservation.", "ReservationDecision", "Tiergate-Decision-Id", "X-Request-ID"
            ),
            "404": response_ref("UnknownFeature"),
            **rejections("400", "408", "409", "413", "415", "501"),
        },
    }


def _commit() -> Json:
    schema = {"application/json": {"schema": ref("Commit"), "examples": {"part": {"value": {"amount": 2}}}}}
    return {
        "operationId": "commit",
        "summary": "Consume a reservation, or a part of it; the rest is released.",
        "description": "Repeated with the same amount it has the same answer. 404: there is no such reservation. 409: "
        "it has expired, or ended otherwise.",
        "parameters": [_RESERVATION],
        "requestBody": {"required": False, "content": schema},
        "responses": {
            "200": success("How it ended.", "ReservationEnd", "X-Request-ID"),
            **rejections("400", "404", "408", "409", "413", "415", "501"),
        },
    }


def _release() -> Json:
    return {
        "operationId": "release",
        "summary": "Give a reservation back.",
        "description": "Repeated it has the same answer. 404: there is no such reservation. 409: it was committed.",
        "parameters": [_RESERVATION],
        "responses": {
            "200": success("How it ended.", "ReservationEnd", "X-Request-ID"),
            **rejections("400", "404", "408", "409", "413", "415", "501"),
        },
    }


def _report() -> Json:
    one = {"subject": "acme", "feature": "movies", "amount": 2, "at": "2026-11-17T14:03:00Z", "key": "job-9"}
    event = {
        "specversion": "1.0",
        "id": "9",
        "source": "/jobs",
        "type": "job.done",
        "subject": "acme",
        "time": "2026-11-17T14:03:00Z",
        "data": {"feature": "movies", "amount": 2},
    }
    events = {"type": "array", "items": ref("UsageEvent"), "maxItems": MAX_RECORDS}
    return {
        "operationId": "reportUsage",
        "summary": f"Count usage that has happened: one record, or up to {MAX_RECORDS}.",
        "description": "It counts even if it exceeds the limit, in the window of its instant. One record is answered "
        "alone: 409, its key was used for other content; 422, its window is closed, or it is in the future. Several "
        f"are answered in their order, each with what was counted or a problem. {_COUNTS}",
        "parameters": [_KEY_HEADER],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"anyOf": [ref("UsageRecord"), ref("UsageRecords")]},
                    "examples": {"one": {"value": one}, "several": {"value": {"usage": [one]}}},
                },
                CLOUD_EVENT: {"schema": ref("UsageEvent"), "examples": {"event": {"value": event}}},
                CLOUD_EVENTS: {"schema": events, "examples": {"events": {"value": [event]}}},
            },
        },
        "responses": {
            "200": {
                "description": "What was counted.",
                "headers": header_refs("X-Request-ID"),
                "content": {"application/json": {"schema": {"anyOf": [ref("RecordedUsage"), ref("UsageResults")]}}},
            },
            **rejections("400", "404", "408", "409", "413", "415", "422", "501"),
        },
    }


def _read() -> Json:
    return {
        "operationId": "usage",
        "summary": "What a subject has used of its metered features.",
        "description": "In the current window of each. 404: the subject or the feature is unknown.",
        "parameters": [
            {"name": "subject", "in": "query", "required": True, "schema": SUBJECT_ID_SCHEMA, "example": "acme"},
            {"name": "type", "in": "query", "schema": {"enum": [*SubjectType], "default": SubjectType.CUSTOMER}},
            {"name": "user", "in": "query", "schema": SUBJECT_ID_SCHEMA},
            {"name": "feature", "in": "query", "schema": {"type": "string"}, "description": "By default all."},
        ],
        "responses": {
            "200": success("The usage, by feature.", "Usage", "X-Request-ID"),
            **rejections("400", "404", "501"),
        },
    }
