"""The schemas of what stands beside the catalog and its subjects: callers, keys, the audit log, webhooks, sync."""

from __future__ import annotations

from tiergate.control.api.schemas.parts import COUNT, ETAG, FLAG, TEXT, TEXTS, Schema, optional_object, ref
from tiergate.permissions import Action
from tiergate.wire.schemas import object_of


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
    json_value: Schema = {"description": "As JSON; null: nothing."}
    return {
        "NewKey": object_of(
            {"name": TEXT, "roles": TEXTS, **narrowed, "expires_at": ref("Instant")},
            optional=("actions", "customers", "expires_at"),
        ),
        "Key": object_of(key, optional=rarely),
        "MadeKey": object_of(
            {"key": TEXT | {"description": "Shown this once."}, **key, "store": TEXT, "public_keys": TEXTS},
            optional=(*rarely, "key", "store", "public_keys"),
        ),
        "Caller": object_of(
            {"id": TEXT, "kind": TEXT, "name": TEXT, "roles": TEXTS, "may": actions, **narrowed},
            optional=("actions", "customers"),
        ),
        "RoleTable": object_of({"text": TEXT, "roles": TEXTS, "publication": COUNT, "shipped": FLAG}),
        "StoredRolesDraft": object_of({"text": TEXT, "etag": ETAG, "shipped": FLAG}, optional=("shipped",)),
        "AuditEntry": {
            "type": "object",
            "properties": {
                "id": COUNT,
                "at": ref("Instant"),
                "actor": TEXT,
                "actor_kind": TEXT,
                "actor_name": TEXT | {"description": "The name of the key, as it is now."},
                "action": TEXT,
                "kind": TEXT,
                "resource": TEXT,
                "customer": {"type": ["string", "null"]},
                "before": json_value,
                "after": json_value,
                "reason": TEXT,
                "request_id": TEXT,
                "redacted": FLAG,
            },
            "required": ["id", "at", "actor", "action", "kind", "resource"],
        },
        "Erasure": optional_object({"tags": FLAG | {"description": "The tags, too."}}),
        "ErasedCustomer": object_of(
            {"customer": ref("SubjectId"), "lines": COUNT, "entries": COUNT, "snapshots": COUNT}
        ),
        "AuthorErasure": object_of({"author": TEXT}),
        "ErasedAuthor": object_of({"author": TEXT | {"description": "What stands in its place."}, "entries": COUNT}),
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
        "NewWebhook": object_of(settings, optional=("events", "description", "enabled")),
        "WebhookEdit": object_of(settings, optional=tuple(settings)),
        "Rotation": object_of({"overlap": COUNT | {"description": "Seconds."}}, optional=("overlap",)),
        "Webhook": object_of(webhook),
        "MadeWebhook": object_of(
            webhook | {"secret": TEXT | {"description": "Shown this once."}}, optional=("secret",)
        ),
        "Event": object_of(
            {
                "id": TEXT,
                "type": TEXT,
                "timestamp": ref("Instant"),
                "data": {"type": "object"},
                "position": COUNT,
                "recorded_at": ref("Instant"),
            }
        ),
        "Redelivery": optional_object(
            {
                "status": {"type": "string", "enum": ["dead"]},
                "since": ref("Instant"),
                "until": ref("Instant"),
                "types": TEXTS,
                "customer": ref("SubjectId"),
            }
        ),
        "Redelivered": object_of({"repeated": COUNT, "new": COUNT}),
        "Delivery": object_of(
            {
                "id": TEXT,
                "event": TEXT,
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
    signature = object_of({"keyid": TEXT, "sig": TEXT})
    return {
        "Envelope": object_of(
            {"payload": TEXT, "payloadType": TEXT, "signatures": {"type": "array", "items": signature}},
            description="A signed statement (DSSE).",
        ),
        "OutcomeBatch": {
            "type": "string",
            "format": "binary",
            "description": "A batch of outcomes by minute, in MessagePack: docs/reference/sync-api.md.",
        },
        "UsageRequest": {
            "type": "string",
            "format": "binary",
            "description": "A request of a holder of leases, in MessagePack: docs/reference/sync-api.md.",
        },
    }
