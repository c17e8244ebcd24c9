"""Grants in the store: given, changed, listed, on either database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tests.unit.store.clocks import START
from tiergate.errors import ConflictError, NotFoundError
from tiergate.store import SYSTEM, Author
from tiergate.store.usage_grants import change_grant, give_grant, read_grant, read_grants
from tiergate.usage.pools import Grant

if TYPE_CHECKING:
    from tiergate.store import Store, WriteUnit

TOP_UP = Grant("top-up", 50, 5, 2**62, 10, "goodwill")


def give(store: Store, grant: Grant, customer: str = "acme", feature: str = "calls") -> None:
    """Give a grant."""
    store.change(lambda unit: give_grant(unit, customer, feature, grant), Author("alice"), brief=True)


def test_a_grant_is_stored_with_who_gave_it_and_when(store: Store) -> None:
    """Nothing of it is spent."""
    give(store, TOP_UP)
    stored = store.read(lambda unit: read_grant(unit, "acme", "calls", "top-up"))
    assert (stored.grant, stored.spent, stored.author, stored.created_at) == (TOP_UP, 0, "alice", START)


def test_an_id_is_given_once_for_a_customer_and_a_feature(store: Store) -> None:
    """Others may have it too."""
    give(store, TOP_UP)
    with pytest.raises(ConflictError) as caught:
        give(store, TOP_UP)
    assert caught.value.code == "already-exists"
    give(store, TOP_UP, customer="beta")
    give(store, TOP_UP, feature="emails")


def test_grants_are_listed_by_feature_and_id(store: Store) -> None:
    """Of one customer, for one feature or for all."""
    for feature, id_ in (("emails", "a"), ("calls", "b"), ("calls", "a")):
        give(store, Grant(id_, 1), feature=feature)
    give(store, TOP_UP, customer="beta")
    listed = store.read(lambda unit: read_grants(unit, "acme"))
    assert [(stored.feature, stored.grant.id) for stored in listed] == [("calls", "a"), ("calls", "b"), ("emails", "a")]
    assert store.read(lambda unit: read_grants(unit, "acme", "emails")) == listed[2:]


def test_a_grant_can_be_topped_up_and_ended(store: Store) -> None:
    """What was spent of it stays, and so do its author and the time at which it was given."""
    give(store, TOP_UP)
    changed = replace(TOP_UP, amount=80, until=START)

    def change(unit: WriteUnit) -> None:
        before, after = change_grant(unit, "acme", "calls", changed)
        assert (before.grant, after.grant) == (TOP_UP, changed)

    store.change(change, SYSTEM)
    stored = store.read(lambda unit: read_grant(unit, "acme", "calls", "top-up"))
    assert (stored.grant, stored.author) == (changed, "alice")


def test_a_grant_that_is_not_there_is_not_found(store: Store) -> None:
    """Neither to read nor to change."""
    with pytest.raises(NotFoundError):
        store.read(lambda unit: read_grant(unit, "acme", "calls", "top-up"))
    with pytest.raises(NotFoundError):
        store.change(lambda unit: change_grant(unit, "acme", "calls", TOP_UP), SYSTEM)
