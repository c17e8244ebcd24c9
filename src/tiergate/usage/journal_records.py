"""The journal of a holder: each change of its state is one record, and the records in order give the same state again.

A consumption is answered only after its record is durable. A request is sent only after all records before it are
durable: so the ledger never knows more than the disk. The file that the records are in is not described here.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tiergate.model import Instant
from tiergate.usage.leases import HeldLease
from tiergate.usage.protocol import Spend
from tiergate.usage.reservations import Reservation


class Started(msgspec.Struct, frozen=True, array_like=True, tag="start"):
    """An epoch began: at each start of a process, and when the ledger is out of step. `epoch`: 1, 2, 3 and so on."""

    epoch: int


class LeasesGranted(msgspec.Struct, frozen=True, array_like=True, tag="grant"):
    """New leases, in the order of their numbers."""

    leases: tuple[HeldLease, ...]


class LeaseRenewed(msgspec.Struct, frozen=True, array_like=True, tag="renew"):
    """A lease lasts longer."""

    lease: int
    expires: Instant


class LeasesClosing(msgspec.Struct, frozen=True, array_like=True, tag="close"):
    """Nothing is spent from these leases any more. Durable before the ledger is told."""

    leases: tuple[int, ...]


class LeasesEnded(msgspec.Struct, frozen=True, array_like=True, tag="end"):
    """The ledger settled these leases, or does not know them."""

    leases: tuple[int, ...]


class Consumed(msgspec.Struct, frozen=True, array_like=True, tag="use"):
    """A consumption. `number`: one more than the last. `answer`: kept for the key, if there is one.

    `now`: the clock of the holder, for the key's age. `reservation`: the reservation that it commits, else empty.
    """

    number: int
    at: Instant
    spends: tuple[Spend, ...]
    key: bytes = b""
    digest: bytes = b""
    answer: bytes = b""
    now: Instant = 0
    reservation: str = ""


class Reserved(msgspec.Struct, frozen=True, array_like=True, tag="reserve"):
    """Units are set aside until `expires`."""

    id: str
    at: Instant
    expires: Instant
    spends: tuple[Spend, ...]
    key: bytes = b""
    digest: bytes = b""
    answer: bytes = b""
    now: Instant = 0


class Released(msgspec.Struct, frozen=True, array_like=True, tag="release"):
    """A reservation ended without a commit. `expired`: by its time, not by a request."""

    id: str
    now: Instant
    expired: bool = False


class BookedThrough(msgspec.Struct, frozen=True, array_like=True, tag="booked"):
    """The ledger has booked the consumptions up to this number."""

    number: int


class Snapshot(msgspec.Struct, frozen=True, array_like=True, tag="snapshot"):
    """The whole state, in place of all records before it. `pending`: consumptions that are not booked."""

    epoch: int
    last_number: int
    booked_through: int
    last_lease: int
    leases: tuple[HeldLease, ...]
    pending: tuple[Consumed, ...]
    keys: tuple[tuple[bytes, bytes, Instant, bytes], ...]
    reservations: tuple[Reservation, ...]


JournalRecord = (
    Started
    | LeasesGranted
    | LeaseRenewed
    | LeasesClosing
    | LeasesEnded
    | Consumed
    | Reserved
    | Released
    | BookedThrough
    | Snapshot
)

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[JournalRecord]] = msgspec.msgpack.Decoder(JournalRecord)


def encode_record(record: JournalRecord) -> bytes:
    """Encode a record as MessagePack."""
    return _encoder.encode(record)


def decode_record(content: bytes) -> JournalRecord:
    """Decode a record; raises `msgspec.DecodeError` (a `ValueError`) if it is not one."""
    return _decoder.decode(content)
