"""What counts usage in a sidecar. One protocol for a sidecar that counts alone, and for one that has leases.

A consumption is decided by the check service with the usage that the meter returns, and debited in the same turn of the
event loop; `prepare` runs before, and may wait for leases. Nothing is answered before `Done` is called: then it is on
disk, or it is not counted.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tiergate.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tiergate.errors import JournalError
    from tiergate.model import Feature, Instant, MeteredUsage, Subject
    from tiergate.sidecar.metrics import UsageReport
    from tiergate.sidecar.usage.book_records import EndedReservation, Entry, KeyUse, Reservation
    from tiergate.sidecar.usage.usage_service import UsageCounts
    from tiergate.usage.accounts import Debit

    Done = Callable[[JournalError | None], None]


class Draft(NamedTuple):
    """A change of usage that is not made yet: `entries` of accounts; who and what it concerns, for caches.

    With leases: `debits`, the entries as the holder debits them; `unleased`, whether they count without leases.
    """

    entries: tuple[Entry, ...]
    customer: str
    subscriptions: tuple[str, ...]
    features: tuple[str, ...]
    debits: tuple[Debit, ...] = ()
    unleased: bool = False


class Meter(Protocol):
    """Counts usage. It belongs to the event loop's thread; `usage_of` is the engine's `UsageSource`."""

    def usage_of(self, subject: Subject, feature: Feature, now: Instant) -> MeteredUsage:
        """Return the usage of a metered feature that decisions rest on."""
        ...

    def reserved(self, subject: Subject, feature: Feature, now: Instant) -> int:
        """Return the units of open reservations in the current window of a subject."""
        ...

    def prepare(self, subject: Subject, feature: Feature, amount: int, now: Instant) -> Awaitable[None] | None:
        """Get what is needed to consume an amount, as far as it can be had; `None` if nothing must be waited for.

        After it, `usage_of` allows no more than what was had, and `count` in the same turn of the loop counts it.

        Raises:
            RequestError: 503, nothing can be counted now; the awaitable raises it too.
        """
        ...

    def draft(self, subject: Subject, feature: Feature, amount: int, now: Instant, at: Instant | None = None) -> Draft:
        """Return the change that a consumption makes, now or `at` an earlier instant.

        Raises:
            RequestError: 409, the window of that instant is not open any more, or not yet.
        """
        ...

    def find_key(self, key: bytes, now: Instant) -> KeyUse | None:
        """Return what an idempotency key was used for."""
        ...

    def count(self, draft: Draft, at: Instant, key: KeyUse | None, done: Done) -> None:
        """Count usage of an instant.

        Raises:
            RequestError: 503, it cannot be counted now.
        """
        ...

    def reserve(self, draft: Draft, reservation: Reservation, now: Instant, key: KeyUse | None, done: Done) -> None:
        """Set units aside."""
        ...

    def reservation(self, id_: str) -> Reservation | EndedReservation | None:
        """Return a reservation, also for a while after its end."""
        ...

    def end(self, reservation: Reservation, consumed: int, now: Instant, *, committed: bool, done: Done) -> None:
        """End a reservation: so many units are used, the others are given back."""
        ...

    def sync(self, done: Done) -> None:
        """Call `done` when everything before is on disk."""
        ...

    def report(self, counts: UsageCounts) -> UsageReport:
        """Return what `/status` and the metrics show; `counts`: of requests."""
        ...


class MeterAbsence(Enum):
    """Why nothing is counted in a sidecar: callers say what was used."""

    NO_DATA_FOLDER = auto()
    READ_ONLY_FOLDER = auto()

    def error(self) -> RequestError:
        """Return it as the answer to a request."""
        match self:
            case MeterAbsence.NO_DATA_FOLDER:
                detail = "this sidecar has no folder that keeps usage: start it with the setting `data`"
            case MeterAbsence.READ_ONLY_FOLDER:
                return RequestError(503, "usage not written", "the data folder of this sidecar cannot be written")
        return RequestError(501, "usage not counted", detail)
