"""The endpoints for customers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.admin.customer_validation import printable_features, terms_for
from tiergate.admin.field_ownership import kept_customer
from tiergate.catalog import customer_data, read_customer_body
from tiergate.control.api.bodies import MERGE_PATCH, form_of, named_in, patch_form, peek, tags_of
from tiergate.control.api.external_ids import external_id_asked
from tiergate.control.api.request import AdminRequest, Answer, etag_text
from tiergate.control.api.router import Endpoint
from tiergate.control.api.subject_changes import customer_answer, delete_customer, save_customer
from tiergate.control.api.subject_loss_gate import ACCEPT_LOSS
from tiergate.control.api.working_catalog import choices, expect_known
from tiergate.control.api.write_order import AS_OF, as_of_data, ordered
from tiergate.errors import NotFoundError, PreconditionError
from tiergate.model import SubjectType, SubscriptionStatus
from tiergate.naming import path_segment
from tiergate.permissions import Action, Resource
from tiergate.store.customers import Account, CustomerFilter, open_account, search_customers
from tiergate.store.subjects import read_stored
from tiergate.store.write_order import Side, known_as_of

if TYPE_CHECKING:
    from tiergate.control.api.working_catalog import Data
    from tiergate.control.api.write_order import Ordered
    from tiergate.store import ReadUnit, WriteUnit

__all__ = ["endpoints", "the_customer"]

_PATH = "/v1/customers/{customer}"
_PARTS = ("overrides", "suspensions")
_SIDES = (Side.PEOPLE,)


def endpoints() -> list[Endpoint]:
    """The routes."""
    view, edit = Action.VIEW, Action.EDIT_CUSTOMER
    searched = ("tag", "text", "feature", "item", "status", "external_id")
    return [
        Endpoint("GET", "/v1/customers", view, list_customers, Resource.store(), query=searched, paged=True),
        Endpoint("POST", "/v1/customers", edit, create_customer, _named),
        Endpoint("GET", _PATH, view, get_customer, the_customer),
        Endpoint("PUT", _PATH, edit, put_customer, the_customer, query=(ACCEPT_LOSS,)),
        Endpoint("PATCH", _PATH, edit, patch_customer, the_customer, query=(ACCEPT_LOSS,), media_types=MERGE_PATCH),
        Endpoint("DELETE", _PATH, edit, remove_customer, the_customer, query=(AS_OF,)),
    ]


def the_customer(request: AdminRequest) -> Resource:
    """The customer of the path."""
    return Resource.customer_of(request.params["customer"])


def _named(request: AdminRequest) -> Resource:
    return Resource.customer_of(peek(request.body, "id"))


def list_customers(request: AdminRequest) -> Answer:
    """List customers, by id; `tag` (several with commas: all), `text`, overridden `feature`, held `item`, `status`."""
    query = request.query
    wanted = CustomerFilter(
        tags_of(request),
        query.get("text", ""),
        query.get("feature"),
        query.get("item"),
        choices(request, "status", SubscriptionStatus),
        external_id_asked(request),
    )

    def work(unit: ReadUnit) -> Answer:
        found = search_customers(unit.session, wanted._replace(now=unit.now), request.cursor or "", request.limit + 1)
        index = unit.published.index
        page = found[: request.limit]
        if not page:
            expect_known(request, index)
        known = as_of_data(unit, SubjectType.CUSTOMER, [one.record.customer.id for one in page])
        return Answer.page(
            [
                customer_answer(one.record.customer, one.stamp, index, one.erased_at)
                | known.get(one.record.customer.id, {})
                for one in page
            ],
            page[-1].record.customer.id if len(found) > len(page) else None,
        )

    return request.read(work)


def create_customer(request: AdminRequest) -> Answer:
    """Create a customer."""

    def work(unit: WriteUnit) -> Answer:
        reader = terms_for(unit.published, peek(request.body, "id")).reader
        customer = read_customer_body(form_of(request.body), reader)
        order = ordered(unit, request, SubjectType.CUSTOMER, customer.id)
        if order.makes_again():
            return Answer.json(order.passed_over())
        return _applied(unit, save_customer(request, unit, customer, None), 201, order)

    return request.change(work, brief=True)


def get_customer(request: AdminRequest) -> Answer:
    """Read a customer."""
    id_ = request.params["customer"]

    def work(unit: ReadUnit) -> Answer:
        found = read_stored(unit.session, [id_], alone=True).get(id_)
        if found is None:
            raise NotFoundError("customer", id_)
        known = known_as_of(unit.session, SubjectType.CUSTOMER, [id_]).get(id_, {})
        same = all(one.written_at <= found.stamp.updated_at for one in known.values())
        if same and request.is_fresh(found.stamp.etag):
            return Answer(304, headers={"etag": etag_text(found.stamp.etag)})
        data = customer_answer(found.record.customer, found.stamp, unit.published.index, found.erased_at)
        return Answer.json(data | as_of_data(unit, SubjectType.CUSTOMER, [id_]).get(id_, {}), etag=found.stamp.etag)

    return request.read(work)


def put_customer(request: AdminRequest) -> Answer:
    """Make a customer what the body says, or create it. What it leaves out stays; an empty value takes it away."""
    id_ = request.params["customer"]

    def work(unit: WriteUnit) -> Answer:
        account = _find(request, unit, id_)
        order = ordered(unit, request, SubjectType.CUSTOMER, id_)
        if account is None and order.makes_again():
            return Answer.json(order.passed_over())
        if account is not None and order.passes_over(_SIDES):
            return _answer(unit, account, 200, order.data(applied=False))
        if account is not None:
            _expect_preconditions(request, account)
        reader = terms_for(unit.published, id_).reader
        customer = read_customer_body(form_of(request.body), reader, {"id": id_})
        customer = kept_customer(customer, None if account is None else account.customer, named_in(request.body))
        status = 201 if account is None else 200
        return _applied(unit, save_customer(request, unit, customer, account), status, order)

    return request.change(work, brief=True)


def _find(request: AdminRequest, unit: WriteUnit, id_: str) -> Account | None:
    """The account to replace, if there is one; there must be, where `If-Match` says that there was."""
    try:
        return open_account(unit, id_)
    except NotFoundError:
        if "if-match" in request.headers:
            raise
        return None


def _expect_preconditions(request: AdminRequest, account: Account) -> None:
    id_ = account.customer.id
    if request.headers.get("if-none-match", "").strip() == "*":
        raise PreconditionError("customer", id_, account.stamp.etag)
    request.check_etag("customer", id_, account.stamp.etag)


def patch_customer(request: AdminRequest) -> Answer:
    """Change some of a customer, by a JSON merge patch (RFC 7396)."""
    id_ = request.params["customer"]

    def work(unit: WriteUnit) -> Answer:
        account = open_account(unit, id_)
        order = ordered(unit, request, SubjectType.CUSTOMER, id_)
        if order.passes_over(_SIDES):
            return _answer(unit, account, 200, order.data(applied=False))
        request.check_etag("customer", id_, account.stamp.etag)
        terms, before = terms_for(unit.published, id_), account.customer
        features = printable_features(terms.published.index.features, before)
        text, kept = patch_form(request.body, customer_data(before, features, every_id=True), _PARTS)
        customer = read_customer_body(text, terms.reader, {"id": id_})
        customer = replace(customer, **{part: getattr(before, part) for part in kept})
        return _applied(unit, save_customer(request, unit, customer, account), 200, order)

    return request.change(work, brief=True)


def remove_customer(request: AdminRequest) -> Answer:
    """Delete a customer that has no subscriptions."""
    id_ = request.params["customer"]

    def work(unit: WriteUnit) -> Answer:
        account = open_account(unit, id_)
        order = ordered(unit, request, SubjectType.CUSTOMER, id_)
        if order.passes_over(_SIDES):
            return Answer.json(order.passed_over(), etag=account.stamp.etag)
        request.check_etag("customer", id_, account.stamp.etag)
        delete_customer(request, unit, account, order.deleted_at())
        return Answer.empty()

    return request.change(work, brief=True)


def _applied(unit: WriteUnit, account: Account, status: int, order: Ordered) -> Answer:
    order.applied(_SIDES)
    return _answer(unit, account, status, order.data(applied=True))


def _answer(unit: WriteUnit, account: Account, status: int, more: Data) -> Answer:
    customer, etag = account.customer, account.stamp.etag
    data = customer_answer(customer, account.stamp, unit.published.index, account.erased_at)
    data |= as_of_data(unit, SubjectType.CUSTOMER, [customer.id]).get(customer.id, {}) | more
    location = f"/v1/customers/{path_segment(customer.id)}" if status == 201 else None
    return Answer.json(data, status, etag=etag, location=location)
