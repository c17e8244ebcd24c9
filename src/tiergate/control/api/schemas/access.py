"""The schemas of what stands beside the catalog and its subjects: callers, keys, the audit log, webhooks, sync."""

from __future__ import annotations

from tiergate.control.api.schemas.parts import COUNT, ETAG, FLAG, TEXT, TEXTS, Schema, closed, optional_object, ref
from tiergate.permissions import Action


def access_schemas() -> dict[str, Schema]:
    """Keys, roles, the audit log."""
    actions = {"type": "array", "items": TEXT, "description": f"Actions, such as `{Action.PUBLISH.value}`."}
    narrowed = {"actions": actions, "customers": {"type": "array", "items": ref("SubjectId")}}
    key = {
        "id": TEXT,
        "name": TEXT,
        "roles": TEXTS,
        **narrowed,
        "created_at": ref("Instant"),
        "created_by": TEXT,
        "expires_at": ref("Instant"),
        "revoked_at": ref("Instant"),
        "last_used_at": ref("Instant"),
    }
    rarely = ("actions", "customers", "expires_at", "revoked_at", "last_used_at")
    said: Schema = {"description": "As JSON; null: nothing."}
    return {
        "NewKey": closed(
            {"name": TEXT, "roles": TEXTS, **narrowed, "expires_at": ref("Instant")},
            optional=("actions", "customers", "expires_at"),
        ),
        "Key": closed(key, optional=rarely),
        "MadeKey": closed(
            {"key": TEXT | {"description": "Shown this once."}, **key, "store": TEXT, "public_keys": TEXTS},
            optional=(*rarely, "key", "store", "public_keys"),
        ),
        "Caller": closed(
            {"id": TEXT, "kind": TEXT, "name": TEXT, "roles": TEXTS, "may": actions, **narrowed},
            optional=("actions", "customers"),
        ),
        "Roles": closed({"text": TEXT, "roles": TEXTS, "publication": COUNT, "shipped": FLAG}),
        "StoredRolesDraft": closed({"text": TEXT, "etag": ETAG, "shipped": FLAG}, optional=("shipped",)),
        "AuditEntry": {
            "type": "object",
            "properties": {
                "id": COUNT,
                "at": ref("Instant"),
                "actor": TEXT,
                "actor_kind": TEXT,
                "action": TEXT,
                "kind": TEXT,
                "resource": TEXT,
                "customer": {"type": ["string", "null"]},
                "before": said,
                "after": said,
                "reason": TEXT,
                "request_id": TEXT,
                "redacted": FLAG,
            },
            "required": ["id", "at", "actor", "action", "kind", "resource"],
        },
        "Erasure": optional_object({"tags": FLAG | {"description": "The tags, too."}}),
        "ErasedCustomer": closed({"customer": ref("SubjectId"), "lines": COUNT, "entries": COUNT, "snapshots": COUNT}),
        "Author": closed({"author": TEXT}),
        "ErasedAuthor": closed({"author": TEXT | {"description": "What stands in its place."}, "entries": COUNT}),
    }


def webhook_schemas() -> dict[str, Schema]:
    """Webhooks and deliveries."""
    url: Schema = {"type": "string", "format": "uri"}
    settings = {"url": url, "events": TEXTS, "description": TEXT, "enabled": FLAG}
    moment: Schema = {"anyOf": [ref("Instant"), {"type": "null"}]}
    webhook = {
        "id": TEXT,
        **settings,
        "failing_since": moment,
        "created_at": ref("Instant"),
        "updated_at": ref("Instant"),
        "etag": ETAG,
    }
    return {
        "NewWebhook": closed(settings, optional=("events", "description", "enabled")),
        "WebhookEdit": closed(settings, optional=tuple(settings)),
        "Rotation": closed({"overlap": COUNT | {"description": "Seconds."}}, optional=("overlap",)),
        "Webhook": closed(webhook),
        "MadeWebhook": closed(webhook | {"secret": TEXT | {"description": "Shown this once."}}, optional=("secret",)),
        "Delivery": closed(
            {
                "id": TEXT,
                "type": TEXT,
                "status": TEXT,
                "attempts": COUNT,
                "answer": TEXT,
                "due_at": moment,
                "created_at": ref("Instant"),
                "finished_at": moment,
                "payload": {"type": "object"},
            }
        ),
    }


def sync_schemas() -> dict[str, Schema]:
    """What sidecars follow."""
    signature = closed({"keyid": TEXT, "sig": TEXT})
    return {
        "Envelope": closed(
            {"payload": TEXT, "payloadType": TEXT, "signatures": {"type": "array", "items": signature}},
            description="A signed statement (DSSE).",
        )
    }
