"""The holder of leases: what a sidecar does between its callers and the ledger.

It decides on `HolderState`, and changes it only by records, which its caller writes to a journal. It reads no clock and
does no I/O. Rules that its caller keeps:

1. It applies all records of the journal, then begins an epoch (`start`).
2. It answers a consumption only after the record is durable.
3. It sends a request only after the records of the request, and all before them, are durable.
4. It sends the same request until there is a reply: a request without a reply may have taken effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.usage.accounts import AMOUNT_MAX
from tiergate.usage.exchanges import Exchanges
from tiergate.usage.holder_state import HolderState, join_snapshot
from tiergate.usage.idempotency import KEYS_MAX
from tiergate.usage.journal_records import Consumed, Released, Reserved
from tiergate.usage.leases import DEFAULT_PACE
from tiergate.usage.protocol import Need, Spend
from tiergate.usage.reservations import RESERVATIONS_MAX, ReservationState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.model import Instant
    from tiergate.usage.accounts import Account, Consumption, Debit, Figures
    from tiergate.usage.exchanges import Outgoing, Received
    from tiergate.usage.journal_records import JournalRecord, Snapshot, Started
    from tiergate.usage.leases import Pace
    from tiergate.usage.protocol import Fault, Reply
    from tiergate.usage.reservations import Reservation


class HolderLimits(NamedTuple):
    """Limits of one holder. `pending_max`: consumptions that are not booked, which bounds the journal."""

    pending_max: int = 1_000_000
    keys_max: int = KEYS_MAX
    reservations_max: int = RESERVATIONS_MAX


DEFAULT_LIMITS: Final = HolderLimits()
"""The limits unless something else is set."""


class Spent(NamedTuple):
    """The consumption counts. Append `record`; answer when it is durable."""

    record: Consumed


class SetAside(NamedTuple):
    """The units are reserved. Append `record`; answer when it is durable."""

    record: Reserved


class Repeated(NamedTuple):
    """The same request was answered before, with `answer`. Answer when all records so far are durable."""

    answer: bytes


class Conflicting(NamedTuple):
    """The key, or the reservation's commit, stands for another content."""


class Short(NamedTuple):
    """The leases do not cover it. Pass `needs` to `demand`, and try again after the reply."""

    needs: tuple[Need, ...]


class Full(NamedTuple):
    """A limit of the holder is reached, and nothing was counted. An exchange makes room."""


class NotReserved(NamedTuple):
    """The reservation is not open. `state`: how it ended; `None`: it is unknown, or forgotten."""

    state: ReservationState | None


class TooMuch(NamedTuple):
    """The commit is of more than what is reserved, or of another account."""


class HeldUsage(NamedTuple):
    """What a holder knows about an account. `figures`: the ledger's last ones.

    `unreported`: units consumed here that are not in `figures`. `left`, `reserved`: units of this holder's leases.
    """

    figures: Figures | None
    unreported: int
    left: int
    reserved: int


class Holder:
    """The holder with one identity, in one process."""

    def __init__(
        self, identity: str, instance: bytes, limits: HolderLimits = DEFAULT_LIMITS, pace: Pace = DEFAULT_PACE
    ) -> None:
        """`identity`: of this disk. `instance`: random bytes of this process."""
        self.identity = identity
        self.state = HolderState(limits.keys_max, limits.reservations_max)
        self._limits = limits
        self._exchanges = Exchanges(self.state, identity, instance, pace)

    # ── the journal ──────────────────────────────────────────────────────────────────────────────────────────────────

    def apply(self, record: JournalRecord) -> None:
        """Apply a record of the journal, before `start`; raises `ValueError` if it does not continue the others."""
        try:
            self.state.apply(record)
        except KeyError as error:
            msg = f"a record of a lease or reservation that is not in this state: {error}"
            raise ValueError(msg) from error

    def start(self, now: Instant) -> Started:
        """Begin an epoch: the first record of a process."""
        self.state.prune(now)
        return self._exchanges.start()

    def snapshot(self, now: Instant) -> Snapshot:
        """Return a record that stands for all records so far."""
        return join_snapshot(self.freeze(now))

    def freeze(self, now: Instant) -> Iterator[Snapshot]:
        """Return the same in parts, which may be read in another thread (`HolderState.freeze`)."""
        self.state.prune(now)
        return self.state.freeze()

    # ── consumptions ─────────────────────────────────────────────────────────────────────────────────────────────────

    def consume(
        self, consumption: Consumption, answer: bytes, now: Instant, *, unleased: bool = False
    ) -> Spent | Repeated | Conflicting | Short | Full:
        """Consume all of the debits, or nothing.

        `answer`: kept for the key. `unleased`: what leases do not cover is consumed all the same (a feature that allows
        it offline, and usage that was reported after the fact); it is booked later, whatever the ceiling.

        Raises:
            ValueError: if an amount is not 1 to `AMOUNT_MAX`, or an account is named twice.
        """
        found = self._find(consumption, now)
        if found is not None:
            return found
        spends = self._cover(consumption.debits, consumption.at, now, unleased=unleased)
        if isinstance(spends, Short):
            return spends
        key = consumption.key
        record = Consumed(
            self.state.last_number + 1,
            consumption.at,
            spends,
            key,
            consumption.digest if key else b"",
            answer if key else b"",
            now if key else 0,
        )
        self.state.apply(record)
        self._exchanges.note_consumed(record, now)
        return Spent(record)

    def reserve(
        self, id_: str, consumption: Consumption, answer: bytes, expires: Instant, now: Instant
    ) -> SetAside | Repeated | Conflicting | Short | Full:
        """Set all of the debits aside until `expires`, or nothing. `id_`: a new id. Raises as `consume`."""
        found = self._find(consumption, now)
        if found is not None:
            return found
        if self.state.open_reservations >= self._limits.reservations_max:
            return Full()
        spends = self._cover(consumption.debits, consumption.at, now, unleased=False)
        if isinstance(spends, Short):
            return spends
        key = consumption.key
        record = Reserved(id_, consumption.at, expires, spends, key, consumption.digest, answer, now)
        self.state.apply(record)
        return SetAside(record)

    def commit(
        self, id_: str, debits: tuple[Debit, ...] | None, digest: bytes, answer: bytes, now: Instant
    ) -> Spent | Repeated | Conflicting | NotReserved | TooMuch | Full:
        """Consume a part of what is reserved, and release the rest. `debits`: `None` for all of it."""
        reservation = self.state.reservations.get(id_)
        if reservation is not None and reservation.state is ReservationState.COMMITTED:
            return Repeated(reservation.answer) if reservation.digest == digest else Conflicting()
        ended = _how_it_ended(reservation, now)
        if ended is not None or reservation is None:
            return NotReserved(ended)
        if len(self.state.pending) >= self._limits.pending_max:
            return Full()
        spends = reservation.spends if debits is None else _part_of(reservation.spends, debits)
        if spends is None:
            return TooMuch()
        record = Consumed(self.state.last_number + 1, reservation.at, spends, b"", digest, answer, now, reservation=id_)
        self.state.apply(record)
        self._exchanges.note_consumed(record, now)
        return Spent(record)

    def release(self, id_: str, now: Instant) -> Released | NotReserved:
        """Release a reservation. Append the record; answer when it is durable."""
        ended = _how_it_ended(self.state.reservations.get(id_), now)
        if ended is not None or id_ not in self.state.reservations:
            return NotReserved(ended)
        record = Released(id_, now)
        self.state.apply(record)
        return record

    def expire(self, now: Instant) -> list[Released]:
        """Release the reservations whose time is over. Append the records."""
        over = [
            reservation.id
            for reservation in self.state.reservations.values()
            if reservation.state is ReservationState.OPEN and reservation.expires <= now
        ]
        records = [Released(id_, now, expired=True) for id_ in over]
        for record in records:
            self.state.apply(record)
        return records

    def shortage(self, debits: tuple[Debit, ...], at: Instant, now: Instant) -> tuple[Need, ...]:
        """Return what leases do not cover of a consumption: what `consume` would be short of."""
        covered = self._cover(debits, at, now, unleased=False)
        return covered.needs if isinstance(covered, Short) else ()

    def usage_of(self, account: Account) -> HeldUsage:
        """Return what is known about an account."""
        leases = self.state.leases_of.get(account, {}).values()
        return HeldUsage(
            self._exchanges.figures.get(account),
            self.state.unreported.get(account, 0),
            sum(lease.left for lease in leases),
            sum(lease.reserved for lease in leases),
        )

    # ── exchanges with the ledger ────────────────────────────────────────────────────────────────────────────────────

    @property
    def fault(self) -> Fault | None:
        """Why the ledger refuses this process for good: it must not count any more under its identity."""
        return self._exchanges.fault

    @property
    def disagreements(self) -> int:
        """How many leases were settled with other figures than the ledger's: 0, unless something is wrong."""
        return self._exchanges.disagreements

    @property
    def has_greeted(self) -> bool:
        """Whether the ledger has replied in this epoch: since then both ends agree."""
        return self._exchanges.has_greeted

    @property
    def has_request_in_flight(self) -> bool:
        """Whether a request was made that has no reply yet: send it again after some time."""
        return self._exchanges.has_request_in_flight

    def demand(self, needs: tuple[Need, ...], at: Instant) -> int:
        """Ask for units in the next request. Return a ticket, which `receive` answers; never if there is a `fault`."""
        return self._exchanges.demands.add(needs, at)

    def look(self, account: Account, at: Instant) -> None:
        """Ask in the next request for the figures of an account, in the window of an instant."""
        self._exchanges.demands.look(account, at)

    def give_back(self) -> None:
        """Settle all leases with the next requests, because nothing will be consumed; reserved units are kept."""
        self._exchanges.give_back()

    def due(self, now: Instant) -> Instant:
        """Return when `next_request` should be called: `now` or later; `FOREVER` while a request is in flight."""
        return self._exchanges.due(now)

    def next_request(self, now: Instant) -> Outgoing | None:
        """Return the request to send: the one in flight, or a new one; none if there is nothing to say.

        Append its records each time: they come only once.
        """
        return self._exchanges.next_request(now)

    def receive(self, reply: Reply, now: Instant) -> Received:
        """Act on a reply. One that is not to the request in flight changes nothing.

        `now`: when it came; so the holder knows how long the ledger takes, and leases for longer where that is long.
        """
        return self._exchanges.receive(reply, now)

    # ── shared ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _find(self, consumption: Consumption, now: Instant) -> Repeated | Conflicting | Full | None:
        """Return the answer to a consumption whose key is known, or that there is no room for."""
        _check(consumption.debits)
        if consumption.key:
            kept = self.state.keys.find(consumption.key, now)
            if kept is not None:
                return Repeated(kept.answer) if kept.digest == consumption.digest else Conflicting()
        if len(self.state.pending) >= self._limits.pending_max:
            return Full()
        unreported = self.state.unreported
        too_much = any(unreported.get(debit.account, 0) + debit.amount > AMOUNT_MAX for debit in consumption.debits)
        return Full() if too_much else None

    def _cover(
        self, debits: tuple[Debit, ...], at: Instant, now: Instant, *, unleased: bool
    ) -> tuple[Spend, ...] | Short:
        """Return what the debits spend from which leases, the oldest first."""
        spends = []
        short = []
        for debit in debits:
            missing = debit.amount
            if debit.bounded:
                for lease in self.state.leases_of.get(debit.account, {}).values():
                    taken = min(missing, lease.left)
                    if taken and lease.is_spendable(now) and at < lease.until:
                        spends.append(Spend(debit.account, taken, lease.number))
                        missing -= taken
                        if not missing:
                            break
            if not missing:
                continue
            if debit.bounded and not unleased:
                short.append(Need(debit.account, missing, missing))
            else:
                spends.append(Spend(debit.account, missing))
        return Short(tuple(short)) if short else tuple(spends)


def _check(debits: tuple[Debit, ...]) -> None:
    if not all(1 <= debit.amount <= AMOUNT_MAX for debit in debits):
        msg = "an amount is out of range"
        raise ValueError(msg)
    if len(debits) > 1 and len({debit.account for debit in debits}) < len(debits):
        msg = "an account is debited twice"
        raise ValueError(msg)


def _how_it_ended(reservation: Reservation | None, now: Instant) -> ReservationState | None:
    if reservation is None:
        return None
    if reservation.state is ReservationState.OPEN:
        return ReservationState.EXPIRED if reservation.expires <= now else None
    return reservation.state


def _part_of(reserved: tuple[Spend, ...], debits: tuple[Debit, ...]) -> tuple[Spend, ...] | None:
    """Return the spends of a part of a reservation; `None` if it is not a part."""
    missing = {debit.account: debit.amount for debit in debits}
    spends = []
    for spend in reserved:
        taken = min(spend.amount, missing.get(spend.account, 0))
        if taken:
            spends.append(Spend(spend.account, taken, spend.lease))
            missing[spend.account] -= taken
    return None if any(missing.values()) else tuple(spends)
