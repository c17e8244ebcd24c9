"""Records as a replica stores them."""

from __future__ import annotations

import msgspec
import pytest

from tiergate.model import Customer, SubjectRecord, Subscription, SubscriptionItem, SubscriptionStatus
from tiergate.sidecar.replica.record_encoding import (
    QUARANTINED,
    decode_row,
    encode_record,
    encode_subject,
    join_record,
    read_subscription_ids,
)

CUSTOMER = Customer("acme", tags=("early",), attributes={"region": "eu"})
ITEMS = (SubscriptionItem("gold", quantity=3),)


@pytest.mark.parametrize("count", [0, 1, 2, 20])
def test_the_ids_of_subscriptions_are_read_alone(count: int) -> None:
    """They are those of the whole record, however it was put together."""
    held = tuple(Subscription(f"s{i}", "acme", SubscriptionStatus.ACTIVE, ITEMS) for i in range(count))
    record = SubjectRecord(CUSTOMER, held)
    content = encode_record(record)
    assert decode_row(content, None) == record
    ids = frozenset(it.id for it in held)
    assert read_subscription_ids(content) == ids
    joined = join_record(encode_subject(CUSTOMER), [encode_subject(it) for it in held])
    assert read_subscription_ids(joined) == ids


def test_a_quarantined_row_has_no_ids() -> None:
    """There is no record."""
    assert read_subscription_ids(QUARANTINED) is None


@pytest.mark.parametrize("content", [b"\x92", b"\xc1", b"\x92\xc0\x91\xc0"])
def test_the_ids_of_a_damaged_row_cannot_be_read(content: bytes) -> None:
    """It is not taken for a record without subscriptions."""
    with pytest.raises(msgspec.MsgspecError):
        read_subscription_ids(content)
