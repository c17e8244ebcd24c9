"""The durable state of a holder of leases: what the records of its journal make of it, one after the other.

Nothing is decided here, and nothing else changes this state: so the records, read again, give the same state.
"""

from __future__ import annotations

from collections import deque
from copy import copy
from itertools import islice
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tiergate.usage.idempotency import KEY_TTL_MS, KEYS_MAX, KeptKey, KeptKeys
from tiergate.usage.journal_records import (
    BookedThrough,
    Consumed,
    LeaseRenewed,
    LeasesClosing,
    LeasesEnded,
    LeasesGranted,
    Released,
    Reserved,
    Snapshot,
    Started,
)
from tiergate.usage.leases import HELD_TRANSITIONS, HeldEvent
from tiergate.usage.reservations import (
    RESERVATION_TRANSITIONS,
    RESERVATIONS_MAX,
    Reservation,
    ReservationEvent,
    ReservationState,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tiergate.model import Instant
    from tiergate.usage.accounts import Account
    from tiergate.usage.journal_records import JournalRecord
    from tiergate.usage.leases import HeldLease
    from tiergate.usage.protocol import Spend


SNAPSHOT_PART: Final = 500
"""How many values a part of a snapshot has: encoding them takes less than a millisecond."""


class HolderState:
    """What a holder must not forget. Read the attributes; only `apply` changes them.

    `pending`: the consumptions that are not booked, in the order of their numbers. `unreported`: their sums. `leases`:
    by number, in the order of the numbers; `leases_of`: the same by account.
    """

    def __init__(self, keys_max: int = KEYS_MAX, reservations_max: int = RESERVATIONS_MAX) -> None:
        self._keys_max = keys_max
        self._reservations_max = reservations_max
        self._clear()

    def _clear(self) -> None:
        self.epoch = 0
        self.last_number = 0
        self.booked_through = 0
        self.last_lease = 0
        self.leases: dict[int, HeldLease] = {}
        self.leases_of: dict[Account, dict[int, HeldLease]] = {}
        self.pending: deque[Consumed] = deque()
        self.unreported: dict[Account, int] = {}
        self.keys = KeptKeys(self._keys_max)
        self.reservations: dict[str, Reservation] = {}
        self.open_reservations = 0

    def apply(self, record: JournalRecord) -> None:
        """Change the state as a record says.

        Raises:
            ValueError: if the record does not continue the records before it.
        """
        match record:
            case Consumed():
                self._consume(record)
            case Reserved():
                self._reserve(record)
            case Released():
                event = ReservationEvent.EXPIRE if record.expired else ReservationEvent.RELEASE
                self._end_reservation(record.id, event, record.now)
            case LeasesGranted():
                for lease in record.leases:
                    self._add_lease(lease)
            case LeaseRenewed():
                self._renew_lease(record)
            case LeasesClosing():
                self._close_leases(record.leases)
            case LeasesEnded():
                self._end_leases(record.leases)
            case BookedThrough():
                self._settle_pending(record.number)
            case Started():
                self.epoch = record.epoch
            case Snapshot():
                self._restore(record)

    def snapshot(self) -> Snapshot:
        """Return a record that stands for all records so far."""
        return join_snapshot(self.freeze())

    def freeze(self, part: int = SNAPSHOT_PART) -> Iterator[Snapshot]:
        """Return what stands for all records so far in parts of at most so many values, for `join_snapshot`.

        The parts may be read in another thread while the state changes. Only containers are copied at once: a few
        milliseconds for a million values.
        """
        numbers = Snapshot(self.epoch, self.last_number, self.booked_through, self.last_lease, (), (), (), ())
        values: tuple[tuple[str, Iterator[object]], ...] = (
            ("leases", iter([copy(lease) for lease in self.leases.values()])),
            ("pending", iter(self.pending.copy())),
            ("keys", ((key, kept.digest, kept.at, kept.answer) for key, kept in self.keys.freeze())),
            ("reservations", iter([_kept(reservation) for reservation in self.reservations.values()])),
        )
        return _parts(numbers, values, part)

    def prune(self, now: Instant) -> None:
        """Forget keys and ended reservations whose time is over. Not a change that the journal has to know."""
        self.keys.prune(now)
        while self.reservations:
            reservation = next(iter(self.reservations.values()))
            if reservation.state is ReservationState.OPEN or now - reservation.ended < KEY_TTL_MS:
                return
            del self.reservations[reservation.id]

    def _consume(self, record: Consumed) -> None:
        if record.number != self.last_number + 1:
            msg = f"consumption {record.number} follows {self.last_number}"
            raise ValueError(msg)
        if record.reservation:
            self._end_reservation(record.reservation, ReservationEvent.COMMIT, record.now, record.digest, record.answer)
        event = HeldEvent.COMMIT if record.reservation else HeldEvent.SPEND
        unreported = self.unreported
        for spend in record.spends:
            if spend.lease:
                lease = self.leases.get(spend.lease)
                if lease is not None:
                    lease.state = HELD_TRANSITIONS[lease.state, event]
                    lease.spent += spend.amount
            unreported[spend.account] = unreported.get(spend.account, 0) + spend.amount
        self.last_number = record.number
        self.pending.append(record)
        if record.key:
            self.keys.keep(record.key, KeptKey(record.digest, record.now, record.answer))

    def _reserve(self, record: Reserved) -> None:
        for spend in record.spends:
            lease = self.leases.get(spend.lease)
            if lease is not None:
                lease.state = HELD_TRANSITIONS[lease.state, HeldEvent.RESERVE]
                lease.reserved += spend.amount
        self.reservations[record.id] = Reservation(record.id, record.at, record.expires, record.spends)
        self.open_reservations += 1
        if record.key:
            self.keys.keep(record.key, KeptKey(record.digest, record.now, record.answer))
        if len(self.reservations) > self._reservations_max:
            ended = (id_ for id_, kept in self.reservations.items() if kept.state is not ReservationState.OPEN)
            oldest = next(ended, None)
            if oldest is not None:
                del self.reservations[oldest]

    def _end_reservation(
        self, id_: str, event: ReservationEvent, now: Instant, digest: bytes = b"", answer: bytes = b""
    ) -> None:
        reservation = self.reservations.get(id_)
        if reservation is None:
            msg = f"there is no reservation `{id_}`"
            raise ValueError(msg)
        reservation.state = RESERVATION_TRANSITIONS[reservation.state, event]
        self.open_reservations -= 1
        reservation.ended, reservation.digest, reservation.answer = now, digest, answer
        for spend in reservation.spends:
            lease = self.leases.get(spend.lease)
            if lease is not None:
                lease.state = HELD_TRANSITIONS[lease.state, HeldEvent.COMMIT]
                lease.reserved -= spend.amount

    def _add_lease(self, lease: HeldLease) -> None:
        self.last_lease = max(self.last_lease, lease.number)
        lease = lease.copy()  # the record is immutable
        self.leases[lease.number] = lease
        self.leases_of.setdefault(lease.account, {})[lease.number] = lease

    def _renew_lease(self, record: LeaseRenewed) -> None:
        lease = self.leases[record.lease]
        lease.state = HELD_TRANSITIONS[lease.state, HeldEvent.RENEW]
        lease.expires = record.expires

    def _close_leases(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            lease = self.leases[number]
            if lease.reserved:
                msg = f"lease {number} has reserved units"
                raise ValueError(msg)
            lease.state = HELD_TRANSITIONS[lease.state, HeldEvent.CLOSE]

    def _end_leases(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            lease = self.leases.pop(number, None)
            if lease is None:
                continue
            lease.state = HELD_TRANSITIONS[lease.state, HeldEvent.END]
            held = self.leases_of[lease.account]
            del held[number]
            if not held:
                del self.leases_of[lease.account]

    def _settle_pending(self, number: int) -> None:
        while self.pending and self.pending[0].number <= number:
            self._forget_unreported(self.pending.popleft().spends)
        self.booked_through = max(self.booked_through, number)
        self.last_number = max(self.last_number, number)

    def _forget_unreported(self, spends: Iterable[Spend]) -> None:
        for spend in spends:
            left = self.unreported[spend.account] - spend.amount
            if left:
                self.unreported[spend.account] = left
            else:
                del self.unreported[spend.account]

    def _restore(self, snapshot: Snapshot) -> None:
        self._clear()
        self.epoch = snapshot.epoch
        self.last_number = snapshot.last_number
        self.booked_through = snapshot.booked_through
        for lease in snapshot.leases:
            self._add_lease(lease)
        self.last_lease = snapshot.last_lease
        for record in snapshot.pending:
            self.pending.append(record)
            for spend in record.spends:
                self.unreported[spend.account] = self.unreported.get(spend.account, 0) + spend.amount
        for key, digest, at, answer in snapshot.keys:
            self.keys.keep(key, KeptKey(digest, at, answer))
        for reservation in snapshot.reservations:
            self.reservations[reservation.id] = reservation.copy()
            self.open_reservations += reservation.state is ReservationState.OPEN


def join_snapshot(parts: Iterable[Snapshot]) -> Snapshot:
    """Return the whole of what `HolderState.freeze` returns."""
    first, *others = parts
    return replace(
        first,
        leases=tuple(it for part in others for it in part.leases),
        pending=tuple(it for part in others for it in part.pending),
        keys=tuple(it for part in others for it in part.keys),
        reservations=tuple(it for part in others for it in part.reservations),
    )


def _kept(reservation: Reservation) -> Reservation:
    """Return a reservation that does not change any more."""
    return reservation.copy() if reservation.state is ReservationState.OPEN else reservation


def _parts(numbers: Snapshot, values: Iterable[tuple[str, Iterator[object]]], part: int) -> Iterator[Snapshot]:
    yield numbers
    for name, found in values:
        while some := tuple(islice(found, part)):
            yield replace(numbers, **{name: some})
