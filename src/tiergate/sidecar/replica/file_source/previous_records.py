"""The earlier records of customers whose own have problems now: found in the replica that stands, and read again.

Who held a subscription with problems is concerned too, whomever it names by now: it must not lose what it has by a slip
in a line that is not its own. A customer of whom nothing earlier is known has no record: its checks are errors.

A record that was good is not thrown away for a catalog that does not fit it: then nothing is taken, neither the
subjects nor what they were read with.
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
    from tiergate.sidecar.replica.builder import Staged
    from tiergate.sidecar.replica.data_directory import DataDirectory, LoadedState


class PreviousRecords:
    """The records of what stands; `standing` is none where nothing does."""

    def __init__(self, data: DataDirectory, standing: LoadedState | None) -> None:
        self._data = data
        self._standing = standing

    def put_in_place(self, staged: Staged, quarantine: Quarantine, index: CatalogIndex, bounds: TotalBounds) -> None:
        """Exchange what was staged of those who are set aside for their earlier records, as `index` reads them.

        Raises:
            SubjectsError: an earlier record does not fit the catalog: with all that is wrong with the new ones.
        """
        if not quarantine:
            return
        earlier = self._earlier(staged, quarantine)
        good = [record for record in earlier.values() if record is not None]
        try:
            again = self._read_again(good, index, bounds)
        except (SubjectsError, BundleError):
            raise SubjectsError(quarantine.problems) from None
        records = {customer: None if record is None else again[customer] for customer, record in earlier.items()}
        staged.exchange(records, quarantine.customers, quarantine.subscriptions)

    def _earlier(self, staged: Staged, quarantine: Quarantine) -> dict[str, SubjectRecord | None]:
        """The earlier record of everybody who is set aside; more are where they held what is."""
        found: dict[str, SubjectRecord | None] = dict.fromkeys(quarantine.customers)
        if self._standing is None:
            return found
        try:
            replica = Replica(self._data.replica(self._standing.replica))
        except ReplicaError:
            return found
        with closing(replica):
            concerned = set().union(quarantine.subscriptions, *quarantine.customers.values())
            holders = [_find(replica, Subject(id_, SubjectType.SUBSCRIPTION)) for id_ in sorted(concerned)]
            by_id = {record.customer.id: record for record in holders if record is not None}
            for customer in staged.customers(by_id.keys() - found.keys()):
                quarantine.blame(customer)
                found[customer] = None
            for customer in found:
                found[customer] = by_id.get(customer) or _find(replica, Subject(customer))
        return found

    def _read_again(
        self, records: Iterable[SubjectRecord], index: CatalogIndex, bounds: TotalBounds
    ) -> dict[str, SubjectRecord]:
        """The same records, read as those of a file are."""
        if self._standing is None:
            return {}
        path = self._data.scratch / "earlier.ndjson"
        before = Bundle.open(self._data.bundle(self._standing.revision)).index
        try:
            with path.open("w", encoding="utf-8") as file:
                file.writelines(dump_subject_lines(records, before))
            customers: dict[str, Customer] = {}
            held: dict[str, list[Subscription]] = {}
            for one in read_subjects([path], index, bounds):
                if isinstance(one, Customer):
                    customers[one.id] = one
                else:
                    held.setdefault(one.customer, []).append(one)
        finally:
            path.unlink(missing_ok=True)
        return {id_: SubjectRecord(customer, tuple(held.get(id_, ()))) for id_, customer in customers.items()}


def _find(replica: Replica, subject: Subject) -> SubjectRecord | None:
    with suppress(QuarantinedError, ReplicaError):
        return replica.find(subject)
    return None
