from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.admin.use_cases import NOW, actor, open_store
from tiergate.admin import billing, customers, overrides, subscriptions
from tiergate.admin.write_order import WriteConditions
from tiergate.errors import ConflictError, LossError
from tiergate.model import Subject, SubjectType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.store import Store

ANY = WriteConditions()


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    """A store in which `acme` has the subscription `s1` of `gold`."""
    with open_store(sqlite_url) as found:
        actor().change(found, lambda unit: customers.create_customer(actor(), unit, b'{"id": "acme"}', ANY))
        text = b'{"id": "s1", "status": "active", "items": [{"item": "gold"}]}'
        actor().change(found, lambda unit: subscriptions.create_subscription(actor(), unit, "acme", text, ANY))
        yield found


def test_a_step_moves_a_subscription_along_its_life_cycle(store: Store) -> None:
    """A step that is not possible in this stage is rejected."""
    paused = actor().change(store, lambda unit: subscriptions.take_step(actor(), unit, "s1", "pause", NOW + 1, ANY))
    assert paused.data is not None
    assert paused.data["status"] == "paused"
    with pytest.raises(ConflictError) as error:
        actor().change(store, lambda unit: subscriptions.take_step(actor(), unit, "s1", "past-due", None, ANY))
    assert error.value.code == "step-not-possible"


def test_a_loss_is_accepted_by_its_token(store: Store) -> None:
    """Without the token a smaller override is rejected."""
    subject, text = Subject("acme", SubjectType.CUSTOMER), b'{"feature": "movies", "value": 3, "reason": "asked"}'

    def add(conditions: WriteConditions) -> None:
        actor().change(store, lambda unit: overrides.add_override(actor(), unit, subject, text, conditions))

    with pytest.raises(LossError) as error:
        add(ANY)
    add(WriteConditions(accept_loss=error.value.token))
    listed = store.read(lambda unit: overrides.list_overrides(unit, subject))
    assert [(override["feature"], override["author"]) for override in listed] == [("movies", "anna")]


def test_a_change_of_plan_is_scheduled_and_withdrawn(store: Store) -> None:
    """The add-on that needs the old plan ends with it, and stays once the change is withdrawn."""
    add = b'{"item": "extra-movies"}'
    actor().change(store, lambda unit: subscriptions.add_item(actor(), unit, "s1", add, ANY))
    wanted = billing.PlanChangeRequest("silver", NOW + 10, ends_addons=True)
    changed = actor().change(store, lambda unit: billing.change_plan(actor(), unit, "s1", wanted, ANY))
    assert changed.data is not None
    assert changed.data["ends"] == ["extra-movies"]
    assert "scheduled_change" in changed.data
    withdrawn = actor().change(store, lambda unit: billing.withdraw_change(actor(), unit, "s1", ANY))
    assert withdrawn.data is not None
    assert "scheduled_change" not in withdrawn.data
    items = withdrawn.data["items"]
    assert isinstance(items, list)
    assert len(items) == 2
