"""The endpoints that list what a customer or a subscription is or was entitled to."""

from __future__ import annotations

from functools import partial
from typing import Final

from tiergate.admin.entitlements import EntitlementReader
from tiergate.control.api.customers import the_customer
from tiergate.control.api.request import AdminRequest, Response
from tiergate.control.api.router import Endpoint
from tiergate.control.api.subject_requests import instant_parameter
from tiergate.errors import ParameterError
from tiergate.model import FOREVER, LAST_INSTANT, Decision, Subject, SubjectType, format_instant
from tiergate.permissions import Action, Resource
from tiergate.store.history import find_past_customer

_MOST_PUBLICATIONS: Final = 10**15


def endpoints() -> list[Endpoint]:
    """Return the routes."""
    reader = EntitlementReader()
    query = ("at", "revision", "publication")
    return [
        Endpoint(
            "GET", f"/v1/{kind}s/{{{kind}}}/entitlements", Action.VIEW, _handler(reader, kind), resource, query=query
        )
        for kind, resource in ((SubjectType.CUSTOMER, the_customer), (SubjectType.SUBSCRIPTION, _past_subscription))
    ]


def _past_subscription(request: AdminRequest) -> Resource:
    """Return the subscription of the path, of the customer that has or had it."""
    id_ = request.params["subscription"]
    return Resource.subscription(id_, request.read(lambda unit: find_past_customer(unit.session, id_)))


def _handler(reader: EntitlementReader, kind: SubjectType) -> partial[Response]:
    handler = partial(_list_entitlements, reader, kind)
    handler.__doc__ = f"What a {kind} is or was entitled to, now or `at` a moment, by a `revision` or `publication`."
    return handler


def _list_entitlements(reader: EntitlementReader, kind: SubjectType, request: AdminRequest) -> Response:
    at, revision, sequence = instant_parameter(request, "at"), request.query.get("revision"), None
    if "publication" in request.query:
        if revision is not None:
            raise ParameterError("publication", "must not be given with `revision`")
        sequence = request.number("publication", 0, least=1, most=_MOST_PUBLICATIONS)
    subject = Subject(request.params[kind.value], kind)
    result = reader.read(request.store, subject, at, revision, sequence)
    return Response.json(
        {
            "subject": {"type": kind.value, "id": subject.id},
            "at": format_instant(result.at),
            "entitlements": [_decision_data(decision) for decision in result.decisions],
            "publication": result.publication.sequence,
            "revision": result.publication.revision,
            "position": result.position,
        }
    )


def _decision_data(decision: Decision) -> dict[str, object]:
    data: dict[str, object] = {
        "feature": decision.feature,
        "type": decision.type,
        "allowed": decision.allowed,
        "reason": decision.reason.value,
        "entitlement": decision.entitlement,
        "sources": decision.sources,
        "policies": decision.policies,
    }
    if decision.until < FOREVER:
        data["valid_until"] = format_instant(min(decision.until, LAST_INSTANT))
    status = decision.shown_status
    if status is not None:
        data |= {"status": status.status.value, "since": format_instant(status.since)}
    return data
