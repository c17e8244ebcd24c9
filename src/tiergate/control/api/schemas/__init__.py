"""The JSON Schemas of what the API takes and gives, by name: those of the files, and what stands beside them.

What an entry of a file must be is said once, in the schemas of the files (`catalog.schemas`); here each becomes a
component of the OpenAPI document, and gets the members that answers have beside it.
"""

from __future__ import annotations

import functools
from typing import Any, Final

from tiergate.catalog import catalog_schema, subjects_schema
from tiergate.control.api.schemas.access import access_schemas, sync_schemas, webhook_schemas
from tiergate.control.api.schemas.client_forms import client_form, edit_form, enum_schemas
from tiergate.control.api.schemas.parts import (
    COUNT,
    ETAG,
    FLAG,
    PREFIX,
    TEXT,
    TEXTS,
    Schema,
    ref,
    with_more,
    without,
)
from tiergate.control.api.schemas.publishing import publishing_schemas, rule_schemas
from tiergate.control.api.schemas.replaying import replay_schemas
from tiergate.control.api.schemas.service_levels import service_level_schemas
from tiergate.control.api.schemas.status import status_schemas
from tiergate.control.api.schemas.subscribing import (
    as_of_schemas,
    passed_over_schema,
    stored_subscription,
    subscribing_schemas,
)
from tiergate.control.api.schemas.usage import usage_schemas
from tiergate.model import ItemKind, Reason, Status
from tiergate.store.endings import EndingKind
from tiergate.wire.schemas import decision_schemas, object_of, problem_schemas

__all__ = ["Schema", "component_schemas", "ref"]

_FROM_CATALOG: Final = {
    "id": "Id",
    "subjectId": "SubjectId",
    "instant": "Instant",
    "feature": "Feature",
    "metered": "Metered",
    "serviceLevel": "ServiceLevel",
    "itemServiceLevel": "ItemServiceLevel",
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
    "subjectId": "SubjectId",
    "instant": "Instant",
    "externalIds": "ExternalIds",
    "suspension": "Suspension",
    "held": "HeldItem",
    "override": "Override",
    "customer": "Customer",
    "subscription": "Subscription",
}
_PUBLISHED: Final = ("version", "entitlements", "versions", "rollouts")
_CHANGE: Final[Schema] = object_of(
    {
        "feature": ref("Id"),
        "change": {"enum": ["added", "removed", "changed"]},
        "before": ref("Entitlement"),
        "after": ref("Entitlement"),
    },
    optional=("before", "after"),
)
_ADDRESS: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "description": "The id of a customer, or `ext:<system>:<id>`, one of its external ids.",
}
_HELD: Final[Schema] = {"type": ["boolean", "number", "string", "null", "object"]}
_EFFECT: Final[Schema] = object_of(
    {
        "state": {
            "enum": ["raises", "lowers", "acts", "none", "scheduled", "ended"],
            "description": "`acts`: the value is the same, but it is denied. `none`: it does nothing now.",
        },
        "from": _HELD | {"description": "The value without the override, as an entitlement is written."},
        "to": _HELD | {"description": "The value with it."},
        "because": TEXT | {"description": "Why it does nothing now."},
    },
    optional=("from", "to", "because"),
)
_PUBLICATION: Final[Schema] = {
    "version": {"type": "integer", "minimum": 1},
    "publication": {"type": "integer", "minimum": 1, "description": "With which it came."},
    "published_at": ref("Instant"),
}


@functools.cache
def component_schemas() -> dict[str, Schema]:
    """All schemas by name, in the form for clients. They are shared: change none."""
    return {name: client_form(schema) for name, schema in _schemas().items()} | enum_schemas()


def _schemas() -> dict[str, Schema]:
    schemas = _renamed(catalog_schema()["$defs"], _FROM_CATALOG) | _renamed(subjects_schema()["$defs"], _FROM_SUBJECTS)
    stamp = {"etag": ETAG, "created_at": ref("Instant"), "updated_at": ref("Instant")}
    head = without(schemas["Item"], _PUBLISHED)
    schemas |= {
        "StoredFeature": with_more(schemas["Feature"], stamp),
        "NewItem": with_more(head, {"entitlements": ref("Entitlements")}, required=False),
        "NewPlan": head | {"required": ["id"]},
        "StoredItem": with_more(
            head,
            {
                "rollouts": {"type": "array", "items": ref("Rollout")},
                "newest_version": COUNT | {"description": "The newest version ever published; 0: none was."},
                "has_draft": FLAG,
                **stamp,
            },
        ),
        "Draft": object_of({"entitlements": ref("Entitlements")}),
        "StoredDraft": object_of({"item": ref("Id"), "entitlements": ref("Entitlements"), **stamp}),
        "DraftDifference": object_of(
            {
                "item": ref("Id"),
                "against": {"type": "integer", "minimum": 1, "description": "Absent: nothing was published."},
                "changes": {"type": "array", "items": _CHANGE},
            },
            optional=("against",),
        ),
        "GivenEntitlement": _given_entitlement(),
        "Ending": _ending(),
        "ListedVersion": object_of(_PUBLICATION),
        "PublishedVersion": object_of(_PUBLICATION | {"entitlements": ref("Entitlements")}),
        "StoredCustomer": with_more(
            with_more(schemas["Customer"], stamp), {"erased_at": ref("Instant"), **as_of_schemas()}, required=False
        ),
        "StoredSubscription": stored_subscription(schemas["Subscription"], stamp),
        **_bodies(schemas),
        "EditedOverride": with_more(
            schemas["Override"],
            {"effect": _EFFECT | {"description": "Ignored."}, "as_of": ref("Instant")},
            required=False,
        ),
        "NewOverride": with_more(schemas["Override"], {"as_of": ref("Instant")}, required=False),
        "NewSuspension": with_more(schemas["Suspension"], {"as_of": ref("Instant")}, required=False),
        "AddedItem": with_more(schemas["HeldItem"], {"as_of": ref("Instant")}, required=False),
        "PassedOver": passed_over_schema(),
        "ListedOverride": with_more(schemas["Override"], {"effect": _EFFECT}),
        "SubjectLines": {"type": "string", "description": "A subjects file in NDJSON: a JSON object a line."},
        "Imported": object_of(
            {"customers": COUNT, "subscriptions": COUNT, "changed": COUNT, "passed_over": COUNT},
            optional=("passed_over",),
        ),
        "Pin": object_of({"version": {"type": "integer", "minimum": 1}, "as_of": ref("Instant")}, optional=("as_of",)),
        **subscribing_schemas(schemas["Subscription"], schemas["HeldItem"], _ADDRESS),
        **access_schemas(),
        **publishing_schemas(schemas["FeatureSuspension"]),
        **rule_schemas(),
        **webhook_schemas(),
        **sync_schemas(),
        **usage_schemas(),
        **status_schemas(),
        **service_level_schemas(),
        "SubjectEntitlements": _subject_entitlements(),
        **replay_schemas(),
        **_answers(),
        **_problems(),
        "Health": object_of({"status": TEXT, "read_only": FLAG}, optional=("read_only",)),
        "OpenApi": {"type": "object", "description": "This document."},
        "Anything": {},
    }
    schemas["Instant"]["format"] = "date-time"
    schemas |= _edits(schemas)
    for name in ("Customer", "Subscription"):  # they are taken as `New…`, and given as `Stored…`
        del schemas[name]
    drafted = with_more(schemas["StoredItem"], {"entitlements": ref("Entitlements")})
    sold = with_more(drafted, {"publication": COUNT})
    schemas["DraftedItem"] = drafted
    schemas["SoldItem"] = with_more(sold, {"subscription": ref("StoredSubscription")}, required=False)
    schemas["OwnPlan"] = object_of(
        {"features": ref("Entitlements"), "id": ref("Id"), "name": TEXT},
        optional=("id", "name"),
        description="Values of features that are offered for it.",
    )
    return schemas


def _given_entitlement() -> Schema:
    other = object_of({"version": _PUBLICATION["version"], "value": ref("Entitlement")})
    return object_of(
        {
            "item": ref("Id"),
            "kind": {"enum": [kind.value for kind in ItemKind]},
            "feature": ref("Id"),
            "version": _PUBLICATION["version"] | {"description": "The version that new customers get."},
            "value": ref("Entitlement") | {"description": "What it gives."},
            "draft": {
                "anyOf": [ref("Entitlement"), {"type": "null"}],
                "description": "What the draft gives instead; null: nothing.",
            },
            "others": {"type": "array", "items": other, "description": "Other versions that some customers get."},
        },
        optional=("version", "value", "draft", "others"),
    )


def _ending() -> Schema:
    return object_of(
        {
            "type": {"enum": [kind.value for kind in EndingKind], "description": "What ends."},
            "at": ref("Instant"),
            "customer": ref("SubjectId"),
            "subscription": ref("SubjectId"),
            "item": ref("Id"),
            "feature": ref("Id"),
            "id": TEXT | {"description": "The id of the override or the grant."},
        },
        required=("type", "at", "customer"),
    )


def _bodies(schemas: dict[str, Schema]) -> dict[str, Schema]:
    """Customers and subscriptions as they are taken: a new one, and one whose address says what it is.

    They may have what only answers have, so that an answer can be sent back; it is ignored.
    """
    ignored: Schema = {"description": "Ignored."}
    stamp = dict.fromkeys(("etag", "created_at", "updated_at", "applied"), ignored)
    customer = with_more(schemas["Customer"], {"as_of": ref("Instant"), **stamp, "erased_at": ignored}, required=False)
    more = dict.fromkeys(("state", "people_as_of", "scheduled_change", "ends"), ignored)
    subscription = with_more(
        schemas["Subscription"], {"customer": _ADDRESS, "as_of": ref("Instant"), **stamp, **more}, required=False
    )
    return {
        "NewCustomer": customer,
        "CustomerBody": customer | {"required": []},
        "NewSubscription": subscription,
        "SubscriptionOfCustomer": subscription | {"required": ["id", "status", "items"]},
        "SubscriptionBody": subscription | {"required": ["status", "items"]},
    }


def _edits(schemas: dict[str, Schema]) -> dict[str, Schema]:
    """JSON Merge Patches (RFC 7396)."""
    edits: dict[str, Schema] = {}
    for name, edited in {
        "FeatureEdit": schemas["Feature"],
        "ItemEdit": without(schemas["NewItem"], ("entitlements",)),
        "DraftEdit": schemas["Draft"],
        "CustomerEdit": schemas["CustomerBody"],
        "SubscriptionEdit": schemas["SubscriptionBody"],
        "HeldItemEdit": schemas["AddedItem"],
    }.items():
        edits[name] = edit_form(edited, schemas, edits)
        edits[name]["description"] = "A JSON Merge Patch: members that are left out stay, null removes one."
    return edits


def _problems() -> dict[str, Schema]:
    """Problem documents, without what only the sidecar's have."""
    schemas = problem_schemas(without=["field"])
    schemas["Problem"]["properties"]["impact"] = ref("Impact")
    return schemas


def _answers() -> dict[str, Schema]:
    """Decisions and explanations as sidecars give them; an explanation says on which record it rests, too."""
    schemas = decision_schemas("Check")
    schemas["CheckExplanation"] = with_more(
        schemas["CheckExplanation"],
        {
            "position": COUNT | {"description": "Where the feed has the record; 0: there was none."},
            "redacted": FLAG | {"description": "What described a person was erased from the record since."},
        },
    )
    return schemas


def _subject_entitlements() -> Schema:
    """As the sidecar's list of what a subject holds."""
    entry = {
        "feature": ref("Id"),
        "type": TEXT,
        "allowed": FLAG,
        "reason": {"enum": [reason.value for reason in Reason]},
        "entitlement": {"type": "object"},
        "sources": {"type": "array", "items": {"type": "object"}},
        "policies": TEXTS,
        "valid_until": ref("Instant"),
        "status": {"enum": [status.value for status in Status if status is not Status.OPERATIONAL]},
        "since": ref("Instant"),
    }
    return object_of(
        {
            "subject": object_of({"type": TEXT, "id": TEXT}),
            "at": ref("Instant"),
            "entitlements": {"type": "array", "items": object_of(entry, optional=("valid_until", "status", "since"))},
            "publication": COUNT,
            "revision": TEXT,
            "position": COUNT,
        }
    )


def _renamed(definitions: dict[str, Schema], names: dict[str, str]) -> dict[str, Schema]:
    """Definitions of a file's schema as components, by their names here."""

    def moved(value: Any) -> Any:  # noqa: ANN401 - a schema is any JSON
        if isinstance(value, dict):
            return {
                key: PREFIX + names[inner.rpartition("/")[2]] if key == "$ref" else moved(inner)
                for key, inner in value.items()
            }
        return [moved(inner) for inner in value] if isinstance(value, list) else value

    return {names[name]: moved(definition) for name, definition in definitions.items()}
