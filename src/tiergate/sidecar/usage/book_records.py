"""The records of a sidecar that counts alone, as they stand in its journal, and the values of its book.

Each change of the book is one record. A snapshot is made of the states: accounts, reservations, keys.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from tiergate.model import Instant

AccountId = tuple[str, str, str, str]
"""What usage is booked on: the feature, a scope, the customer, and the subscription or user; empty where none is."""

Scope = Literal["c", "s", "u", "e"]
"""Whose usage it is: a customer's, a subscription's, a user's, or everybody's."""

CUSTOMER: Final = "c"
SUBSCRIPTION: Final = "s"
USER: Final = "u"
EVERYBODY: Final = "e"

EndState = Literal["committed", "released", "expired"]
"""How a reservation ended."""


class WindowUse(msgspec.Struct, frozen=True, array_like=True):
    """Usage in one window `[start, until)`.

    `used`: units, reserved ones included. `reserved`: units of open reservations. `granted`: units that rolled over
    into the window.
    """

    start: Instant
    until: Instant
    used: int = 0
    reserved: int = 0
    granted: int = 0


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A change of one account in the window from `start` to `until`: units more (or less) used, and reserved.

    `granted`: what rolled over into the window, where it is new.
    """

    account: AccountId
    start: Instant
    until: Instant
    used: int
    reserved: int = 0
    granted: int = 0


class KeyUse(msgspec.Struct, frozen=True, array_like=True):
    """An idempotency key of a caller. `digest`: of the content; `answer`: the first one; `at`: when it was given."""

    key: bytes
    digest: bytes
    answer: bytes
    at: Instant


class Used(msgspec.Struct, frozen=True, array_like=True, tag="u"):
    """Usage that was counted, at an instant."""

    at: Instant
    entries: tuple[Entry, ...]
    key: KeyUse | None = None


class Reservation(msgspec.Struct, frozen=True, array_like=True, tag="v"):
    """Units that are set aside until `expires`: `amount` of a feature, booked by `entries`.

    `source`: the feature that it draws on, empty if none; `cost`: units of that for one whole unit; `scale`: of the
    feature.
    """

    id: str
    feature: str
    amount: int
    expires: Instant
    entries: tuple[Entry, ...]
    source: str = ""
    cost: int = 0
    scale: int = 0


class Reserved(msgspec.Struct, frozen=True, array_like=True, tag="v+"):
    """A reservation was made."""

    at: Instant
    reservation: Reservation
    key: KeyUse | None = None


class Ended(msgspec.Struct, frozen=True, array_like=True, tag="v-"):
    """A reservation ended at an instant: `consumed` of its units are used, the others are given back by `entries`."""

    id: str
    at: Instant
    state: EndState
    consumed: int
    entries: tuple[Entry, ...]


class EndedReservation(msgspec.Struct, frozen=True, array_like=True, tag="e"):
    """A reservation that ended, kept to answer repeated requests."""

    reservation: Reservation
    at: Instant
    state: EndState
    consumed: int


class AccountState(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """All windows of one account, the newest last."""

    account: AccountId
    windows: tuple[WindowUse, ...]


class KeyState(msgspec.Struct, frozen=True, array_like=True, tag="k"):
    """A key that is kept."""

    use: KeyUse


class Nothing(msgspec.Struct, frozen=True, array_like=True, tag="n"):
    """No change: once it is on disk, all records before it are."""


BookRecord = Used | Reserved | Ended | Nothing | AccountState | Reservation | EndedReservation | KeyState

encode_record: Final = msgspec.msgpack.Encoder().encode
"""Encode a record as MessagePack."""

_decoder: Final[msgspec.msgpack.Decoder[BookRecord]] = msgspec.msgpack.Decoder(BookRecord)


def decode_record(content: bytes) -> BookRecord:
    """Decode a record; raises `msgspec.DecodeError` (a `ValueError`) if it is not one."""
    return _decoder.decode(content)
