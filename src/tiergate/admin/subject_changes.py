"""Save a changed customer or subscription: check permissions and rules, write the rows, the audit log and the events.

Every kind of change (a whole document, a patch, one override) ends here as the subject before and after it.
INVARIANT (no way around): the required actions follow from the difference of the two alone, so that no route allows
what another one denies.

Functions raise `ForbiddenError` if the actor may not do all of the change, `BodyError` if the published catalog does
not allow it, `ConflictError` if the subject exists already, is in use, or gets an override without effect or an item
that is not sold, and `LossError` if it reduces something and `accept_loss` is not the token of this loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from tiergate.admin.customer_validation import validator_for
from tiergate.admin.loss_gate import reject_loss
from tiergate.admin.subject_views import file_data
from tiergate.errors import BodyProblem, ConflictError
from tiergate.impact.subject_change.override_effects import reject_ineffective_overrides
from tiergate.model import FOREVER, Customer, ItemStatus, OverrideMode, SubjectType, Subscription, format_instant
from tiergate.permissions import Action, Resource
from tiergate.store.customers import Account
from tiergate.store.items import item_statuses
from tiergate.store.usage_thresholds import delete_own_thresholds
from tiergate.store.write_order import clear_deletions, record_deletion

if TYPE_CHECKING:
    from tiergate.admin.actor import Actor
    from tiergate.model import Instant, Override, SubjectRecord, SubscriptionItem
    from tiergate.store import ReadUnit, WriteUnit
    from tiergate.store.subjects import StoredSubscription

Holder = Customer | Subscription
_Subject = TypeVar("_Subject", Customer, Subscription)


# ── Permissions ──────────────────────────────────────────────────────────────────────────────────────────────────────


def require_change(
    actor: Actor, before: Holder | None, after: Holder | None, granted: frozenset[Action] = frozenset()
) -> None:
    """Require the actions that a change of a subject needs; `None`: the subject does not exist."""
    subject = after or before
    if subject is None:
        return
    resource = resource_of(subject)
    for action in sorted(_required_actions(before, after) - granted):
        actor.require(action, resource)


def resource_of(subject: Holder) -> Resource:
    """Return the resource that permissions are checked on."""
    if isinstance(subject, Customer):
        return Resource.customer_of(subject.id)
    return Resource.subscription(subject.id, subject.customer)


def _required_actions(before: Holder | None, after: Holder | None) -> set[Action]:
    known = after or before
    if known is None:
        return set()
    own = Action.EDIT_CUSTOMER if isinstance(known, Customer) else Action.EDIT_SUBSCRIPTION
    if before is None and isinstance(known, Customer) and not (known.overrides or known.suspensions):
        return {own}
    old, new = before or _empty(known), after or _empty(known)
    required = _for_exceptions(old, new)
    if before is None or after is None or _without_parts(old) != _without_parts(new):
        required.add(own)
    if isinstance(old, Subscription) and isinstance(new, Subscription) and old.items != new.items:
        if len(old.items) != len(new.items) or _without_pins(old) != _without_pins(new):
            required.add(Action.EDIT_ENTITLEMENT)
        if _changes_pins(old, new):
            required.add(Action.PIN_VERSION)
    return required


def _empty(subject: Holder) -> Holder:
    return Customer(subject.id) if isinstance(subject, Customer) else _without_parts(subject)


def _without_parts(subject: Holder) -> Holder:
    if isinstance(subject, Customer):
        return replace(subject, overrides=(), suspensions=())
    return replace(subject, items=(), overrides=(), suspensions=())


def _without_pins(subscription: Subscription) -> list[SubscriptionItem]:
    return [entry if entry.version is None else replace(entry, version=None) for entry in subscription.items]


def _changes_pins(before: Subscription, after: Subscription) -> bool:
    """Return whether a pin is new, or was removed from an item that stays."""
    old, new = (
        {(entry.item, entry.version) for entry in it.items if entry.version is not None} for it in (before, after)
    )
    if old == new:
        return False
    kept = {entry.item for entry in after.items}
    return not new <= old or any(item in kept for item, _ in old - new)


def _for_exceptions(before: Holder, after: Holder) -> set[Action]:
    required: set[Action] = set()
    if before.overrides == after.overrides and before.suspensions == after.suspensions:
        return required
    old = {override.id: override for override in before.overrides}
    new = {override.id: override for override in after.overrides}
    for id_, override in new.items():
        if id_ not in old:
            required.add(Action.OVERRIDE)
            if override.mode is OverrideMode.DISABLED:
                required.add(Action.EDIT_ENTITLEMENT)  # it reduces something
    if before.suspensions != after.suspensions or any(new.get(id_) != override for id_, override in old.items()):
        required.add(Action.EDIT_ENTITLEMENT)
    return required


# ── Changes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def save_customer(
    actor: Actor, unit: WriteUnit, customer: Customer, account: Account | None, accept_loss: str = ""
) -> Account:
    """Create a customer (`account`: `None`) or replace it. The actor becomes the author of changed overrides."""
    before = None if account is None else account.customer
    customer = with_authors(customer, before, actor.id)
    require_change(actor, before, customer)
    validator = validator_for(unit.published, customer.id)
    validator.check_new_overrides(customer, before)
    if account is not None:
        after = replace(account.record, customer=customer)
        reject_ineffective_overrides(unit.published, after, None, _changed_overrides(before, customer), unit.now)
        reject_loss(actor, unit, account.record, after, resource_of(customer), accept_loss)
    if account is None:
        account = Account.create(unit, customer)
        clear_deletions(unit.session, SubjectType.CUSTOMER, [customer.id])
    elif not account.write_customer(customer):
        return account
    validator.check_totals(account.record)
    record_change(unit, before, customer)
    return account


def delete_customer(actor: Actor, unit: WriteUnit, account: Account, as_of: Instant) -> None:
    """Delete a customer that has no subscriptions, as of an instant: older writes do not create it again."""
    customer = account.customer
    require_change(actor, customer, None)
    account.remove()
    delete_own_thresholds(unit, customer.id)
    record_deletion(unit.session, SubjectType.CUSTOMER, customer.id, as_of, unit.now)
    record_change(unit, customer, None)


def save_subscription(
    actor: Actor,
    unit: WriteUnit,
    subscription: Subscription,
    account: Account,
    *,
    is_new: bool = False,
    verb: str | None = None,
    accept_loss: str | None = "",
    granted: frozenset[Action] = frozenset(),
) -> StoredSubscription:
    """Create a subscription of an account, or replace it. An item without `added_at` counts as added now.

    `verb`: the action in the audit log, if it is more than "created" or "changed". `accept_loss`: `None` skips the
    check of losses, for billing and changes of plan, which end what is no longer paid. `granted`: actions that the
    actor's own action includes in this change.
    """
    if is_new and account.has_subscription(subscription.id):
        raise ConflictError("already-exists", f"the subscription `{subscription.id}` exists already")
    before = None if is_new else account.subscription(subscription.id).subscription
    subscription = replace(
        with_authors(subscription, before, actor.id), items=_with_added_at(subscription, before, unit.now)
    )
    require_change(actor, before, subscription, granted)
    validator = validator_for(unit.published, account.customer.id)
    validator.check_new_overrides(subscription, before)
    reject_unsellable_items(unit, before, subscription)
    after = _with_subscription(account.record, subscription)
    changed = _changed_overrides(before, subscription)
    reject_ineffective_overrides(unit.published, after, subscription.id, changed, unit.now)
    if accept_loss is not None and before is not None:
        reject_loss(actor, unit, account.record, after, resource_of(subscription), accept_loss)
    if is_new:
        clear_deletions(unit.session, SubjectType.SUBSCRIPTION, [subscription.id])
    if account.write_subscription(subscription):
        validator.check_totals(account.record)
        record_change(unit, before, subscription, verb)
    return account.subscription(subscription.id)


def delete_subscription(actor: Actor, unit: WriteUnit, account: Account, id_: str, as_of: Instant) -> None:
    """Delete a subscription of an account, as of an instant."""
    before = account.subscription(id_).subscription
    require_change(actor, before, None)
    account.remove_subscription(id_)
    record_deletion(unit.session, SubjectType.SUBSCRIPTION, id_, as_of, unit.now)
    record_change(unit, before, None)


def reject_unsellable_items(
    unit: ReadUnit, before: Subscription | None, after: Subscription, pointer: str = "/items"
) -> None:
    """Reject a subscription that gets a draft or an archived item; `pointer`: the place of its items in the body.

    The status is that of the working catalog, so that archiving an item takes effect immediately. Nobody gets a draft.
    Subscriptions keep an archived item that they have; others cannot get it by any route.
    """
    present = {entry.item for entry in before.items} if before is not None else set()
    new = {place: entry.item for place, entry in enumerate(after.items) if entry.item not in present}
    if not new:
        return
    published, statuses = unit.published.index.items, item_statuses(unit, set(new.values()))
    problems = []
    for place, id_ in new.items():
        listed = published[id_].status if id_ in published else ItemStatus.ACTIVE
        status = ItemStatus.DRAFT if listed is ItemStatus.DRAFT else statuses.get(id_, listed)
        if status is ItemStatus.ARCHIVED:
            detail = f"`{id_}` is archived: only subscriptions that have it keep it"
            problems.append(BodyProblem(f"{pointer}/{place}", "item-archived", detail))
        elif status is ItemStatus.DRAFT:
            detail = f"`{id_}` is a draft: nobody can get it"
            problems.append(BodyProblem(f"{pointer}/{place}", "item-draft", detail))
    if problems:
        raise ConflictError(problems[0].code, "; ".join(dict.fromkeys(it.sentence for it in problems)), problems)


def _changed_overrides(before: Holder | None, after: Holder) -> tuple[Override, ...]:
    """Return the overrides that have another effect than any before."""
    old = () if before is None else before.overrides
    known = {replace(override, author="", reason="") for override in old}
    return tuple(it for it in after.overrides if replace(it, author="", reason="") not in known)


def _with_subscription(record: SubjectRecord, subscription: Subscription) -> SubjectRecord:
    by_id = {it.id: it for it in record.subscriptions} | {subscription.id: subscription}
    return replace(record, subscriptions=tuple(by_id[id_] for id_ in sorted(by_id)))


def with_authors(subject: _Subject, before: _Subject | None, author: str) -> _Subject:
    """Return a subject with `author` as the author of its changed overrides, whatever author a body names."""
    if not subject.overrides:
        return subject
    known = {} if before is None else {override.id: override for override in before.overrides}
    overrides = []
    for override in subject.overrides:
        old = known.get(override.id)
        unchanged = old is not None and replace(override, author=old.author) == old
        overrides.append(old if unchanged and old is not None else replace(override, author=author))
    return replace(subject, overrides=tuple(overrides))


def _with_added_at(
    subscription: Subscription, before: Subscription | None, now: Instant
) -> tuple[SubscriptionItem, ...]:
    """Return the items with the instants at which they were added: earlier items keep theirs."""
    if before is None and subscription.start is not None:
        return subscription.items  # they count as added at its start
    known = {} if before is None else {entry.item: entry.added_at for entry in before.items}
    return tuple(
        entry if entry.added_at is not None else replace(entry, added_at=known.get(entry.item, now))
        for entry in subscription.items
    )


# ── Audit log and events ─────────────────────────────────────────────────────────────────────────────────────────────


def record_change(unit: WriteUnit, before: Holder | None, after: Holder | None, verb: str | None = None) -> None:
    """Write a change of a subject to the audit log, and emit events for its suspensions.

    `verb`: as for `save_subscription`.
    """
    subject = after or before
    if subject is None:
        return
    index = unit.published.index
    default = "created" if before is None else "deleted" if after is None else "changed"
    kind, customer = ("customer", subject.id) if isinstance(subject, Customer) else ("subscription", subject.customer)
    unit.audit(
        f"{kind}.{verb or default}",
        kind,
        subject.id,
        before=None if before is None else file_data(before, index),
        after=None if after is None else file_data(after, index),
        customer=customer,
    )
    _emit_suspensions(unit, before, after, {"customer": customer, kind: subject.id})


def _emit_suspensions(unit: WriteUnit, before: Holder | None, after: Holder | None, ids: dict[str, str]) -> None:
    old = () if before is None else before.suspensions
    new = () if after is None else after.suspensions
    kept = {(it.feature, it.start): it for it in new}
    for suspension in old:
        same = kept.get((suspension.feature, suspension.start))
        acts = suspension.start <= unit.now < suspension.until
        if acts and (same is None or same.until <= unit.now):
            unit.emit("feature.resumed", {"feature": suspension.feature, **ids, **_until(suspension.until)})
    for suspension in new:
        is_known = any(it.feature == suspension.feature and it.start <= unit.now < it.until for it in old)
        if suspension not in old and not is_known and suspension.start <= unit.now < suspension.until:
            unit.emit("feature.suspended", {"feature": suspension.feature, **ids, **_until(suspension.until)})


def _until(until: Instant) -> dict[str, str]:
    return {} if until == FOREVER else {"until": format_instant(until)}
