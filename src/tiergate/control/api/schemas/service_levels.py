"""The schemas of service levels."""

from __future__ import annotations

from typing import Final

from tiergate.admin.service_level_figures import SHORT_SPANS
from tiergate.control.api.schemas.parts import FLAG, Schema, ref
from tiergate.status.courses import Durations
from tiergate.wire.schemas import object_of

_MS: Final[Schema] = {"type": "integer", "description": "Milliseconds."}
_RATE: Final[Schema] = {"type": "number"}
_MEANINGS: Final = {
    "operational": "Nothing else was reported.",
    "degraded": "Worse than promised.",
    "partial": "Some could not use it.",
    "down": "Nobody could use it.",
    "maintenance": "Announced maintenance, whatever else was reported; it is not measured.",
    "unknown": "A monitor was silent, and nothing was reported; it is not measured.",
}


def service_level_schemas() -> dict[str, Schema]:
    """Return the schemas by name."""
    rates = {"window": _RATE} | {name: _RATE for name, _ in SHORT_SPANS}
    return {
        "ServiceLevelStanding": object_of(
            {
                "feature": ref("Id"),
                "item": ref("Id") | {"description": "The item that promises it; absent: the feature does."},
                "from": ref("Instant"),
                "until": ref("Instant"),
                "measured_until": ref("Instant") | {"description": "Now, if it has not ended."},
                "service_level": ref("ServiceLevel") | {"description": "What is promised at the end."},
                "durations_ms": object_of(
                    {name: _MS | {"description": _MEANINGS[name]} for name in Durations.__struct_fields__},
                    description="How long it had which status, in milliseconds.",
                ),
                "availability": {
                    "type": "number",
                    "description": "Percent of the measured time that spent no budget, rounded down.",
                },
                "kept": FLAG | {"description": "Whether the promise is kept so far."},
                "budget": object_of(
                    {
                        "allowed_ms": _MS | {"description": "The error budget of the whole interval."},
                        "spent_ms": _MS,
                        "left_ms": _MS | {"description": "Negative if it is overdrawn."},
                        "spent_share": {"type": "number", "description": "1 is all of it; absent if it is empty."},
                    },
                    optional=("spent_share",),
                ),
                "burn_rates": object_of(
                    rates,
                    required=(),
                    description="How fast the budget burns, in the window so far and in the last hours: 1 spends "
                    "exactly all of it.",
                ),
            },
            optional=("item", "service_level", "availability", "kept", "budget", "burn_rates"),
        ),
    }
