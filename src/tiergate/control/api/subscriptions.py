"""The endpoints for subscriptions as wholes: listed, created, read, replaced, patched, deleted.

Their items and the steps of their lives (trial, pause, cancel…) are `subscription_steps`'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.admin.customer_validation import printable_features, terms_for
from tiergate.admin.customers import expect_known
from tiergate.admin.field_ownership import kept_subscription, resuming_as, sides_named, with_pins
from tiergate.catalog import read_subject_body, subscription_data
from tiergate.control.api.bodies import MERGE_PATCH, form_of, named_in, patch_form, peek, tags_of
from tiergate.control.api.customers import the_customer
from tiergate.control.api.external_ids import external_id_asked
from tiergate.control.api.parameters import enum_list_parameter
from tiergate.control.api.request import AdminRequest, Answer, etag_text
from tiergate.control.api.router import Endpoint
from tiergate.control.api.subject_changes import (
    delete_subscription,
    present_data,
    save_subscription,
    subscription_answer,
    subscription_answers,
)
from tiergate.control.api.subject_loss_gate import ACCEPT_LOSS
from tiergate.control.api.write_order import AS_OF, ordered
from tiergate.errors import NotFoundError, PreconditionError
from tiergate.model import SubjectType, SubscriptionStatus
from tiergate.model.subscription_state import SubscriptionState
from tiergate.naming import path_segment
from tiergate.permissions import Action, Resource
from tiergate.store.customers import Account, open_account
from tiergate.store.subscriptions import (
    SubscriptionFilter,
    customer_of,
    get_subscription,
    search_subscriptions,
)
from tiergate.store.write_order import EVERY_SIDE, known_as_of

if TYPE_CHECKING:
    from tiergate.admin.results import Data
    from tiergate.catalog import SubjectReader
    from tiergate.control.api.write_order import Ordered
    from tiergate.model import Subscription
    from tiergate.store import ReadUnit, WriteUnit
    from tiergate.store.subjects import StoredSubscription

_PATH = "/v1/subscriptions/{subscription}"
_OF_CUSTOMER = "/v1/customers/{customer}/subscriptions"
_PARTS = ("items", "overrides", "suspensions")
_SEARCHED = ("text", "status", "state", "item", "version", "feature", "external_id")
_CUSTOMER = ("customer",)
_MOST_VERSIONS = 10**9


def endpoints() -> list[Endpoint]:
    """The routes."""
    view, edit = Action.VIEW, Action.EDIT_SUBSCRIPTION
    searched = ("customer", "tag", *_SEARCHED)
    return [
        Endpoint(
            "GET",
            "/v1/subscriptions",
            view,
            list_subscriptions,
            Resource.store(),
            query=searched,
            paged=True,
            subjects=_CUSTOMER,
        ),
        Endpoint("POST", "/v1/subscriptions", edit, create_subscription, named_subscription, subjects=_CUSTOMER),
        Endpoint("GET", _OF_CUSTOMER, view, list_subscriptions, the_customer, query=_SEARCHED, paged=True),
        Endpoint("POST", _OF_CUSTOMER, edit, create_subscription, named_subscription),
        Endpoint("GET", _PATH, view, read_subscription, the_subscription),
        Endpoint("PUT", _PATH, edit, put_subscription, named_subscription, query=(ACCEPT_LOSS,), subjects=_CUSTOMER),
        Endpoint(
            "PATCH", _PATH, edit, patch_subscription, the_subscription, query=(ACCEPT_LOSS,), media_types=MERGE_PATCH
        ),
        Endpoint("DELETE", _PATH, edit, remove_subscription, the_subscription, query=(AS_OF,)),
    ]


def the_subscription(request: AdminRequest) -> Resource:
    """The subscription of the path."""
    id_ = request.params["subscription"]
    return Resource.subscription(id_, request.read(lambda unit: customer_of(unit.session, id_)))


def named_subscription(request: AdminRequest) -> Resource:
    """The subscription of the path or the body, of the customer whose it is or will be."""
    id_ = request.params.get("subscription") or peek(request.body, "id")
    holder = request.read(lambda unit: customer_of(unit.session, id_)) if "subscription" in request.params else None
    return Resource.subscription(id_, holder or request.params.get("customer") or peek(request.body, "customer"))


def open_holder(unit: WriteUnit, subscription: str) -> Account:
    """Lock the customer who has a subscription.

    Raises:
        NotFoundError: there is no such subscription.
    """
    customer = customer_of(unit.session, subscription)
    if customer is None:
        raise NotFoundError("subscription", subscription)
    account = open_account(unit, customer)
    account.subscription(subscription)  # it may have gone while we waited
    return account


def list_subscriptions(request: AdminRequest) -> Answer:
    """List subscriptions, by id; by `customer`, its `tag`s, `text`, `status`, `state`, `item`, its pin, `feature`."""
    query = request.query
    wanted = SubscriptionFilter(
        customer=request.params.get("customer", query.get("customer")),
        tags=tags_of(request),
        text=query.get("text", ""),
        statuses=enum_list_parameter(request, "status", SubscriptionStatus),
        states=enum_list_parameter(request, "state", SubscriptionState),
        item=query.get("item"),
        version=request.number("version", 0, least=1, most=_MOST_VERSIONS) or None,
        feature=query.get("feature"),
        external_id=external_id_asked(request),
    )

    def work(unit: ReadUnit) -> Answer:
        found = search_subscriptions(
            unit.session, wanted._replace(now=unit.now), request.cursor or "", request.limit + 1
        )
        page = found[: request.limit]
        if not page:
            expect_known(
                terms_for(unit.published, wanted.customer or "").index,
                item=request.query.get("item"),
                feature=request.query.get("feature"),
            )
        last = page[-1].subscription.id if len(found) > len(page) else None
        return Answer.page(subscription_answers(page, unit), last)

    return request.read(work)


def create_subscription(request: AdminRequest) -> Answer:
    """Create a subscription of a customer that exists."""
    fixed = {"customer": request.params["customer"]} if "customer" in request.params else {}

    def work(unit: WriteUnit) -> Answer:
        customer = fixed.get("customer") or peek(request.body, "customer")
        reader = terms_for(unit.published, customer).reader
        subscription = read_subject_body(form_of(request.body), reader.subscription, fixed)
        account = open_account(unit, subscription.customer)
        order = ordered(unit, request, SubjectType.SUBSCRIPTION, subscription.id)
        if order.makes_again():
            return Answer.json(order.passed_over())
        stored = save_subscription(request, unit, subscription, account, is_new=True)
        order.applied(EVERY_SIDE)
        return answer(unit, stored, 201, order)

    return request.change(work, brief=True)


def read_subscription(request: AdminRequest) -> Answer:
    """Read a subscription."""

    def work(unit: ReadUnit) -> Answer:
        found = get_subscription(unit.session, request.params["subscription"])
        held, stamp = found
        # Time, and the order of writes that change nothing, change an answer without a new entity tag.
        known = known_as_of(unit.session, SubjectType.SUBSCRIPTION, [held.id]).get(held.id, {})
        index = unit.published.index
        same = present_data(held, index, stamp.updated_at) == present_data(held, index, unit.now)
        same = same and all(one.written_at <= stamp.updated_at for one in known.values())
        if same and request.is_fresh(stamp.etag):
            return Answer(304, headers={"etag": etag_text(stamp.etag)})
        return Answer.json(subscription_answer(found, unit), etag=stamp.etag)

    return request.read(work)


def put_subscription(request: AdminRequest) -> Answer:
    """Make a subscription what the body says, or create it. What people own and it leaves out, pins too, stays."""
    id_ = request.params["subscription"]

    def work(unit: WriteUnit) -> Answer:
        known = customer_of(unit.session, id_)
        if known is None and "if-match" in request.headers:
            raise NotFoundError("subscription", id_)
        account = None if known is None else open_holder(unit, id_)
        order = ordered(unit, request, SubjectType.SUBSCRIPTION, id_)
        if account is None:
            if order.makes_again():
                return Answer.json(order.passed_over())
            reader = terms_for(unit.published, peek(request.body, "customer")).reader
            subscription = read_subject_body(form_of(request.body), reader.subscription, {"id": id_})
            account = open_account(unit, subscription.customer)
            stored = save_subscription(request, unit, subscription, account, is_new=True)
            order.applied(EVERY_SIDE)
            return answer(unit, stored, 201, order)
        before, stamp = account.subscription(id_)
        if order.passes_over(EVERY_SIDE):
            return answer(unit, account.subscription(id_), 200, order, applied=False)
        if request.headers.get("if-none-match", "").strip() == "*":
            raise PreconditionError("subscription", id_, stamp.etag)
        request.check_etag("subscription", id_, stamp.etag)
        fixed = {"id": id_, "customer": account.customer.id}
        subscription = read_subject_body(form_of(request.body), reader_beside(unit, account).subscription, fixed)
        subscription = kept_subscription(subscription, before, named_in(request.body), unit.now)
        stored = save_subscription(request, unit, subscription, account, is_new=False)
        order.applied(EVERY_SIDE)
        return answer(unit, stored, 200, order)

    return request.change(work, brief=True)


def patch_subscription(request: AdminRequest) -> Answer:
    """Change some of a subscription, by a JSON merge patch (RFC 7396)."""
    id_ = request.params["subscription"]

    def work(unit: WriteUnit) -> Answer:
        account = open_holder(unit, id_)
        order, sides = ordered(unit, request, SubjectType.SUBSCRIPTION, id_), sides_named(named_in(request.body))
        before, stamp = account.subscription(id_)
        if order.passes_over(sides):
            return answer(unit, account.subscription(id_), 200, order, applied=False)
        request.check_etag("subscription", id_, stamp.etag)
        subscription = patched_subscription(unit, account, id_, request.body)
        subscription = replace(subscription, items=with_pins(subscription.items, before.items, unit.now))
        stored = save_subscription(request, unit, subscription, account, is_new=False)
        order.applied(sides)
        return answer(unit, stored, 200, order)

    return request.change(work, brief=True)


def patched_subscription(unit: WriteUnit, account: Account, id_: str, patch: bytes) -> Subscription:
    """A subscription of an account with a merge patch applied. Parts that the patch does not name stay as they are.

    Raises:
        BodyError: the result is no subscription by the published catalog.
    """
    before = account.subscription(id_).subscription
    features = printable_features(unit.published.index.features, before)
    onto = {"items": [], **subscription_data(before, features, every_id=True)}
    named = named_in(patch)
    if "status" in named and "resumes_as" not in named:
        onto.pop("resumes_as", None)
    text, kept = patch_form(patch, onto, _PARTS)
    if "items" in kept:  # which every subscription must have
        text = f'{{"items":[],{text[1:]}'
    fixed = {"id": id_, "customer": account.customer.id}
    subscription = read_subject_body(text, reader_beside(unit, account).subscription, fixed)
    subscription = replace(subscription, **{part: getattr(before, part) for part in kept})
    return subscription if "resumes_as" in named else resuming_as(subscription, before, unit.now)


def reader_beside(unit: WriteUnit, account: Account) -> SubjectReader:
    """The reader of what changes subscriptions of an account: it does not refuse again what they hold already."""
    return terms_for(unit.published, account.customer.id).reader.beside(
        lambda id_: account.subscription(id_).subscription.items if account.holds(id_) else ()
    )


def remove_subscription(request: AdminRequest) -> Answer:
    """Delete a subscription. To let it end, and keep it, there is `end`."""
    id_ = request.params["subscription"]

    def work(unit: WriteUnit) -> Answer:
        account = open_holder(unit, id_)
        order, stored = ordered(unit, request, SubjectType.SUBSCRIPTION, id_), account.subscription(id_)
        if order.passes_over(EVERY_SIDE):
            return Answer.json(order.passed_over(), etag=stored.stamp.etag)
        request.check_etag("subscription", id_, stored.stamp.etag)
        delete_subscription(request, unit, account, id_, order.deleted_at())
        return Answer.empty()

    return request.change(work, brief=True)


def answer(
    unit: WriteUnit,
    stored: StoredSubscription,
    status: int,
    order: Ordered | None = None,
    *,
    applied: bool = True,
    more: Data | None = None,
) -> Answer:
    """Answer with a subscription as it now is, and whether what was asked was applied, where that had an order."""
    location = f"/v1/subscriptions/{path_segment(stored.subscription.id)}" if status == 201 else None
    data = subscription_answer(stored, unit) | ({} if order is None else order.data(applied=applied)) | (more or {})
    return Answer.json(data, status, etag=stored.stamp.etag, location=location)
