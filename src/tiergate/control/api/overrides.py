"""The endpoints of exceptions: overrides and suspensions of features, of one customer or one subscription."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.admin import overrides
from tiergate.control.api.bodies import strip_answer_members, strip_as_of
from tiergate.control.api.customers import the_customer
from tiergate.control.api.request import AdminRequest, Response
from tiergate.control.api.router import Endpoint
from tiergate.control.api.subject_requests import (
    ACCEPT_LOSS,
    AS_OF,
    change_subject,
    instant_parameter,
    subject_response,
    write_conditions,
)
from tiergate.control.api.subscriptions import the_subscription
from tiergate.model import Subject, SubjectType
from tiergate.naming import path_segment
from tiergate.permissions import Action

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
    for kind, resource in _RESOURCES.items():
        path = f"/v1/{kind}s/{{{kind}}}"
        one, suspensions = f"{path}/overrides/{{override}}", f"{path}/suspensions"
        routes += [
            Endpoint("GET", f"{path}/overrides", view, _of(list_overrides, kind), resource),
            Endpoint("POST", f"{path}/overrides", Action.OVERRIDE, _of(add_override, kind), resource, query=loss),
            Endpoint("GET", one, view, _of(read_override, kind), resource),
            Endpoint("PUT", one, edit, _of(put_override, kind), resource, query=loss),
            Endpoint("DELETE", one, edit, _of(remove_override, kind), resource, query=(ACCEPT_LOSS, AS_OF)),
            Endpoint("GET", suspensions, view, _of(list_suspensions, kind), resource),
            Endpoint("POST", suspensions, edit, _of(suspend, kind), resource),
            Endpoint("DELETE", f"{suspensions}/{{feature}}", edit, _of(resume, kind), resource, query=("at", AS_OF)),
        ]
    return routes


def _of(handler: Handler, kind: SubjectType) -> Callable[[AdminRequest], Response]:
    def bound(request: AdminRequest) -> Response:
        return handler(Subject(request.params[kind.value], kind), request)

    bound.__doc__ = (handler.__doc__ or "").replace("subject", kind.value)
    bound.__name__ = f"{getattr(handler, '__name__', '')}_of_{kind}"
    return bound


def list_overrides(subject: Subject, request: AdminRequest) -> Response:
    """List the overrides of a subject, in their order, past and future ones too, each with its effect now."""
    return Response.page(request.read(lambda unit: overrides.list_overrides(unit, subject)), None)


def read_override(subject: Subject, request: AdminRequest) -> Response:
    """Read an override of a subject. Its entity tag is the subject's."""
    id_ = request.params["override"]
    return subject_response(request.read(lambda unit: overrides.read_override(unit, subject, id_)), "")


def add_override(subject: Subject, request: AdminRequest) -> Response:
    """Add an override to a subject; its author is the caller. Without an id it gets one made of its feature's."""
    path = f"/v1/{subject.type}s/{path_segment(subject.id)}/overrides"
    text = strip_answer_members(request.body)
    return change_subject(request, path, overrides.add_override, subject, text, write_conditions(request))


def put_override(subject: Subject, request: AdminRequest) -> Response:
    """Replace an override of a subject; its author is then the caller."""
    id_, text = request.params["override"], strip_answer_members(request.body)
    return change_subject(request, "", overrides.put_override, subject, id_, text, write_conditions(request))


def remove_override(subject: Subject, request: AdminRequest) -> Response:
    """Remove an override from a subject."""
    id_ = request.params["override"]
    return change_subject(request, "", overrides.remove_override, subject, id_, write_conditions(request))


def list_suspensions(subject: Subject, request: AdminRequest) -> Response:
    """List the suspensions of features for a subject, past and future ones too."""
    return Response.page(request.read(lambda unit: overrides.list_suspensions(unit, subject)), None)


def suspend(subject: Subject, request: AdminRequest) -> Response:
    """Suspend a feature for a subject: from now or an instant on, until an instant or without an end."""
    text = strip_as_of(request.body)
    return change_subject(request, "", overrides.suspend, subject, text, write_conditions(request))


def resume(subject: Subject, request: AdminRequest) -> Response:
    """Resume a feature for a subject, now or `at` an instant; suspensions that start later are removed."""
    feature, at = request.params["feature"], instant_parameter(request, "at")
    return change_subject(request, "", overrides.resume, subject, feature, at, write_conditions(request))
