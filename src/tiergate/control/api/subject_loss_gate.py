"""Refuses changes of one customer that take something away, unless the caller accepts exactly this loss.

Weighed are overrides, items with their quantities, dates and pins, and what tags decide: over the API nothing of it is
taken by accident. Not weighed is the life of a subscription (its status and dates), nor suspensions: to end what is no
longer paid, or to switch something off, is what these are for.

INVARIANT (support takes nothing away): a change that takes anything needs `editEntitlement`, accepted or not. For a
caller without it, subscriptions that are over count too, as they may be made active again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tiergate.admin.loss_acceptance import accepted_loss
from tiergate.errors import BodyError, ForbiddenError, LossError, RequestError
from tiergate.impact.preview.loss_token import loss_token, losses_of
from tiergate.impact.preview.subject_effects import Impact, impact_data
from tiergate.impact.subject_change.change_effects import (
    CatalogDefinitions,
    RecordChange,
    affected_features,
    catalog_definitions,
    subject_effects,
)
from tiergate.model import SubjectRecord, SubjectType, format_instant
from tiergate.permissions import Action

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest
    from tiergate.impact.preview.subject_effects import SubjectEffect
    from tiergate.model import Catalog, Instant, Subscription
    from tiergate.permissions import Resource
    from tiergate.store import WriteUnit

ACCEPT_LOSS: Final = "accept_loss"
"""The parameter of a request that says which loss is accepted."""

_MOST_NAMED: Final = 5


def refuse_loss(
    request: AdminRequest, unit: WriteUnit, before: SubjectRecord, after: SubjectRecord, resource: Resource
) -> None:
    """See that a change of a customer's record takes nothing away, or that the loss is accepted.

    Raises:
        LossError: it takes something; the error has the token that accepts this loss.
        ForbiddenError: it takes something, and the caller may not.
        RequestError: 400, `accept_loss` is no token.
    """
    given = _accepted(request)
    published = unit.published
    source = catalog_definitions(published.catalog, published.index)
    before = _with_lives_of(before, after)
    features = affected_features(before, after, source)
    if not features:
        return
    may = request.may(Action.EDIT_ENTITLEMENT, resource)
    effects = subject_effects(RecordChange(before, after, features), source, unit.now, revived=not may)
    losses = [effect for effect in effects if effect.effect.takes]
    if not losses:
        return
    if not may:
        named = _named(losses, unit.now)
        raise ForbiddenError(
            Action.EDIT_ENTITLEMENT, resource.type, scoped=False, explanation=f"it would take something away: {named}"
        )
    _expect_accepted(after.customer.id, losses, given, unit.now)


def refuse_swap_loss(
    request: AdminRequest,
    before: SubjectRecord,
    after: SubjectRecord,
    catalogs: tuple[Catalog, Catalog],
    now: Instant,
) -> None:
    """See that a customer who chooses another plan loses nothing by it, or accepts the loss.

    `catalogs`: before and after; the latter has the plan that is chosen.

    Raises:
        LossError: it takes something; the error has the token that accepts this loss.
        RequestError: 400, `accept_loss` is no token.
    """
    given = _accepted(request)
    source = CatalogDefinitions(catalogs[1], catalogs[1].index())
    features = affected_features(before, after, source)
    losses = [it for it in subject_effects(RecordChange(before, after, features), source, now) if it.effect.takes]
    _expect_accepted(after.customer.id, losses, given, now)


def _expect_accepted(customer: str, losses: list[SubjectEffect], given: str, now: Instant) -> None:
    token = loss_token(customer, losses_of(losses, now))
    if token and given != token:
        tally = Impact()
        tally.count(losses)
        detail = f"the customer `{customer}` would lose something: {_named(losses, now)}"
        raise LossError(detail, impact_data(tally), token)


def _accepted(request: AdminRequest) -> str:
    text = request.query.get(ACCEPT_LOSS)
    if text is None:
        return ""
    try:
        return accepted_loss(text)
    except BodyError as error:
        raise RequestError(400, "invalid request", f"`{ACCEPT_LOSS}` {error.problems[0].sentence}") from None


def _with_lives_of(before: SubjectRecord, after: SubjectRecord) -> SubjectRecord:
    """The record before a change, with the statuses, dates and suspensions after it: these are not weighed."""
    lives = {it.id: it for it in after.subscriptions}
    return SubjectRecord(
        replace(before.customer, suspensions=after.customer.suspensions),
        tuple(_with_life(it, lives[it.id]) if it.id in lives else it for it in before.subscriptions),
    )


def _with_life(subscription: Subscription, life: Subscription) -> Subscription:
    return replace(
        subscription,
        status=life.status,
        start=life.start,
        end=life.end,
        trial_end=life.trial_end,
        grace_until=life.grace_until,
        resume_at=life.resume_at,
        resumes_as=life.resumes_as,
        suspensions=life.suspensions,
    )


def _named(losses: list[SubjectEffect], now: Instant) -> str:
    """What is lost, in words: `` `movies` from 50 to 3, at once ``."""
    parts = [_words(loss, now) for loss in losses[:_MOST_NAMED]]
    if len(losses) > _MOST_NAMED:
        parts.append(f"and {len(losses) - _MOST_NAMED} more")
    return "; ".join(parts)


def _words(loss: SubjectEffect, now: Instant) -> str:
    where = f" of the subscription `{loss.subject.id}`" if loss.subject.type is SubjectType.SUBSCRIPTION else ""
    when = "at once" if loss.since <= now else f"from {format_instant(loss.since)} on"
    return f"`{loss.feature}`{where} from {_shown(loss.before.value)} to {_shown(loss.after.value)}, {when}"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "nothing" if value is None else f"{value}"
