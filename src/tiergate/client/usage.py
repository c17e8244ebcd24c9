"""Usage as values: what was consumed, reserved and reported, and what a subject has used.

Numbers are exact, as in `answers`. Members that this version does not know are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import msgspec

from tiergate.client.answers import convert, read_answer
from tiergate.model import Number

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from tiergate.client.answers import Answer
    from tiergate.client.async_sidecar import AsyncSidecar
    from tiergate.client.check_arguments import Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumption:
    """The answer to a consumption: the decision, and what was counted: all of the amount, or 0 if it is denied.

    `answer.entitlement.used` and `remaining` are those after it. `replayed`: an earlier request with this key was
    counted, and this is its answer.
    """

    answer: Answer
    consumed: Number
    key: str
    replayed: bool

    def __bool__(self) -> bool:
        return self.answer.allowed


class ReservationMade(NamedTuple):
    """What a sidecar answers to a reservation; without an id if it is denied."""

    answer: Answer
    reserved: Number
    id: str
    expires_at: datetime | None
    key: str


class ReservationEnder(Protocol):
    """What can end a reservation: a sidecar."""

    def end_reservation(self, id_: str, verb: Literal["commit", "release"], amount: Quantity | None) -> None:
        """Commit or release it by its id."""
        ...


class _Held:
    """What a reservation is, whoever waits for its end."""

    def __init__(self, made: ReservationMade) -> None:
        self.answer = made.answer
        self.reserved = made.reserved
        self.id = made.id
        self.expires_at = made.expires_at
        self.key = made.key
        self._used: Quantity | None = None
        self._is_open = bool(made.id)

    def __bool__(self) -> bool:
        return self.answer.allowed

    def use(self, amount: Quantity) -> None:
        """Set how much is committed at the end of the block: at most what is reserved."""
        self._used = amount


class Reservation(_Held):
    """Units that are set aside until they are committed or released, or until `expires_at`; false if it is denied.

    As a context manager it is committed at the end of the block, with all of its amount or what `use` said, and
    released if the block raises. A denied one does nothing.
    """

    def __init__(self, sidecar: ReservationEnder, made: ReservationMade) -> None:
        super().__init__(made)
        self._sidecar = sidecar

    def commit(self, amount: Quantity | None = None) -> None:
        """Consume an amount of it, by default all; the rest is given back.

        Raises:
            SidecarUnreachableError: nobody answers in time; it may be committed, and can be committed again.
            RequestError: it has expired, or ended otherwise.
            CheckError: the amount is more than is reserved.
        """
        self._sidecar.end_reservation(self.id, "commit", amount)
        self._is_open = False

    def release(self) -> None:
        """Give all of it back. Raises as `commit`."""
        self._sidecar.end_reservation(self.id, "release", None)
        self._is_open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_open:
            return
        if kind is None:
            self.commit(self._used)
        else:
            self.release()


class AsyncReservation(_Held):
    """A `Reservation` of an `AsyncSidecar`: used in an `async with` block."""

    def __init__(self, sidecar: AsyncSidecar, made: ReservationMade) -> None:
        super().__init__(made)
        self._sidecar = sidecar

    async def commit(self, amount: Quantity | None = None) -> None:
        """As `Reservation.commit`."""
        await self._sidecar.end_reservation(self.id, "commit", amount)
        self._is_open = False

    async def release(self) -> None:
        """As `Reservation.release`."""
        await self._sidecar.end_reservation(self.id, "release", None)
        self._is_open = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_open:
            return
        if kind is None:
            await self.commit(self._used)
        else:
            await self.release()


class UsageWindow(msgspec.Struct, frozen=True):
    """A window in which usage is counted; `None`: without such an end."""

    start: datetime | None = msgspec.field(default=None, name="from")
    until: datetime | None = None


class RecordedUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Usage that was counted after the fact, in a window."""

    feature: str
    amount: Number
    window: UsageWindow
    key: str
    replayed: bool


class FeatureUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The usage of a feature in its current window.

    `limit` and `remaining` are `None` if it is unlimited. `granted`: how much of the limit is granted units.
    `overage`: units above the limit. `reserved`: units of open reservations, which `used` contains. `user_used`: by the
    user of the subject, if it names one.
    """

    feature: str
    used: Number
    reserved: Number
    unlimited: bool
    soft: bool
    window: UsageWindow
    scale: int = 0
    unit: str = ""
    user_used: Number | None = None
    limit: Number | None = None
    granted: Number | None = None
    remaining: Number | None = None
    overage: Number | None = None
    resets_at: datetime | None = None


class _Consumed(msgspec.Struct):
    consumed: Number
    key: str
    replayed: bool


class _Reserved(msgspec.Struct):
    reserved: Number
    key: str
    reservation: str = ""
    expires_at: datetime | None = None


class _Usage(msgspec.Struct):
    usage: list[FeatureUsage]


def read_consumption(content: object, decision_id: str) -> Consumption:
    """Convert JSON to a consumption; raises `ValueError` if it is none."""
    found = convert(content, _Consumed)
    return Consumption(
        answer=read_answer(content, decision_id), consumed=found.consumed, key=found.key, replayed=found.replayed
    )


def read_reservation(content: object, decision_id: str) -> ReservationMade:
    """Convert JSON to what was reserved; raises `ValueError` if it is none."""
    found = convert(content, _Reserved)
    answer = read_answer(content, decision_id)
    if answer.allowed and not found.reservation:
        raise ValueError("the body is not as documented: an allowed reservation has no id")
    return ReservationMade(answer, found.reserved, found.reservation, found.expires_at, found.key)


def read_recorded(content: object) -> RecordedUsage:
    """Convert JSON to recorded usage; raises `ValueError` if it is none."""
    return convert(content, RecordedUsage)


def read_usage(content: object) -> list[FeatureUsage]:
    """Convert JSON to the usage of features; raises `ValueError` if it is none."""
    return convert(content, _Usage).usage
