"""The schemas of usage: records after the fact, as sidecars take them."""

from __future__ import annotations

from typing import Final

from tiergate.control.api.schemas.parts import Schema, ref
from tiergate.wire.schemas import struct_schemas
from tiergate.wire.usage import MAX_RECORDS, RecordedUsage, UsageEvent, UsageRecordBody, UsageRecordsBody

_ELSEWHERE: Final = ("Problem", "ProblemDetail")


def usage_schemas() -> dict[str, Schema]:
    """Return the schemas by name."""
    schemas = struct_schemas([UsageRecordBody, UsageRecordsBody, UsageEvent, RecordedUsage])
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
