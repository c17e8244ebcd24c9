"""Reservations: units that are set aside before it is known how many are consumed. A table of transitions.

A reservation is open until it is committed (all or a part), released, or its time is over. Its units are set aside in
the leases of its holder meanwhile, so a commit always succeeds until then.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

import msgspec

from tiergate.model import Instant
from tiergate.usage.protocol import Spend


class ReservationState(Enum):
    """The state of a reservation. Ended ones are kept as long as keys, to answer repeated requests."""

    OPEN = "open"
    COMMITTED = "committed"
    RELEASED = "released"
    EXPIRED = "expired"


class ReservationEvent(Enum):
    """What can happen to a reservation."""

    COMMIT = auto()
    RELEASE = auto()
    EXPIRE = auto()


RESERVATION_TRANSITIONS: Final[dict[tuple[ReservationState, ReservationEvent], ReservationState]] = {
    (ReservationState.OPEN, ReservationEvent.COMMIT): ReservationState.COMMITTED,
    (ReservationState.OPEN, ReservationEvent.RELEASE): ReservationState.RELEASED,
    (ReservationState.OPEN, ReservationEvent.EXPIRE): ReservationState.EXPIRED,
}
"""The next state. A pair that is missing here is refused: a reservation ends once."""

RESERVATIONS_MAX: Final = 100_000
"""The most reservations that one holder keeps, open and ended ones; the ended ones are forgotten first."""


class Reservation(msgspec.Struct):
    """One reservation. `at`: when it was made, which decides the window. `spends`: what is set aside.

    `ended`: when it ended. `digest` and `answer`: of its commit.
    """

    id: str
    at: Instant
    expires: Instant
    spends: tuple[Spend, ...]
    state: ReservationState = ReservationState.OPEN
    ended: Instant = 0
    digest: bytes = b""
    answer: bytes = b""

    def copy(self) -> Reservation:
        """Return a copy that can be changed without changing this one."""
        return msgspec.structs.replace(self)
