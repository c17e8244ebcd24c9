"""Invariant 3 on the side of the store: what is remembered of a customer is what its rows say, whatever was done to it.

A customer is remembered three times: as rows, as the record that snapshots are made of, and as the last line of the
feed. Changes write the rows that differ and make the record from what they know; here all three are compared with each
other, and with what was asked for.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import select

from tests.example_counts import part_of_examples
from tests.properties.documents import CUSTOMER_IDS, Document, metered_worlds, subjects
from tests.properties.engines import World
from tiergate.errors import ConflictError, NotFoundError
from tiergate.feed.lines import encode_record
from tiergate.model.redaction import redact_record
from tiergate.store import SYSTEM, Store
from tiergate.store.bulk_subjects import lock_customers, write_subjects
from tiergate.store.customers import Account, open_account
from tiergate.store.subjects import read_record
from tiergate.store.tables import FEED, RECORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.model import SubjectRecord
    from tiergate.store import ReadUnit, WriteUnit


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store, for all examples."""
    opened = Store.open(f"sqlite:///{tmp_path_factory.mktemp('records') / 'store.sqlite'}", migrating=True)
    yield opened
    opened.close()


def make_it(unit: WriteUnit, wanted: SubjectRecord) -> None:
    """Make a customer what a record says, one change after the other."""
    try:
        account = open_account(unit, wanted.customer.id)
        account.write_customer(wanted.customer)
    except NotFoundError:
        account = Account.create(unit, wanted.customer)
    for held in account.record.subscriptions:
        if all(one.id != held.id for one in wanted.subscriptions):
            account.remove_subscription(held.id)
    for held in wanted.subscriptions:
        account.write_subscription(held)


def import_it(unit: WriteUnit, wanted: SubjectRecord) -> None:
    """Bring a customer in, with its subscriptions; those that it has besides stay."""
    id_ = wanted.customer.id
    write_subjects(unit, lock_customers(unit, {id_: wanted.customer}, {id_: wanted.subscriptions}))


def unmake_it(unit: WriteUnit, customer: str) -> None:
    """Delete a customer with all that it has, if it is there."""
    try:
        account = open_account(unit, customer)
    except NotFoundError:
        return
    for held in account.record.subscriptions:
        account.remove_subscription(held.id)
    account.remove()


def remembered(unit: ReadUnit, customer: str) -> tuple[SubjectRecord | None, bytes | None, object]:
    """The rows, the record, and the record in the last line of the feed."""
    connection = unit.session.connection()
    record = connection.execute(select(RECORDS.c.record).where(RECORDS.c.customer == customer)).scalar_one_or_none()
    lines = select(FEED.c.line).where(FEED.c.customer == customer).order_by(FEED.c.position.desc()).limit(1)
    line = connection.execute(lines).scalar_one_or_none()
    return (
        read_record(unit.session, customer, public=False),
        record,
        None if line is None else json.loads(line)["record"],
    )


@given(metered_worlds(), st.data())
@settings(max_examples=part_of_examples(10))
def test_what_is_remembered_is_what_stands(store: Store, drawn: tuple[Document, Document], data: st.DataObject) -> None:
    """Created, changed, imported, emptied, deleted and made again, in any order."""
    catalog, first = drawn
    worlds_ = [World(catalog, first), World(catalog, data.draw(subjects(catalog), label="other subjects"))]
    for id_ in CUSTOMER_IDS:
        store.change(partial(unmake_it, customer=id_), SYSTEM)
    steps = data.draw(
        st.lists(st.tuples(st.sampled_from(CUSTOMER_IDS), st.sampled_from(["make", "import", "drop"]), st.booleans()))
    )
    for id_, step, second in steps:
        wanted = worlds_[second].records.get(id_)
        before = store.read(partial(remembered, customer=id_))[0]
        try:
            if step == "drop" or wanted is None:
                store.change(partial(unmake_it, customer=id_), SYSTEM)
                expected = None
            else:
                store.change(partial(make_it if step == "make" else import_it, wanted=wanted), SYSTEM)
                kept = () if before is None or step == "make" else before.subscriptions
                held = {one.id: one for one in (*kept, *wanted.subscriptions)}
                expected = replace(wanted, subscriptions=tuple(held[one] for one in sorted(held)))
        except ConflictError:  # another customer has one of the subscriptions by now
            expected = before
        rows, record, said = store.read(partial(remembered, customer=id_))
        assert rows == expected
        if expected is None:
            assert (record, said) == (None, None)
        else:
            assert record == encode_record(redact_record(expected))
            assert said == json.loads(record)
