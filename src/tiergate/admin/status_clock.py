"""The clock of status: reports that begin and end by themselves, and monitors that fall silent (see `clock`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.admin.status_changes import tell_due
from tiergate.admin.status_monitors import fall_silent
from tiergate.store import SYSTEM
from tiergate.store.feature_status import due_statuses, first_due
from tiergate.store.status_monitors import count_monitors, due_monitors, lock_monitor, note_silent
from tiergate.store.status_reports import count_open_reports

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.store import Store, WriteUnit

_AT_ONCE: Final = 50


class StatusCounts(NamedTuple):
    """How many reports are open, by status; how many monitors there are, and how many of them are silent."""

    reports: Mapping[str, int]
    monitors: int
    silent: int


NO_COUNTS: Final = StatusCounts({}, 0, 0)
"""Before anything was counted."""


def count_statuses(store: Store) -> StatusCounts:
    """Count open reports and silent monitors. Raises `StoreError`."""
    return store.read(lambda unit: StatusCounts(count_open_reports(unit), *count_monitors(unit)))


def tell_statuses(store: Store) -> int:
    """Tell everything that is due; return how many features and monitors had something to tell.

    Raises:
        StoreError: the database cannot be used; what was not told yet is told later.
    """
    count = _tell_silences(store)
    while True:
        due = store.read(first_due)
        if due is None or due > store.clock():
            return count
        count += store.change(_tell_features, SYSTEM)


def _tell_features(unit: WriteUnit) -> int:
    """Make events; sidecars have known beforehand what begins and ends, so that nothing goes to the feed."""
    features = due_statuses(unit, _AT_ONCE)
    tell_due(unit, features)
    return len(features)


def _tell_silences(store: Store) -> int:
    due = store.read(due_monitors)
    for monitor in due:
        store.change(lambda unit: _tell_silence(unit, monitor.name), SYSTEM)  # noqa: B023
    return len(due)


def _tell_silence(unit: WriteUnit, name: str) -> None:
    stored = lock_monitor(unit, name)
    if stored is None:
        return
    monitor = stored.monitor
    if monitor.due_at is None or monitor.due_at > unit.now:
        return  # it was heard, or somebody else told it
    fall_silent(unit, monitor)
    note_silent(unit, name, monitor.due_at)
