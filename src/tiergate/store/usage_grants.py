"""Grants of customers: given, changed, listed.

The ledger takes units out of them (`usage_ledger`). Everybody who changes a grant locks the account of its customer
first, so that no unit is spent from what is being changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from tiergate.errors import ConflictError, NotFoundError
from tiergate.store.tables import USAGE_ACCOUNTS, USAGE_GRANTS
from tiergate.store.usage_state import GRANT_KEY, StoredGrant, grant_columns, stored_grant
from tiergate.usage.accounts import Scope

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from tiergate.store.units import ReadUnit, WriteUnit
    from tiergate.usage.pools import Grant


def read_grants(unit: ReadUnit, customer: str, feature: str | None = None) -> list[StoredGrant]:
    """Return the grants of a customer, for one feature or all, by feature and id; ended and used up ones too."""
    columns = USAGE_GRANTS.c
    query = select(USAGE_GRANTS).where(columns.customer == customer).order_by(columns.feature, columns.id)
    if feature is not None:
        query = query.where(columns.feature == feature)
    return [stored_grant(row) for row in unit.side_session.connection().execute(query)]


def read_grant(unit: ReadUnit, customer: str, feature: str, id_: str) -> StoredGrant:
    """Return a grant.

    Raises:
        NotFoundError: if there is no such grant.
    """
    query = select(USAGE_GRANTS).where(*_is_grant(customer, feature, id_))
    row = unit.side_session.connection().execute(query).one_or_none()
    if row is None:
        raise NotFoundError("grant", id_)
    return stored_grant(row)


def give_grant(unit: WriteUnit, customer: str, feature: str, grant: Grant) -> StoredGrant:
    """Give a new grant, by the actor of the unit.

    Raises:
        ConflictError: if the customer has a grant with this id for the feature.
    """
    lock_account(unit, customer, feature)
    connection = unit.side_writing_session.connection()
    if connection.execute(select(USAGE_GRANTS.c.id).where(*_is_grant(customer, feature, grant.id))).one_or_none():
        raise ConflictError("already-exists", f"the grant `{grant.id}` already exists")
    stored = StoredGrant(customer, feature, grant, 0, unit.actor.id, unit.now)
    connection.execute(insert(USAGE_GRANTS), [grant_columns(stored, unit.now)])
    return stored


def change_grant(unit: WriteUnit, customer: str, feature: str, grant: Grant) -> tuple[StoredGrant, StoredGrant]:
    """Change amount, interval, priority and reason of the grant with the same id. Return it as before and as it is now.

    An amount below what is spent leaves nothing of the grant.

    Raises:
        NotFoundError: if there is no such grant.
    """
    lock_account(unit, customer, feature)
    before = read_grant(unit, customer, feature, grant.id)
    after = before._replace(grant=grant)
    columns = {
        name: value for name, value in grant_columns(after, unit.now).items() if name not in (*GRANT_KEY, "spent")
    }
    edit = update(USAGE_GRANTS).where(*_is_grant(customer, feature, grant.id)).values(columns)
    unit.side_writing_session.connection().execute(edit)
    return before, after


def lock_account(unit: WriteUnit, customer: str, feature: str) -> None:
    """Lock the account of a customer for a feature, if it was used: see above."""
    columns = USAGE_ACCOUNTS.c
    query = select(columns.customer).where(
        columns.customer == customer,
        columns.feature == feature,
        columns.scope == Scope.CUSTOMER.value,
        columns.member == "",
    )
    unit.side_writing_session.connection().execute(query.with_for_update())


def _is_grant(customer: str, feature: str, id_: str) -> list[ColumnElement[bool]]:
    columns = USAGE_GRANTS.c
    return [columns.customer == customer, columns.feature == feature, columns.id == id_]
