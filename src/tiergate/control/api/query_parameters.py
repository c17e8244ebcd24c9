"""The parameters of queries: what they mean and which values they take, the same on every route.

A parameter of `LISTS` may have several values: separated by commas, or given several times. All others are given once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.admin.service_levels import LevelOrder, PromisedBy
from tiergate.admin.status_reports import REPORTED
from tiergate.control.api.request import MAX_LIMIT, MAX_TEXT
from tiergate.control.api.schemas.client_forms import client_form
from tiergate.control.api.schemas.parts import FLAG, TEXT, Schema, ref
from tiergate.model import FeatureStatus, FeatureType, ItemKind, ItemStatus, SubscriptionStatus
from tiergate.model.subscription_state import SubscriptionState
from tiergate.status.shown import ShownStatus
from tiergate.store.endings import EndingKind
from tiergate.store.usage_reads import UsageOrder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from enum import StrEnum

LISTS: Final = frozenset({"tag", "type", "kind", "status", "state", "action"})
"""The parameters that take several values: any of them, but all of several tags."""

_INSTANT: Final = ref("Instant")
_POSITION: Final[Schema] = {"type": "integer", "minimum": 0}


def _words(choices: Iterable[StrEnum] | Iterable[str]) -> Schema:
    return {"type": "array", "items": {"type": "string", "enum": [str(choice) for choice in choices]}}


_PARAMETERS: Final[dict[str, tuple[Schema, str]]] = {
    "accept_loss": (TEXT, "The token of the loss that is accepted, from the 409 that rejected this request."),
    "action": ({"type": "array", "items": TEXT}, "What was done, such as `feature.edited`."),
    "actor": (TEXT, "Who did it: the id of a caller."),
    "after": (_POSITION, "Only what comes after this position."),
    "against": ({"type": "integer", "minimum": 1}, "The version to compare with."),
    "as_of": (_INSTANT, "The instant at which this is true; ignored if newer data is known."),
    "at": (_INSTANT, "The instant that is asked about; now, if left out."),
    "by": ({"type": "string", "enum": ["hour", "day"]}, "The length of a period."),
    "cursor": (TEXT, "`next` of the page before."),
    "customer": (TEXT, "The id of a customer, or an external id."),
    "entitlements": (FLAG, "true: with what each gives."),
    "external_id": (TEXT, "`<system>:<id>`, or `<system>` for any id of the system."),
    "feature": (TEXT, "The id of a feature."),
    "from": (_INSTANT, "The beginning of the period that is asked about, which it includes."),
    "has_draft": (FLAG, "Whether it has unpublished edits of what it gives."),
    "have": (TEXT, "The revision that the caller has."),
    "item": (TEXT, "The id of an item."),
    "kept": (FLAG, "Whether the promise is kept so far."),
    "kind": ({"type": "array", "items": TEXT}, "What kind of resource it is about, such as `feature`."),
    "limit": (
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
        f"How many entries a page has at most; 50, if left out, and {MAX_LIMIT} at most.",
    ),
    "monitor": (TEXT, "The name of the monitor that an Alertmanager speaks for; `alertmanager`, if left out."),
    "open": (FLAG, "Whether it is open now."),
    "order": ({"type": "string", "enum": [order.value for order in UsageOrder]}, "What comes first."),
    "private": (FLAG, "true: with the items that are private to a customer."),
    "private_to": (TEXT, "The customer that items are private to."),
    "promised_by": (
        {"type": "string", "enum": [by.value for by in PromisedBy]},
        "`feature`: only what features promise to everybody. `item`: only what items promise.",
    ),
    "publication": ({"type": "integer", "minimum": 1}, "The publication to decide by, by its sequence."),
    "reporter": (TEXT, "The source of a report: a caller, or the name of a monitor."),
    "request_id": (TEXT, "The request that did it, by its `X-Request-Id`."),
    "resource": (TEXT, "The id of the resource."),
    "revision": (TEXT, "The revision of the catalog to decide by."),
    "rules": (FLAG, "true: with your own rules."),
    "scope": ({"type": "string", "enum": ["customer", "subscription", "user"]}, "Whose usage."),
    "since": (_INSTANT, "From this instant on."),
    "state": (_words(SubscriptionState), "What the subscription is now, by its status and dates."),
    "status": (_words(SubscriptionStatus), "The status that billing last reported, as it is now."),
    "subscription": (TEXT, "The id of a subscription, or an external id."),
    "suspended": (FLAG, "Whether it is suspended for everybody now."),
    "tag": ({"type": "array", "items": ref("Id")}, "Tags, all of which it has."),
    "text": (
        {"type": "string", "maxLength": MAX_TEXT},
        "Text that is in its id, its name or its other texts, without regard to case, accents and width.",
    ),
    "type": (_words(FeatureType), "The type."),
    "until": (_INSTANT, "The end of the period that is asked about, which it does not include."),
    "version": ({"type": "integer", "minimum": 1}, "The version that an item is pinned to."),
    "wait": ({"type": "number", "minimum": 0}, "How many seconds to wait for news."),
}
_OF_ROUTES: Final[dict[tuple[str, str], tuple[Schema, str]]] = {
    ("/v1/features", "status"): (_words(FeatureStatus), "The status."),
    ("/v1/endings", "type"): (_words(EndingKind), "What ends."),
    ("/v1/endings", "from"): (_INSTANT, "From this instant on; from now on, if left out."),
    ("/v1/endings", "until"): (_INSTANT, "Before this instant."),
    ("/v1/events", "type"): ({"type": "array", "items": TEXT}, "The types of events, such as `customer.changed`."),
    ("/v1/events", "until"): (_INSTANT, "Until this instant."),
    ("/v1/status", "status"): (_words(ShownStatus), "The status that it has now."),
    ("/v1/status/reports", "status"): (_words(REPORTED), "The status that is reported."),
    ("/v1/status/reports", "from"): (_INSTANT, "Reports that end after this instant."),
    ("/v1/status/reports", "until"): (_INSTANT, "Reports that begin before this instant."),
    ("/v1/items", "status"): (_words(ItemStatus), "The status."),
    ("/v1/items", "kind"): (_words(ItemKind), "What it is sold as."),
    ("/v1/service-levels", "order"): (
        {"type": "string", "enum": [order.value for order in LevelOrder]},
        "`budget_left`: first those with the smallest part of their error budget left.",
    ),
    ("/v1/webhooks/{webhook}/deliveries", "status"): (
        {"type": "string", "enum": ["waiting", "delivered", "dead"]},
        "What became of the delivery.",
    ),
    ("/v1/customers", "feature"): (TEXT, "The feature that an override of the customer or a subscription is about."),
    ("/v1/customers", "item"): (TEXT, "The item that a subscription of the customer has."),
    ("/v1/items", "feature"): (TEXT, "The feature that a version or a draft of the item gives."),
    ("/v1/subscriptions", "feature"): (TEXT, "The feature that an override of the subscription is about."),
}


def query_parameter(path: str, name: str) -> Schema:
    """Return the description of a parameter of a route's query, as OpenAPI has it."""
    schema, description = _OF_ROUTES.get((path, name)) or _PARAMETERS.get(name, (TEXT, ""))
    described = {"description": description} if description else {}
    return {"name": name, "in": "query", "schema": client_form(schema), **described}
