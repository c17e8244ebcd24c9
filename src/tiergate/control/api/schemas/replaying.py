"""The schemas of asking for a decision of the past."""

from __future__ import annotations

from typing import Final

from tiergate.control.api.schemas.parts import COUNT, FLAG, TEXT, TEXTS, Schema, optional_object, ref
from tiergate.model import Status
from tiergate.wire.check import CheckAtBody, CheckBody
from tiergate.wire.schemas import object_of, struct_schemas

_NUMBER: Final[Schema] = {"type": "number", "minimum": 0}


def replay_schemas() -> dict[str, Schema]:
    """Those schemas by name."""
    return {
        **struct_schemas([CheckBody, CheckAtBody]),
        "DecisionBasis": optional_object(
            {
                "store": TEXT,
                "position": COUNT,
                "version": TEXT,
                "stale_at": ref("Instant"),
                "stale_deny": FLAG,
                "fetched": FLAG,
                "loaded": FLAG,
                "usage": optional_object({"used": _NUMBER, "user_used": _NUMBER, "total_used": _NUMBER}),
                "status": optional_object(
                    {
                        "status": {"enum": [status.value for status in Status]},
                        "since": ref("Instant"),
                        "start": ref("Instant"),
                        "until": ref("Instant"),
                    },
                    description="Without it and `version`, what reports say of the instant.",
                ),
                "errors": TEXTS,
                "record": {"type": ["array", "null"]},
            },
            description="As a line of a decision log has it.",
        ),
        "Replay": object_of(
            {
                "check": ref("Check"),
                "at": ref("Instant") | {"description": "Absent: now."},
                "publication": {
                    "type": "integer",
                    "minimum": 1,
                    "description": "Absent: the publication that was active then.",
                },
                "revision": TEXT | {"description": "What that publication must be of."},
                "basis": ref("DecisionBasis"),
            },
            optional=("at", "publication", "revision", "basis"),
        ),
        "Replayed": object_of(
            {
                "decision": {"type": "object", "description": "As the sidecar gave it, byte by byte."},
                "at": ref("Instant"),
                "publication": COUNT,
                "revision": TEXT,
                "position": COUNT | {"description": "Where the feed has the record; 0: there was none."},
                "redacted": FLAG | {"description": "What described a person was erased from the record since."},
                "sentences": TEXTS,
                "reasoning": {"type": "object", "description": "As `CheckExplanation`, without its sentences."},
            }
        ),
    }
