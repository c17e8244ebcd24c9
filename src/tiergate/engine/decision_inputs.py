"""The basis of a decision: everything beside the check, the instant and the bundle that it was made from.

The sidecar writes it to the decision log; a replay reads it. A decision is a pure function of the check, the instant,
the bundle, the subject's record and this. The basis contains the record, or its place in a store's feed.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from tiergate.engine.evaluator import Evaluator
from tiergate.engine.explanation.explain import Explanation, explain
from tiergate.engine.feature_status import FeatureStatuses, reports_of
from tiergate.engine.fixed_sources import FixedSubject
from tiergate.engine.sources import NO_USAGE
from tiergate.model import (
    BEGINNING,
    FOREVER,
    LAST_INSTANT,
    Amount,
    FeatureReports,
    FeatureType,
    Level,
    MeteredUsage,
    OverrideMode,
    Status,
    StatusWindow,
    SubjectRecord,
    Switch,
    Unlimited,
    format_instant,
    from_units,
    parse_instant,
    to_units,
)
from tiergate.model.checks import REASON_PRECEDENCE, Reason
from tiergate.naming import ID_RULE, SUBJECT_ID_RULE, is_id, is_subject_id
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.engine.sources import BundleSource
    from tiergate.model import Check, Decision, Feature, Instant, Override, Subject


_ZERO: Final = Decimal(0)


class BasisError(ValueError):
    """A basis that no decision can be based on; `field` is wrong."""

    def __init__(self, field: str, detail: str) -> None:
        self.field = field
        super().__init__(detail)


class LoggedUsage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Metered usage that a decision rested on, exact: of the subject, of its user, of everybody, and what was granted.

    `window_start`, `window_end`: of its window. `start`, `until`: the time in which its numbers held. All as text, none
    without such an end. `drawn`: that of the feature which this one draws on.
    """

    used: Decimal = Decimal(0)
    user_used: Decimal = Decimal(0)
    total_used: Decimal = Decimal(0)
    granted: Decimal = _ZERO
    window_start: str | None = None
    window_end: str | None = None
    start: str | None = None
    until: str | None = None
    drawn: LoggedUsage | None = None

    @classmethod
    def of(cls, known: MeteredUsage, feature: Feature, features: Mapping[str, Feature]) -> LoggedUsage:
        """Convert the usage of a feature from its units; `features`: the catalog's."""
        source = None if known.drawn is None or feature.draws is None else features.get(feature.draws.source)

        def edge(units: int) -> Decimal:
            return Decimal(from_units(units, feature.scale))

        return cls(
            edge(known.used),
            edge(known.user_used),
            edge(known.total_used),
            edge(known.granted) if known.granted else _ZERO,
            _text(known.window_start),
            _text(known.window_end),
            _text(known.start),
            _text(known.until),
            None if source is None or known.drawn is None else cls.of(known.drawn, source, features),
        )

    def in_units(self, feature: Feature, features: Mapping[str, Feature]) -> MeteredUsage:
        """Return the usage in units of a feature of a catalog; raises `ValueError` if a number does not fit."""
        source = None if self.drawn is None or feature.draws is None else features.get(feature.draws.source)
        return MeteredUsage(
            to_units(self.used, feature.scale),
            to_units(self.user_used, feature.scale),
            to_units(self.total_used, feature.scale),
            to_units(self.granted, feature.scale),
            _instant(self.window_start, BEGINNING),
            _instant(self.window_end, FOREVER),
            _instant(self.start, BEGINNING),
            _instant(self.until, FOREVER),
            None if source is None or self.drawn is None else self.drawn.in_units(source, features),
        )


class LoggedStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """The status of the feature that a decision rested on or showed.

    `since`: the start of the earliest report of it. `start`, `until`: the time in which it was the same. All as text,
    none without such an end.
    """

    status: Status
    since: str | None = None
    start: str | None = None
    until: str | None = None

    @classmethod
    def of(cls, window: StatusWindow) -> LoggedStatus:
        """Convert a status."""
        return cls(window.status, _text(window.since), _text(window.start), _text(window.until))

    @property
    def window(self) -> StatusWindow:
        """The status; raises `ValueError` if an instant is none."""
        return StatusWindow(
            self.status,
            _instant(self.since, BEGINNING),
            _instant(self.start, BEGINNING),
            _instant(self.until, FOREVER),
        )


class LoggedUsageSource:
    """A `UsageSource` that returns `usage` for every subject and feature of a catalog."""

    def __init__(self, features: Mapping[str, Feature], usage: LoggedUsage | None = None) -> None:
        self.usage = LoggedUsage() if usage is None else usage
        self._features = features

    def usage_of(self, subject: Subject, feature: Feature, now: Instant) -> MeteredUsage:  # noqa: ARG002 - there is one
        """Return the usage in units of a feature; raises `ValueError` if one does not fit."""
        return self.usage.in_units(feature, self._features)


def _text(instant: Instant) -> str | None:
    return None if instant in (BEGINNING, FOREVER) else format_instant(instant)


def _instant(text: str | None, default: Instant) -> Instant:
    return default if text is None else parse_instant(text)


class DecisionBasis(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a decision is based on.

    `store`, `position`: the feed and its last active entry; none with files. `version`: of Tiergate. `stale_at`: the
    instant from which the data was stale, as text; none if it never is. `stale_deny`: it was stale, and the operator
    denies this feature then. `fetched`: false if subjects are on demand, and this one could not be fetched. `loaded`:
    false if there was no data, so that the decision cannot be reproduced. `usage`: if it is metered. `status`: if
    reports concern the subject. `errors`: why it could not be evaluated. `record`: of the subject, redacted; null if it
    was unknown; absent unless configured.
    """

    store: str = ""
    position: int | None = None
    version: str = ""
    stale_at: str | None = None
    stale_deny: bool = False
    fetched: bool = True
    loaded: bool = True
    usage: LoggedUsage | None = None
    status: LoggedStatus | None = None
    errors: tuple[str, ...] = ()
    record: SubjectRecord | msgspec.UnsetType | None = msgspec.UNSET

    @property
    def stale_instant(self) -> Instant:
        """`stale_at` as an instant; raises `ValueError` if it is not one."""
        return FOREVER if self.stale_at is None else parse_instant(self.stale_at)

    @staticmethod
    def stale_text(stale_at: Instant) -> str | None:
        """Return the text of `stale_at`."""
        return None if stale_at >= LAST_INSTANT else format_instant(stale_at)


_decode = msgspec.json.Decoder(DecisionBasis).decode


def basis_json(basis: DecisionBasis) -> bytes:
    """Encode a basis as one line of JSON; numbers are exact."""
    return encode(basis)


def read_basis(content: bytes | msgspec.Raw) -> DecisionBasis:
    """Read a basis; raises `ValueError`, which says where and why, if it is not one."""
    try:
        basis = _decode(content)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    _ = basis.stale_instant
    _ = basis.status is not None and basis.status.window
    return basis


def mark_stale(decision: Decision, *, denied: bool) -> Decision:
    """Return a decision as it is once the data is stale: marked, and a denial if its feature is denied then.

    The denial overrides every reason that `stale_data` precedes. The entitlement stays; time does not end the denial.
    """
    if denied and REASON_PRECEDENCE[decision.reason] > REASON_PRECEDENCE[Reason.STALE_DATA]:
        return replace(decision, allowed=False, reason=Reason.STALE_DATA, policies=(), until=FOREVER, stale=True)
    return replace(decision, stale=True)


def apply_staleness(decision: Decision, now: Instant, stale_at: Instant, *, stale_deny: bool) -> Decision:
    """Return a decision as served at `now` if data is stale from `stale_at` on: stale, or valid until then at most."""
    if now >= stale_at:
        return mark_stale(decision, denied=stale_deny)
    return replace(decision, until=stale_at) if stale_at < decision.until else decision


def reproduce(
    bundle: BundleSource,
    check: Check,
    now: Instant,
    basis: DecisionBasis,
    record: SubjectRecord | None,
    *,
    publication: int,
    statuses: FeatureStatuses | None = None,
) -> Explanation:
    """Make a decision again, and explain it. The same bundle, record and basis give the same bytes.

    `statuses`: for a basis that does not say the status, because it is of no decision. `record` is the customer's, or
    that of the subscription's customer; none if there is none.

    Raises:
        UnknownFeatureError, CheckError: as `Evaluator.decide`.
        BundleError: a part of the bundle is missing or torn.
        BasisError: there was nothing to decide by; the usage or the record is none that there can be of this feature.
    """
    if not basis.loaded:
        raise BasisError("loaded", "says that nothing had been loaded: it was no decision, and cannot be made again")
    usage = NO_USAGE if basis.usage is None else LoggedUsageSource(bundle.index.features, basis.usage)
    feature = bundle.index.features.get(check.feature)
    if feature is not None:
        _expect_sound(feature, bundle.index.features, basis, record)
    subjects = FixedSubject(record if basis.fetched else None)
    statuses = FeatureStatuses() if statuses is None else statuses
    if basis.status is not None:
        statuses.replace([FeatureReports(check.feature, reports_of(basis.status.window))])
    evaluator = Evaluator(bundle, subjects, publication=publication, usage=usage, statuses=statuses)
    explanation = explain(evaluator, check, now)
    decision = apply_staleness(explanation.decision, now, basis.stale_instant, stale_deny=basis.stale_deny)
    if not basis.fetched:
        decision = mark_stale(decision, denied=False)
    return replace(explanation, decision=decision)


def _expect_sound(
    feature: Feature, features: Mapping[str, Feature], basis: DecisionBasis, record: SubjectRecord | None
) -> None:
    """Check that the usage and the record from outside are possible ones."""
    if basis.usage is not None:
        try:
            basis.usage.in_units(feature, features)
        except ValueError as error:
            raise BasisError("usage", str(error)) from None
    if record is None or basis.record is msgspec.UNSET:
        return
    ids = [record.customer.id, *(subscription.id for subscription in record.subscriptions)]
    overrides = [
        *record.customer.overrides,
        *(override for owner in record.subscriptions for override in owner.overrides),
    ]
    for id_ in ids:
        if not is_subject_id(id_):
            raise BasisError("record", f"has `{id_[:100]}` as an id, which {SUBJECT_ID_RULE}")
    named = [held.item for subscription in record.subscriptions for held in subscription.items]
    for id_ in (*named, *(override.id for override in overrides)):
        if not is_id(id_):
            raise BasisError("record", f"has `{id_[:100]}` as an id, which {ID_RULE}")
    for override in overrides:
        if override.feature == feature.id and not _fits(override, feature):
            detail = f"has an override `{override.id}` with a value that `{feature.id}` does not accept"
            raise BasisError("record", detail)


def _fits(override: Override, feature: Feature) -> bool:
    value = override.value
    if override.mode is OverrideMode.DISABLED:
        return value is None
    if override.mode is OverrideMode.ADD:
        is_number = feature.type is FeatureType.QUANTITY or feature.type is FeatureType.RANGE
        return is_number and isinstance(value, Amount) and value.units > 0
    match feature.type:
        case FeatureType.SWITCH:
            return isinstance(value, Switch)
        case FeatureType.CUSTOM:
            return isinstance(value, Level)
        case FeatureType.QUANTITY | FeatureType.RANGE:
            return isinstance(value, Unlimited) or (isinstance(value, Amount) and value.units >= 0)
