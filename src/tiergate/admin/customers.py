"""Customers: list, read, create, replace, patch and delete them.

Functions raise `NotFoundError` if the customer does not exist, and `ParameterError` if the catalog does not have the
item or feature of a filter. Those that write raise `PreconditionError` if the customer has another version, and the
errors of `save_customer` and `delete_customer`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.admin.customer_validation import validator_for
from tiergate.admin.field_ownership import merge_customer
from tiergate.admin.json_members import member_names, merge_parts, subject_id_at
from tiergate.admin.results import Page, SubjectResult, View
from tiergate.admin.subject_changes import delete_customer, save_customer
from tiergate.admin.subject_views import customer_views, file_data
from tiergate.admin.write_order import WriteConditions, WriteOrder, read_order
from tiergate.catalog import read_subject_body
from tiergate.errors import NotFoundError, ParameterError
from tiergate.model import SubjectType
from tiergate.naming import nearest
from tiergate.store.customers import Account, CustomerFilter, open_account, search_customers
from tiergate.store.subjects import read_stored
from tiergate.store.write_order import Side, applied_writes

if TYPE_CHECKING:
    from tiergate.admin.actor import Actor
    from tiergate.model import CatalogIndex
    from tiergate.store import ReadUnit, WriteUnit

_PARTS = ("overrides", "suspensions")
_SIDES = (Side.PEOPLE,)
_KIND = SubjectType.CUSTOMER


def list_customers(unit: ReadUnit, wanted: CustomerFilter, after: str, limit: int) -> Page:
    """List customers in the order of their ids, from the one after `after` on."""
    rows = search_customers(unit.session, wanted._replace(now=unit.now), after, limit + 1)
    page = rows[:limit]
    if not page:
        expect_known(unit.published.index, item=wanted.item, feature=wanted.feature)
    return Page(customer_views(page, unit), page[-1].customer.id if len(rows) > limit else None)


def expect_known(index: CatalogIndex, *, item: str | None, feature: str | None) -> None:
    """Check that the catalog has the item and the feature of a filter."""
    for name, value, known in (("item", item, index.items), ("feature", feature, index.features)):
        if value is not None and value not in known:
            near = nearest(value[:100], known)
            hint = f", did you mean `{near}`?" if near else ""
            raise ParameterError(name, f"is not in the catalog: `{value[:100]}`{hint}")


def get_customer(unit: ReadUnit, id_: str) -> View:
    """Read a customer."""
    stored = read_stored(unit.session, [id_], alone=True).get(id_)
    if stored is None:
        raise NotFoundError("customer", id_)
    writes = applied_writes(unit.session, _KIND, [id_]).get(id_, {}).values()
    view = customer_views([stored], unit)[0]
    return View(view.data, view.stamp, any(write.written_at > stored.stamp.updated_at for write in writes))


def create_customer(actor: Actor, unit: WriteUnit, text: bytes, conditions: WriteConditions) -> SubjectResult:
    """Create a customer."""
    reader = validator_for(unit.published, subject_id_at(text, "id")).reader
    customer = read_subject_body(text, reader.customer)
    order = read_order(unit, _KIND, customer.id, conditions.as_of)
    if order.undoes_deletion():
        return order.outdated_result()
    return _finish(unit, save_customer(actor, unit, customer, None), order, created=True)


def put_customer(actor: Actor, unit: WriteUnit, id_: str, text: bytes, conditions: WriteConditions) -> SubjectResult:
    """Replace a customer, or create it. What the body leaves out stays as it is; an empty value removes it."""
    try:
        account = open_account(unit, id_)
    except NotFoundError:
        if conditions.expected.must_exist:
            raise
        account = None
    order = read_order(unit, _KIND, id_, conditions.as_of)
    if account is None and order.undoes_deletion():
        return order.outdated_result()
    if account is not None:
        if order.is_outdated(_SIDES):
            return _finish(unit, account, order, applied=False)
        conditions.expected.check("customer", id_, account.stamp.etag)
    customer = read_subject_body(text, validator_for(unit.published, id_).reader.customer, {"id": id_})
    customer = merge_customer(customer, None if account is None else account.customer, member_names(text))
    saved = save_customer(actor, unit, customer, account, conditions.accept_loss)
    return _finish(unit, saved, order, created=account is None)


def patch_customer(actor: Actor, unit: WriteUnit, id_: str, patch: bytes, conditions: WriteConditions) -> SubjectResult:
    """Change some of a customer, by a JSON merge patch (RFC 7396)."""
    account = open_account(unit, id_)
    order = read_order(unit, _KIND, id_, conditions.as_of)
    if order.is_outdated(_SIDES):
        return _finish(unit, account, order, applied=False)
    conditions.expected.check("customer", id_, account.stamp.etag)
    before = account.customer
    data, kept = merge_parts(patch, file_data(before, unit.published.index), _PARTS)
    customer = read_subject_body(data, validator_for(unit.published, id_).reader.customer, {"id": id_})
    customer = replace(customer, **{part: getattr(before, part) for part in kept})
    return _finish(unit, save_customer(actor, unit, customer, account, conditions.accept_loss), order)


def remove_customer(actor: Actor, unit: WriteUnit, id_: str, conditions: WriteConditions) -> SubjectResult:
    """Delete a customer that has no subscriptions."""
    account = open_account(unit, id_)
    order = read_order(unit, _KIND, id_, conditions.as_of, deletes=True)
    if order.is_outdated(_SIDES):
        return order.outdated_result(account.stamp.etag)
    conditions.expected.check("customer", id_, account.stamp.etag)
    delete_customer(actor, unit, account, order.deletion_instant())
    return SubjectResult()


def _finish(
    unit: WriteUnit, account: Account, order: WriteOrder, *, applied: bool = True, created: bool = False
) -> SubjectResult:
    if applied:
        order.record(unit, _SIDES)
    return order.result(customer_views([account], unit)[0], applied=applied, created=created)
