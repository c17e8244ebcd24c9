"""The schemas of each route's body and response: names of components, by method and path.

A route that is missing here has no schemas in the document; tests compare this table with the routes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tiergate.admin.subscription_lifecycle import STEPS
from tiergate.control.api.schemas.subscribing import step_schema_name

NDJSON: Final = "application/x-ndjson"


class Shape(NamedTuple):
    """The schemas of a route: `takes` for the body, `gives` for the response; the status on success; the media type.

    `page`: the response is a page of `gives`. Without `gives`, a response with a media type has no schema, and one
    without has no body. `created`: the status may be 201 instead of 200, of a route that may create the resource.
    `ordered`: 200 with `PassedOver` is possible, for a write that is older than the known data.
    """

    gives: str | None = None
    takes: str | None = None
    status: int = 200
    page: bool = False
    media: str = "application/json"
    created: bool = False
    ordered: bool = False


def _page(gives: str) -> Shape:
    return Shape(gives, page=True)


_GONE: Final = Shape(status=204)


def _made(gives: str, takes: str) -> Shape:
    return Shape(gives, takes, 201)


_FEATURES: Final = {
    "GET /v1/features": _page("StoredFeature"),
    "POST /v1/features": _made("StoredFeature", "Feature"),
    "GET /v1/features/{id}": Shape("StoredFeature"),
    "PATCH /v1/features/{id}": Shape("StoredFeature", "FeatureEdit"),
    "DELETE /v1/features/{id}": _GONE,
    "POST /v1/features/{id}/activate": Shape("StoredFeature"),
    "POST /v1/features/{id}/archive": Shape("StoredFeature"),
    "POST /v1/features/{id}/reactivate": Shape("StoredFeature"),
}

_ITEMS: Final = {
    "GET /v1/entitlements": _page("GivenEntitlement"),
    "GET /v1/items": _page("StoredItem"),
    "POST /v1/items": _made("StoredItem", "NewItem"),
    "GET /v1/items/{id}": Shape("StoredItem"),
    "PATCH /v1/items/{id}": Shape("StoredItem", "ItemEdit"),
    "DELETE /v1/items/{id}": _GONE,
    "POST /v1/items/{id}/archive": Shape("StoredItem"),
    "POST /v1/items/{id}/activate": Shape("StoredItem"),
    "POST /v1/items/{id}/retire": Shape("Retired", "Retirement"),
    "GET /v1/items/{id}/versions": _page("ListedVersion"),
    "GET /v1/items/{id}/versions/{version}": Shape("PublishedVersion"),
    "GET /v1/items/{id}/draft": Shape("StoredDraft"),
    "PUT /v1/items/{id}/draft": Shape("StoredDraft", "Draft"),
    "PATCH /v1/items/{id}/draft": Shape("StoredDraft", "DraftEdit"),
    "DELETE /v1/items/{id}/draft": _GONE,
    "DELETE /v1/features/{id}/draft": _GONE,
    "PUT /v1/items/{id}/draft/entitlements/{feature}": Shape("StoredDraft", "Entitlement"),
    "DELETE /v1/items/{id}/draft/entitlements/{feature}": Shape("StoredDraft"),
    "GET /v1/items/{id}/draft/diff": Shape("DraftDifference"),
}

_SUBJECTS: Final = {
    "GET /v1/endings": _page("Ending"),
    "GET /v1/customers": _page("StoredCustomer"),
    "POST /v1/customers": Shape("StoredCustomer", "NewCustomer", 201, ordered=True),
    "GET /v1/customers/{customer}": Shape("StoredCustomer"),
    "PUT /v1/customers/{customer}": Shape("StoredCustomer", "CustomerBody", created=True, ordered=True),
    "PATCH /v1/customers/{customer}": Shape("StoredCustomer", "CustomerEdit"),
    "DELETE /v1/customers/{customer}": Shape(status=204, ordered=True),
    "GET /v1/customers/{customer}/subscriptions": _page("StoredSubscription"),
    "POST /v1/customers/{customer}/subscriptions": Shape(
        "StoredSubscription", "SubscriptionOfCustomer", 201, ordered=True
    ),
    "GET /v1/subscriptions": _page("StoredSubscription"),
    "POST /v1/subscriptions": Shape("StoredSubscription", "NewSubscription", 201, ordered=True),
    "GET /v1/subscriptions/{subscription}": Shape("StoredSubscription"),
    "PUT /v1/subscriptions/{subscription}": Shape("StoredSubscription", "SubscriptionBody", created=True, ordered=True),
    "PATCH /v1/subscriptions/{subscription}": Shape("StoredSubscription", "SubscriptionEdit"),
    "DELETE /v1/subscriptions/{subscription}": Shape(status=204, ordered=True),
    "POST /v1/subscriptions/{subscription}/items": Shape("StoredSubscription", "AddedItem", created=True),
    "PATCH /v1/subscriptions/{subscription}/items/{item}": Shape("StoredSubscription", "HeldItemEdit"),
    "DELETE /v1/subscriptions/{subscription}/items/{item}": Shape("StoredSubscription"),
    "PUT /v1/subscriptions/{subscription}/items/{item}/pin": Shape("StoredSubscription", "Pin"),
    "DELETE /v1/subscriptions/{subscription}/items/{item}/pin": Shape("StoredSubscription"),
    **{
        f"POST /v1/subscriptions/{{subscription}}/{name}": Shape("StoredSubscription", step_schema_name(name))
        for name in STEPS
    },
    "PUT /v1/subscriptions/{subscription}/billing": Shape("StoredSubscription", "Billing", created=True, ordered=True),
    "POST /v1/subscriptions/{subscription}/change": Shape("StoredSubscription", "PlanChange"),
    "DELETE /v1/subscriptions/{subscription}/change": Shape("StoredSubscription"),
    "POST /v1/customers/{customer}/items": _made("SoldItem", "NewItem"),
    "POST /v1/customers/{customer}/plan": _made("SoldItem", "OwnPlan"),
    "PUT /v1/customers/{customer}/plan": Shape("SoldItem", "OwnPlan"),
    "POST /v1/subscriptions/{subscription}/plan": _made("DraftedItem", "NewPlan"),
    "POST /v1/import/subjects": Shape("Imported", "SubjectLines"),
    "GET /v1/export/subjects": Shape(media=NDJSON),
    "GET /v1/customers/{customer}/entitlements": Shape("SubjectEntitlements"),
    "GET /v1/subscriptions/{subscription}/entitlements": Shape("SubjectEntitlements"),
    "POST /v1/explain": Shape("CheckExplanation", "CheckAt"),
    "POST /v1/replay": Shape("Replayed", "Replay"),
    **{
        f"{method} /v1/{holder}/{path}": shape
        for holder in ("customers/{customer}", "subscriptions/{subscription}")
        for method, path, shape in (
            ("GET", "overrides", _page("ListedOverride")),
            ("POST", "overrides", Shape("Override", "NewOverride", 201, ordered=True)),
            ("GET", "overrides/{override}", Shape("Override")),
            ("PUT", "overrides/{override}", Shape("Override", "EditedOverride", ordered=True)),
            ("DELETE", "overrides/{override}", Shape(status=204, ordered=True)),
            ("GET", "suspensions", _page("Suspension")),
            ("POST", "suspensions", Shape("Suspension", "NewSuspension", 201, ordered=True)),
            ("DELETE", "suspensions/{feature}", Shape(status=204, ordered=True)),
        )
    },
}

_PUBLISHING: Final = {
    "GET /v1/pending": Shape("Outcome"),
    "GET /v1/pending/bundle": Shape(media="application/zip"),
    "GET /v1/bundles/{revision}": Shape(media="application/zip"),
    "POST /v1/publish": Shape("Outcome", "Publish", created=True),
    "POST /v1/preview": Shape(None, "Preview", media=NDJSON),
    "GET /v1/publications": _page("ListedPublication"),
    "GET /v1/publications/{sequence}": Shape("ShownPublication"),
    "POST /v1/publications/{sequence}/rollback": Shape("Outcome", "Rollback", created=True),
    "GET /v1/items/{id}/rollouts": Shape("ItemRollouts"),
    "PUT /v1/items/{id}/rollouts": Shape("Outcome", "NewRollouts", created=True),
    "POST /v1/items/{id}/rollouts": Shape("Outcome", "NewRollout", created=True),
    "GET /v1/features/{id}/suspensions": _page("NumberedSuspension"),
    "POST /v1/features/{id}/suspensions": Shape("Outcome", "NewFeatureSuspension", created=True),
    "DELETE /v1/features/{id}/suspensions/{number}": Shape("Outcome", created=True),
    "POST /v1/apply": Shape("Outcome", "Application", created=True),
    "GET /v1/export": Shape("Export"),
    "GET /v1/rules": _page("RuleFile"),
    "POST /v1/rules/check": Shape("RulesCheck"),
    "GET /v1/rules/{kind}/{name}": Shape("ShownRuleFile"),
    "PUT /v1/rules/{kind}/{name}": Shape("ShownRuleFile", "TextBody", created=True),
    "DELETE /v1/rules/{kind}/{name}": _GONE,
}

_ACCESS: Final = {
    "GET /v1/whoami": Shape("Caller"),
    "GET /v1/roles": Shape("RoleTable"),
    "GET /v1/roles/draft": Shape("StoredRolesDraft"),
    "PUT /v1/roles/draft": Shape("StoredRolesDraft", "TextBody"),
    "DELETE /v1/roles/draft": _GONE,
    "GET /v1/keys": _page("Key"),
    "POST /v1/keys": _made("MadeKey", "NewKey"),
    "GET /v1/keys/{id}": Shape("Key"),
    "DELETE /v1/keys/{id}": Shape("Key"),
    "GET /v1/audit": _page("AuditEntry"),
    "GET /v1/audit/export": Shape(media=NDJSON),
    "POST /v1/customers/{customer}/erase": Shape("ErasedCustomer", "Erasure"),
    "POST /v1/authors/erase": Shape("ErasedAuthor", "AuthorErasure"),
}

_WEBHOOKS: Final = {
    "GET /v1/webhooks": _page("Webhook"),
    "POST /v1/webhooks": _made("MadeWebhook", "NewWebhook"),
    "GET /v1/webhooks/{webhook}": Shape("Webhook"),
    "PATCH /v1/webhooks/{webhook}": Shape("Webhook", "WebhookEdit"),
    "DELETE /v1/webhooks/{webhook}": _GONE,
    "POST /v1/webhooks/{webhook}/rotate-secret": Shape("MadeWebhook", "Rotation"),
    "POST /v1/webhooks/{webhook}/test": Shape("Delivery", status=202),
    "GET /v1/webhooks/{webhook}/deliveries": _page("Delivery"),
    "GET /v1/webhooks/{webhook}/deliveries/{delivery}": Shape("Delivery"),
    "POST /v1/webhooks/{webhook}/deliveries/{delivery}/redeliver": Shape("Delivery", status=202),
    "POST /v1/webhooks/{webhook}/redeliver": Shape("Redelivered", "Redelivery", status=202),
    "GET /v1/events": _page("Event"),
}

_SYNC: Final = {
    "GET /v1/sync/changes": Shape(media=NDJSON),
    "GET /v1/sync/publication": Shape("Envelope"),
    "POST /v1/sync/outcomes": Shape(None, "OutcomeBatch", media="application/msgpack"),
    "POST /v1/sync/usage": Shape(None, "UsageRequest", media="application/msgpack"),
    "GET /v1/sync/bundles/{revision}": Shape(media="application/zip"),
    "GET /v1/sync/snapshot": Shape(media=NDJSON),
    "GET /v1/sync/snapshot/pages/{sha256}": Shape(media="application/gzip"),
    "GET /v1/sync/subjects/{kind}/{subject}": Shape("Envelope"),
}

_USAGE: Final = {
    "POST /v1/usage": Shape("UsageReported", "UsageReport"),
    "GET /v1/customers/{customer}/usage": _page("CustomerUsage"),
    "GET /v1/customers/{customer}/usage/series": Shape("UsageSeries"),
    "GET /v1/features/{id}/usage": _page("FeatureCustomer"),
    "POST /v1/customers/{customer}/usage/corrections": Shape("CorrectedUsage", "UsageCorrection"),
    "GET /v1/export/usage": Shape(media=NDJSON),
    "GET /v1/export/usage/csv": Shape(media="text/csv"),
    "GET /v1/usage/allocation": _page("FeatureAllocation"),
    "GET /v1/usage/exports": Shape("UsageExports"),
    "GET /v1/usage/leases": _page("UsageLease"),
    "POST /v1/usage/leases/write-off": Shape("WrittenOffLeases", "LeaseWriteOff"),
    "POST /v1/usage/exports": Shape("UsageExports", "UsageDays", 202),
    "GET /v1/customers/{customer}/grants": _page("Grant"),
    "POST /v1/customers/{customer}/grants": _made("Grant", "NewGrant"),
    "GET /v1/customers/{customer}/grants/{grant}": Shape("Grant"),
    "PATCH /v1/customers/{customer}/grants/{grant}": Shape("Grant", "GrantEdit"),
    "DELETE /v1/customers/{customer}/grants/{grant}": Shape("Grant"),
    "GET /v1/customers/{customer}/thresholds": _page("CustomerThresholds"),
    "GET /v1/customers/{customer}/thresholds/{feature}": Shape("CustomerThresholds"),
    "PUT /v1/customers/{customer}/thresholds/{feature}": Shape("CustomerThresholds", "UsageThresholds"),
    "DELETE /v1/customers/{customer}/thresholds/{feature}": _GONE,
}

_STATUS: Final = {
    "GET /v1/status": _page("FeatureStatus"),
    "GET /v1/features/{id}/status": Shape("FeatureStatus"),
    "GET /v1/status/reports": _page("StatusReport"),
    "POST /v1/status/reports": _made("StatusReport", "NewStatusReport"),
    "GET /v1/status/reports/{id}": Shape("StatusReport"),
    "PATCH /v1/status/reports/{id}": Shape("StatusReport", "StatusReportEdit"),
    "POST /v1/status/reports/{id}/end": Shape("StatusReport", "StatusReportEnd"),
    "DELETE /v1/status/reports/{id}": _GONE,
    "GET /v1/status/monitors": _page("StatusMonitor"),
    "GET /v1/status/monitors/{monitor}": Shape("StatusMonitor"),
    "PUT /v1/status/monitors/{monitor}": Shape("StatusMonitor", "StatusMonitorBody", created=True),
    "DELETE /v1/status/monitors/{monitor}": _GONE,
    "POST /v1/status/monitors/{monitor}/heartbeat": _GONE,
    "POST /v1/status/monitors/{monitor}/report": Shape("MonitorReported", "MonitorReport"),
    "POST /v1/status/alertmanager": Shape("AlertsTaken", "AlertmanagerDelivery"),
}

_SERVICE_LEVELS: Final = {
    "GET /v1/features/{id}/service-level": Shape("ServiceLevelStanding"),
    "GET /v1/service-levels": _page("ServiceLevelStanding"),
    "GET /v1/export/service-levels": Shape(media=NDJSON),
    "GET /v1/export/service-levels/csv": Shape(media="text/csv"),
}

SHAPES: Final[dict[str, Shape]] = {
    **_FEATURES,
    **_ITEMS,
    **_SUBJECTS,
    **_PUBLISHING,
    **_ACCESS,
    **_WEBHOOKS,
    **_SYNC,
    **_USAGE,
    **_STATUS,
    **_SERVICE_LEVELS,
    "GET /status": Shape(media="text/html"),
    "GET /status.json": Shape("PublicStatus"),
    "GET /status.atom": Shape(media="application/atom+xml"),
    "GET /openapi.json": Shape("OpenApi"),
    "GET /livez": Shape("Health"),
    "GET /readyz": Shape("Health"),
    "GET /metrics": Shape(media="text/plain"),
}
"""By method and path."""
