"""The JSON Schemas of what the API takes and gives, by name: those of the files, and what stands beside them.

What an entry of a file must be is said once, in the schemas of the files (`catalog.schemas`); here each becomes a
component of the OpenAPI document, and gets the members that answers have beside it.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from tiergate.catalog import catalog_schema, subjects_schema
from tiergate.control.authorization import Action

__all__ = ["Schema", "component_schemas", "ref"]

Schema = dict[str, Any]

_PREFIX: Final = "#/components/schemas/"
_TEXT: Final[Schema] = {"type": "string"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_FLAG: Final[Schema] = {"type": "boolean"}
_TEXTS: Final[Schema] = {"type": "array", "items": _TEXT}
_FROM_CATALOG: Final = {
    "id": "Id",
    "instant": "Instant",
    "feature": "Feature",
    "suspension": "FeatureSuspension",
    "item": "Item",
    "version": "Version",
    "rollout": "Rollout",
    "entitlements": "Entitlements",
    "entitlement": "Entitlement",
    "ladder": "Ladder",
}
_FROM_SUBJECTS: Final = {
    "id": "Id",
    "instant": "Instant",
    "suspension": "Suspension",
    "held": "HeldItem",
    "override": "Override",
    "customer": "Customer",
    "subscription": "Subscription",
}
_PUBLISHED: Final = ("version", "entitlements", "versions", "rollouts")


def ref(name: str) -> Schema:
    """A reference to a component."""
    return {"$ref": _PREFIX + name}


def component_schemas() -> dict[str, Schema]:
    """All schemas by name."""
    found = _renamed(catalog_schema()["$defs"], _FROM_CATALOG) | _renamed(subjects_schema()["$defs"], _FROM_SUBJECTS)
    stamp = {"etag": _ETAG, "created_at": ref("Instant"), "updated_at": ref("Instant")}
    head = _without(found["Item"], _PUBLISHED)
    found |= {
        "StoredFeature": _with(found["Feature"], stamp),
        "NewItem": _with(head, {"entitlements": ref("Entitlements")}, required=False),
        "StoredItem": _with(
            head,
            {
                "rollouts": {"type": "array", "items": ref("Rollout")},
                "newest_version": _COUNT | {"description": "The newest version ever published; 0: none was."},
                "has_draft": _FLAG,
                **stamp,
            },
        ),
        "Draft": _closed({"entitlements": ref("Entitlements")}),
        "StoredDraft": _closed({"item": ref("Id"), "entitlements": ref("Entitlements"), **stamp}),
        "DraftDifference": _closed(
            {
                "item": ref("Id"),
                "against": {"type": "integer", "minimum": 1, "description": "Absent: nothing was published."},
                "changes": {"type": "array", "items": _CHANGE},
            },
            optional=("against",),
        ),
        "ListedVersion": _closed(_PUBLICATION),
        "PublishedVersion": _closed(_PUBLICATION | {"entitlements": ref("Entitlements")}),
        "StoredCustomer": _with(_with(found["Customer"], stamp), {"erased_at": ref("Instant")}, required=False),
        "StoredSubscription": _with(found["Subscription"], stamp),
        "Pin": _closed({"version": {"type": "integer", "minimum": 1}}),
        "MergePatch": {"type": "object", "description": "A JSON Merge Patch (RFC 7396): null takes a key away."},
        "Step": {
            "type": "object",
            "additionalProperties": ref("Instant"),
            "maxProperties": 1,
            "description": "The date of the step, where it takes one.",
        },
        **_access(),
        **_webhooks(),
        **_sync(),
        "Problem": _problem(),
        "Identified": {
            "type": "object",
            "description": "As the thing itself; what the address says can be left out.",
        },
        "OpenApi": {"type": "object", "description": "This document."},
        "Anything": {},
    }
    return found


_ETAG: Final[Schema] = {"type": "string", "pattern": '^"[0-9]+"$', "description": "For `If-Match`."}
_CHANGE: Final[Schema] = {
    "type": "object",
    "properties": {
        "feature": ref("Id"),
        "change": {"enum": ["added", "removed", "changed"]},
        "before": ref("Entitlement"),
        "after": ref("Entitlement"),
    },
    "required": ["feature", "change"],
    "additionalProperties": False,
}
_PUBLICATION: Final[Schema] = {
    "version": {"type": "integer", "minimum": 1},
    "publication": {"type": "integer", "minimum": 1, "description": "With which it came."},
    "published_at": ref("Instant"),
}


def _access() -> dict[str, Schema]:
    """Keys, roles, the audit log."""
    actions = {"type": "array", "items": _TEXT, "description": f"Actions, such as `{Action.PUBLISH.value}`."}
    narrowed = {"actions": actions, "customers": {"type": "array", "items": ref("Id")}}
    key = {
        "id": _TEXT,
        "name": _TEXT,
        "roles": _TEXTS,
        **narrowed,
        "created_at": ref("Instant"),
        "created_by": _TEXT,
        "expires_at": ref("Instant"),
        "revoked_at": ref("Instant"),
        "last_used_at": ref("Instant"),
    }
    rarely = ("actions", "customers", "expires_at", "revoked_at", "last_used_at")
    said: Schema = {"description": "As JSON; null: nothing."}
    return {
        "NewKey": _closed(
            {"name": _TEXT, "roles": _TEXTS, **narrowed, "expires_at": ref("Instant")},
            optional=("actions", "customers", "expires_at"),
        ),
        "Key": _closed(key, optional=rarely),
        "MadeKey": _closed({"key": _TEXT | {"description": "Shown this once."}, **key}, optional=(*rarely, "key")),
        "Caller": _closed(
            {"id": _TEXT, "kind": _TEXT, "name": _TEXT, "roles": _TEXTS, "may": actions, **narrowed},
            optional=("actions", "customers"),
        ),
        "Roles": _closed({"text": _TEXT, "roles": _TEXTS, "publication": _COUNT, "shipped": _FLAG}),
        "RolesDraft": _closed({"text": _TEXT}),
        "StoredRolesDraft": _closed({"text": _TEXT, "etag": _ETAG}),
        "AuditEntry": {
            "type": "object",
            "properties": {
                "id": _COUNT,
                "at": ref("Instant"),
                "actor": _TEXT,
                "actor_kind": _TEXT,
                "action": _TEXT,
                "kind": _TEXT,
                "resource": _TEXT,
                "customer": {"type": ["string", "null"]},
                "before": said,
                "after": said,
                "reason": _TEXT,
                "request_id": _TEXT,
                "redacted": _FLAG,
            },
            "required": ["id", "at", "actor", "action", "kind", "resource"],
        },
        "Erasure": _closed({"actor": _TEXT}),
        "Erased": _closed({"entries": _COUNT}),
    }


def _webhooks() -> dict[str, Schema]:
    url: Schema = {"type": "string", "format": "uri"}
    settings = {"url": url, "events": _TEXTS, "description": _TEXT, "enabled": _FLAG}
    moment: Schema = {"anyOf": [ref("Instant"), {"type": "null"}]}
    webhook = {
        "id": _TEXT,
        **settings,
        "failing_since": moment,
        "created_at": ref("Instant"),
        "updated_at": ref("Instant"),
        "etag": _ETAG,
    }
    return {
        "NewWebhook": _closed(settings, optional=("events", "description", "enabled")),
        "WebhookEdit": _closed(settings, optional=tuple(settings)),
        "Rotation": _closed({"overlap": _COUNT | {"description": "Seconds."}}, optional=("overlap",)),
        "Webhook": _closed(webhook),
        "MadeWebhook": _closed(webhook | {"secret": _TEXT | {"description": "Shown this once."}}),
        "Delivery": _closed(
            {
                "id": _TEXT,
                "type": _TEXT,
                "status": _TEXT,
                "attempts": _COUNT,
                "answer": _TEXT,
                "due_at": moment,
                "created_at": ref("Instant"),
                "finished_at": moment,
                "payload": {"type": "object"},
            }
        ),
    }


def _sync() -> dict[str, Schema]:
    signature = _closed({"keyid": _TEXT, "sig": _TEXT})
    return {
        "Envelope": _closed(
            {"payload": _TEXT, "payloadType": _TEXT, "signatures": {"type": "array", "items": signature}},
            description="A signed statement (DSSE).",
        )
    }


def _problem() -> Schema:
    detail = {
        "detail": _TEXT,
        "code": _TEXT,
        "pointer": _TEXT | {"description": "A JSON Pointer (RFC 6901) into the body."},
        "file": _TEXT,
        "line": _COUNT,
        "column": _COUNT,
        "suggestion": _TEXT,
    }
    return _closed(
        {
            "type": {"type": "string", "format": "uri", "pattern": "^urn:tiergate:problem:[a-z0-9-]+$"},
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": _TEXT,
            "suggestion": _TEXT | {"description": "What was probably meant."},
            "errors": {
                "type": "array",
                "items": _closed(detail, optional=("pointer", "file", "line", "column", "suggestion")),
            },
            "etag": _ETAG,
        },
        optional=("suggestion", "errors", "etag"),
        description="What went wrong (RFC 9457).",
    )


def _closed(properties: Schema, *, optional: tuple[str, ...] = (), description: str = "") -> Schema:
    """An object with these properties and no others."""
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    required = [name for name in properties if name not in optional]
    if required:
        found["required"] = required
    return found | ({"description": description} if description else {})


def _with(schema: Schema, properties: Schema, *, required: bool = True) -> Schema:
    """A closed schema with more properties."""
    found = copy.deepcopy(schema)
    found["properties"] |= properties
    if required:
        found["required"] = [*found.get("required", ()), *properties]
    return found


def _without(schema: Schema, names: tuple[str, ...]) -> Schema:
    """A closed schema without some properties, and without what it says of them together."""
    found = copy.deepcopy(schema)
    for name in names:
        del found["properties"][name]
    found.pop("oneOf", None)
    return found


def _renamed(definitions: dict[str, Schema], names: dict[str, str]) -> dict[str, Schema]:
    """Definitions of a file's schema as components, by their names here."""

    def moved(value: Any) -> Any:  # noqa: ANN401 - a schema is any JSON
        if isinstance(value, dict):
            return {
                key: _PREFIX + names[inner.rpartition("/")[2]] if key == "$ref" else moved(inner)
                for key, inner in value.items()
            }
        return [moved(inner) for inner in value] if isinstance(value, list) else value

    return {names[name]: moved(definition) for name, definition in definitions.items()}
