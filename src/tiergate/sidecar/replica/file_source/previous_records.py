"""The previous records of customers whose new records have problems: taken from the existing replica, and read again.

The previous customer of a subscription with problems is affected too, whichever customer it names now: an error in
another line must not take away what the customer has. A customer without a previous record gets none: its checks fail.

A previous record that does not fit the new catalog is not dropped: then neither the subjects nor the catalog change.
"""

from __future__ import annotations

from contextlib import closing, suppress
from typing import TYPE_CHECKING

from tiergate.bundle import Bundle
from tiergate.catalog import dump_subject_lines, read_subjects
from tiergate.errors import BundleError, QuarantinedError, ReplicaError, SubjectsError
from tiergate.model import Customer, Subject, SubjectRecord, SubjectType, Subscription
from tiergate.sidecar.replica.reader import Replica

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.catalog import Quarantine, TotalBounds
    from tiergate.model import CatalogIndex
    from tiergate.sidecar.replica.data_directory import DataDirectory
    from tiergate.sidecar.replica.file_source.subject_staging import StagedSubjects
    from tiergate.sidecar.replica.loaded_state import LoadedState


class PreviousRecords:
    """The records of the existing replica; `state` is none if there is none."""

    def __init__(self, data: DataDirectory, state: LoadedState | None) -> None:
        self._data = data
        self._state = state

    def exchange(
        self, staged: StagedSubjects, quarantine: Quarantine, index: CatalogIndex, bounds: TotalBounds
    ) -> None:
        """Replace the staged records of quarantined customers by their previous records, read with `index`.

        Raises `SubjectsError` if a previous record does not fit the catalog; with all problems of the new records.
        """
        if not quarantine:
            return
        previous = self._find_previous(staged, quarantine)
        good = [record for record in previous.values() if record is not None]
        try:
            read = self._read_again(good, index, bounds)
        except (SubjectsError, BundleError):
            raise SubjectsError(quarantine.problems) from None
        records = {customer: None if record is None else read[customer] for customer, record in previous.items()}
        staged.exchange(records, quarantine.customers, quarantine.subscriptions)

    def _find_previous(self, staged: StagedSubjects, quarantine: Quarantine) -> dict[str, SubjectRecord | None]:
        """Return the previous record of each quarantined customer, and of those who had a quarantined subscription."""
        previous: dict[str, SubjectRecord | None] = dict.fromkeys(quarantine.customers)
        if self._state is None:
            return previous
        try:
            replica = Replica(self._data.replica(self._state.replica))
        except ReplicaError:
            return previous
        with closing(replica):
            affected = set().union(quarantine.subscriptions, *quarantine.customers.values())
            customers = [_find(replica, Subject(id_, SubjectType.SUBSCRIPTION)) for id_ in sorted(affected)]
            by_id = {record.customer.id: record for record in customers if record is not None}
            for customer in staged.existing_customers(by_id.keys() - previous.keys()):
                quarantine.blame(customer)
                previous[customer] = None
            for customer in previous:
                previous[customer] = by_id.get(customer) or _find(replica, Subject(customer))
        return previous

    def _read_again(
        self, records: Iterable[SubjectRecord], index: CatalogIndex, bounds: TotalBounds
    ) -> dict[str, SubjectRecord]:
        """Return the same records, read like those of a file."""
        if self._state is None:
            return {}
        path = self._data.scratch / "previous.ndjson"
        before = Bundle.open(self._data.bundle(self._state.revision)).index
        try:
            with path.open("w", encoding="utf-8") as file:
                file.writelines(dump_subject_lines(records, before))
            customers: dict[str, Customer] = {}
            subscriptions: dict[str, list[Subscription]] = {}
            for subject in read_subjects([path], index, bounds):
                if isinstance(subject, Customer):
                    customers[subject.id] = subject
                else:
                    subscriptions.setdefault(subject.customer, []).append(subject)
        finally:
            path.unlink(missing_ok=True)
        return {id_: SubjectRecord(customer, tuple(subscriptions.get(id_, ()))) for id_, customer in customers.items()}


def _find(replica: Replica, subject: Subject) -> SubjectRecord | None:
    with suppress(QuarantinedError, ReplicaError):
        return replica.find(subject)
    return None
