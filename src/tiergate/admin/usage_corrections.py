"""Corrections: usage that was counted and did not happen, or should not count, is taken back.

A correction goes to the same accounts as the usage, in the window that an instant names, however long ago that ended.
It is made in one transaction with its entry in the audit log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from tiergate.admin.usage_debits import (
    ROUNDS,
    OtherWindows,
    Use,
    call_in_windows,
    customers_of_subjects,
    find_use,
)
from tiergate.errors import (
    BodyError,
    BodyProblem,
    CheckError,
    ConflictError,
    NotFoundError,
    RequestError,
    UnknownFeatureError,
)
from tiergate.model import Check, Subject, SubjectType, from_units
from tiergate.model.amounts import format_units
from tiergate.permissions import Action, Resource
from tiergate.usage.accounts import Consumption, Scope
from tiergate.usage.protocol import Reason, Refused
from tiergate.wire.usage import window_document

if TYPE_CHECKING:
    from tiergate.admin.actor import Actor
    from tiergate.model import Interval
    from tiergate.store import ReadUnit, WriteUnit
    from tiergate.store.usage_ledger import LedgerCall, UsageLedger
    from tiergate.usage.ledger import Ledger
    from tiergate.wire.usage_changes import Correction


class _Corrected(NamedTuple):
    """What the ledger said; the window of the subject's account, and what was booked on it before."""

    refused: Refused | None
    window: Interval
    before: int


def correct_usage(
    actor: Actor, unit: WriteUnit, ledger: UsageLedger, customer: str, correction: Correction
) -> dict[str, object]:
    """Take usage of a customer back: all of it, or nothing. Return what was corrected, and what is used now.

    Raises:
        NotFoundError: there is no such customer, or no such subscription of it.
        RequestError: 400, the actor gives no reason.
        BodyError: the feature is unknown or not metered, or the amount is not one of it.
        ConflictError: `usage-below-zero`, if less was used; `windows-moving`, try again.
    """
    actor.require(Action.EDIT_ENTITLEMENT, Resource.customer_of(customer))
    if not actor.reason:
        raise RequestError(400, "invalid request", "a correction needs a reason: the header `Tiergate-Reason`")
    use = _use(unit, customer, correction)
    at = unit.now if correction.at is None else correction.at
    consumption = Consumption(b"", b"", at, use.debits(at))
    for _ in range(ROUNDS):
        outcome = ledger.run_within(unit, _call(consumption, use))
        if not isinstance(outcome, OtherWindows):
            break
        consumption = outcome.consumption
    else:
        raise ConflictError("windows-moving", "the windows of the usage have changed too often: try again")
    if isinstance(outcome, Refused):
        raise NotFoundError("customer", customer)
    scale = use.feature.scale
    if outcome.refused is not None:
        account = outcome.refused.account
        if outcome.refused.reason is not Reason.BELOW_ZERO or account is None:
            raise BodyError([BodyProblem("/amount", "wrong-value", "is larger than can be counted")])
        detail = f"{format_units(outcome.before, scale)} of `{use.feature.id}` was used in this window"
        if account.feature != use.feature.id or account.scope is not Scope.CUSTOMER:
            whose = account.scope.value if account.feature == use.feature.id else f"`{account.feature}`"
            detail = f"less was counted of the {whose}"
        raise ConflictError("usage-below-zero", f"usage does not fall below zero: {detail}")
    after = outcome.before - use.amount
    data = _data(use, correction, outcome.window)
    unit.audit(
        "usage.corrected",
        "usage",
        use.feature.id,
        before=data | {"used": from_units(outcome.before, scale)},
        after=data | {"used": from_units(after, scale)},
        customer=customer,
    )
    return {"customer": customer, **data, "used": from_units(after, scale)}


def _use(unit: ReadUnit, customer: str, correction: Correction) -> Use:
    if unit.record(customer) is None:
        raise NotFoundError("customer", customer)
    subject = Subject(customer, user=correction.user)
    if correction.subscription is not None:
        subject = Subject(correction.subscription, SubjectType.SUBSCRIPTION, correction.user)
    customers = customers_of_subjects(unit, [subject])
    if correction.subscription is not None and customers.get(correction.subscription) != customer:
        raise NotFoundError("subscription", correction.subscription)
    try:
        return find_use(unit.published.index, Check(subject, correction.feature, correction.amount), customers)
    except CheckError as error:
        field = error.field if error.field in {"feature", "amount"} else "subscription"
        raise BodyError([BodyProblem(f"/{field}", "wrong-value", error.detail, error.suggestion)]) from None
    except UnknownFeatureError as error:
        detail = f"no feature `{error.feature}` in the catalog"
        raise BodyError([BodyProblem("/feature", "unknown-feature", detail, error.suggestion)]) from None


def _call(consumption: Consumption, use: Use) -> LedgerCall[_Corrected | OtherWindows | Refused]:
    def act(ledger: Ledger, consumption: Consumption, windows: tuple[Interval, ...]) -> _Corrected:
        before = ledger.figures(consumption.debits[use.own].account).booked
        debits = []
        for debit in consumption.debits:
            amount = debit.amount
            if debit.account.scope is Scope.EVERYBODY:  # the cap may be newer than the usage
                amount = min(amount, ledger.figures(debit.account).booked)
            if amount:
                debits.append(replace(debit, amount=amount))
        result = ledger.correct(replace(consumption, debits=tuple(debits)))
        return _Corrected(result if isinstance(result, Refused) else None, windows[use.own], before)

    return call_in_windows(consumption, act)


def _data(use: Use, correction: Correction, window: Interval) -> dict[str, object]:
    data: dict[str, object] = {
        "feature": use.feature.id,
        "amount": -from_units(use.amount, use.feature.scale),
        "window": window_document(window),
    }
    if correction.subscription is not None:
        data["subscription"] = correction.subscription
    if correction.user is not None:
        data["user"] = correction.user
    return data
