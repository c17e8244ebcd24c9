"""The schemas of status: reports, monitors, alerts, and what features do now."""

from __future__ import annotations

from typing import Final

from tiergate.admin.status_reports import MAX_NOTE, REPORTED
from tiergate.control.api.schemas.parts import COUNT, ETAG, FLAG, TEXT, Schema, optional_object, ref
from tiergate.model import ReporterKind
from tiergate.model.durations import DURATION_PATTERN
from tiergate.status.shown import ShownStatus
from tiergate.wire.schemas import object_of

_STATUS: Final[Schema] = {"type": "string", "enum": list(REPORTED)}
_NOTE: Final[Schema] = {"type": "string", "maxLength": MAX_NOTE}
_NOTES: Final[Schema] = {
    "note": _NOTE | {"description": "For those who work here."},
    "public_note": _NOTE | {"description": "For the public page."},
}
_DATES: Final = {"created_at": ref("Instant"), "updated_at": ref("Instant")}
_START: Final[Schema] = ref("Instant") | {"description": "From this instant on; now, if left out."}
_UNTIL: Final[Schema] = ref("Instant") | {"description": "Until this instant; open, if left out."}


def status_schemas() -> dict[str, Schema]:
    """The schemas by name."""
    return _reports() | _monitors() | _overview()


def _reports() -> dict[str, Schema]:
    audience = optional_object(
        {
            "tags": {"type": "array", "items": ref("Id"), "description": "Customers with one of these tags."},
            "items": {"type": "array", "items": ref("Id"), "description": "Subscriptions that have one of these."},
        },
        "Whom it concerns; only for `partial`.",
    )
    stored = {
        "id": TEXT,
        "feature": ref("Id"),
        "status": _STATUS,
        "start": ref("Instant"),
        "until": ref("Instant") | {"description": "Absent: it is open."},
        "reporter_kind": {"enum": [kind.value for kind in ReporterKind], "description": "The source."},
        "reporter": TEXT | {"description": "The caller, or the monitor."},
        **_NOTES,
        "audience": ref("StatusAudience"),
        "created_by": TEXT,
        "updated_by": TEXT,
        "etag": ETAG,
        **_DATES,
    }
    nullable: Schema = {"anyOf": [ref("Instant"), {"type": "null"}], "description": "null: it is open again."}
    nobody: Schema = {"anyOf": [ref("StatusAudience"), {"type": "null"}], "description": "null: not known."}
    return {
        "StatusAudience": audience,
        "NewStatusReport": object_of(
            {
                "feature": ref("Id"),
                "status": _STATUS,
                "start": _START,
                "until": _UNTIL,
                **_NOTES,
                "audience": ref("StatusAudience"),
            },
            required=("feature", "status"),
        ),
        "StatusReportEdit": optional_object(
            {"status": _STATUS, "start": ref("Instant"), "until": nullable, **_NOTES, "audience": nobody},
            "A JSON Merge Patch: members that are left out stay.",
        ),
        "StatusReportEnd": optional_object({"at": _START | {"description": "When it ends."}, **_NOTES}),
        "StatusReport": object_of(stored, optional=("until", "note", "public_note", "audience")),
        "ListedStatusReport": object_of(stored, required=("id", "feature", "status", "start")),
    }


def _monitors() -> dict[str, Schema]:
    settings = {
        "features": {"type": "array", "items": ref("Id"), "minItems": 1, "description": "What it watches."},
        "every": {
            "type": "string",
            "pattern": f"^{DURATION_PATTERN}$",
            "description": "How often it should be heard, such as `5 minutes`; without it, nothing is expected.",
        },
        "key": TEXT | {"description": "The id of the only API key that may speak for it."},
        "description": TEXT,
    }
    rarely = ("every", "key", "description")
    stored = {
        "name": ref("Id"),
        **settings,
        "state": {"enum": ["never_heard", "heard", "silent"]},
        "heard_at": ref("Instant"),
        "silent_since": ref("Instant"),
        "etag": ETAG,
        **_DATES,
    }
    rejected = object_of(
        {"fingerprint": TEXT, "pointer": TEXT, "code": TEXT, "detail": TEXT, "feature": TEXT}, optional=("feature",)
    )
    alert: Schema = {
        "type": "object",
        "properties": {
            "status": {"enum": ["firing", "resolved"]},
            "labels": {"type": "object", "additionalProperties": TEXT},
            "annotations": {"type": "object", "additionalProperties": TEXT},
            "startsAt": TEXT | {"description": "An instant; an alert with another text is rejected alone."},
            "endsAt": TEXT | {"description": "An instant; in the year 1: not ended."},
            "fingerprint": TEXT,
        },
        "required": ["status", "labels", "startsAt", "fingerprint"],
    }
    return {
        "StatusMonitorBody": object_of(settings, optional=rarely),
        "StatusMonitor": object_of(stored, optional=(*rarely, "heard_at", "silent_since")),
        "MonitorReport": object_of(
            {
                "feature": ref("Id"),
                "status": {"type": "string", "enum": ["operational", *REPORTED]},
                "key": TEXT | {"description": "Tells apart what it reports of a feature, such as checks."},
                "at": ref("Instant") | {"description": "Since when; now, if left out."},
                **_NOTES,
                "audience": ref("StatusAudience"),
            },
            required=("feature", "status"),
        ),
        "MonitorReported": object_of(
            {"feature": ref("Id"), "status": TEXT, "report": ref("StatusReport")}, optional=("report",)
        ),
        "AlertmanagerDelivery": {
            "type": "object",
            "properties": {
                "version": {"const": "4"},
                "groupKey": TEXT,
                "truncatedAlerts": COUNT,
                "alerts": {"type": "array", "items": alert},
            },
            "required": ["version", "alerts"],
            "description": "What Prometheus Alertmanager sends to a webhook.",
        },
        "AlertsTaken": object_of(
            {
                "monitor": TEXT,
                "opened": COUNT,
                "ended": COUNT,
                "unchanged": COUNT | {"description": "What was known already, or is older than what is known."},
                "ignored": COUNT | {"description": "Alerts that are no reports."},
                "truncated": COUNT | {"description": "Alerts that Alertmanager left out."},
                "rejected": {"type": "array", "items": rejected},
            }
        ),
    }


def _overview() -> dict[str, Schema]:
    status = {"enum": [status.value for status in ShownStatus]}
    day = object_of({"day": {"type": "string", "format": "date"}, "worst": status})
    report = object_of(
        {
            "id": TEXT,
            "feature": TEXT | {"description": "The name of the feature."},
            "status": status,
            "start": ref("Instant"),
            "until": ref("Instant"),
            "note": TEXT,
            "updated_at": ref("Instant"),
        },
        optional=("until", "note"),
    )
    feature = object_of(
        {
            "id": ref("Id"),
            "name": TEXT,
            "status": status,
            "suspended": FLAG,
            "since": ref("Instant"),
            "days": {"type": "array", "items": day, "description": "Those on which something was reported."},
        },
        optional=("suspended", "since"),
    )
    return {
        "PublicStatus": object_of(
            {
                "title": TEXT,
                "at": ref("Instant"),
                "status": status | {"description": "The worst of all features."},
                "features": {"type": "array", "items": feature},
                "incidents": {"type": "array", "items": report},
                "planned": {"type": "array", "items": report},
            }
        ),
        "FeatureStatus": object_of(
            {
                "feature": ref("Id"),
                "name": TEXT,
                "status": {"enum": [status.value for status in ShownStatus]},
                "state": {
                    "enum": ["active", "draft", "suspended", "archived"],
                    "description": "If it is not `active`, it comes before the status.",
                },
                "since": ref("Instant") | {"description": "Since when it has the status; absent if operational."},
                "reports": {"type": "array", "items": ref("ListedStatusReport")},
            },
            optional=("name", "since"),
        ),
    }
