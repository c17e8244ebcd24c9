"""List what a subject is or was entitled to: at any instant, under the revision published then or any other.

The engine of the sidecars decides here too, on the record that the feed had at that instant, so that the answer is the
one that a sidecar gave, or would give. Usage is not considered. The status of features at that instant is the one that
reports on it say by now: they may have been made or changed afterwards.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, NamedTuple

import cachetools

from tiergate.engine import Evaluator, decide_all_features
from tiergate.engine.feature_status import FeatureStatuses
from tiergate.engine.fixed_sources import FixedSubject
from tiergate.errors import NotFoundError
from tiergate.model import FOREVER, Decision, FeatureReports, ReportedStatus, Subject, SubjectRecord, SubjectType
from tiergate.publish.bundle_cache import BundleCache
from tiergate.store.feed import read_head
from tiergate.store.history import (
    PastPublication,
    find_past_customer,
    publication_at,
    publication_at_position,
    record_at,
    record_at_position,
)
from tiergate.store.publications import publication
from tiergate.store.status_reports import reports_between

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.bundle import Bundle
    from tiergate.model import Instant, StatusReport
    from tiergate.store import ReadUnit, Store

_CACHED_ENGINES: Final = 8


class PastEntitlements(NamedTuple):
    """The least check of every feature of a subject, and the instant, publication and position it was decided at.

    The publication's sequence is 0 if the caller chose a revision.
    """

    at: Instant
    publication: PastPublication
    position: int
    decisions: Sequence[Decision]


class EntitlementReader:
    """Lists entitlements, and caches the engines of the revisions used last. Safe to use from several threads."""

    def __init__(self) -> None:
        self._bundles = BundleCache()
        self._lock = threading.Lock()
        self._engines: cachetools.LRUCache[tuple[str, str], _RevisionEngine] = cachetools.LRUCache(_CACHED_ENGINES)

    def read(
        self, store: Store, subject: Subject, at: Instant | None, revision: str | None, sequence: int | None
    ) -> PastEntitlements:
        """List the entitlements of a subject at an instant (`None`: now), under a revision, publication, or neither.

        Raises:
            NotFoundError: the subject did not exist then, or the store has no such revision or publication.
        """
        basis = store.read(lambda unit: _read_basis(unit, subject, at, revision, sequence))
        decisions = self._engine(store, basis.published.revision).decide(basis, subject)
        return PastEntitlements(basis.at, basis.published, basis.position, decisions)

    def _engine(self, store: Store, revision: str) -> _RevisionEngine:
        key = (store.id, revision)
        with self._lock:
            engine = self._engines.get(key)
        if engine is None:
            engine = _RevisionEngine(self._bundles.open(store, revision))
            with self._lock:
                self._engines[key] = engine
        return engine


class _Basis(NamedTuple):
    """What decisions are made from. `reports`: on the status of features, open at the instant or later."""

    at: Instant
    record: SubjectRecord
    position: int
    published: PastPublication
    reports: list[FeatureReports]


def _read_basis(
    unit: ReadUnit, subject: Subject, at: Instant | None, revision: str | None, sequence: int | None
) -> _Basis:
    # What is so now is the last entry, whatever the clock said when it was written: a clock may be set back.
    head = read_head(unit.session).position if at is None else None
    at = unit.now if at is None else at
    is_customer = subject.type is SubjectType.CUSTOMER
    customer = subject.id if is_customer else find_past_customer(unit.session, subject.id)
    if customer is None:
        raise NotFoundError(subject.type.value, subject.id)
    past = record_at(unit.session, customer, at) if head is None else record_at_position(unit.session, customer, head)
    if past.record is None:
        raise NotFoundError(subject.type.value, subject.id)
    if not is_customer and all(it.id != subject.id for it in past.record.subscriptions):
        raise NotFoundError(subject.type.value, subject.id)
    if revision is not None:
        published = PastPublication(0, revision)
    elif sequence is not None:
        published = PastPublication(sequence, publication(unit.session, sequence).revision)
    elif head is None:
        published = publication_at(unit.session, at)
    else:
        published = publication_at_position(unit.session, head)
    return _Basis(at, past.record, past.position, published, known_reports(unit, at))


def known_reports(unit: ReadUnit, at: Instant, features: Sequence[str] | None = None) -> list[FeatureReports]:
    """Return what sidecars would know at an instant of the reports on features, all by default, as they stand now."""
    reports = reports_between(unit, at, FOREVER, features)
    return [FeatureReports(feature, tuple(map(_known, found))) for feature, found in reports.items()]


def _known(report: StatusReport) -> ReportedStatus:
    return ReportedStatus(status=report.status, start=report.start, until=report.until, audience=report.audience)


class _RevisionEngine:
    """An engine on the bundle of a revision, for one subject at a time."""

    def __init__(self, bundle: Bundle) -> None:
        self._subjects = FixedSubject()
        self._statuses = FeatureStatuses()
        self._evaluator = Evaluator(bundle, self._subjects, statuses=self._statuses)
        self._lock = threading.Lock()

    def decide(self, basis: _Basis, subject: Subject) -> list[Decision]:
        with self._lock:
            self._subjects.record = basis.record
            self._statuses.replace(basis.reports)
            self._evaluator.forget(subject)
            try:
                return list(decide_all_features(self._evaluator, subject, basis.at))
            finally:
                self._evaluator.forget(subject)
