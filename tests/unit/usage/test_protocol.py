from __future__ import annotations

import msgspec
import pytest

from tests.usage_ledgers import CALLS, NOW, USER, MemoryHolder, MemoryLedger, consumption
from tiergate.usage.protocol import (
    Acquire,
    Correct,
    DirectDebit,
    Fault,
    Hello,
    HourlyUse,
    KeyedUse,
    Need,
    Read,
    Record,
    Renew,
    Reply,
    Report,
    Request,
    Settle,
    Spend,
    decode_reply,
    decode_request,
    encode,
)

REQUEST = Request(
    "one",
    3,
    b"process",
    7,
    (
        Hello(4, 2),
        Acquire(NOW, (Need(CALLS, 1, 8, 2, 3), Need(USER, 1, 1))),
        Renew(2),
        Settle(1, 5),
        DirectDebit(consumption(1, key="a"), b"answer"),
        Record(consumption(2)),
        Correct(consumption(3)),
        Read((CALLS,)),
    ),
    Report(5, 9, (HourlyUse(NOW, Spend(CALLS, 4, 2)),), (KeyedUse(b"k", b"d", NOW, (Spend(USER, 1),)),)),
)


def test_a_request_is_the_same_after_encoding() -> None:
    """As MessagePack and as JSON."""
    assert decode_request(encode(REQUEST)) == REQUEST
    assert msgspec.json.decode(msgspec.json.encode(REQUEST), type=Request) == REQUEST


def test_a_reply_is_the_same_after_encoding() -> None:
    """With results of every kind that an exchange gives, and with a fault."""
    ledger = MemoryLedger()
    ledger.exchange(Request("one", 1, b"p", 1, (Hello(0, 0),)))
    operations = (*REQUEST.operations[1:], Acquire(NOW, (Need(CALLS, 500, 500),)), Settle(1, 0))
    reply = ledger.exchange(Request("one", 1, b"p", 2, operations))
    assert len({type(result) for result in reply.results}) == 6
    assert decode_reply(encode(reply)) == reply
    faulty = Reply("one", 1, 2, fault=Fault.OLD_EPOCH)
    assert decode_reply(encode(faulty)) == faulty


@pytest.mark.parametrize("amount", [-1, 2**62 + 1])
def test_an_amount_out_of_range_is_no_message(amount: int) -> None:
    """Also from a holder with a key."""
    with pytest.raises(ValueError, match="int"):
        decode_request(encode(Request("one", 1, b"", 1, (), Report(1, 1, (HourlyUse(0, Spend(CALLS, amount)),)))))


def test_garbage_is_no_message() -> None:
    """It raises a `ValueError`."""
    for content in (b"", b"\x93", encode(Reply("one", 1, 1))[:-1]):
        with pytest.raises(ValueError, match=r"."):
            decode_reply(content)


def test_a_holder_of_another_version_is_refused() -> None:
    """Neither end guesses what the other means."""
    one = MemoryHolder(MemoryLedger())
    outgoing = one.holder.next_request(NOW)
    assert outgoing is None
    reply = one.ledger.exchange(Request("one", 1, b"process", 2, (), None, version=2))
    assert reply.fault is Fault.OTHER_VERSION
