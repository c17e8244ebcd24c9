from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.admin.use_cases import NOW, actor, open_store
from tiergate.admin import customers
from tiergate.admin.precondition import MUST_NOT_EXIST, Precondition
from tiergate.admin.write_order import WriteConditions
from tiergate.errors import ForbiddenError, NotFoundError, ParameterError, PreconditionError
from tiergate.permissions import Action
from tiergate.store.customers import CustomerFilter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.admin.results import SubjectResult
    from tiergate.store import Store

ANY = WriteConditions()


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    """A store without customers."""
    with open_store(sqlite_url) as found:
        yield found


def put(store: Store, text: bytes, conditions: WriteConditions = ANY) -> SubjectResult:
    """Put the customer `acme`."""
    return actor().change(store, lambda unit: customers.put_customer(actor(), unit, "acme", text, conditions))


def test_a_customer_is_created_and_then_replaced(store: Store) -> None:
    """The result says which, and has the version of the stored customer."""
    created, replaced = put(store, b'{"id": "acme", "name": "Acme"}'), put(store, b'{"tags": ["eu"]}')
    assert (created.created, replaced.created) == (True, False)
    assert replaced.data == {"id": "acme", "name": "Acme", "tags": ["eu"]}
    assert created.etag is not None
    assert replaced.etag == created.etag + 1
    assert (created.applied, replaced.applied) == (None, None)


def test_a_write_expects_a_version(store: Store) -> None:
    """A write of another version is rejected, and so is one of a customer that must or must not exist."""
    with pytest.raises(NotFoundError):
        put(store, b"{}", WriteConditions(Precondition((1,), must_exist=True)))
    etag = put(store, b"{}").etag
    assert etag is not None
    for expected in (MUST_NOT_EXIST, Precondition((etag + 1,))):
        with pytest.raises(PreconditionError):
            put(store, b"{}", WriteConditions(expected))
    assert put(store, b'{"name": "Acme"}', WriteConditions(Precondition((etag,)))).etag == etag + 1


def test_an_older_write_changes_nothing(store: Store) -> None:
    """It is acknowledged, with the customer as it is."""
    assert put(store, b'{"name": "new"}', WriteConditions(as_of=NOW)).applied
    outdated = put(store, b'{"name": "old"}', WriteConditions(as_of=NOW - 1))
    assert outdated.applied is False
    assert outdated.data is not None
    assert outdated.data["name"] == "new"


def test_permissions_follow_from_the_change(store: Store) -> None:
    """Without `override`, a name can be changed, and an override cannot be added."""
    support = actor(denied=frozenset({Action.OVERRIDE}))
    put(store, b"{}")
    support.change(store, lambda unit: customers.patch_customer(support, unit, "acme", b'{"name": "Acme"}', ANY))
    patch = b'{"overrides": [{"feature": "analytics", "value": true, "reason": "asked"}]}'
    with pytest.raises(ForbiddenError):
        support.change(store, lambda unit: customers.patch_customer(support, unit, "acme", patch, ANY))


def test_a_deleted_customer_is_gone(store: Store) -> None:
    """The result has nothing to show; a write older than the deletion does not create the customer again."""
    put(store, b"{}")
    conditions = WriteConditions(as_of=NOW)
    result = actor().change(store, lambda unit: customers.remove_customer(actor(), unit, "acme", conditions))
    assert (result.data, result.etag) == (None, None)
    with pytest.raises(NotFoundError):
        store.read(lambda unit: customers.get_customer(unit, "acme"))
    assert put(store, b"{}", WriteConditions(as_of=NOW - 1)).applied is False


def test_a_list_is_read_in_pages(store: Store) -> None:
    """A page names where the next one starts; a filter by an unknown feature is rejected."""
    for id_ in (b"a", b"b", b"c"):
        text = b'{"id": "%b"}' % id_
        actor().change(store, lambda unit, text=text: customers.create_customer(actor(), unit, text, ANY))  # type: ignore[misc]
    page = store.read(lambda unit: customers.list_customers(unit, CustomerFilter(), "", 2))
    assert ([view.data["id"] for view in page.items], page.next) == (["a", "b"], "b")
    last = store.read(lambda unit: customers.list_customers(unit, CustomerFilter(), "b", 2))
    assert ([view.data["id"] for view in last.items], last.next) == (["c"], None)
    with pytest.raises(ParameterError):
        store.read(lambda unit: customers.list_customers(unit, CustomerFilter(feature="unknown"), "", 2))
