"""The schemas of usage: records after the fact, as sidecars take them."""

from __future__ import annotations

from typing import Final

from tiergate.control.api.schemas.parts import COUNT, FLAG, TEXT, Schema, ref
from tiergate.wire.schemas import object_of, struct_schemas
from tiergate.wire.usage import MAX_RECORDS, RecordedUsage, UsageEvent, UsageRecordBody, UsageRecordsBody
from tiergate.wire.usage_changes import CorrectionBody, GrantBody, GrantEditBody

_STRUCTS: Final = (
    UsageRecordBody,
    UsageRecordsBody,
    UsageEvent,
    RecordedUsage,
    CorrectionBody,
    GrantBody,
    GrantEditBody,
)
_NUMBER: Final[Schema] = {"type": "number"}
_ELSEWHERE: Final = ("Problem", "ProblemDetail")


def usage_schemas() -> dict[str, Schema]:
    """Return the schemas by name."""
    schemas = struct_schemas(_STRUCTS)
    return {name: schema for name, schema in schemas.items() if name not in _ELSEWHERE} | {
        "UsageReport": {
            "description": "One record, several, or CloudEvents, by the media type.",
            "anyOf": [
                ref("UsageRecord"),
                ref("UsageRecords"),
                ref("UsageEvent"),
                {"type": "array", "items": ref("UsageEvent"), "maxItems": MAX_RECORDS},
            ],
        },
        "CorrectedUsage": object_of(
            {
                "customer": ref("SubjectId"),
                "feature": ref("Id"),
                "amount": _NUMBER | {"description": "Negative: how much less."},
                "subscription": ref("SubjectId"),
                "user": ref("SubjectId"),
                "window": ref("UsageWindow"),
                "used": _NUMBER | {"description": "In this window, after the correction."},
            },
            optional=("subscription", "user"),
        ),
        "Grant": object_of(
            {
                "id": TEXT,
                "feature": ref("Id"),
                "amount": _NUMBER,
                "spent": _NUMBER | {"description": "In all windows."},
                "remaining": _NUMBER,
                "state": {"enum": ["scheduled", "active", "used_up", "ended"]},
                "priority": COUNT,
                "from": ref("Instant"),
                "until": ref("Instant"),
                "rolled_over": FLAG | {"description": "It is what rolled over from the window before."},
                "reason": TEXT,
                "author": TEXT,
                "created_at": ref("Instant"),
            },
            optional=("from", "until", "rolled_over", "reason", "author"),
        ),
        "UsageReported": {
            "description": "What became of the record; of several under `results`, each or why it does not count.",
            "anyOf": [
                ref("RecordedUsage"),
                {
                    "type": "object",
                    "properties": {
                        "results": {
                            "type": "array",
                            "items": {"anyOf": [ref("RecordedUsage"), ref("Problem")]},
                        }
                    },
                    "required": ["results"],
                    "additionalProperties": False,
                },
            ],
        },
    }
