"""Retire a plan: archive it, and move its subscriptions to another plan, now or at an instant.

The losses are computed first, customer by customer, and rejected until exactly these are accepted. Then the plan is
archived, so that nobody new gets it meanwhile, and the subscriptions are moved in the order of their customers' ids, a
hundred customers in one transaction: others write in between. Each subscription is moved as a whole or not at all, and
moving it again changes nothing: if the move stops in between, repeating it moves the rest. A customer that would lose
something that was not accepted, because of a change in between, keeps the plan, and so does one that cannot have the
other plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from tiergate.admin.customer_validation import validator_for
from tiergate.admin.subject_changes import record_change
from tiergate.catalog import item_head_data
from tiergate.errors import BodyError, BodyProblem, ConflictError, LossError
from tiergate.impact.preview.loss_token import LossAccumulator, losses_of
from tiergate.impact.preview.subject_effects import Impact, impact_data
from tiergate.impact.subject_change.change_effects import (
    RecordChange,
    affected_features,
    catalog_definitions,
    has_ended,
    subject_effects,
)
from tiergate.model import AudienceType, ItemKind, ItemStatus, SubjectRecord, SubscriptionItem, format_instant
from tiergate.model.redaction import redact_customer, redact_subscription
from tiergate.naming import nearest
from tiergate.permissions import Action, Resource
from tiergate.store.affected_records import customers_with_item
from tiergate.store.bulk_subjects import Upsert, write_subjects
from tiergate.store.features import lock_catalog
from tiergate.store.items import find_item, item_statuses, replace_item
from tiergate.store.subjects import StoredRecord, read_stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.admin.actor import Actor
    from tiergate.impact.preview.loss_token import Loss
    from tiergate.impact.preview.subject_effects import SubjectEffect
    from tiergate.model import CatalogIndex, Instant, Subscription
    from tiergate.store import PublishedCatalog, ReadUnit, Store, WriteUnit

_BATCH: Final = 100
_MOST_SHAPES: Final = 10_000
_EVERYBODY: Final = Resource.subscription("*", None)  # of no customer: a key for some customers may not

Items = tuple[SubscriptionItem, ...]


class PlanMove(NamedTuple):
    """The retired plan, its replacement, and the instant from which it counts; 0 is now."""

    item: str
    to: str
    at: Instant = 0


class KeptSubscription(NamedTuple):
    """A subscription that keeps the retired plan, and why."""

    customer: str
    subscription: str
    detail: str


class RetirementResult(NamedTuple):
    """The result of a retirement. `subscriptions`: how many have the plan and can be moved; `moved`: how many were.

    `token`: of the loss, '' if there is none.
    """

    at: Instant
    subscriptions: int
    impact: Impact
    token: str
    moved: int
    kept: Sequence[KeptSubscription]


class _MovedRecord(NamedTuple):
    """A customer's record after the move, its changed subscriptions, and those that keep the plan."""

    after: SubjectRecord
    changed: list[Subscription]
    kept: list[KeptSubscription]


def retire_plan(
    actor: Actor, store: Store, wanted: PlanMove, accept_loss: str, *, dry_run: bool = False
) -> RetirementResult:
    """Archive a plan, and move its subscriptions to another plan; with `dry_run`, only return what that would do.

    Raises:
        ForbiddenError: the actor may not change every subscription.
        NotFoundError, ConflictError, BodyError: there are no such plans, or they are not published.
        LossError: customers would lose something, and `accept_loss` is not the token of this loss.
    """
    actor.require(Action.EDIT_ENTITLEMENT, _EVERYBODY)
    move = store.read(lambda unit: _read_move(unit, wanted))
    losses = _LossAnalysis(move)
    now = store.clock()
    for records in _records_with(store, move.item):
        published = store.read(lambda unit: unit.published)
        for record in records:
            losses.add(published, record, now)
    token = losses.token
    if dry_run:
        return RetirementResult(move.at, losses.subscriptions, losses.impact, token, 0, losses.kept)
    if token and accept_loss != token:
        detail = (
            f"{losses.impact.reduces:,} customers would lose something by the move from `{move.item}` to `{move.to}`"
        )
        raise LossError(detail, impact_data(losses.impact), token)
    actor.change(store, lambda unit: _archive(unit, move))
    movable = set(losses.customers)
    moved, kept = 0, [it for it in losses.kept if it.customer not in movable]
    for begin in range(0, len(losses.customers), _BATCH):
        customers = losses.customers[begin : begin + _BATCH]
        batch = actor.change(store, lambda unit, customers=customers: _write(unit, move, customers, losses, now))  # type: ignore[misc]
        moved += batch[0]
        kept += batch[1]
    return RetirementResult(move.at, losses.subscriptions, losses.impact, token, moved, kept)


def _read_move(unit: ReadUnit, wanted: PlanMove) -> PlanMove:
    index = unit.published.index
    find_item(unit, wanted.item)
    old, new = index.items.get(wanted.item), index.items.get(wanted.to)
    if old is None:
        raise ConflictError("not-published", f"the item `{wanted.item}` is not published: nobody has it")
    if old.kind is not ItemKind.PLAN:
        detail = f"`{wanted.item}` is not a plan, but of kind `{old.kind.value}`: archive it instead"
        raise ConflictError("not-a-plan", detail)
    if new is None or new.private_to:
        near = nearest(wanted.to, (it.id for it in index.items.values() if not it.private_to))
        raise BodyError([BodyProblem("/to", "unknown-item", f"no item `{wanted.to[:100]}`", near)])
    status = item_statuses(unit, [wanted.to]).get(wanted.to, new.status)
    if new.kind is not ItemKind.PLAN or wanted.to == wanted.item or status is not ItemStatus.ACTIVE:
        detail = f"`{wanted.to}` is not another plan that is sold ({new.kind.value}, {status.value})"
        raise BodyError([BodyProblem("/to", "not-a-plan", detail)])
    return wanted._replace(at=max(wanted.at, unit.now))


def _archive(unit: WriteUnit, move: PlanMove) -> None:
    lock_catalog(unit)
    before = find_item(unit, move.item)
    item = replace(before.item, status=ItemStatus.ARCHIVED)
    replace_item(unit, before, item, before.draft)
    after = {**item_head_data(item), "to": move.to, "at": format_instant(move.at)}
    unit.audit("item.retired", "item", item.id, before=item_head_data(before.item), after=after)


# ── Records ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _records_with(store: Store, item: str) -> Iterator[list[SubjectRecord]]:
    """Yield the records of the customers that have an item in batches, in the order of their ids."""

    def read(unit: ReadUnit) -> list[SubjectRecord]:
        ids = customers_with_item(unit.session, item, after, _BATCH)
        stored = read_stored(unit.session, ids)
        return [stored[id_].record for id_ in ids]

    after = ""
    while records := store.read(read):
        yield records
        after = records[-1].customer.id


def _move_record(published: PublishedCatalog, record: SubjectRecord, move: PlanMove, now: Instant) -> _MovedRecord:
    """Return a customer's record after the move. Ended subscriptions stay as they are."""
    validator = validator_for(published, record.customer.id)
    changed: list[Subscription] = []
    kept: list[KeptSubscription] = []
    for subscription in record.subscriptions:
        if has_ended(subscription, now):
            continue
        items = _replace_plan(subscription.items, move, now)
        if items == subscription.items:
            continue
        try:
            validator.check_items(items, subscription.items, pointer="")
        except BodyError as error:
            detail = "; ".join(problem.sentence for problem in error.problems)
            kept.append(KeptSubscription(record.customer.id, subscription.id, detail))
            continue
        changed.append(replace(subscription, items=items))
    by_id = {it.id: it for it in changed}
    after = replace(record, subscriptions=tuple(by_id.get(it.id, it) for it in record.subscriptions))
    return _MovedRecord(after, changed, kept)


def _replace_plan(items: Items, move: PlanMove, now: Instant) -> Items:
    """Return the items with the plan replaced from an instant on. Entries that start later are replaced as wholes."""
    after: list[SubscriptionItem] = []
    for entry in items:
        if entry.item != move.item or entry.until <= move.at or entry.start >= entry.until:
            after.append(entry)
        elif move.at <= now or entry.start >= move.at:
            after.append(
                SubscriptionItem(move.to, entry.quantity, None, max(move.at, entry.start), entry.start, entry.until)
            )
        else:
            after.append(replace(entry, until=move.at))
            after.append(SubscriptionItem(move.to, entry.quantity, None, move.at, move.at, entry.until))
    return tuple(after)


class _LossAnalysis:
    """What customers lose by a move. Customers with equal records, but for their ids, are computed once."""

    def __init__(self, move: PlanMove) -> None:
        self._move = move
        self._sum = LossAccumulator()
        self._cache: dict[bytes, list[SubjectEffect]] = {}
        self._losses: dict[str, list[Loss]] = {}
        self.impact = Impact()
        self.customers: list[str] = []
        self.subscriptions = 0
        self.kept: list[KeptSubscription] = []

    @property
    def token(self) -> str:
        """The token of all losses; '' if there are none."""
        return self._sum.token()

    def add(self, published: PublishedCatalog, record: SubjectRecord, now: Instant) -> None:
        """Add one customer."""
        moved = _move_record(published, record, self._move, now)
        self.kept += moved.kept
        if not moved.changed:
            return
        self.customers.append(record.customer.id)
        self.subscriptions += len(moved.changed)
        effects = self._effects(published, record, moved.after, now)
        losses = losses_of(effects, now)
        self.impact.count(effects)
        self._sum.add(record.customer.id, losses)
        if losses:
            self._losses[record.customer.id] = losses

    def covers(self, published: PublishedCatalog, before: SubjectRecord, after: SubjectRecord, now: Instant) -> bool:
        """Return whether a customer, read again, loses nothing that was not found before."""
        losses = losses_of(self._effects(published, before, after, now), now)
        return all(loss in self._losses.get(before.customer.id, ()) for loss in losses)

    def _effects(
        self, published: PublishedCatalog, before: SubjectRecord, after: SubjectRecord, now: Instant
    ) -> list[SubjectEffect]:
        source = catalog_definitions(published.catalog, published.index)
        key = self._cache_key(published, before, now)
        effects = None if key is None else self._cache.get(key)
        if effects is None:
            features = affected_features(before, after, source)
            effects = subject_effects(RecordChange(before, after, features), source, now)
            if key is not None and len(self._cache) < _MOST_SHAPES:
                self._cache[key] = effects
        return [_with_customer(effect, before) for effect in effects]

    def _cache_key(self, published: PublishedCatalog, record: SubjectRecord, now: Instant) -> bytes | None:
        """Return a key that is equal for customers with equal losses; `None` if rollouts depend on the customer."""
        if len(record.subscriptions) != 1 or _depends_on_customer(published.index, record, self._move):
            return None
        customer, (subscription,) = record.customer, record.subscriptions
        start = None if subscription.start is None or subscription.start <= now else subscription.start
        shape = replace(
            redact_subscription(subscription),
            id="",
            customer="",
            start=start,
            term=None,
            items=tuple(replace(it, added_at=None) for it in subscription.items),
        )
        return msgspec.msgpack.encode(
            (published.sequence, replace(redact_customer(customer), id="", attributes={}), shape)
        )


def _depends_on_customer(index: CatalogIndex, record: SubjectRecord, move: PlanMove) -> bool:
    """Return whether a rollout of an item is for a share of customers, or for new ones."""
    ids = {entry.item for it in record.subscriptions for entry in it.items} | {move.to}
    types = {AudienceType.SHARE, AudienceType.NEW}
    return any(
        rollout.audience.type in types for id_ in ids if id_ in index.items for rollout in index.items[id_].rollouts
    )


def _with_customer(effect: SubjectEffect, record: SubjectRecord) -> SubjectEffect:
    """Return an effect on a customer with one subscription as an effect on an equal customer."""
    if effect.customer == record.customer.id:
        return effect
    return effect._replace(customer=record.customer.id, subject=type(effect.subject)(record.customer.id))


def _write(
    unit: WriteUnit, move: PlanMove, customers: Sequence[str], losses: _LossAnalysis, now: Instant
) -> tuple[int, list[KeptSubscription]]:
    """Move some customers as they are now; return the number of moved subscriptions, and those that keep the plan."""
    published = unit.published
    upserts: list[Upsert] = []
    kept: list[KeptSubscription] = []
    for stored in read_stored(unit.session, customers, lock=True).values():
        moved = _move_record(published, stored.record, move, now)
        kept += moved.kept
        if not moved.changed:
            continue
        obstacle = _find_obstacle(published, stored, moved, losses, now)
        if obstacle:
            kept += [KeptSubscription(stored.customer.id, it.id, obstacle) for it in moved.changed]
            continue
        before = {it.id: it for it in stored.record.subscriptions}
        for subscription in moved.changed:
            record_change(unit, before[subscription.id], subscription, "plan_changed")
        upserts.append(Upsert.of(stored, stored.customer, moved.changed))
    write_subjects(unit, upserts)
    return sum(len(upsert.subscriptions) for upsert in upserts), kept


def _find_obstacle(
    published: PublishedCatalog, stored: StoredRecord, moved: _MovedRecord, losses: _LossAnalysis, now: Instant
) -> str:
    """Return why a customer cannot be moved; '' if it can."""
    try:
        validator_for(published, stored.customer.id).check_totals(moved.after)
    except BodyError as error:
        return error.problems[0].sentence
    if not losses.covers(published, stored.record, moved.after, now):
        return "the customer changed meanwhile, and would lose something that was not accepted"
    return ""
