"""The endpoints of exceptions: overrides and suspensions of features, of one customer or one subscription."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.admin import overrides
from tiergate.control.api.customers import the_customer
from tiergate.control.api.request import AdminRequest, Response
from tiergate.control.api.request_values import strip_answer_members, strip_as_of
from tiergate.control.api.router import BriefEndpoint, Endpoint
from tiergate.control.api.subject_requests import (
    ACCEPT_LOSS,
    AS_OF,
    change_subject,
    instant_parameter,
    subject_response,
)
from tiergate.control.api.subscriptions import the_subscription
from tiergate.model import Subject, SubjectType
from tiergate.naming import path_segment
from tiergate.permissions import Action

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiergate.admin.results import SubjectResult
    from tiergate.permissions import Resource

    Handler = Callable[[Subject, AdminRequest], Response]

_RESOURCES: Final[Mapping[SubjectType, Callable[[AdminRequest], Resource]]] = {
    SubjectType.CUSTOMER: the_customer,
    SubjectType.SUBSCRIPTION: the_subscription,
}


def endpoints() -> list[Endpoint]:
    """Return the routes."""
    view, edit, loss = Action.VIEW, Action.EDIT_ENTITLEMENT, (ACCEPT_LOSS,)
    routes: list[Endpoint] = []
    add, put = _writing(overrides.add_override, "overrides"), _writing(overrides.put_override)
    remove, suspend = _writing(overrides.remove_override), _writing(overrides.suspend, strip=strip_as_of)
    for kind, resource in _RESOURCES.items():
        path = f"/v1/{kind}s/{{{kind}}}"
        one, suspensions = f"{path}/overrides/{{override}}", f"{path}/suspensions"
        routes += [
            Endpoint("GET", f"{path}/overrides", view, _of(list_overrides, kind), resource, paged=True),
            BriefEndpoint("POST", f"{path}/overrides", Action.OVERRIDE, _of(add, kind), resource, query=loss),
            Endpoint("GET", one, view, _of(read_override, kind), resource),
            BriefEndpoint("PUT", one, edit, _of(put, kind), resource, query=loss),
            BriefEndpoint("DELETE", one, edit, _of(remove, kind), resource, query=(ACCEPT_LOSS, AS_OF)),
            Endpoint("GET", suspensions, view, _of(list_suspensions, kind), resource, paged=True),
            BriefEndpoint("POST", suspensions, edit, _of(suspend, kind), resource),
            BriefEndpoint(
                "DELETE", f"{suspensions}/{{feature}}", edit, _of(resume, kind), resource, query=("at", AS_OF)
            ),
        ]
    return routes


def _of(handler: Handler, kind: SubjectType) -> Callable[[AdminRequest], Response]:
    def bound(request: AdminRequest) -> Response:
        return handler(Subject(request.params[kind.value], kind), request)

    bound.__doc__ = (handler.__doc__ or "").replace("subject", kind.value)
    return bound


def _writing(
    use_case: Callable[..., SubjectResult], collection: str = "", strip: Callable[[bytes], bytes] = strip_answer_members
) -> Handler:
    """Return the handler of a use case that writes; `collection`: the last part of the path it may add to."""

    def handler(subject: Subject, request: AdminRequest) -> Response:
        path = f"/v1/{subject.type}s/{path_segment(subject.id)}/{collection}" if collection else ""
        ids = [value for key, value in request.params.items() if key != subject.type]
        body = () if request.method == "DELETE" else (strip(request.body),)
        return change_subject(request, use_case, subject, *ids, *body, collection=path)

    handler.__doc__ = use_case.__doc__
    return handler


def list_overrides(subject: Subject, request: AdminRequest) -> Response:
    """List the overrides of a subject, in their order, past and future ones too, each with its effect now."""
    found = request.read(lambda unit: overrides.list_overrides(unit, subject))
    return Response.page_of(request, found, lambda it: str(it["id"]))


def read_override(subject: Subject, request: AdminRequest) -> Response:
    """Read an override of a subject. Its entity tag is the subject's."""
    id_ = request.params["override"]
    return subject_response(request.read(lambda unit: overrides.read_override(unit, subject, id_)))


def list_suspensions(subject: Subject, request: AdminRequest) -> Response:
    """List the suspensions of features for a subject, past and future ones too."""
    found = request.read(lambda unit: overrides.list_suspensions(unit, subject))
    return Response.page_of(request, found, lambda it: f"{it['feature']} {it.get('from')} {it.get('until')}")


def resume(subject: Subject, request: AdminRequest) -> Response:
    """Resume a feature for a subject, now or `at` an instant; suspensions that start later are removed."""
    feature, at = request.params["feature"], instant_parameter(request, "at")
    return change_subject(request, overrides.resume, subject, feature, at)
