"""The book of a sidecar that counts alone: usage by account and window, reservations, and idempotency keys.

Pure: no I/O, no clock. Every change is a record (`book_records`): `apply` makes it, and `undo` takes the newest ones
back in reverse order. INVARIANT (one book): the records of the journal, in their order, give the same book again.

An account's windows do not overlap, and the last one is the newest. Values are immutable, so that a copy of the
containers is a copy of the book.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from tiergate.sidecar.usage.book_records import (
    AccountId,
    AccountState,
    Ended,
    EndedReservation,
    Entry,
    KeyState,
    KeyUse,
    Nothing,
    Reservation,
    Reserved,
    Used,
    WindowUse,
    encode_record,
)
from tiergate.usage.idempotency import KEY_TTL_MS, KeptKey, KeptKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiergate.model import Instant
    from tiergate.sidecar.usage.book_records import BookRecord

DEFAULT_KEYS = 250_000
"""How many idempotency keys are kept by default."""


_STEP = 500
"""How many accounts are looked at in one step."""


class Book:
    """Usage, reservations and keys. Others only read the attributes. `most_keys`: the oldest beyond are forgotten."""

    def __init__(self, most_keys: int = DEFAULT_KEYS) -> None:
        self.accounts: dict[AccountId, AccountState] = {}
        self.reservations: dict[str, Reservation] = {}
        self.ended: dict[str, EndedReservation] = {}
        self.keys = KeptKeys(most_keys)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def windows(self, account: AccountId) -> tuple[WindowUse, ...]:
        """Return the windows of an account that are known, the newest last."""
        state = self.accounts.get(account)
        return () if state is None else state.windows

    def find_key(self, key: bytes, now: Instant) -> KeyUse | None:
        """Return what a key was used for, if that is not too long ago."""
        kept = self.keys.find(key, now)
        return None if kept is None else KeyUse(key, kept.digest, kept.answer, kept.at)

    # ── changing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def apply(self, record: BookRecord) -> None:
        """Make a change."""
        match record:
            case Used(_, entries, key):
                for entry in entries:
                    self._enter(entry, 1)
                if key is not None:
                    self._keep(key)
            case Reserved(_, reservation, key):
                for entry in reservation.entries:
                    self._enter(entry, 1)
                self.reservations[reservation.id] = reservation
                if key is not None:
                    self._keep(key)
            case Ended(id_, at, state, consumed, entries):
                for entry in entries:
                    self._enter(entry, 1)
                reservation = self.reservations.pop(id_)
                self.ended[id_] = EndedReservation(reservation, at, state, consumed)
            case _:
                self._restore(record)

    def undo(self, record: BookRecord) -> None:
        """Take back the newest change. A window that it opened stays, without usage."""
        match record:
            case Used(_, entries, key):
                self._revert(entries, key)
            case Reserved(_, reservation, key):
                self._revert(reservation.entries, key)
                del self.reservations[reservation.id]
            case Ended(id_, entries=entries):
                self._revert(entries, None)
                self.reservations[id_] = self.ended.pop(id_).reservation
            case Nothing():
                pass
            case _:
                raise TypeError(f"a {type(record).__name__} is no change")

    def _restore(self, record: BookRecord) -> None:
        """Add a part of a snapshot."""
        match record:
            case AccountState(account):
                self.accounts[account] = record
            case Reservation(id_):
                self.reservations[id_] = record
            case EndedReservation(reservation):
                self.ended[reservation.id] = record
            case KeyState(use):
                self._keep(use)
            case _:  # `Nothing` changes nothing
                pass

    def _revert(self, entries: tuple[Entry, ...], key: KeyUse | None) -> None:
        for entry in reversed(entries):
            self._enter(entry, -1)
        if key is not None:
            self.keys.forget(key.key)

    def _keep(self, use: KeyUse) -> None:
        self.keys.keep(use.key, KeptKey(use.digest, use.at, use.answer))

    def _enter(self, entry: Entry, sign: int) -> None:
        id_, start = entry.account, entry.start
        state = self.accounts.get(id_)
        if state is None:
            new = _entered(WindowUse(start, entry.until), entry, sign, entry.until)
            self.accounts[id_] = AccountState(id_, (new,))
            return
        windows = state.windows
        last = windows[-1]
        if last.start == start:  # nearly always
            changed = (*windows[:-1], _entered(last, entry, sign, entry.until))
            self.accounts[id_] = AccountState(id_, changed)
            return
        place = bisect_left(windows, start, key=lambda window: window.start)
        if place < len(windows) and windows[place].start == start:
            old = windows[place]
            changed = (*windows[:place], _entered(old, entry, sign, old.until), *windows[place + 1 :])
        else:
            new = _entered(WindowUse(start, entry.until), entry, sign, entry.until)
            changed = (*windows[:place], new, *windows[place:])
        self.accounts[id_] = AccountState(id_, changed)

    # ── forgetting ───────────────────────────────────────────────────────────────────────────────────────────────────

    def forget_old(self, now: Instant, is_over: Callable[[AccountId, WindowUse], bool]) -> Iterator[None]:
        """Forget keys and ended reservations whose time is over, and windows that `is_over` says are; in short steps.

        The book may change between the steps.
        """
        self.keys.prune(now)
        for id_ in [id_ for id_, ended in self.ended.items() if now - ended.at >= KEY_TTL_MS]:
            del self.ended[id_]
        for number, account in enumerate(list(self.accounts)):
            if number % _STEP == 0:
                yield
            state = self.accounts[account]
            kept = tuple(window for window in state.windows if window.reserved or not is_over(account, window))
            if not kept:
                del self.accounts[account]
            elif len(kept) < len(state.windows):
                self.accounts[account] = AccountState(account, kept)

    def snapshot(self) -> Iterator[bytes]:
        """Return the records that give this book as it is now, even if it changes while they are read."""
        states: list[BookRecord] = [*self.accounts.values(), *self.reservations.values(), *self.ended.values()]
        return _encoded(states, self.keys.freeze())


def _encoded(states: list[BookRecord], keys: Iterator[tuple[bytes, KeptKey]]) -> Iterator[bytes]:
    for state in states:
        yield encode_record(state)
    for key, kept in keys:
        yield encode_record(KeyState(KeyUse(key, kept.digest, kept.answer, kept.at)))


def _entered(window: WindowUse, entry: Entry, sign: int, until: Instant) -> WindowUse:
    """Return a window with an entry, or with -1 without it; what rolled over into it stays."""
    used, reserved = window.used + sign * entry.used, window.reserved + sign * entry.reserved
    if entry.source is None is window.source and not (entry.overage or window.overage):  # nearly always
        return WindowUse(window.start, until, used, reserved)
    granted, source = (window.granted, window.source) if entry.source is None else (entry.granted, entry.source)
    from_grant, overage = window.from_grant + sign * entry.from_grant, window.overage + sign * entry.overage
    return WindowUse(window.start, until, used, reserved, granted, source, from_grant, overage)
