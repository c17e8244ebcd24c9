"""The messages between a holder of leases (a sidecar) and the ledger, and their encodings.

`ledger` and `holder` act on them.

A holder has at most one request in flight. It sends the same request again until it has the reply; the ledger keeps
the last reply of each holder, and answers a repeated request with it. So every operation takes effect once.

A holder counts its consumptions: 1, 2, 3… A report covers a range of these numbers, and the ledger keeps the last
number that it has booked. Each start of a holder is a new *epoch*, whose first request is a `Hello`: then both ends
agree about what was booked and which leases the holder knows, whatever was lost. A request of an older epoch is
refused.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from tiergate.model import Instant
from tiergate.usage.accounts import SUM_MAX, Account, Consumption, Figures

VERSION: Final = 1
"""The version of the messages. An end that gets another version refuses it."""

OPERATIONS_MAX: Final = 1_000
"""The most operations of one request."""

REPORT_MAX: Final = 5_000
"""The most consumptions that one report covers."""

LEASES_MAX: Final = 100_000
"""The most leases that one holder has."""

Units = Annotated[int, msgspec.Meta(ge=0, le=SUM_MAX)]
"""An amount in a message."""

Number = Annotated[int, msgspec.Meta(ge=0, le=SUM_MAX)]
"""A number of a lease, a consumption, a request or an epoch in a message."""


class Reason(StrEnum):
    """Why an operation was refused: a closed set."""

    LIMIT_REACHED = "limit_reached"
    """There are not so many units."""

    LEASED_ELSEWHERE = "leased_elsewhere"
    """There are not so many units now, but others hold leases: they may give units back."""

    OTHER_WINDOW = "other_window"
    """Usage of this instant counts in another window, which is in `figures`."""

    WINDOW_CLOSED = "window_closed"
    """The window has ended too long ago, or begins too far in the future."""

    UNKNOWN_ACCOUNT = "unknown_account"
    """The ledger knows no such feature or subject."""

    KEY_CONFLICT = "key_conflict"
    """The key stands for another content."""

    BELOW_ZERO = "below_zero"
    """A correction would make usage negative."""

    TOO_MANY = "too_many"
    """The holder has `LEASES_MAX` leases, or the message has too many parts."""

    INVALID = "invalid"
    """An amount is out of range, or an account is named twice."""


class Fault(StrEnum):
    """Why a whole request was refused; nothing of it took effect."""

    OLD_EPOCH = "old_epoch"
    """The holder has started again since. This process must stop using the identity."""

    OTHER_INSTANCE = "other_instance"
    """Another process uses the same identity in the same epoch: a copied disk. Take another identity."""

    OUT_OF_STEP = "out_of_step"
    """The ledger does not know what went before (restored from a backup): begin a new epoch."""

    OTHER_VERSION = "other_version"
    """The two ends speak different versions of the protocol."""


# ── what a holder sends ──────────────────────────────────────────────────────────────────────────────────────────────


class Spend(msgspec.Struct, frozen=True, array_like=True):
    """Units consumed on one account, out of a lease of the holder; `lease` 0: out of none (unbounded, or offline)."""

    account: Account
    amount: Units
    lease: Number = 0


class HourlyUse(msgspec.Struct, frozen=True, array_like=True):
    """The sum of consumptions without key of one hour, on one account out of one lease. `hour`: its first instant."""

    hour: Instant
    spend: Spend


class KeyedUse(msgspec.Struct, frozen=True, array_like=True):
    """One consumption with a key."""

    key: bytes
    digest: bytes
    at: Instant
    spends: tuple[Spend, ...]


class Report(msgspec.Struct, frozen=True, array_like=True):
    """The holder's consumptions number `first` to `last`, inclusive."""

    first: Number
    last: Number
    uses: tuple[HourlyUse, ...] = ()
    keyed: tuple[KeyedUse, ...] = ()


class Need(msgspec.Struct, frozen=True, array_like=True):
    """Units of one account: at least `need` (0 or more), or nothing; at best `want`.

    `held`: units of the holder's leases that are neither spent nor given back. `waiting`: what all consumptions that
    wait need together.
    """

    account: Account
    need: Units
    want: Units
    held: Units = 0
    waiting: Units = 0


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """The only operation of the first request of an epoch.

    `booked_through`: the last number that the holder knows to be booked. `last_lease`: the last lease that it knows;
    the ledger takes back later ones, which nothing can have been spent from.
    """

    booked_through: Number
    last_lease: Number


class Acquire(msgspec.Struct, frozen=True, array_like=True, tag="acquire"):
    """Lease units of all of these accounts, or of none; 1 to `DEBITS_MAX`. A lease of 0 units is left out."""

    at: Instant
    needs: tuple[Need, ...]


class Renew(msgspec.Struct, frozen=True, array_like=True, tag="renew"):
    """Extend a lease, unless its window ended or its limit fell below what is booked and leased."""

    lease: int


class Settle(msgspec.Struct, frozen=True, array_like=True, tag="settle"):
    """End a lease. `spent`: all that was ever spent from it, all of it reported before; the rest is given back."""

    lease: Number
    spent: Units


class DirectDebit(msgspec.Struct, frozen=True, array_like=True, tag="debit"):
    """Consume at the ledger: all of the debits or none, within the ceilings. `answer`: kept for the key."""

    consumption: Consumption
    answer: bytes = b""


class Record(msgspec.Struct, frozen=True, array_like=True, tag="record"):
    """Book usage after the fact: it may exceed ceilings."""

    consumption: Consumption
    answer: bytes = b""


class Correct(msgspec.Struct, frozen=True, array_like=True, tag="correct"):
    """Take booked usage back, as if it had not been consumed. The amounts of the debits are positive."""

    consumption: Consumption
    answer: bytes = b""


class Read(msgspec.Struct, frozen=True, array_like=True, tag="read"):
    """Return the figures of accounts."""

    accounts: tuple[Account, ...]


Operation = Hello | Acquire | Renew | Settle | DirectDebit | Record | Correct | Read


class Request(msgspec.Struct, frozen=True, array_like=True):
    """One request. `instance`: random bytes of this process. The report is booked before the operations, in order."""

    holder: str
    epoch: Number
    instance: bytes
    sequence: Number
    operations: tuple[Operation, ...] = ()
    report: Report | None = None
    version: int = VERSION


# ── what the ledger answers ──────────────────────────────────────────────────────────────────────────────────────────


class Lease(msgspec.Struct, frozen=True, array_like=True):
    """Units that are debited before they are spent.

    `number`: 1, 2, 3… of its holder. `term_ms`: how long they may be spent, from the request on.
    """

    number: int
    account: Account
    units: int
    term_ms: int
    until: Instant
    """The end of the window."""


class Greeted(msgspec.Struct, frozen=True, array_like=True, tag="greeted"):
    """The answer to `Hello`. `booked_through`: consumptions up to this number are booked. `last_lease`: as counted."""

    booked_through: int
    last_lease: int


class Granted(msgspec.Struct, frozen=True, array_like=True, tag="granted"):
    """Leases of what was needed, in the order of their numbers; an account may be missing if its need was 0."""

    leases: tuple[Lease, ...]


class Renewed(msgspec.Struct, frozen=True, array_like=True, tag="renewed"):
    """The lease lasts for `term_ms` from the request on."""

    lease: int
    term_ms: int


class NotRenewed(msgspec.Struct, frozen=True, array_like=True, tag="not_renewed"):
    """The lease ends at its time. `known`: whether the ledger has it; an unknown one must not be spent from."""

    lease: int
    known: bool


class Settled(msgspec.Struct, frozen=True, array_like=True, tag="settled"):
    """The lease is settled. `agreed`: whether both ends counted the same; if not, the ledger gave nothing back."""

    lease: int
    agreed: bool = True


class Booked(msgspec.Struct, frozen=True, array_like=True, tag="booked"):
    """The consumption is booked. `repeated`: it was before, under its key; `answer` is what was kept then."""

    repeated: bool = False
    answer: bytes = b""


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    """Nothing changed. `account`: the first account that was short, if one was."""

    reason: Reason
    account: Account | None = None
    retry_after_ms: int = 0
    """With `LEASED_ELSEWHERE`: within this time holders give back what they do not need."""


class Figured(msgspec.Struct, frozen=True, array_like=True, tag="figured"):
    """The answer to `Read`: the figures are in the reply."""


Result = Greeted | Granted | Renewed | NotRenewed | Settled | Booked | Refused | Figured


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """The reply to one request: a result for each operation, in order; or a fault.

    `booked_through`: the number of the holder's last consumption that is booked. `figures`: of all accounts that the
    request named in operations, each once.
    """

    holder: str
    epoch: int
    sequence: int
    booked_through: int = 0
    results: tuple[Result, ...] = ()
    figures: tuple[Figures, ...] = ()
    fault: Fault | None = None
    version: int = VERSION


_request_decoder = msgspec.msgpack.Decoder(Request)
_reply_decoder = msgspec.msgpack.Decoder(Reply)
_encoder = msgspec.msgpack.Encoder()


def encode(message: Request | Reply) -> bytes:
    """Encode a message as MessagePack. `msgspec.json` encodes the same structures as JSON."""
    return _encoder.encode(message)


def decode_request(content: bytes) -> Request:
    """Decode a request; raises `msgspec.DecodeError` (a `ValueError`) if it is not one."""
    return _request_decoder.decode(content)


def decode_reply(content: bytes) -> Reply:
    """Decode a reply; raises as `decode_request`."""
    return _reply_decoder.decode(content)
