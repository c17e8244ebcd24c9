"""What ends with a plan: kept as it was, by subscription, until something else does or the subscription is gone."""

from __future__ import annotations

from tiergate.model import Customer, Subscription, SubscriptionItem, SubscriptionStatus
from tiergate.store import SYSTEM, Store, WriteUnit
from tiergate.store.customers import Account
from tiergate.store.scheduled_endings import PlanEnding, find_ending, write_ending

FIRST = PlanEnding(7, (SubscriptionItem("extra", 2, 3, 1, 0, 9), SubscriptionItem("bundle")))
SECOND = PlanEnding(8, (SubscriptionItem("extra"),))


def test_the_last_ending_of_each_subscription_is_kept_as_it_was(store_url: str) -> None:
    """Until it is taken back; on both databases."""
    store = Store.open(store_url)

    def found(id_: str) -> PlanEnding | None:
        return store.read(lambda unit: find_ending(unit.session, id_))

    def write(unit: WriteUnit) -> None:
        write_ending(unit.session, "s1", SECOND)
        write_ending(unit.session, "s1", FIRST)
        write_ending(unit.session, "s2", SECOND)

    store.change(write, SYSTEM)
    assert (found("s1"), found("s2"), found("s3")) == (FIRST, SECOND, None)
    store.change(lambda unit: write_ending(unit.session, "s1", None), SYSTEM)
    assert (found("s1"), found("s2")) == (None, SECOND)
    store.close()


def test_a_subscription_that_is_gone_leaves_no_ending(store_url: str) -> None:
    """One that comes to have its id has nothing to be taken back."""
    store = Store.open(store_url)

    def write(unit: WriteUnit) -> None:
        account = Account.create(unit, Customer("acme"))
        account.write_subscription(Subscription("s1", "acme", SubscriptionStatus.ACTIVE, ()))
        write_ending(unit.session, "s1", FIRST)
        account.remove_subscription("s1")

    store.change(write, SYSTEM)
    assert store.read(lambda unit: find_ending(unit.session, "s1")) is None
    store.close()
