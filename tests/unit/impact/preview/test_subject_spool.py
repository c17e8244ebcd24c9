"""Subjects of files, customer by customer."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from tiergate.impact.preview.subject_spool import RecordTable, Spool
from tiergate.model import (
    Customer,
    Subject,
    SubjectRecord,
    SubjectType,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
)

if TYPE_CHECKING:
    from pathlib import Path


def subscription(id_: str, customer: str) -> Subscription:
    """A subscription of a plan."""
    return Subscription(id_, customer, SubscriptionStatus.ACTIVE, (SubscriptionItem("gold"),))


RECORDS = [
    SubjectRecord(Customer(f"c{i}", tags=("eu",)), tuple(subscription(f"s{i}-{n}", f"c{i}") for n in range(i % 4)))
    for i in range(500)
]


def test_subjects_come_back_as_whole_customers(tmp_path: Path) -> None:
    """Whatever their order in the files; nothing is left on disk."""
    subjects: list[Customer | Subscription] = [record.customer for record in RECORDS]
    subjects += [one for record in RECORDS for one in record.subscriptions]
    Random(1).shuffle(subjects)
    with Spool(tmp_path) as spool:
        heard: list[int] = []
        spool.write(subjects, heard.append)
        found = list(spool.records())
        assert spool.customers == 500
    assert sorted(found, key=lambda it: it.customer.id) == sorted(RECORDS, key=lambda it: it.customer.id)
    assert list(tmp_path.iterdir()) == []


def test_kept_records_are_found_by_customer_and_by_subscription() -> None:
    """And nobody else."""
    with RecordTable() as table:
        assert list(table.store_passing(RECORDS)) == RECORDS
        assert table.find(Subject("c3")) == RECORDS[3]
        assert table.find(Subject("s3-2", SubjectType.SUBSCRIPTION)) == RECORDS[3]
        assert table.find(Subject("s3-2")) is None
        assert table.find(Subject("c3", SubjectType.SUBSCRIPTION)) is None
