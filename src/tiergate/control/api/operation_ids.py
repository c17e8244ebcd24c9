"""The ids of operations in the OpenAPI document, which name the functions of generated clients.

A rule makes them: `list_customers`, `create_customer_override`, `update_feature`, `archive_item`. Where a verb of the
path is no verb of English, or the rule would say something else than the route does, the table has the name. A name
never changes afterwards: programs call it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_PARAMETER: Final = re.compile(r"\{[a-z0-9_]+\}")
_VERBS: Final = {"GET": "get", "PUT": "put", "PATCH": "update", "DELETE": "delete"}
_NAMES: Final = {
    "GET /livez": "is_alive",
    "GET /metrics": "get_metrics",
    "GET /openapi.json": "get_openapi",
    "GET /readyz": "is_ready",
    "POST /v1/apply": "apply",
    "GET /v1/audit": "search_audit_log",
    "GET /v1/audit/export": "export_audit_log",
    "POST /v1/authors/erase": "erase_author",
    "POST /v1/customers/{customer}/items": "sell_item",
    "PUT /v1/customers/{customer}/plan": "put_own_plan",
    "POST /v1/customers/{customer}/plan": "save_own_plan",
    "DELETE /v1/customers/{customer}/suspensions/{feature}": "resume_customer_feature",
    "GET /v1/customers/{customer}/usage/series": "get_customer_usage_series",
    "POST /v1/customers/{customer}/usage/corrections": "correct_customer_usage",
    "POST /v1/explain": "explain",
    "GET /v1/export": "export_catalog",
    "GET /v1/export/service-levels": "export_service_levels",
    "GET /v1/export/service-levels/csv": "export_service_levels_csv",
    "GET /v1/export/subjects": "export_subjects",
    "GET /v1/export/usage": "export_usage",
    "GET /v1/export/usage/csv": "export_usage_csv",
    "DELETE /v1/features/{id}/draft": "discard_feature_edits",
    "DELETE /v1/features/{id}/suspensions/{number}": "resume_feature",
    "POST /v1/features/{id}/suspensions": "suspend_feature",
    "POST /v1/import/subjects": "import_subjects",
    "DELETE /v1/items/{id}/draft": "discard_item_edits",
    "GET /v1/items/{id}/draft/diff": "compare_item_draft",
    "PUT /v1/items/{id}/draft/entitlements/{feature}": "put_draft_entitlement",
    "DELETE /v1/items/{id}/draft/entitlements/{feature}": "delete_draft_entitlement",
    "PUT /v1/items/{id}/rollouts": "put_item_rollouts",
    "DELETE /v1/keys/{id}": "revoke_key",
    "POST /v1/preview": "preview",
    "POST /v1/publications/{sequence}/rollback": "roll_back",
    "POST /v1/publish": "publish",
    "POST /v1/replay": "replay",
    "GET /v1/roles": "get_roles",
    "DELETE /v1/roles/draft": "discard_roles_draft",
    "GET /v1/roles/draft": "get_roles_draft",
    "PUT /v1/roles/draft": "put_roles_draft",
    "POST /v1/rules/check": "check_rules",
    "PUT /v1/subscriptions/{subscription}/billing": "put_subscription_billing",
    "POST /v1/subscriptions/{subscription}/change": "change_subscription_plan",
    "DELETE /v1/subscriptions/{subscription}/change": "withdraw_subscription_change",
    "POST /v1/subscriptions/{subscription}/items": "add_subscription_item",
    "DELETE /v1/subscriptions/{subscription}/items/{item}": "remove_subscription_item",
    "PUT /v1/subscriptions/{subscription}/items/{item}/pin": "pin_subscription_item",
    "DELETE /v1/subscriptions/{subscription}/items/{item}/pin": "unpin_subscription_item",
    "POST /v1/subscriptions/{subscription}/past-due": "mark_subscription_past_due",
    "POST /v1/subscriptions/{subscription}/plan": "draft_plan_of_subscription",
    "DELETE /v1/subscriptions/{subscription}/suspensions/{feature}": "resume_subscription_feature",
    "POST /v1/subscriptions/{subscription}/trial": "start_subscription_trial",
    "GET /status": "show_status_page",
    "GET /status.atom": "get_status_feed",
    "GET /status.json": "get_public_status",
    "GET /v1/status": "list_statuses",
    "GET /v1/features/{id}/status": "get_feature_status",
    "POST /v1/status/alertmanager": "take_alerts",
    "POST /v1/status/monitors/{monitor}/heartbeat": "send_heartbeat",
    "POST /v1/status/monitors/{monitor}/report": "report_as_monitor",
    "POST /v1/status/reports/{id}/end": "end_status_report",
    "GET /v1/sync/changes": "follow_changes",
    "GET /v1/sync/publication": "get_sync_publication",
    "GET /v1/sync/snapshot": "get_sync_snapshot",
    "POST /v1/sync/outcomes": "deliver_outcomes",
    "POST /v1/sync/usage": "exchange_usage",
    "POST /v1/usage": "record_usage",
    "GET /v1/usage/allocation": "list_usage_allocation",
    "GET /v1/usage/exports": "list_usage_exports",
    "GET /v1/usage/leases": "list_usage_leases",
    "POST /v1/usage/leases/write-off": "write_off_usage_leases",
    "POST /v1/webhooks/{webhook}/deliveries/{delivery}/redeliver": "redeliver",
    "POST /v1/webhooks/{webhook}/redeliver": "redeliver_many",
    "POST /v1/webhooks/{webhook}/rotate-secret": "rotate_webhook_secret",
    "GET /v1/whoami": "get_caller",
}


def operation_id(method: str, path: str, *, is_list: bool) -> str:
    """Return the id of an operation; `is_list`: whether it answers with a page of a list."""
    named = _NAMES.get(f"{method} {path}")
    if named is not None:
        return named
    parts = path.removeprefix("/v1").strip("/").split("/")
    words = [part.replace("-", "_") for part in parts if not _PARAMETER.fullmatch(part)]
    if _PARAMETER.fullmatch(parts[-1]):
        return "_".join([_VERBS.get(method, "create"), *_singular(words)])
    if method == "POST":
        owner, last = _singular(words[:-1]), words[-1]
        if last.endswith("s"):
            return "_".join(["create", *owner, *_singular([last])])
        return "_".join([last, *owner])
    return "_".join(["list" if is_list else _VERBS[method], *_singular(words[:-1]), words[-1]])


def _singular(words: Sequence[str]) -> list[str]:
    return [word.removesuffix("ies") + "y" if word.endswith("ies") else word.removesuffix("s") for word in words]
