"""Usage of a customer, or given by an author, that is erased: persons go, amounts stay. On either database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.control.feeds import write
from tests.unit.store.usage_model import DIGEST, rows
from tests.usage_bounds import PlainBounds, customer_account, debits
from tiergate.model import parse_instant
from tiergate.store import SYSTEM, Author
from tiergate.store.erasure import erase_author, erase_customer
from tiergate.store.tables import USAGE_ACCOUNTS, USAGE_GRANTS, USAGE_WINDOWS
from tiergate.store.usage_grants import give_grant
from tiergate.store.usage_ledger import UsageLedger
from tiergate.usage.accounts import Account, Consumption, Scope
from tiergate.usage.pools import Grant

if TYPE_CHECKING:
    from tests.unit.store.clocks import Time
    from tiergate.store import Store

NOVEMBER = parse_instant("2023-11-01")
DECEMBER = parse_instant("2023-12-01")


def use_by_a_user(store: Store, time: Time, customer: str) -> None:
    """Two windows of usage of a customer by its user."""
    ledger = UsageLedger(store, PlainBounds())
    for window, now in ((NOVEMBER, DECEMBER - 1), (DECEMBER, DECEMBER)):
        time.now = now
        user = Account("calls", Scope.USER, customer, "ada@example.com", window)
        both = debits(customer_account(window, customer=customer), user)
        ledger.debit(Consumption(b"", DIGEST, now, both))
    ledger.close()


def test_past_usage_by_users_of_an_erased_customer_is_deleted(store: Store, time: Time) -> None:
    """What its users use now limits them, and stays; so does what the customer used, and what others did."""
    write(store, "acme", "beta")
    for customer in ("acme", "beta"):
        use_by_a_user(store, time, customer)
    store.change(lambda unit: erase_customer(unit, "acme", tags=False), SYSTEM)
    kept = [
        (row["customer"], row["scope"], row["start"])
        for table in (USAGE_WINDOWS, USAGE_ACCOUNTS)
        for row in rows(store, table)
    ]
    assert sorted(kept, key=str) == sorted(
        (
            (customer, scope, start)
            for customer in ("acme", "beta")
            for scope in ("customer", "user")
            for start in (NOVEMBER, DECEMBER)
            if (customer, scope, start) != ("acme", "user", NOVEMBER)
        ),
        key=str,
    )


def test_the_reasons_of_grants_of_an_erased_customer_are_cleared(store: Store) -> None:
    """The grants stay."""
    write(store, "acme", "beta")
    for customer in ("acme", "beta"):
        grant = Grant("g", 5, reason="Ada called")
        store.change(lambda unit, customer=customer, grant=grant: give_grant(unit, customer, "calls", grant), SYSTEM)  # type: ignore[misc]
    store.change(lambda unit: erase_customer(unit, "acme", tags=False), SYSTEM)
    assert [(row["customer"], row["amount"], row["reason"]) for row in rows(store, USAGE_GRANTS)] == [
        ("acme", 5, ""),
        ("beta", 5, "Ada called"),
    ]


def test_an_erased_author_has_given_no_grant(store: Store) -> None:
    """A pseudonym has."""
    store.change(lambda unit: give_grant(unit, "acme", "calls", Grant("g", 5)), Author("ada"))
    pseudonym, _ = store.change(lambda unit: erase_author(unit, "ada"), SYSTEM)
    assert [row["author"] for row in rows(store, USAGE_GRANTS)] == [pseudonym]
