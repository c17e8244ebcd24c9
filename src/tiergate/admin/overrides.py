"""Exceptions of one customer or one subscription: overrides, and suspensions of features.

The author of an override is the actor, and every override has a reason. All functions take the customer or
subscription as a `Subject`. Those that write raise `NotFoundError` if it does not exist, `PreconditionError` if it has
another version, and the errors of `save_customer`. `NotFoundError` also means no such override or suspension.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tiergate.admin.customer_validation import printable_features, validator_for
from tiergate.admin.results import Data, SubjectResult
from tiergate.admin.subject_changes import Holder, save_customer, save_subscription
from tiergate.admin.subscriptions import open_account_of
from tiergate.admin.write_order import WriteConditions, read_order
from tiergate.catalog import override_data, read_override_body, read_subject_body, suspension_data
from tiergate.errors import BodyError, BodyProblem, NotFoundError
from tiergate.impact.subject_change.override_effects import override_effect
from tiergate.model import BEGINNING, Customer, Subject, SubjectType
from tiergate.store.customers import open_account
from tiergate.store.subjects import read_stored
from tiergate.store.subscriptions import get_subscription
from tiergate.store.write_order import Side

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.admin.actor import Actor
    from tiergate.model import Instant
    from tiergate.store import ReadUnit, WriteUnit
    from tiergate.store.customers import Account

_SIDES: Final = (Side.PEOPLE,)


def _read(unit: ReadUnit, subject: Subject) -> tuple[Holder, int]:
    """Return a customer or subscription, and its version."""
    if subject.type is SubjectType.SUBSCRIPTION:
        subscription, stamp = get_subscription(unit.session, subject.id)
        return subscription, stamp.etag
    stored = read_stored(unit.session, [subject.id], alone=True).get(subject.id)
    if stored is None:
        raise NotFoundError("customer", subject.id)
    return stored.customer, stored.stamp.etag


def _change(
    actor: Actor,
    unit: WriteUnit,
    subject: Subject,
    conditions: WriteConditions,
    edit: Callable[[Account, Holder, int], Holder],
    show: Callable[[Holder], Data | None] = lambda _: None,
) -> SubjectResult:
    """Save what `edit` returns for a subject and its version, and return what `show` returns for the saved one."""
    is_customer = subject.type is SubjectType.CUSTOMER
    account = open_account(unit, subject.id) if is_customer else open_account_of(unit, subject.id)
    before, stamp = (account.customer, account.stamp) if is_customer else account.subscription(subject.id)
    order = read_order(unit, subject.type, subject.id, conditions.as_of)
    if order.is_outdated(_SIDES):
        return order.outdated_result(stamp.etag)
    conditions.expected.check(subject.type.value, subject.id, stamp.etag)
    after: Holder = edit(account, before, stamp.etag)
    if isinstance(after, Customer):
        account = save_customer(actor, unit, after, account, conditions.accept_loss)
        after, stamp = account.customer, account.stamp
    else:
        after, stamp = save_subscription(actor, unit, after, account, accept_loss=conditions.accept_loss)
    order.record(unit, _SIDES)
    return SubjectResult(show(after), stamp.etag)


# ── Overrides ────────────────────────────────────────────────────────────────────────────────────────────────────────


def list_overrides(unit: ReadUnit, subject: Subject) -> list[dict[str, object]]:
    """List past, present and future overrides in their order, each with its effect now."""
    holder, _ = _read(unit, subject)
    customer, subscription = (holder.id, None) if isinstance(holder, Customer) else (holder.customer, holder.id)
    record, state = unit.record(customer), unit.published
    if record is None:
        raise NotFoundError(subject.type.value, subject.id)
    features = printable_features(state.index.features, holder)
    return [
        {**override_data(it, features), "effect": override_effect(state, record, subscription, it, unit.now)}
        for it in holder.overrides
    ]


def read_override(unit: ReadUnit, subject: Subject, id_: str) -> SubjectResult:
    """Read an override. Its version is the subject's."""
    holder, etag = _read(unit, subject)
    return SubjectResult(_override_data(unit, holder, id_), etag)


def _override_data(unit: ReadUnit, holder: Holder, id_: str) -> Data:
    return override_data(
        holder.overrides[_find(holder, id_)], printable_features(unit.published.index.features, holder)
    )


def add_override(
    actor: Actor, unit: WriteUnit, subject: Subject, text: bytes, conditions: WriteConditions
) -> SubjectResult:
    """Add an override to a subject; its author is the caller. Without an id it gets one made of its feature's."""
    added = ""

    def edit(account: Account, holder: Holder, etag: int) -> Holder:
        nonlocal added
        validator = validator_for(unit.published, account.customer.id)
        ids = {override.id for override in holder.overrides}
        # INVARIANT (an id is given once): each change of the subject increases its version, which never starts again.
        override = read_override_body(text, validator.reader, ids, number=etag)
        validator.check_new_override(override)
        added = override.id
        return replace(holder, overrides=(*holder.overrides, override))

    result = _change(actor, unit, subject, conditions, edit, lambda holder: _override_data(unit, holder, added))
    return dataclasses.replace(result, created=bool(added))


def put_override(
    actor: Actor, unit: WriteUnit, subject: Subject, id_: str, text: bytes, conditions: WriteConditions
) -> SubjectResult:
    """Replace an override of a subject; its author is then the caller."""

    def edit(account: Account, holder: Holder, _: int) -> Holder:
        validator = validator_for(unit.published, account.customer.id)
        place = _find(holder, id_)
        override = read_override_body(text, validator.reader, (), {"id": id_})
        if replace(override, author="") != replace(holder.overrides[place], author=""):
            validator.check_new_override(override)
        return replace(holder, overrides=(*holder.overrides[:place], override, *holder.overrides[place + 1 :]))

    return _change(actor, unit, subject, conditions, edit, lambda holder: _override_data(unit, holder, id_))


def remove_override(
    actor: Actor, unit: WriteUnit, subject: Subject, id_: str, conditions: WriteConditions
) -> SubjectResult:
    """Remove an override from a subject."""

    def edit(_: Account, holder: Holder, __: int) -> Holder:
        place = _find(holder, id_)
        return replace(holder, overrides=holder.overrides[:place] + holder.overrides[place + 1 :])

    return _change(actor, unit, subject, conditions, edit)


def _find(holder: Holder, id_: str) -> int:
    for place, override in enumerate(holder.overrides):
        if override.id == id_:
            return place
    raise NotFoundError("override", id_)


# ── Suspensions ──────────────────────────────────────────────────────────────────────────────────────────────────────


def list_suspensions(unit: ReadUnit, subject: Subject) -> list[Data]:
    """List past, present and future suspensions."""
    holder, _ = _read(unit, subject)
    return [suspension_data(suspension) for suspension in holder.suspensions]


def suspend(actor: Actor, unit: WriteUnit, subject: Subject, text: bytes, conditions: WriteConditions) -> SubjectResult:
    """Suspend a feature for a subject: from now or an instant on, until an instant or without an end."""

    def edit(account: Account, holder: Holder, _: int) -> Holder:
        suspension = read_subject_body(text, validator_for(unit.published, account.customer.id).reader.suspension)
        if suspension.start == BEGINNING:
            suspension = replace(suspension, start=unit.now)
        if suspension.until <= suspension.start:
            raise BodyError([BodyProblem("/until", "empty-period", "`until` is in the past")])
        return replace(holder, suspensions=(*holder.suspensions, suspension))

    result = _change(actor, unit, subject, conditions, edit, lambda holder: suspension_data(holder.suspensions[-1]))
    return dataclasses.replace(result, created=result.applied is None)


def resume(
    actor: Actor, unit: WriteUnit, subject: Subject, feature: str, at: Instant | None, conditions: WriteConditions
) -> SubjectResult:
    """Resume a feature at an instant, or now. Suspensions that start later are removed."""

    def edit(_: Account, holder: Holder, __: int) -> Holder:
        end = unit.now if at is None else at
        if not any(it.feature == feature and it.until > end for it in holder.suspensions):
            raise NotFoundError("suspension", feature)
        suspensions = tuple(
            replace(it, until=min(it.until, end)) if it.feature == feature else it
            for it in holder.suspensions
            if it.feature != feature or it.start < end
        )
        return replace(holder, suspensions=suspensions)

    return _change(actor, unit, subject, conditions, edit)
