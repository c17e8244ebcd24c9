"""The clock: makes an event of what begins or ends by itself, at its instant, with what it changes.

What fell while no control plane ran is told at the next start, once, in order, with its own instants. INVARIANT (told
once): who tells something locks its customer, grant or window first, and moves its `next_at` in the same transaction. A
change of a customer tells first what was due before it, because the clock could not any more.

Entitlements are those of the catalog that is published when they are told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import msgspec

from tiergate.admin.clock_boundaries import boundaries_of, catalog_boundaries, next_boundary
from tiergate.admin.entitlement_changes import changes_between, entitlement_changes, features_of_items
from tiergate.admin.entitlements_by_shape import EntitlementsByShape
from tiergate.admin.status_clock import tell_statuses
from tiergate.impact.subject_change.change_effects import catalog_definitions
from tiergate.model import SubjectRecord, format_instant
from tiergate.store import SYSTEM
from tiergate.store.clock import (
    UNKNOWN,
    claim_grant,
    claim_window,
    due_at,
    due_grants,
    due_records,
    due_windows,
    is_rollover,
    publication_before,
    read_catalog_told,
    set_next_of_record,
    write_catalog_told,
)
from tiergate.store.customers import lock_customers
from tiergate.store.outbox import Event, EventType
from tiergate.store.shared_changes import WatchedRecord
from tiergate.store.usage_events import ended_event, limit_changes, number_data, opens_with_use, started_event
from tiergate.store.usage_grants import lock_account
from tiergate.store.usage_ledger import LedgerCall
from tiergate.usage.accounts import Account, Scope
from tiergate.usage.ledger_records import Needs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlmodel import Session

    from tiergate.admin.clock_boundaries import Boundary
    from tiergate.impact.subject_change.change_effects import CatalogDefinitions
    from tiergate.model import Instant, Interval
    from tiergate.store import Store, WriteUnit
    from tiergate.store.shared_changes import RecordMove
    from tiergate.store.units import PublishedCatalog
    from tiergate.store.usage_events import EndedWindow
    from tiergate.store.usage_ledger import UsageLedger
    from tiergate.store.usage_state import StoredGrant
    from tiergate.usage.ledger import Ledger

_AT_ONCE: Final = 50

T = TypeVar("T")

_decode: Final = msgspec.json.Decoder(SubjectRecord | None).decode


class _Catalog(NamedTuple):
    sequence: int
    boundaries: list[Boundary]


class Clock:
    """Tells what the clock does in one store."""

    def __init__(self, store: Store, ledger: UsageLedger) -> None:
        """Watch the changes of customers from now on."""
        self._store = store
        self._ledger = ledger
        self._catalog = _Catalog(-1, [])
        self._kept: EntitlementsByShape | None = None
        store.records_watch = self.watch

    def tick(self) -> int:
        """Tell everything that is due; return how many rows had something to tell.

        Raises:
            StoreError: the database cannot be used; what was not told yet is told later.
        """
        count = self._tell_catalog() + tell_statuses(self._store)
        while True:
            due = self._store.read(due_at)
            if due is None or due > self._store.clock():
                return count
            count += self._tell_records() + self._tell_grants() + self._tell_all_windows()

    # ── changes of customers ─────────────────────────────────────────────────────────────────────────────────────────

    def watch(self, session: Session, sequence: int, moves: Sequence[RecordMove]) -> list[WatchedRecord]:
        """Return the events of changed records, and when something begins or ends in each next.

        `sequence`: the publication in force.
        """
        source = _source(self._store.published_state(session, sequence))
        kept = self._kept
        if kept is None or kept.source is not source:
            kept = self._kept = EntitlementsByShape(source)
        found: list[WatchedRecord] = []
        next_at: dict[str, Instant | None] = {}
        for move in moves:
            before, after = _decode(move.before), _decode(move.after)
            due = next_at.get(move.customer, move.next_at)
            earlier: list[Event] = []
            if before is not None and due is not None and UNKNOWN < due <= move.at:
                earlier = _told(before, due, move.at, source)
            changes = changes_between(before, after, move.at, kept)
            next_at[move.customer] = None if after is None else next_boundary(after, move.at)
            event = _changed(move.customer, move.at, changes)
            found.append(WatchedRecord(earlier, event, next_at[move.customer]))
        return found

    # ── what is due ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _tell_records(self) -> int:
        ids = [row.customer for row in self._store.read(lambda unit: due_records(unit, _AT_ONCE))]
        return self._store.change(lambda unit: self._tell_customers(unit, ids), SYSTEM) if ids else 0

    def _tell_customers(self, unit: WriteUnit, ids: list[str]) -> int:
        lock_customers(unit, ids)
        source = _source(unit.published)
        rows = due_records(unit, _AT_ONCE, ids)
        for row in rows:
            record = _decode(row.record)
            if record is None:
                continue
            if row.next_at > UNKNOWN:
                for event in _told(record, row.next_at, unit.now, source):
                    unit.emit(event.type, event.data, event.at)
            set_next_of_record(unit, row.customer, next_boundary(record, unit.now))
        for at, event in self._ledger.check_customers(unit.session, [row.customer for row in rows]):
            unit.emit(event.type, event.data, at)
        return len(rows)

    def _tell_grants(self) -> int:
        due = self._store.read(lambda unit: due_grants(unit, _AT_ONCE))
        for stored, next_at in due:
            self._store.change(lambda unit: self._tell_grant(unit, stored, next_at), SYSTEM)  # noqa: B023
        return len(due)

    def _tell_grant(self, unit: WriteUnit, stored: StoredGrant, at: Instant) -> None:
        lock_account(unit, stored.customer, stored.feature)
        found = claim_grant(unit, stored, at)
        if found is None:
            return
        left = max(0, found.grant.amount - found.spent)
        if is_rollover(found) and not left:
            return
        account = Account(found.feature, Scope.CUSTOMER, found.customer, "", at)
        before, after = self._ledger.run_within(
            unit, _call(account, lambda ledger: (ledger.limit_at(account, at - 1), ledger.limit_at(account, at)))
        )
        index = unit.published.index
        data: dict[str, object] = {
            "customer": found.customer,
            "feature": found.feature,
            "grant": found.grant.id,
            "amount": number_data(index, found.feature, found.grant.amount),
            "remaining": number_data(index, found.feature, left),
            "entitlements": limit_changes(index, found.feature, before, after),
        }
        is_end = at == found.grant.until
        unit.emit(EventType.GRANT_ENDED if is_end else EventType.GRANT_STARTED, data, at)
        if before != after:
            changed = _changed(found.customer, at, limit_changes(index, found.feature, before, after))
            unit.emit(changed.type, changed.data, at)
        for _, event in self._ledger.check_customers(unit.session, [found.customer]):
            unit.emit(event.type, event.data)

    def _tell_all_windows(self) -> int:
        due = self._store.read(lambda unit: due_windows(unit, _AT_ONCE))
        if due:
            self._store.change(lambda unit: self._tell_windows_of(unit, due), SYSTEM)
        return len(due)

    def _tell_windows_of(self, unit: WriteUnit, due: list[EndedWindow]) -> None:
        for window in sorted(due):
            claimed = claim_window(unit, window)
            if claimed is not None and self._ledger.tell_windows:
                self._tell_window(unit, claimed)

    def _tell_window(self, unit: WriteUnit, ended: EndedWindow) -> None:
        index, account = unit.published.index, ended.account
        unit.emit(*ended_event(ended, index))

        def next_window(ledger: Ledger) -> tuple[Interval | None, int | None]:
            return ledger.window_of(account, ended.until), ledger.limit_at(account, ended.until)

        following, limit = self._ledger.run_within(unit, _call(account, next_window))
        follows = following is not None and following.start == ended.until
        if following is not None and follows and not opens_with_use(index, account.feature):
            unit.emit(*started_event(account, following, limit, index))

    # ── the catalog ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _tell_catalog(self) -> int:
        published, told = self._store.read(lambda unit: (unit.published, read_catalog_told(unit)))
        if self._catalog.sequence != published.sequence:
            self._catalog = _Catalog(published.sequence, catalog_boundaries(published.catalog))
        now = self._store.clock()
        if not any(told < boundary.at <= now for boundary in self._catalog.boundaries):
            return 0
        return self._store.change(self._tell_catalog_now, SYSTEM)

    def _tell_catalog_now(self, unit: WriteUnit) -> int:
        told = read_catalog_told(unit, lock=True)
        due = [it for it in catalog_boundaries(unit.published.catalog) if told < it.at <= unit.now]
        count = 0
        for boundary in sorted(due, key=lambda it: it.at):
            # Only what was scheduled began by itself: what was published to begin at once has an event already.
            before = unit.published_at(publication_before(unit, boundary.at)).catalog
            if boundary in catalog_boundaries(before):
                unit.emit(boundary.type, boundary.ids, boundary.at)
                count += 1
        write_catalog_told(unit, unit.now)
        return count


def _told(record: SubjectRecord, start: Instant, until: Instant, source: CatalogDefinitions) -> list[Event]:
    """Return the events of what begins and ends in a record from one instant to another, both included."""
    events: list[Event] = []
    due = [boundary for boundary in boundaries_of(record) if start <= boundary.at <= until]
    for at in dict.fromkeys(boundary.at for boundary in due):
        group = [boundary for boundary in due if boundary.at == at]
        concerned = [frozenset(it.features) | features_of_items(it.items, source) for it in group]
        features = frozenset[str]().union(*concerned)
        changes = entitlement_changes(((record, at - 1), (record, at)), features, source)
        for boundary, its in zip(group, concerned, strict=True):
            entitlements = [change for change in changes if change["feature"] in its]
            events.append(Event(boundary.type, {**boundary.ids, "entitlements": entitlements}, at))
        if changes:
            events.append(_changed(record.customer.id, at, changes))
    return events


def _changed(customer: str, at: Instant, changes: list[dict[str, object]]) -> Event:
    data = {"customer": customer, "at": format_instant(at), "entitlements": changes}
    return Event(EventType.ENTITLEMENTS_CHANGED, data, at)


def _source(published: PublishedCatalog) -> CatalogDefinitions:
    return catalog_definitions(published.catalog, published.index)


def _call(account: Account, act: Callable[[Ledger], T]) -> LedgerCall[T]:
    return LedgerCall(Needs("", frozenset({account}), frozenset(), frozenset(), all_leases=False), act)
