"""Reject changes of one customer that reduce what it has, unless the caller accepts exactly this loss.

Compared are overrides, items with their quantities, dates and pins, and the effects of tags. Not compared are the
status and the dates of subscriptions, nor suspensions: their purpose is to end what is not paid, or to switch it off.

INVARIANT (support reduces nothing): a change that reduces anything needs `editEntitlement`, accepted or not. For a
caller without it, ended subscriptions count too, because they can become active again.

Functions raise `LossError` with the token of the loss, and `ForbiddenError` if the actor may not reduce anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tiergate.errors import BodyError, BodyProblem, ForbiddenError, LossError
from tiergate.impact.preview.loss_token import is_loss_token, loss_token, losses_of
from tiergate.impact.preview.subject_effects import Impact, impact_data
from tiergate.impact.subject_change.change_effects import (
    CatalogDefinitions,
    RecordChange,
    affected_features,
    catalog_definitions,
    only_raises_quantities,
    subject_effects,
)
from tiergate.model import SubjectRecord, SubjectType, format_instant
from tiergate.permissions import Action

if TYPE_CHECKING:
    from tiergate.admin.actor import Actor
    from tiergate.impact.preview.subject_effects import SubjectEffect
    from tiergate.model import Catalog, Instant, Subscription
    from tiergate.permissions import Resource
    from tiergate.store import WriteUnit

AcceptLoss = str | bool
"""The type of the member `accept_loss` of a body: a token; `false`, its default, accepts nothing."""

_MOST_LISTED: Final = 5


def parse_loss_token(value: AcceptLoss, pointer: str = "/accept_loss") -> str:
    """Return the token of the loss that a body accepts, or ''; `true` would accept any loss, and is a `BodyError`."""
    if value is False:
        return ""
    if isinstance(value, str) and is_loss_token(value):
        return value
    detail = (
        "must be the token of the accepted loss, such as `loss-3-6d1f…`: "
        "a dry run and the error `customers-would-lose` return it as `accept_loss`"
    )
    raise BodyError([BodyProblem(pointer, "wrong-value", detail)])


def reject_loss(
    actor: Actor, unit: WriteUnit, before: SubjectRecord, after: SubjectRecord, resource: Resource, accepted: str
) -> None:
    """Reject a change of a customer's record that reduces anything and is not accepted by the token `accepted`."""
    if only_raises_quantities(before, after):
        return
    before = _with_lifecycle(before, after)
    if only_raises_quantities(before, after):
        return
    published = unit.published
    source = catalog_definitions(published.catalog, published.index)
    features = affected_features(before, after, source)
    if not features:
        return
    may_reduce = actor.may(Action.EDIT_ENTITLEMENT, resource)
    effects = subject_effects(RecordChange(before, after, features), source, unit.now, revived=not may_reduce)
    losses = [effect for effect in effects if effect.effect.reduces]
    if losses and not may_reduce:
        because = f"the change would reduce {_describe_losses(losses, unit.now)}"
        raise ForbiddenError(Action.EDIT_ENTITLEMENT, resource.type, scoped=False, explanation=because)
    _require_accepted(after.customer.id, losses, accepted, unit.now)


def reject_swap_loss(
    before: SubjectRecord, after: SubjectRecord, catalog: Catalog, now: Instant, accepted: str
) -> None:
    """Reject that a customer chooses another plan and loses something by it, unless it accepts the loss.

    `catalog`: the one after the change, with the chosen plan.
    """
    source = CatalogDefinitions(catalog, catalog.index())
    change = RecordChange(before, after, affected_features(before, after, source))
    losses = [effect for effect in subject_effects(change, source, now) if effect.effect.reduces]
    _require_accepted(after.customer.id, losses, accepted, now)


def _require_accepted(customer: str, losses: list[SubjectEffect], accepted: str, now: Instant) -> None:
    token = loss_token(customer, losses_of(losses, now))
    if token and accepted != token:
        tally = Impact()
        tally.count(losses)
        detail = f"the customer `{customer}` would lose {_describe_losses(losses, now)}"
        raise LossError(detail, impact_data(tally), token)


def _with_lifecycle(before: SubjectRecord, after: SubjectRecord) -> SubjectRecord:
    """Return the record before a change with the statuses, dates and suspensions after it: these are not compared."""
    new = {subscription.id: subscription for subscription in after.subscriptions}
    return SubjectRecord(
        replace(before.customer, suspensions=after.customer.suspensions),
        tuple(_with_dates(old, new[old.id]) if old.id in new else old for old in before.subscriptions),
    )


def _with_dates(subscription: Subscription, source: Subscription) -> Subscription:
    names = ("status", "start", "end", "trial_end", "grace_until", "resume_at", "resumes_as", "suspensions")
    return replace(subscription, **{name: getattr(source, name) for name in names})


def _describe_losses(losses: list[SubjectEffect], now: Instant) -> str:
    """Describe losses in a phrase such as `` `movies` from 50 to 3 at once ``."""
    parts = [_describe_loss(loss, now) for loss in losses[:_MOST_LISTED]]
    if len(losses) > _MOST_LISTED:
        parts.append(f"and {len(losses) - _MOST_LISTED} more")
    return "; ".join(parts)


def _describe_loss(loss: SubjectEffect, now: Instant) -> str:
    where = f" of the subscription `{loss.subject.id}`" if loss.subject.type is SubjectType.SUBSCRIPTION else ""
    when = "at once" if loss.since <= now else f"from {format_instant(loss.since)} on"
    return f"`{loss.feature}`{where} from {_display(loss.before.value)} to {_display(loss.after.value)}, {when}"


def _display(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "nothing" if value is None else f"{value}"
