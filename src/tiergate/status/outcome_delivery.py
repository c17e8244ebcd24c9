"""The messages by which a sidecar delivers outcomes to the control plane, in MessagePack.

    request   [1, source, number, [[feature, minute, requests, failed, [[latency, slow], …]], …]]
    reply     [1, source, number]

The first member is the version; members that a later version adds at the end are ignored.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from tiergate.status.outcome_book import BATCH_MOST, Pending
from tiergate.status.outcome_minutes import MinuteSum
from tiergate.status.outcomes import MINUTE_MS

VERSION: Final = 1

LATENCIES_MOST: Final = 100
"""The most latencies of a sum: a batch with more would be refused for ever."""

_LARGEST: Final = 2**53
_Count = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST)]
_Latency = Annotated[int, msgspec.Meta(ge=0, le=2**31)]


class _Sum(msgspec.Struct, array_like=True, frozen=True, gc=False):
    feature: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    minute: Annotated[int, msgspec.Meta(ge=0, le=_LARGEST, multiple_of=MINUTE_MS)]
    requests: Annotated[int, msgspec.Meta(ge=1, le=_LARGEST)]
    failed: _Count = 0
    slow: Annotated[tuple[tuple[_Latency, _Count], ...], msgspec.Meta(max_length=LATENCIES_MOST)] = ()


class _Batch(msgspec.Struct, array_like=True, frozen=True):
    version: Annotated[int, msgspec.Meta(ge=VERSION)]
    source: Annotated[str, msgspec.Meta(min_length=16, max_length=100, pattern="^[A-Za-z0-9_-]*$")]
    number: Annotated[int, msgspec.Meta(ge=1, le=_LARGEST)]
    sums: Annotated[list[_Sum], msgspec.Meta(max_length=BATCH_MOST)]


class BatchReply(msgspec.Struct, array_like=True, frozen=True):
    """The control plane has the batch with this name."""

    version: int
    source: str
    number: int


_encode: Final = msgspec.msgpack.Encoder().encode
_decode_batch: Final = msgspec.msgpack.Decoder(_Batch).decode
decode_reply: Final = msgspec.msgpack.Decoder(BatchReply).decode
"""Decode a reply. Raises `msgspec.DecodeError` or `UnicodeDecodeError`."""


def encode_batch(batch: Pending) -> bytes:
    """Encode a batch as a request."""
    return _encode((VERSION, batch.source, batch.number, batch.sums))


def decode_batch(content: bytes) -> Pending:
    """Decode a request.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError: it is none, or says that more requests failed than there were.
    """
    batch = _decode_batch(content)
    sums = tuple(MinuteSum(each.feature, each.minute, each.requests, each.failed, each.slow) for each in batch.sums)
    for one in sums:
        if one.failed > one.requests or any(one.failed + slow > one.requests for _, slow in one.slow):
            raise msgspec.DecodeError(f"more requests to `{one.feature}` failed or were slow than there were")
        if "\x00" in one.feature:
            raise msgspec.DecodeError("an id must not have the character U+0000")
    return Pending(batch.source, batch.number, sums)


def encode_reply(source: str, number: int) -> bytes:
    """Encode a reply."""
    return _encode(BatchReply(VERSION, source, number))
