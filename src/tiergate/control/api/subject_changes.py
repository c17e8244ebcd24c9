"""Changes of what one customer has, as use cases: what they need to be allowed, what is checked, what is written down.

Whatever way a change comes (a whole document, a patch, one override), it ends here as the whole subject before and
after. INVARIANT (no way around): the actions that it needs are told from the difference between the two, so that what
one route refuses, no other lets through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.admin.customer_validation import printable_features, terms_for
from tiergate.admin.plan_changes import scheduled_change
from tiergate.admin.sellable_items import refuse_unsellable
from tiergate.catalog import customer_data, subscription_data
from tiergate.control.api.answers import stamp_data
from tiergate.control.api.subject_loss_gate import refuse_loss
from tiergate.control.api.write_order import as_of_data
from tiergate.errors import ConflictError
from tiergate.impact.subject_change.override_effects import reject_ineffective_overrides
from tiergate.model import (
    FOREVER,
    Customer,
    Instant,
    OverrideMode,
    SubjectRecord,
    SubjectType,
    Subscription,
    SubscriptionItem,
    format_instant,
)
from tiergate.model.subscription_state import derive_state
from tiergate.permissions import Action, Resource
from tiergate.store.customers import Account
from tiergate.store.write_order import mark_deleted, revive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tiergate.admin.results import Data
    from tiergate.catalog import PlainData
    from tiergate.control.api.request import AdminRequest
    from tiergate.model import CatalogIndex, Feature, Override, Suspension
    from tiergate.store import PublishedCatalog, ReadUnit, WriteUnit
    from tiergate.store.subjects import Stamp, StoredSubscription


def customer_answer(customer: Customer, stamp: Stamp, index: CatalogIndex, erased_at: Instant | None = None) -> Data:
    """A customer as it is answered: the file's form, and what the store knows of it."""
    data = customer_data(customer, printable_features(index.features, customer), every_id=True)
    data |= stamp_data(stamp)
    return data if erased_at is None else {**data, "erased_at": format_instant(erased_at)}


def subscription_answer(stored: StoredSubscription, unit: ReadUnit) -> Data:
    """A subscription as it is answered: the file's form, what it is now, and what the store knows of it."""
    return subscription_answers([stored], unit)[0]


def subscription_answers(stored: Sequence[StoredSubscription], unit: ReadUnit) -> list[Data]:
    """Several subscriptions as they are answered."""
    known = as_of_data(unit, SubjectType.SUBSCRIPTION, [one.subscription.id for one in stored])
    index = unit.published.index
    found = []
    for held, stamp in stored:
        data = subscription_data(held, printable_features(index.features, held), every_id=True)
        found.append(data | present_data(held, index, unit.now) | known.get(held.id, {}) | stamp_data(stamp))
    return found


def present_data(subscription: Subscription, index: CatalogIndex, now: Instant) -> Data:
    """What a subscription is at an instant, and the change of plan that is then to come."""
    found: Data = {"state": derive_state(subscription, now).value}
    change = scheduled_change(subscription.items, index, now)
    if change is not None:
        leaving, coming = subscription.items[change.leaving], subscription.items[change.coming]
        ends: list[PlainData] = [
            held.item for held in subscription.items if held is not leaving and held.until == leaving.until
        ]
        found["scheduled_change"] = {
            "from_item": leaving.item,
            "to": coming.item,
            "quantity": coming.quantity,
            "at": format_instant(coming.start),
            **({"ends": ends} if ends else {}),
        }
    return found


# ── What a change needs ──────────────────────────────────────────────────────────────────────────────────────────────


def needed_for_customer(before: Customer | None, after: Customer | None) -> set[Action]:
    """The actions that a change of a customer needs; `None` stands for there being none."""
    known = before or after
    if known is None:
        return set()
    nothing = Customer(known.id)
    needed = _needed_for_exceptions(before or nothing, after or nothing)
    if before is None or after is None or _described(before) != _described(after):
        needed.add(Action.EDIT_CUSTOMER)
    return needed


def _described(customer: Customer) -> Customer:
    return replace(customer, overrides=(), suspensions=())


def needed_for_subscription(before: Subscription | None, after: Subscription | None) -> set[Action]:
    """The actions that a change of a subscription needs; `None` stands for there being none."""
    known = before or after
    if known is None:
        return set()
    nothing = _bare(known)
    old, new = before or nothing, after or nothing
    needed = _needed_for_exceptions(old, new)
    if before is None or after is None or _bare(old) != _bare(new):
        needed.add(Action.EDIT_SUBSCRIPTION)
    if [_unpinned(held) for held in old.items] != [_unpinned(held) for held in new.items]:
        needed.add(Action.EDIT_ENTITLEMENT)
    if _pins_change(old, new):
        needed.add(Action.PIN_VERSION)
    return needed


def _bare(subscription: Subscription) -> Subscription:
    return replace(subscription, items=(), overrides=(), suspensions=())


def _unpinned(held: SubscriptionItem) -> SubscriptionItem:
    return replace(held, version=None)


def _pins_change(before: Subscription, after: Subscription) -> bool:
    """Say whether a pin is new, or one is gone of an item that is still held."""
    old, new = ({(held.item, held.version) for held in it.items if held.version is not None} for it in (before, after))
    kept = {held.item for held in after.items}
    return not new <= old or any(item in kept for item, _ in old - new)


def _needed_for_exceptions(before: Customer | Subscription, after: Customer | Subscription) -> set[Action]:
    needed: set[Action] = set()
    stood = {override.id: override for override in before.overrides}
    stand = {override.id: override for override in after.overrides}
    for id_, override in stand.items():
        if id_ not in stood:
            needed.add(Action.OVERRIDE)
            if override.mode is OverrideMode.DISABLED:
                needed.add(Action.EDIT_ENTITLEMENT)  # it takes something away
    if any(stand.get(id_) != override for id_, override in stood.items()):
        needed.add(Action.EDIT_ENTITLEMENT)
    if before.suspensions != after.suspensions:
        needed.add(Action.EDIT_ENTITLEMENT)
    return needed


# ── Changes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def save_customer(request: AdminRequest, unit: WriteUnit, customer: Customer, account: Account | None) -> Account:
    """Add a customer (`account` is then `None`), or make it what `customer` says.

    Overrides that are new or different are the caller's from then on, whatever author they say.

    Raises:
        ForbiddenError: the caller may not do all of that.
        BodyError: it cannot be so by the published catalog.
        ConflictError: there is such a customer, or a new override can have no effect.
        LossError: it takes something away, and nobody accepted that.
    """
    before = None if account is None else account.customer
    terms = terms_for(unit.published, customer.id)
    stood = () if before is None else before.overrides
    customer = replace(customer, overrides=signed(customer.overrides, stood, request.caller.id))
    resource = Resource.customer_of(customer.id)
    for action in sorted(needed_for_customer(before, customer)):
        request.require(action, resource)
    terms.check_new_overrides(customer, before)
    if account is not None:
        record = account.record
        after = replace(record, customer=customer)
        reject_ineffective_overrides(terms.published, after, None, _new(customer.overrides, stood), unit.now)
        refuse_loss(request, unit, record, after, resource)
    if account is None:
        account = Account.create(unit, customer)
        revive(unit.session, SubjectType.CUSTOMER, [customer.id])
    elif not account.write_customer(customer):
        return account
    terms.check_totals(account.record)
    write_down_customer(unit, before, customer, terms.published)
    return account


def delete_customer(request: AdminRequest, unit: WriteUnit, account: Account, as_of: Instant) -> None:
    """Delete a customer, who has no subscriptions any more. `as_of`: from when on it is gone, for what was said before.

    Raises:
        ForbiddenError: the caller may not take away all that goes with it.
        ConflictError: it has subscriptions.
    """
    customer = account.customer
    for action in sorted(needed_for_customer(customer, None)):
        request.require(action, Resource.customer_of(customer.id))
    account.remove()
    mark_deleted(unit.session, SubjectType.CUSTOMER, customer.id, as_of, unit.now)
    write_down_customer(unit, customer, None, unit.published)


def save_subscription(
    request: AdminRequest,
    unit: WriteUnit,
    subscription: Subscription,
    account: Account,
    *,
    is_new: bool,
    verb: str | None = None,
    gated: bool = True,
    granted: frozenset[Action] = frozenset(),
) -> StoredSubscription:
    """Add a subscription to an account, or make it what `subscription` says.

    An item that is new in it is held since now, for rollouts to those added since, unless it says since when. `verb`:
    what the audit log calls it, where that is more than that it was created or changed. `gated`: where it takes
    something away, it is refused until that is accepted. Steps of its life, billing and a change of plan are not gated:
    they end what is no longer paid. `granted`: actions that the caller's own one stands for in this change.

    Raises:
        ForbiddenError, BodyError, ConflictError, LossError: as for a customer.
    """
    if is_new and account.holds(subscription.id):
        raise ConflictError("already-exists", f"the subscription `{subscription.id}` exists already")
    before = None if is_new else account.subscription(subscription.id).subscription
    terms = terms_for(unit.published, account.customer.id)
    stood = () if before is None else before.overrides
    subscription = replace(
        subscription,
        items=_dated(subscription, before, unit.now),
        overrides=signed(subscription.overrides, stood, request.caller.id),
    )
    resource = Resource.subscription(subscription.id, account.customer.id)
    for action in sorted(needed_for_subscription(before, subscription) - granted):
        request.require(action, resource)
    terms.check_new_overrides(subscription, before)
    refuse_unsellable(unit, before, subscription)
    after = _with_subscription(account.record, subscription)
    reject_ineffective_overrides(terms.published, after, subscription.id, _new(subscription.overrides, stood), unit.now)
    if gated and before is not None:
        refuse_loss(request, unit, account.record, after, resource)
    if is_new:
        revive(unit.session, SubjectType.SUBSCRIPTION, [subscription.id])
    if account.write_subscription(subscription):
        terms.check_totals(account.record)
        write_down_subscription(unit, before, subscription, terms.published, verb)
    return account.subscription(subscription.id)


def _new(overrides: tuple[Override, ...], stood: tuple[Override, ...]) -> tuple[Override, ...]:
    """Those overrides that do something else than one that stood."""
    known = {replace(override, author="", reason="") for override in stood}
    return tuple(override for override in overrides if replace(override, author="", reason="") not in known)


def _with_subscription(record: SubjectRecord, subscription: Subscription) -> SubjectRecord:
    held = {it.id: it for it in record.subscriptions} | {subscription.id: subscription}
    return replace(record, subscriptions=tuple(held[id_] for id_ in sorted(held)))


def delete_subscription(request: AdminRequest, unit: WriteUnit, account: Account, id_: str, as_of: Instant) -> None:
    """Delete a subscription of an account. `as_of`: as of a customer.

    Raises:
        ForbiddenError: the caller may not take away all that goes with it.
        NotFoundError: it has none of this id.
    """
    before = account.subscription(id_).subscription
    for action in sorted(needed_for_subscription(before, None)):
        request.require(action, Resource.subscription(id_, account.customer.id))
    account.remove_subscription(id_)
    mark_deleted(unit.session, SubjectType.SUBSCRIPTION, id_, as_of, unit.now)
    write_down_subscription(unit, before, None, unit.published)


def signed(overrides: tuple[Override, ...], stood: tuple[Override, ...], author: str) -> tuple[Override, ...]:
    """The overrides with their true authors: whoever wrote it, not whom a body names."""
    known = {override.id: override for override in stood}
    found = []
    for override in overrides:
        old = known.get(override.id)
        same = old is not None and replace(override, author=old.author) == old
        found.append(old if same and old is not None else replace(override, author=author))
    return tuple(found)


def _dated(subscription: Subscription, before: Subscription | None, now: Instant) -> tuple[SubscriptionItem, ...]:
    """The items with the instants at which they were added: what was held before keeps its own."""
    if before is None:
        if subscription.start is not None:
            return subscription.items  # they count as added at its start
        known: dict[str, Instant | None] = {}
    else:
        known = {held.item: held.added_at for held in before.items}
    return tuple(
        held if held.added_at is not None else replace(held, added_at=known.get(held.item, now))
        for held in subscription.items
    )


# ── What is written down ─────────────────────────────────────────────────────────────────────────────────────────────


def write_down_customer(
    unit: WriteUnit, before: Customer | None, after: Customer | None, published: PublishedCatalog
) -> None:
    """Have the audit log say what was done to a customer, and the webhooks what was suspended."""
    known = before or after
    if known is None:
        return
    features = published.index.features
    unit.audit(
        f"customer.{_verb(before, after)}",
        "customer",
        known.id,
        before=None if before is None else _customer_data(before, features),
        after=None if after is None else _customer_data(after, features),
        customer=known.id,
    )
    _tell_suspensions(unit, before, after, {"customer": known.id})


def write_down_subscription(
    unit: WriteUnit,
    before: Subscription | None,
    after: Subscription | None,
    published: PublishedCatalog,
    verb: str | None = None,
) -> None:
    """As `write_down_customer`; `verb`: what was done, where that has a name."""
    known = before or after
    if known is None:
        return
    features = published.index.features
    unit.audit(
        f"subscription.{verb or _verb(before, after)}",
        "subscription",
        known.id,
        before=None if before is None else _subscription_data(before, features),
        after=None if after is None else _subscription_data(after, features),
        customer=known.customer,
    )
    _tell_suspensions(unit, before, after, {"customer": known.customer, "subscription": known.id})


def _customer_data(customer: Customer, features: Mapping[str, Feature]) -> Data:
    return customer_data(customer, printable_features(features, customer), every_id=True)


def _subscription_data(subscription: Subscription, features: Mapping[str, Feature]) -> Data:
    return subscription_data(subscription, printable_features(features, subscription), every_id=True)


def _verb(before: object, after: object) -> str:
    if before is None:
        return "created"
    return "deleted" if after is None else "changed"


def _tell_suspensions(
    unit: WriteUnit,
    before: Customer | Subscription | None,
    after: Customer | Subscription | None,
    whose: dict[str, str],
) -> None:
    stood = () if before is None else before.suspensions
    stand = () if after is None else after.suspensions
    kept = {(it.feature, it.start): it for it in stand}
    for old in stood:
        new = kept.get((old.feature, old.start))
        if new is None or new.until <= unit.now < old.until:
            unit.emit("feature.resumed", {"feature": old.feature, **whose, **_until(old)})
    for new in stand:
        if new not in stood and new.until > unit.now:
            unit.emit("feature.suspended", {"feature": new.feature, **whose, **_until(new)})


def _until(suspension: Suspension) -> dict[str, str]:
    return {} if suspension.until == FOREVER else {"until": format_instant(suspension.until)}
