"""What limits accounts of usage at the control plane: by the publication in force, and the subjects as they are now.

The ledger does not trust what a sidecar says about limits: the same engine resolves them here, on the same data that
the feed carries. Whether a consumption is allowed is Cedar's decision, at the sidecar; the ledger counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from tiergate.engine.active_items import resolve_active_items
from tiergate.engine.facts import TotalOverflowError, resolve_facts
from tiergate.engine.window_anchor import subscription_anchor
from tiergate.errors import OperatorError
from tiergate.model import Subject, SubjectType, WindowAnchor
from tiergate.publish.bundle_cache import BundleCache
from tiergate.store.prepared_queries import fetch_together
from tiergate.store.subjects import read_stored
from tiergate.store.usage_state import StoredGrant
from tiergate.store.usage_thresholds import OWN_THRESHOLDS, levels_of_rows
from tiergate.usage.accounts import Account, Scope
from tiergate.usage.bounds import AccountLimit, resolve_bound
from tiergate.usage.windows import DEFAULT_ANCHOR, UsageWindows

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tiergate.bundle import Bundle
    from tiergate.engine.facts import Facts
    from tiergate.model import CatalogIndex, Feature, Instant, Metered, SubjectRecord, Threshold
    from tiergate.store import ReadUnit
    from tiergate.store.usage_state import UsageState
    from tiergate.usage.accounts import Bound
    from tiergate.usage.ledger import BoundOf

_NOTHING: Final = AccountLimit(0)
"""The limit of a subject whose entitlement cannot be resolved: nothing more is given out."""


class PublishedBounds:
    """Resolves bounds by what is published. Safe to use from several threads; keeps the bundles that were used last."""

    def __init__(self) -> None:
        self._bundles = BundleCache()

    def __call__(self, unit: ReadUnit, state: UsageState, accounts: Collection[Account]) -> BoundOf:
        """Read what limits these accounts, in one transaction, and return what resolves them.

        Raises:
            BundleError: the published bundle cannot be read.
        """
        published = unit.published
        if not published.sequence:
            return lambda account, at: None  # noqa: ARG005 - nothing is published, so no account is known
        customers = sorted({account.customer for account in accounts if account.customer})
        stored = read_stored(unit.session, customers)
        (own,) = fetch_together(unit.session.connection(), [(OWN_THRESHOLDS, {"ids": customers})])
        bundle = self._bundles.open(unit.store, published.revision)
        records = {customer: found.record for customer, found in stored.items()}
        return _Resolver(published.index, bundle, records, state, unit.now, levels_of_rows(own)).bound_of


class _Entitled(NamedTuple):
    """A subject and its facts about a feature, within the validity of the facts."""

    anchor: Instant
    facts: Facts | None


class _Resolver:
    """The bounds of one transaction."""

    def __init__(
        self,
        index: CatalogIndex,
        bundle: Bundle,
        records: Mapping[str, SubjectRecord],
        state: UsageState,
        now: Instant,
        own_thresholds: Mapping[tuple[str, str], tuple[Threshold, ...]],
    ) -> None:
        self._own_thresholds = own_thresholds
        self._index = index
        self._bundle = bundle
        self._records = records
        self._state = state
        self._now = now
        self._resolved: dict[tuple[Subject, str], _Entitled] = {}

    def bound_of(self, account: Account, at: Instant) -> Bound | None:
        """Return what limits an account at an instant; none for a feature or subject that does not exist."""
        feature = self._index.features.get(account.feature)
        if feature is None or feature.metered is None:
            return None
        subject = self._subject(account)
        if subject is None and account.scope is not Scope.EVERYBODY:
            return None
        resolved = resolve_bound(
            feature.metered,
            self._windows(feature, feature.metered, subject, at),
            account,
            at,
            self._now,
            lambda instant: self._limit(account, feature, subject, instant),
            self._state,
        )
        if resolved.grant is not None:
            self._state.add_grant(StoredGrant(account.customer, account.feature, resolved.grant, created_at=self._now))
        if account.scope is not Scope.CUSTOMER:
            return resolved.bound
        thresholds = self._own_thresholds.get((account.customer, account.feature), feature.metered.thresholds)
        return replace(resolved.bound, thresholds=thresholds) if thresholds else resolved.bound

    def _subject(self, account: Account) -> Subject | None:
        """Return the subject whose windows an account has; a user has those of the customer."""
        record = self._records.get(account.customer)
        if record is None:
            return None
        if account.scope is not Scope.SUBSCRIPTION:
            return Subject(account.customer)
        if all(subscription.id != account.member for subscription in record.subscriptions):
            return None
        return Subject(account.member, SubjectType.SUBSCRIPTION)

    def _windows(self, feature: Feature, metered: Metered, subject: Subject | None, at: Instant) -> UsageWindows:
        is_anchored = subject is not None and metered.reset is not None
        if subject is None or not is_anchored or metered.anchor is not WindowAnchor.SUBSCRIPTION:
            return UsageWindows.of(metered, DEFAULT_ANCHOR)
        return UsageWindows.of(metered, self._entitled(subject, feature, at).anchor)

    def _limit(self, account: Account, feature: Feature, subject: Subject | None, at: Instant) -> AccountLimit:
        if account.scope is Scope.EVERYBODY:
            return AccountLimit(feature.caps.total)
        if account.scope is Scope.USER:
            return AccountLimit(feature.caps.per_user)
        facts = None if subject is None else self._entitled(subject, feature, at).facts
        if facts is None:
            return _NOTHING
        overage_max = facts.overage_max if facts.soft and facts.held else 0  # nothing above what nobody holds
        return AccountLimit(None if facts.unlimited else facts.total, overage_max)

    def _entitled(self, subject: Subject, feature: Feature, at: Instant) -> _Entitled:
        """Return the facts about a feature at an instant, and the anchor of its windows."""
        key = (subject, feature.id)
        known = self._resolved.get(key)
        if known is not None and known.facts is not None and known.facts.start <= at < known.facts.until:
            return known
        record = self._record_of(subject)
        try:
            items = resolve_active_items(record, subject, self._index, at)
            facts = resolve_facts(feature, items, subject, self._bundle, at)
            entitled = _Entitled(subscription_anchor(feature, items, record, self._bundle), facts)
        except (OperatorError, TotalOverflowError):
            entitled = _Entitled(DEFAULT_ANCHOR, None)
        self._resolved[key] = entitled
        return entitled

    def _record_of(self, subject: Subject) -> SubjectRecord:
        if subject.type is SubjectType.CUSTOMER:
            return self._records[subject.id]
        return next(
            record
            for record in self._records.values()
            if any(subscription.id == subject.id for subscription in record.subscriptions)
        )
