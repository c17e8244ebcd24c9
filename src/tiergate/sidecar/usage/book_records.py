"""The records of a sidecar that counts alone, as they stand in its journal, and the values of its book.

Each change of the book is one record. A snapshot is made of the states: accounts, reservations, keys.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from tiergate.model import Instant
from tiergate.usage.accounts import Account, Scope

AccountId = tuple[str, str, str, str]
"""What usage is booked on: the feature, a scope, the customer, and the subscription or user; empty where none is."""

CUSTOMER: Final = "c"
SUBSCRIPTION: Final = "s"
USER: Final = "u"
EVERYBODY: Final = "e"

_SCOPES: Final[dict[str, Scope]] = {
    CUSTOMER: Scope.CUSTOMER,
    SUBSCRIPTION: Scope.SUBSCRIPTION,
    USER: Scope.USER,
    EVERYBODY: Scope.EVERYBODY,
}
_LETTERS: Final = {scope: letter for letter, scope in _SCOPES.items()}

EndState = Literal["committed", "released", "expired"]
"""How a reservation ended."""


def account_of(id_: AccountId, window: Instant) -> Account:
    """Return what an id means to the ledger, in the window that starts then."""
    return Account(id_[0], _SCOPES[id_[1]], id_[2], id_[3], window)


def id_of(account: Account) -> AccountId:
    """Return the id of an account, which is the same in all windows."""
    return account.feature, _LETTERS[account.scope], account.customer, account.member


class WindowUse(msgspec.Struct, frozen=True, array_like=True):
    """Usage in one window `[start, until)`.

    `used`: units, reserved ones included. `reserved`: units of open reservations. `granted`: units that rolled over
    into the window, from the one that starts at `source`; `None`: nothing has rolled over yet. What rolls over next
    depends on where used units came from: `from_grant` of them from the granted ones, `overage` from above the limit.
    These two are counted where the feature rolls over, and 0 elsewhere.
    """

    start: Instant
    until: Instant
    used: int = 0
    reserved: int = 0
    granted: int = 0
    source: Instant | None = None
    from_grant: int = 0
    overage: int = 0


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A change of one account in the window from `start` to `until`: units more (or less) used, and reserved.

    `granted`, `source`: what rolled over into the window, where it is new. `from_grant`, `overage`: of the used units.
    """

    account: AccountId
    start: Instant
    until: Instant
    used: int
    reserved: int = 0
    granted: int = 0
    source: Instant | None = None
    from_grant: int = 0
    overage: int = 0


class KeyUse(msgspec.Struct, frozen=True, array_like=True):
    """An idempotency key of a caller. `digest`: of the content; `answer`: the first one; `at`: when it was given."""

    key: bytes
    digest: bytes
    answer: bytes
    at: Instant

    def with_answer(self, answer: bytes) -> KeyUse:
        """Return it with the answer."""
        return KeyUse(self.key, self.digest, answer, self.at)


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
