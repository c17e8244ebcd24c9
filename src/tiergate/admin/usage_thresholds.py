"""Thresholds of single customers, in place of those of the feature.

All functions about a customer raise `NotFoundError` if there is no such customer, or no such metered feature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiergate.admin.usage_debits import metered_feature
from tiergate.errors import BodyError, BodyProblem, NotFoundError
from tiergate.model import (
    MAX_THRESHOLDS,
    Threshold,
    parse_percent,
    sorted_thresholds,
    threshold_data,
    to_units,
)
from tiergate.permissions import Action, Resource
from tiergate.store.customers import open_account
from tiergate.store.usage_ledger import check_call
from tiergate.store.usage_thresholds import (
    features_with_thresholds,
    fired_of,
    open_accounts,
    read_own_thresholds,
    write_own_thresholds,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.admin.actor import Actor
    from tiergate.model import Feature, Number
    from tiergate.store import ReadUnit, WriteUnit
    from tiergate.store.usage_ledger import UsageLedger
    from tiergate.store.usage_thresholds import OwnThresholds


def list_thresholds(unit: ReadUnit, customer: str) -> list[dict[str, Any]]:
    """List the thresholds of a customer by feature: its own, and those of features that have some for everybody."""
    _expect_customer(unit, customer)
    index, fired = unit.published.index, fired_of(unit, customer)
    own = {it.feature: it for it in read_own_thresholds(unit, customer)}
    ids = sorted(features_with_thresholds(index) | (own.keys() & index.features.keys()))
    return [_data(index.features[id_], own.get(id_), fired.get(id_, ())) for id_ in ids]


def read_thresholds(unit: ReadUnit, customer: str, feature: str) -> dict[str, Any]:
    """Return the thresholds of a customer for a feature: its own, or those of the feature."""
    _expect_customer(unit, customer)
    found = metered_feature(unit.published.index, feature)
    return _data(found, _own(unit, customer, feature), fired_of(unit, customer).get(feature, ()))


def set_thresholds(
    actor: Actor,
    unit: WriteUnit,
    ledger: UsageLedger,
    customer: str,
    feature: str,
    wanted: Sequence[str | Number],
) -> dict[str, Any]:
    """Give a customer thresholds of its own. One that is passed already fires at once; one that fired does not again.

    Raises:
        BodyError: with the problems of the levels.
    """
    found = _authorize(actor, unit, customer, feature)
    thresholds = _read_levels(wanted, found.scale)
    before = _own(unit, customer, feature)
    if before is None or before.thresholds != thresholds:
        etag = 1 if before is None else before.etag + 1
        write_own_thresholds(unit, customer, feature, thresholds, etag)
        _changed(unit, ledger, customer, found, before, thresholds)
    return read_thresholds(unit, customer, feature)


def remove_thresholds(actor: Actor, unit: WriteUnit, ledger: UsageLedger, customer: str, feature: str) -> None:
    """Let the thresholds of the feature apply to a customer again.

    Raises:
        NotFoundError: the customer has none of its own.
    """
    found = _authorize(actor, unit, customer, feature)
    before = _own(unit, customer, feature)
    if before is None:
        raise NotFoundError("thresholds", feature)
    write_own_thresholds(unit, customer, feature, None, before.etag)
    _changed(unit, ledger, customer, found, before, None)


def _expect_customer(unit: ReadUnit, customer: str) -> None:
    if unit.record(customer) is None:
        raise NotFoundError("customer", customer)


def _authorize(actor: Actor, unit: WriteUnit, customer: str, feature: str) -> Feature:
    actor.require(Action.EDIT_CUSTOMER, Resource.customer_of(customer))
    open_account(unit, customer)  # its lock
    return metered_feature(unit.published.index, feature)


def _changed(
    unit: WriteUnit,
    ledger: UsageLedger,
    customer: str,
    feature: Feature,
    before: OwnThresholds | None,
    after: tuple[Threshold, ...] | None,
) -> None:
    unit.audit(
        "thresholds.set" if after is not None else "thresholds.removed",
        "thresholds",
        feature.id,
        before=None if before is None else {"thresholds": _levels(before.thresholds, feature)},
        after=None if after is None else {"thresholds": _levels(after, feature)},
        customer=customer,
    )
    features = frozenset({feature.id})
    accounts = open_accounts(unit.session.connection(), [customer], features, unit.now)
    accounts = [account for account in accounts if account.feature == feature.id]
    if accounts:
        ledger.run_within(unit, check_call(accounts))


def _own(unit: ReadUnit, customer: str, feature: str) -> OwnThresholds | None:
    return next((it for it in read_own_thresholds(unit, customer) if it.feature == feature), None)


def _read_levels(wanted: Sequence[str | Number], scale: int) -> tuple[Threshold, ...]:
    problems: list[BodyProblem] = []
    found: list[Threshold] = []
    for place, level in enumerate(wanted):
        try:
            threshold = _threshold(level, scale)
        except ValueError as error:
            problems.append(BodyProblem(f"/thresholds/{place}", "wrong-value", str(error)))
            continue
        if threshold in found:
            problems.append(BodyProblem(f"/thresholds/{place}", "duplicate", "names a threshold twice"))
        found.append(threshold)
    if len(wanted) > MAX_THRESHOLDS:
        problems.append(BodyProblem("/thresholds", "too-many", f"must be at most {MAX_THRESHOLDS}"))
    if problems:
        raise BodyError(problems)
    return sorted_thresholds(found)


def _threshold(level: str | Number, scale: int) -> Threshold:
    if isinstance(level, str):
        return Threshold(percent=parse_percent(level))
    units = to_units(level, scale)
    if units < 1:
        msg = "must be more than 0"
        raise ValueError(msg)
    return Threshold(units=units)


def _levels(thresholds: Sequence[Threshold], feature: Feature) -> list[Any]:
    return [threshold_data(threshold, feature.scale) for threshold in thresholds]


def _data(feature: Feature, own: OwnThresholds | None, fired: Sequence[str]) -> dict[str, Any]:
    shared = () if feature.metered is None else feature.metered.thresholds
    thresholds = shared if own is None else own.thresholds
    return {
        "feature": feature.id,
        "thresholds": _levels(thresholds, feature),
        "own": own is not None,
        "fired": _levels(list(_fired(thresholds, fired)), feature),
    }


def _fired(thresholds: Sequence[Threshold], fired: Sequence[str]) -> Iterator[Threshold]:
    return (threshold for threshold in thresholds if threshold.key in fired)
