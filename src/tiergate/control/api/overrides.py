"""The endpoints for exceptions: overrides, and features suspended, of one customer or one subscription.

An override's author is always whoever asked for it, and it always says why.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tiergate.admin.customer_validation import printable_features, terms_for
from tiergate.catalog import override_data, read_override_body, read_subject_body, suspension_data
from tiergate.control.api.bodies import form_of, unordered
from tiergate.control.api.customers import the_customer
from tiergate.control.api.request import AdminRequest, Answer
from tiergate.control.api.router import Endpoint
from tiergate.control.api.subject_changes import save_customer, save_subscription
from tiergate.control.api.subject_loss_gate import ACCEPT_LOSS
from tiergate.control.api.subscriptions import open_holder, the_subscription
from tiergate.control.api.write_order import AS_OF, ordered
from tiergate.errors import BodyError, BodyProblem, NotFoundError, RequestError
from tiergate.impact.subject_change.override_effects import override_effect
from tiergate.model import BEGINNING, Customer, SubjectType, Subscription, parse_instant
from tiergate.naming import path_segment
from tiergate.permissions import Action
from tiergate.store.customers import open_account
from tiergate.store.subjects import read_stored
from tiergate.store.subscriptions import get_subscription
from tiergate.store.write_order import Side

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiergate.catalog import PlainData
    from tiergate.model import Feature, Instant, Suspension
    from tiergate.permissions import Resource
    from tiergate.store import ReadUnit, WriteUnit
    from tiergate.store.customers import Account

_SIDES: Final = (Side.PEOPLE,)
_RESOURCES: Final[Mapping[SubjectType, Callable[[AdminRequest], Resource]]] = {
    SubjectType.CUSTOMER: the_customer,
    SubjectType.SUBSCRIPTION: the_subscription,
}


def endpoints() -> list[Endpoint]:
    """The routes."""
    found: list[Endpoint] = []
    for kind, resource in _RESOURCES.items():
        path = f"/v1/{kind}s/{{{kind}}}"
        one = f"{path}/overrides/{{override}}"
        found += [
            Endpoint("GET", f"{path}/overrides", Action.VIEW, _of(list_overrides, kind), resource),
            Endpoint(
                "POST", f"{path}/overrides", Action.OVERRIDE, _of(add_override, kind), resource, query=(ACCEPT_LOSS,)
            ),
            Endpoint("GET", one, Action.VIEW, _of(read_override, kind), resource),
            Endpoint("PUT", one, Action.EDIT_ENTITLEMENT, _of(put_override, kind), resource, query=(ACCEPT_LOSS,)),
            Endpoint(
                "DELETE",
                one,
                Action.EDIT_ENTITLEMENT,
                _of(remove_override, kind),
                resource,
                query=(ACCEPT_LOSS, AS_OF),
            ),
            Endpoint("GET", f"{path}/suspensions", Action.VIEW, _of(list_suspensions, kind), resource),
            Endpoint("POST", f"{path}/suspensions", Action.EDIT_ENTITLEMENT, _of(suspend, kind), resource),
            Endpoint(
                "DELETE",
                f"{path}/suspensions/{{feature}}",
                Action.EDIT_ENTITLEMENT,
                _of(resume, kind),
                resource,
                query=("at", AS_OF),
            ),
        ]
    return found


def _of(handler: Callable[[SubjectType, AdminRequest], Answer], kind: SubjectType) -> Callable[[AdminRequest], Answer]:
    bound = partial(handler, kind)
    bound.__doc__ = (handler.__doc__ or "").replace("subject", kind.value)
    bound.__name__ = f"{getattr(handler, '__name__', '')}_of_{kind}"  # type: ignore[attr-defined]
    return bound


# ── Either kind of subject ───────────────────────────────────────────────────────────────────────────────────────────


def _read(unit: ReadUnit, kind: SubjectType, id_: str) -> tuple[Customer | Subscription, int]:
    """A subject, and its entity tag."""
    if kind is SubjectType.SUBSCRIPTION:
        held = get_subscription(unit.session, id_)
        return held.subscription, held.stamp.etag
    found = read_stored(unit.session, [id_], alone=True).get(id_)
    if found is None:
        raise NotFoundError("customer", id_)
    return found.record.customer, found.stamp.etag


def _change(
    kind: SubjectType,
    request: AdminRequest,
    edit: Callable[[WriteUnit, Account, Customer | Subscription], Customer | Subscription],
    said: Callable[[WriteUnit, Customer | Subscription, int], Answer],
) -> Answer:
    """Make a subject what `edit` makes of it, and answer with what `said` says of it and its new entity tag.

    Where something newer that people own of it was applied, nothing changes, and the answer says so.
    """
    id_ = request.params[kind.value]

    def work(unit: WriteUnit) -> Answer:
        if kind is SubjectType.CUSTOMER:
            account = open_account(unit, id_)
            order = ordered(unit, request, kind, id_)
            if order.passes_over(_SIDES):
                return Answer.json(order.passed_over(), etag=account.stamp.etag)
            request.check_etag("customer", id_, account.stamp.etag)
            customer = edit(unit, account, account.customer)
            if isinstance(customer, Customer):
                save_customer(request, unit, customer, account)
            order.applied(_SIDES)
            return said(unit, account.customer, account.stamp.etag)
        account = open_holder(unit, id_)
        before = account.subscription(id_)
        order = ordered(unit, request, kind, id_)
        if order.passes_over(_SIDES):
            return Answer.json(order.passed_over(), etag=before.stamp.etag)
        request.check_etag("subscription", id_, before.stamp.etag)
        after = edit(unit, account, before.subscription)
        if isinstance(after, Subscription):
            save_subscription(request, unit, after, account, is_new=False)
        stored = account.subscription(id_)
        order.applied(_SIDES)
        return said(unit, stored.subscription, stored.stamp.etag)

    return request.change(work)


# ── Overrides ────────────────────────────────────────────────────────────────────────────────────────────────────────


def list_overrides(kind: SubjectType, request: AdminRequest) -> Answer:
    """List the overrides of a subject, in their order, past and future ones too, each with its effect now."""

    def work(unit: ReadUnit) -> Answer:
        subject, _ = _read(unit, kind, request.params[kind.value])
        customer, holder = (subject.id, None) if isinstance(subject, Customer) else (subject.customer, subject.id)
        record, state = unit.record(customer), unit.published
        if record is None:
            raise NotFoundError(kind.value, subject.id)
        features = printable_features(state.index.features, subject)
        found = [
            {**override_data(override, features), "effect": override_effect(state, record, holder, override, unit.now)}
            for override in subject.overrides
        ]
        return Answer.page(found, None)

    return request.read(work)


def read_override(kind: SubjectType, request: AdminRequest) -> Answer:
    """Read an override of a subject. Its entity tag is the subject's."""

    def work(unit: ReadUnit) -> Answer:
        subject, etag = _read(unit, kind, request.params[kind.value])
        return _override_answer(unit, subject, etag, request.params["override"])

    return request.read(work)


def _override_answer(
    unit: ReadUnit, subject: Customer | Subscription, etag: int, id_: str, *, location: str | None = None
) -> Answer:
    features: Mapping[str, Feature] = printable_features(unit.published.index.features, subject)
    data: dict[str, PlainData] = override_data(subject.overrides[_place(subject, id_)], features)
    return Answer.json(data, 200 if location is None else 201, etag=etag, location=location)


def add_override(kind: SubjectType, request: AdminRequest) -> Answer:
    """Give a subject an override; its author is the caller. Without an id it gets one of its feature's."""
    added: list[str] = []

    def edit(unit: WriteUnit, account: Account, subject: Customer | Subscription) -> Customer | Subscription:
        terms = terms_for(unit.published, account.customer.id)
        taken = {override.id for override in subject.overrides}
        # INVARIANT (an id is given once): every change of the subject moves its entity tag, which never begins again.
        stamp = account.stamp if isinstance(subject, Customer) else account.subscription(subject.id).stamp
        override = read_override_body(form_of(request.body), terms.reader, taken, number=stamp.etag)
        problems = terms.problems_of(override, "")
        if problems:
            raise BodyError(problems)
        added[:] = [override.id]
        return replace(subject, overrides=(*subject.overrides, override))

    def said(unit: WriteUnit, subject: Customer | Subscription, etag: int) -> Answer:
        location = f"/v1/{kind.value}s/{path_segment(subject.id)}/overrides/{added[0]}"
        return _override_answer(unit, subject, etag, added[0], location=location)

    return _change(kind, request, edit, said)


def put_override(kind: SubjectType, request: AdminRequest) -> Answer:
    """Replace an override of a subject; its author is then the caller."""
    id_ = request.params["override"]

    def edit(unit: WriteUnit, account: Account, subject: Customer | Subscription) -> Customer | Subscription:
        terms = terms_for(unit.published, account.customer.id)
        place = _place(subject, id_)
        override = read_override_body(form_of(request.body), terms.reader, (), {"id": id_})
        if replace(override, author="") != replace(subject.overrides[place], author=""):
            problems = terms.problems_of(override, "")
            if problems:
                raise BodyError(problems)
        return replace(subject, overrides=(*subject.overrides[:place], override, *subject.overrides[place + 1 :]))

    return _change(kind, request, edit, lambda unit, subject, etag: _override_answer(unit, subject, etag, id_))


def remove_override(kind: SubjectType, request: AdminRequest) -> Answer:
    """Take an override from a subject."""
    id_ = request.params["override"]

    def edit(_: WriteUnit, __: Account, subject: Customer | Subscription) -> Customer | Subscription:
        place = _place(subject, id_)
        return replace(subject, overrides=subject.overrides[:place] + subject.overrides[place + 1 :])

    return _change(kind, request, edit, lambda _, __, etag: Answer.empty(etag=etag))


def _place(subject: Customer | Subscription, id_: str) -> int:
    for place, override in enumerate(subject.overrides):
        if override.id == id_:
            return place
    raise NotFoundError("override", id_)


# ── Suspensions ──────────────────────────────────────────────────────────────────────────────────────────────────────


def list_suspensions(kind: SubjectType, request: AdminRequest) -> Answer:
    """List the suspensions of features for a subject, past and future ones too."""

    def work(unit: ReadUnit) -> Answer:
        subject, _ = _read(unit, kind, request.params[kind.value])
        return Answer.page([suspension_data(suspension) for suspension in subject.suspensions], None)

    return request.read(work)


def suspend(kind: SubjectType, request: AdminRequest) -> Answer:
    """Suspend a feature for a subject: from now or a moment on, until a moment or for good."""
    added: list[Suspension] = []

    def edit(unit: WriteUnit, account: Account, subject: Customer | Subscription) -> Customer | Subscription:
        terms = terms_for(unit.published, account.customer.id)
        suspension = read_subject_body(unordered(request.body), terms.reader.suspension)
        if suspension.start == BEGINNING:
            suspension = replace(suspension, start=unit.now)
        if suspension.until <= suspension.start:
            raise BodyError([BodyProblem("/until", "empty-period", "`until` has passed already")])
        added[:] = [suspension]
        return replace(subject, suspensions=(*subject.suspensions, suspension))

    return _change(kind, request, edit, lambda _, __, etag: Answer.json(suspension_data(added[0]), 201, etag=etag))


def resume(kind: SubjectType, request: AdminRequest) -> Answer:
    """Resume a feature for a subject, now or `at` a moment; what is suspended after that is so no more."""
    feature = request.params["feature"]
    said = request.query.get("at")
    moment = None if said is None else _moment(said)

    def edit(unit: WriteUnit, _: Account, subject: Customer | Subscription) -> Customer | Subscription:
        at = unit.now if moment is None else moment
        if not any(it.feature == feature and it.until > at for it in subject.suspensions):
            raise NotFoundError("suspension", feature)
        kept = tuple(
            replace(it, until=min(it.until, at)) if it.feature == feature else it
            for it in subject.suspensions
            if it.feature != feature or it.start < at
        )
        return replace(subject, suspensions=kept)

    return _change(kind, request, edit, lambda _, __, etag: Answer.empty(etag=etag))


def _moment(text: str) -> Instant:
    try:
        return parse_instant(text)
    except ValueError as error:
        raise RequestError(400, "invalid request", f"`at` {error}") from None
