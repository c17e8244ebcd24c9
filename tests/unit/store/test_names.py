"""Names, metadata, external ids and terms of subjects: kept, found, unique, and told to nobody."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from sqlalchemy import text, update

from tiergate.errors import ConflictError
from tiergate.model import (
    Customer,
    Override,
    OverrideMode,
    SubjectType,
    Subscription,
    SubscriptionStatus,
    Suspension,
    Term,
)
from tiergate.model.calendar_units import CalendarUnit
from tiergate.model.values import Amount
from tiergate.store import SYSTEM, Store
from tiergate.store.bulk_subjects import lock_customers, write_subjects
from tiergate.store.customers import Account, CustomerFilter, open_account, search_customers
from tiergate.store.erasure import erase_customer
from tiergate.store.external_ids import by_external_id
from tiergate.store.subjects import read_stored, read_subscriptions
from tiergate.store.subscriptions import SubscriptionFilter, search_subscriptions
from tiergate.store.tables import RECORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_800_000_000_000
ADA = Customer(
    "ada",
    tags=("vip",),
    attributes={"region": "de"},
    name="Ada Lovelace",
    metadata={"crm": "0015"},
    external_ids={"stripe": "cus_1", "hubspot": "77"},
)
SUB = Subscription(
    "sub_1",
    "ada",
    SubscriptionStatus.PAUSED,
    start=5,
    resume_at=NOW + 5,
    resumes_as=SubscriptionStatus.TRIALING,
    term=Term(CalendarUnit.MONTH, 3, NOW),
    metadata={"channel": "web"},
    external_ids={"stripe": "sub_x"},
)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty store on either kind of database."""
    opened = Store.open(store_url, clock=lambda: NOW)
    yield opened
    opened.close()


def make(store: Store, customer: Customer, *subscriptions: Subscription) -> None:
    """Add a customer with subscriptions."""

    def work(unit: object) -> None:
        account = Account.create(unit, customer)  # type: ignore[arg-type]
        for held in subscriptions:
            account.write_subscription(held)

    store.change(work, SYSTEM)


def bring(store: Store, *customers: Customer, subscriptions: tuple[Subscription, ...] = ()) -> None:
    """Write many customers at once."""
    its = {one.id: [held for held in subscriptions if held.customer == one.id] for one in customers}
    store.change(
        lambda unit: write_subjects(unit, lock_customers(unit, {one.id: one for one in customers}, its)), SYSTEM
    )


def position(store: Store) -> int:
    """How far the feed goes."""
    return store.read(lambda unit: unit.head().position)


@pytest.mark.parametrize("way", ["one", "many"])
def test_all_that_a_subject_is_comes_back_as_it_was_written(store: Store, way: str) -> None:
    """Name, metadata, external ids, term and the status after a pause are read as they were written."""
    if way == "one":
        make(store, ADA, SUB)
    else:
        bring(store, ADA, subscriptions=(SUB,))
    record = store.read(lambda unit: read_stored(unit.session, ["ada"]))["ada"].record
    assert (record.customer, record.subscriptions) == (ADA, (SUB,))
    assert store.read(lambda unit: read_subscriptions(unit.session, ["sub_1"]))["sub_1"].subscription == SUB


def test_the_feed_carries_nothing_that_is_for_people_alone(store: Store) -> None:
    """Names, metadata and external ids reach no sidecar, what decisions need does."""
    make(store, ADA, SUB)
    record = store.read(lambda unit: unit.record("ada", public=True))
    assert record is not None
    assert (record.customer.name, record.customer.metadata, record.customer.external_ids) == ("", {}, {})
    (held,) = record.subscriptions
    assert (held.metadata, held.external_ids) == ({}, {})
    assert (held.resumes_as, held.term) == (SubscriptionStatus.TRIALING, SUB.term)


def test_a_change_of_a_name_alone_wakes_no_sidecar(store: Store) -> None:
    """The entity tag moves, the feed does not."""
    make(store, ADA, SUB)
    before = position(store)
    store.change(lambda unit: open_account(unit, "ada").write_customer(replace(ADA, name="Countess")), SYSTEM)
    bring(store, replace(ADA, metadata={}))
    assert position(store) == before
    stored = store.read(lambda unit: read_stored(unit.session, ["ada"]))["ada"]
    assert (stored.record.customer.metadata, stored.stamp.etag) == ({}, 3)


def test_a_record_of_the_release_before_is_not_announced_again(store: Store) -> None:
    """A record that differs only by fields that came since, with their defaults, is no change."""
    make(store, replace(ADA, name="", metadata={}, external_ids={}))
    old = json.dumps([["ada", ["vip"], {"region": "de"}, [], []], []], separators=(",", ":")).encode()
    store.change(lambda unit: unit.session.connection().execute(update(RECORDS).values(record=old)), SYSTEM)
    before = position(store)
    store.change(lambda unit: unit.touch("ada"), SYSTEM)
    assert position(store) == before
    store.change(lambda unit: open_account(unit, "ada").write_customer(replace(ADA, tags=())), SYSTEM)
    assert position(store) == before + 1


@pytest.mark.parametrize("way", ["one", "many"])
def test_an_external_id_belongs_to_one_subject_of_a_kind(store: Store, way: str) -> None:
    """A second customer with the same id of the same system is refused; a subscription may have it."""
    make(store, ADA, replace(SUB, external_ids={"stripe": "cus_1"}))
    bob = Customer("bob", external_ids={"stripe": "cus_1"})
    with pytest.raises(ConflictError, match="external id `cus_1` of `stripe`") as refused:
        make(store, bob) if way == "one" else bring(store, bob)
    assert refused.value.code == "external-id-taken"
    make(store, replace(bob, external_ids={"adyen": "cus_1"}))


def test_customers_who_are_written_together_can_exchange_external_ids(store: Store) -> None:
    """What is given up in a write is free in the same write; two who want the same id are refused."""
    bring(store, ADA, Customer("bob", external_ids={"stripe": "cus_2"}))
    bring(store, replace(ADA, external_ids={"stripe": "cus_2"}), Customer("bob", external_ids={"stripe": "cus_1"}))
    for id_, holder in (("cus_2", "ada"), ("cus_1", "bob"), ("cus_3", None)):
        found = partial(by_external_id, kind=SubjectType.CUSTOMER, system="stripe", value=id_)
        assert store.read(lambda unit, found=found: found(unit.session)) == holder  # type: ignore[misc]
    assert store.read(lambda unit: by_external_id(unit.session, SubjectType.CUSTOMER, "hubspot", "77")) is None
    with pytest.raises(ConflictError):
        bring(store, Customer("c", external_ids={"stripe": "9"}), Customer("d", external_ids={"stripe": "9"}))


def test_a_deleted_subject_gives_its_external_ids_free(store: Store) -> None:
    """Another one can have them then."""
    make(store, ADA, SUB)

    def remove(unit: object) -> None:
        account = open_account(unit, "ada")  # type: ignore[arg-type]
        account.remove_subscription("sub_1")
        account.remove()

    store.change(remove, SYSTEM)
    make(store, replace(ADA, id="bob"), replace(SUB, id="sub_2", customer="bob"))


@pytest.mark.parametrize(
    "asked",
    ["LOVELACE", "cus_1", "VIP", "ada", "DE", "ＬＯＶＥ"],  # noqa: RUF001 - full-width on purpose
)
def test_a_customer_is_found_by_every_text_that_people_know(store: Store, asked: str) -> None:
    """Id, name, external id, tag and attribute, in whatever case and width."""
    make(store, ADA, SUB)
    make(store, Customer("bob"))
    found = store.read(lambda unit: search_customers(unit.session, CustomerFilter(text=asked), "", 9))
    assert [one.record.customer.id for one in found] == ["ada"]
    of = store.read(lambda unit: search_subscriptions(unit.session, SubscriptionFilter(text=asked), "", 9))
    assert [one.subscription.id for one in of] == ["sub_1"]


@pytest.mark.parametrize(
    ("name", "asked"), [("Łukasz Żak", "łUKASZ ż"), ("ΑΘΗΝΑ", "αθηνα"), ("Straße", "STRASSE"), ("100%_\\x", "0%_\\X")]
)
def test_a_search_knows_the_letters_of_every_script(store: Store, name: str, asked: str) -> None:
    """Case is folded as Unicode says, on both databases alike; wildcards stand for themselves."""
    make(store, Customer("a", name=name))
    make(store, Customer("b", name="100 x"))
    found = store.read(lambda unit: search_customers(unit.session, CustomerFilter(text=asked), "", 9))
    assert [one.record.customer.id for one in found] == ["a"]


def test_subjects_are_listed_by_external_id(store: Store) -> None:
    """By system and id, or by system alone."""
    make(store, ADA, SUB)
    make(store, Customer("bob", external_ids={"stripe": "cus_9"}))

    def listed(wanted: tuple[str, str]) -> list[str]:
        found = store.read(lambda unit: search_customers(unit.session, CustomerFilter(external_id=wanted), "", 9))
        return [one.record.customer.id for one in found]

    assert (listed(("stripe", "cus_9")), listed(("stripe", "")), listed(("x", ""))) == (["bob"], ["ada", "bob"], [])
    wanted = SubscriptionFilter(external_id=("stripe", "sub_x"))
    found = store.read(lambda unit: search_subscriptions(unit.session, wanted, "", 9))
    assert [one.subscription.id for one in found] == ["sub_1"]


def test_an_erased_customer_has_no_name_left_anywhere(store: Store) -> None:
    """Rows, search, look-up and audit log lose names, metadata and external ids; terms stay."""
    make(
        store,
        replace(ADA, overrides=(Override("o", "movies", OverrideMode.REPLACE, Amount(5), reason="Ada asked"),)),
        replace(SUB, suspensions=(Suspension("movies", reason="Ada again"),)),
    )
    said = {"name": "Ada Lovelace", "metadata": {"crm": "0015"}, "external_ids": {"stripe": "cus_1"}, "id": "ada"}
    store.change(lambda unit: unit.audit("customer.created", "customer", "ada", after=said, customer="ada"), SYSTEM)
    store.change(lambda unit: erase_customer(unit, "ada", tags=True), SYSTEM)
    record = store.read(lambda unit: read_stored(unit.session, ["ada"]))["ada"].record
    assert (record.customer.name, record.customer.metadata, record.customer.external_ids) == ("", {}, {})
    (held,) = record.subscriptions
    assert (held.metadata, held.external_ids, held.term) == ({}, {}, SUB.term)

    def everything(unit: object) -> str:
        connection = unit.session.connection()  # type: ignore[attr-defined]
        tables = ("customer", "subscription", "external_id", "audit", "subject_record", "override", "suspension")
        return repr([connection.execute(text(f'SELECT * FROM "{table}"')).all() for table in tables])

    left = store.read(everything)
    for word in ("Lovelace", "lovelace", "cus_1", "0015", "sub_x", "web", "asked", "again"):
        assert word not in left


def test_the_entity_tags_of_a_deleted_subject_are_not_given_again(store: Store) -> None:
    """A customer or subscription that is made again goes on where the one before ended, one by one or in bulk."""
    make(store, ADA, SUB)

    def etags() -> tuple[int, int]:
        stored = store.read(lambda unit: read_stored(unit.session, ["ada"]))["ada"]
        return stored.stamp.etag, stored.stamps["sub_1"].etag

    def remove(unit: object) -> None:
        account = open_account(unit, "ada")  # type: ignore[arg-type]
        account.write_subscription(replace(SUB, start=6))
        account.remove_subscription("sub_1")
        account.remove()

    assert etags() == (1, 1)
    store.change(remove, SYSTEM)
    make(store, ADA, SUB)
    assert etags() == (2, 3)
    store.change(remove, SYSTEM)
    bring(store, ADA, subscriptions=(SUB,))
    assert etags() == (3, 5)
