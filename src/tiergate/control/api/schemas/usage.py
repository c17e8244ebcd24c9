"""The schemas of usage: records after the fact, as sidecars take them."""

from __future__ import annotations

from typing import Final

from tiergate.control.api.schemas.parts import COUNT, FLAG, TEXT, Schema, ref
from tiergate.store.usage_shares import Share
from tiergate.usage.accounts import Scope
from tiergate.wire.schemas import object_of, struct_schemas
from tiergate.wire.usage import MAX_RECORDS, RecordedUsage, UsageEvent, UsageRecordBody, UsageRecordsBody
from tiergate.wire.usage_changes import CorrectionBody, GrantBody, GrantEditBody, ThresholdsBody

_STRUCTS: Final = (
    UsageRecordBody,
    UsageRecordsBody,
    UsageEvent,
    RecordedUsage,
    CorrectionBody,
    GrantBody,
    GrantEditBody,
    ThresholdsBody,
)
_NUMBER: Final[Schema] = {"type": "number"}
_LEVELS: Final[Schema] = {"type": "array", "items": {"type": ["string", "number"]}}
_DAY: Final[Schema] = {"type": "string", "format": "date"}
_DAYS: Final[Schema] = {"type": "array", "items": _DAY}
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
        "CustomerThresholds": object_of(
            {
                "feature": ref("Id"),
                "thresholds": _LEVELS,
                "own": FLAG | {"description": "Whether they are this customer's own."},
                "fired": _LEVELS | {"description": "Those that have fired in the current window."},
            }
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
        **_views(),
        **_leases(),
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


def _views() -> dict[str, Schema]:
    exact = {"scale": COUNT | {"description": "Decimal digits of its numbers."}}
    pool = object_of(
        {
            "pool": {"enum": ["allowance", "grant", "rollover", "overage"]},
            "grant": TEXT | {"description": "The id of the grant."},
            "units": _NUMBER,
        },
        optional=("grant",),
    )
    point = object_of({"at": ref("Instant"), "used": _NUMBER})
    return {
        "CustomerUsage": object_of(
            {
                "feature": ref("Id"),
                **exact,
                "unit": TEXT,
                "subscription": ref("SubjectId"),
                "user": ref("SubjectId"),
                "window": ref("UsageWindow"),
                "used": _NUMBER,
                "leased": _NUMBER | {"description": "Held by sidecars besides, which may give it back."},
                "unlimited": FLAG,
                "limit": _NUMBER | {"description": "The allowance, and what grants add in this window."},
                "remaining": _NUMBER,
                "overage": _NUMBER | {"description": "Above the limit."},
                "resets_at": ref("Instant"),
                "pools": {
                    "type": "array",
                    "items": pool,
                    "description": "What used and leased units came from.",
                },
            },
            optional=("unit", "subscription", "user", "limit", "remaining", "overage", "resets_at"),
        ),
        "UsageSeries": object_of(
            {
                "by": {"enum": ["hour", "day"]},
                "from": ref("Instant"),
                "until": ref("Instant"),
                "series": {
                    "type": "array",
                    "items": object_of(
                        {
                            "feature": ref("Id"),
                            **exact,
                            "total": _NUMBER,
                            "points": {"type": "array", "items": point, "description": "Without those of no usage."},
                        }
                    ),
                },
            }
        ),
        "UsageDays": object_of({"first": _DAY, "last": _DAY}),
        "UsageExports": object_of(
            {
                "final": {
                    "type": ["string", "null"],
                    "format": "date",
                    "description": "All days through this are final.",
                },
                "written": _DAYS | {"description": "Later days that are written, and will be once more."},
                "requested": _DAYS | {"description": "Days that are to be written again."},
                "writing": {"type": ["string", "null"], "format": "date", "description": "What is being written."},
                "failing": FLAG,
            }
        ),
        "FeatureAllocation": object_of(
            {
                "feature": ref("Id"),
                **exact,
                "unit": TEXT,
                "customers": COUNT | {"description": "Those who have it, or have used it."},
                "unlimited": COUNT | {"description": "Those of them without a limit."},
                "allowance": _NUMBER | {"description": "What the others may use by what they hold."},
                "granted": _NUMBER | {"description": "What grants add to that."},
                "allowed": _NUMBER | {"description": "Both together."},
                "used": _NUMBER | {"description": "By customers with a limit."},
                "used_unlimited": _NUMBER | {"description": "By customers without a limit."},
                "share": _NUMBER | {"description": "The used part of what is allowed."},
                "customers_by_share": object_of({share.value: COUNT for share in Share})
                | {"description": "Customers with a limit, by the used part of it."},
            },
            optional=("unit", "share"),
        ),
        "FeatureCustomer": object_of(
            {
                "customer": ref("SubjectId"),
                "window": ref("UsageWindow"),
                "used": _NUMBER,
                "limit": _NUMBER,
                "remaining": _NUMBER,
                "utilisation": _NUMBER | {"description": "The used part of the limit."},
                "reaches_limit_at": ref("Instant")
                | {"description": "At the rate of the window so far; absent if the window ends before."},
                "daily_mean": _NUMBER,
                "variation": _NUMBER | {"description": "The coefficient of variation of the last 28 days."},
            },
            required=("customer",),
        ),
    }


def _leases() -> dict[str, Schema]:
    holder = TEXT | {"description": "The name of a sidecar: of its folder in `usage-leases`."}
    spent = {"enum": ["all", "none"], "description": "Whether the units count as spent until the holder reports."}
    account: dict[str, Schema] = {
        "feature": ref("Id"),
        "scope": {"enum": [scope.value for scope in Scope]},
        "customer": ref("SubjectId") | {"description": "Absent for everybody's."},
        "subscription": ref("SubjectId"),
        "user": ref("SubjectId"),
        "window_from": ref("Instant") | {"description": "Absent if it never resets."},
    }
    optional = ("customer", "subscription", "user", "window_from")
    given_up = object_of({**account, "leases": COUNT, "amount": _NUMBER}, optional=optional)
    return {
        "UsageLease": object_of(
            {
                "holder": holder,
                "lease": COUNT | {"description": "Its number at the holder."},
                **account,
                "amount": _NUMBER,
                "reported": _NUMBER | {"description": "What the holder has reported of it as spent."},
                "state": {"enum": ["live", "expired", "written_off"]},
                "expires_at": ref("Instant"),
                "seen_at": ref("Instant") | {"description": "When the holder last sent a request."},
            },
            optional=optional,
        ),
        "LeaseWriteOff": object_of(
            {"holder": holder, "customer": ref("SubjectId"), "feature": ref("Id"), "spent": spent},
            required=("holder",),
        ),
        "WrittenOffLeases": object_of(
            {"holder": holder, "spent": spent, "written_off": {"type": "array", "items": given_up}}
        ),
    }
