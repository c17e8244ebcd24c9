"""Retiring a plan: it is archived, and whoever has it gets another one, now or at an instant.

What it takes is weighed before, customer by customer, and is refused until exactly that is accepted. Then the plan is
archived, so that nobody new gets it meanwhile, and its holders are moved in the order of their ids, a hundred customers
in one transaction: others write in between. Each subscription is moved whole or not at all, and moving it again does
nothing: should it end in the middle, sending it again moves the rest. A customer from whom it would take something else
than was accepted, because of a change in between, is left, and so is one who cannot have the other plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from tiergate.admin.customer_validation import terms_for
from tiergate.admin.loss_acceptance import AcceptLoss, accepted_loss
from tiergate.catalog import item_head_data
from tiergate.control.api.items import the_item
from tiergate.control.api.request import Answer
from tiergate.control.api.router import Endpoint
from tiergate.control.api.subject_changes import write_down_subscription
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
from tiergate.model import (
    AudienceType,
    ItemKind,
    ItemStatus,
    SubjectRecord,
    SubscriptionItem,
    format_instant,
    parse_instant,
)
from tiergate.model.redaction import redact_customer, redact_subscription
from tiergate.naming import nearest
from tiergate.permissions import Action, Resource
from tiergate.store.affected_records import customers_holding
from tiergate.store.bulk_subjects import Upsert, write_subjects
from tiergate.store.features import lock_catalog
from tiergate.store.items import find_item, item_statuses, replace_item
from tiergate.store.subjects import StoredRecord, read_stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tiergate.control.api.request import AdminRequest
    from tiergate.impact.preview.loss_token import Loss
    from tiergate.impact.preview.subject_effects import SubjectEffect
    from tiergate.model import CatalogIndex, Instant, Subscription
    from tiergate.store import PublishedCatalog, ReadUnit, WriteUnit

_AT_ONCE: Final = 100
_MOST_NAMED: Final = 100
_MOST_SHAPES: Final = 10_000
_EVERYBODY: Final = Resource.subscription("*", None)  # nobody's: a key for some customers may not

Items = tuple[SubscriptionItem, ...]


def endpoints() -> list[Endpoint]:
    """The routes."""
    return [Endpoint("POST", "/v1/items/{id}/retire", Action.EDIT_ITEM, retire, the_item)]


class _Retirement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    to: str
    at: str = "now"
    dry_run: bool = False
    accept_loss: AcceptLoss = False


class _Move(NamedTuple):
    """Which plan is retired, which one comes in its place, and from when on."""

    item: str
    to: str
    at: Instant


class _Left(NamedTuple):
    """A subscription that keeps the plan, and why."""

    customer: str
    subscription: str
    detail: str


class _Moved(NamedTuple):
    """A customer's record after the move, its subscriptions that change, and those that keep the plan."""

    after: SubjectRecord
    changed: list[Subscription]
    left: list[_Left]


def retire(request: AdminRequest) -> Answer:
    """Retire a plan: archive it, and move its holders to another plan, now or at an instant; `dry_run` shows whom."""
    said = request.decode(_Retirement)
    given = accepted_loss(said.accept_loss)
    request.require(Action.EDIT_ENTITLEMENT, _EVERYBODY)
    move = request.read(lambda unit: _move(unit, request.params["id"], said))
    weighing = _Weighing(move)
    now = request.store.clock()
    for records in _holders(request, move.item):
        state = request.read(lambda unit: unit.published)
        for record in records:
            weighing.weigh(state, record, now)
    token = weighing.token
    found: dict[str, object] = {
        "item": move.item,
        "to": move.to,
        "at": format_instant(move.at),
        "subscriptions": weighing.subscriptions,
        "impact": impact_data(weighing.tally),
    }
    if said.dry_run:
        shown = {"accept_loss": token} if token else {}
        return Answer.json({**found, "moved": 0, **_left_data(weighing.left), **shown})
    if token and given != token:
        detail = (
            f"{weighing.tally.takes:,} customers would lose something by the move from `{move.item}` to `{move.to}`"
        )
        raise LossError(detail, impact_data(weighing.tally), token)
    request.write(lambda unit: _archive(unit, move))
    weighed = set(weighing.customers)
    moved, left = 0, [one for one in weighing.left if one.customer not in weighed]
    for customers in _parts(weighing.customers):
        one = request.write(lambda unit, customers=customers: _write(unit, move, customers, weighing, now))  # type: ignore[misc]
        moved += one[0]
        left += one[1]
    return Answer.json({**found, "moved": moved, **_left_data(left)})


def _left_data(left: Sequence[_Left]) -> dict[str, object]:
    return {"left_count": len(left), "left": [one._asdict() for one in left[:_MOST_NAMED]]}


def _move(unit: ReadUnit, item: str, said: _Retirement) -> _Move:
    """What is asked for.

    Raises:
        NotFoundError, ConflictError: there is no such plan, or it is not published.
        BodyError: there is no such plan to move to, it is not sold, or the instant is none.
    """
    index = unit.published.index
    find_item(unit, item)
    known, other = index.items.get(item), index.items.get(said.to)
    if known is None:
        raise ConflictError("not-published", f"the item `{item}` is not published: nobody has it")
    if known.kind is not ItemKind.PLAN:
        raise ConflictError("not-a-plan", f"`{item}` is no plan, but of kind `{known.kind.value}`: archive it instead")
    if other is None or other.private_to:
        near = nearest(said.to, (it.id for it in index.items.values() if not it.private_to))
        raise BodyError([BodyProblem("/to", "unknown-item", f"no item `{said.to[:100]}`", near)])
    status = item_statuses(unit, [said.to]).get(said.to, other.status)
    if other.kind is not ItemKind.PLAN or said.to == item or status is not ItemStatus.ACTIVE:
        message = f"`{said.to}` is not another plan that is sold ({other.kind.value}, {status.value})"
        raise BodyError([BodyProblem("/to", "not-a-plan", message)])
    try:
        at = unit.now if said.at == "now" else parse_instant(said.at)
    except ValueError as error:
        raise BodyError([BodyProblem("/at", "bad-instant", f"`at` must be `now` or an instant: it {error}")]) from None
    return _Move(item, said.to, max(at, unit.now))


def _archive(unit: WriteUnit, move: _Move) -> None:
    lock_catalog(unit)
    before = find_item(unit, move.item)
    item = replace(before.item, status=ItemStatus.ARCHIVED)
    replace_item(unit, before, item, before.draft)
    after = {**item_head_data(item), "to": move.to, "at": format_instant(move.at)}
    unit.audit("item.retired", "item", item.id, before=item_head_data(before.item), after=after)


# ── Holders ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _holders(request: AdminRequest, item: str) -> Iterator[list[SubjectRecord]]:
    """The records of the customers who have an item, some at a time, in the order of their ids."""
    after = ""
    while True:

        def work(unit: ReadUnit, after: str = after) -> list[SubjectRecord]:
            ids = customers_holding(unit.session, item, after, _AT_ONCE)
            found = read_stored(unit.session, ids)
            return [found[id_].record for id_ in ids]

        records = request.read(work)
        if records:
            yield records
        if len(records) < _AT_ONCE:
            return
        after = records[-1].customer.id


def _parts(customers: Sequence[str]) -> Iterable[Sequence[str]]:
    for begin in range(0, len(customers), _AT_ONCE):
        yield customers[begin : begin + _AT_ONCE]


def _moved(state: PublishedCatalog, record: SubjectRecord, move: _Move, now: Instant) -> _Moved:
    """What becomes of a customer's record. What has ended stays as it was."""
    terms = terms_for(state, record.customer.id)
    changed: list[Subscription] = []
    left: list[_Left] = []
    for subscription in record.subscriptions:
        if has_ended(subscription, now):
            continue
        items = _exchanged(subscription.items, move, now)
        if items == subscription.items:
            continue
        try:
            terms.check_holdings(items, subscription.items, pointer="")
        except BodyError as error:
            detail = "; ".join(one.sentence for one in error.problems)
            left.append(_Left(record.customer.id, subscription.id, detail))
            continue
        changed.append(replace(subscription, items=items))
    became = {it.id: it for it in changed}
    after = replace(record, subscriptions=tuple(became.get(it.id, it) for it in record.subscriptions))
    return _Moved(after, changed, left)


def _exchanged(items: Items, move: _Move, now: Instant) -> Items:
    """The items with another plan in place of one, from an instant on: what is agreed for later moves with it."""
    found: list[SubscriptionItem] = []
    for held in items:
        if held.item != move.item or held.until <= move.at or held.start >= held.until:
            found.append(held)
        elif move.at <= now or held.start >= move.at:
            found.append(
                SubscriptionItem(move.to, held.quantity, None, max(move.at, held.start), held.start, held.until)
            )
        else:
            found.append(replace(held, until=move.at))
            found.append(SubscriptionItem(move.to, held.quantity, None, move.at, move.at, held.until))
    return tuple(found)


class _Weighing:
    """What a move takes, customer by customer. Customers who hold alike are looked at once."""

    def __init__(self, move: _Move) -> None:
        self._move = move
        self._sum = LossAccumulator()
        self._known: dict[bytes, list[SubjectEffect]] = {}
        self._losses: dict[str, list[Loss]] = {}
        self.tally = Impact()
        self.customers: list[str] = []
        self.subscriptions = 0
        self.left: list[_Left] = []

    @property
    def token(self) -> str:
        """The token of all that is lost; empty where nothing is."""
        return self._sum.token()

    def weigh(self, state: PublishedCatalog, record: SubjectRecord, now: Instant) -> None:
        """Add one customer."""
        moved = _moved(state, record, self._move, now)
        self.left += moved.left
        if not moved.changed:
            return
        self.customers.append(record.customer.id)
        self.subscriptions += len(moved.changed)
        effects = self._effects(state, record, moved.after, now)
        losses = losses_of(effects, now)
        self.tally.count(effects)
        self._sum.add(record.customer.id, losses)
        if losses:
            self._losses[record.customer.id] = losses

    def is_as_weighed(self, state: PublishedCatalog, before: SubjectRecord, after: SubjectRecord, now: Instant) -> bool:
        """Say whether a customer, read again, loses nothing that was not found before."""
        losses = losses_of(self._effects(state, before, after, now), now)
        return all(loss in self._losses.get(before.customer.id, ()) for loss in losses)

    def _effects(
        self, state: PublishedCatalog, before: SubjectRecord, after: SubjectRecord, now: Instant
    ) -> list[SubjectEffect]:
        source = catalog_definitions(state.catalog, state.index)
        key = self._key(state, before, now)
        found = None if key is None else self._known.get(key)
        if found is None:
            features = affected_features(before, after, source)
            found = subject_effects(RecordChange(before, after, features), source, now)
            if key is not None and len(self._known) < _MOST_SHAPES:
                self._known[key] = found
        return [_about(one, before) for one in found]

    def _key(self, state: PublishedCatalog, record: SubjectRecord, now: Instant) -> bytes | None:
        """What is the same for customers who lose alike; none where rollouts go by who they are, or since when."""
        if len(record.subscriptions) != 1 or not _plainly_rolled_out(state.index, record, self._move):
            return None
        customer, (held,) = record.customer, record.subscriptions
        start = None if held.start is None or held.start <= now else held.start
        alike = replace(
            redact_subscription(held),
            id="",
            customer="",
            start=start,
            term=None,
            items=tuple(replace(it, added_at=None) for it in held.items),
        )
        return msgspec.msgpack.encode((state.sequence, replace(redact_customer(customer), id="", attributes={}), alike))


def _plainly_rolled_out(index: CatalogIndex, record: SubjectRecord, move: _Move) -> bool:
    ids = {held.item for it in record.subscriptions for held in it.items} | {move.to}
    apart = {AudienceType.SHARE, AudienceType.NEW}
    return not any(
        rollout.audience.type in apart for id_ in ids if id_ in index.items for rollout in index.items[id_].rollouts
    )


def _about(effect: SubjectEffect, record: SubjectRecord) -> SubjectEffect:
    """An effect on one customer of those who hold alike, said of another; these have one subscription each."""
    if effect.customer == record.customer.id:
        return effect
    return effect._replace(customer=record.customer.id, subject=type(effect.subject)(record.customer.id))


def _write(
    unit: WriteUnit, move: _Move, customers: Sequence[str], weighing: _Weighing, now: Instant
) -> tuple[int, list[_Left]]:
    """Move some customers, as they are by now; return how many subscriptions were moved, and which were left."""
    state = unit.published
    upserts: list[Upsert] = []
    left: list[_Left] = []
    count = 0
    for stored in read_stored(unit.session, customers, lock=True).values():
        record = stored.record
        moved = _moved(state, record, move, now)
        left += moved.left
        if not moved.changed:
            continue
        why = _hindrance(state, stored, moved, weighing, now)
        if why:
            left += [_Left(record.customer.id, one.id, why) for one in moved.changed]
            continue
        was = {one.id: one for one in record.subscriptions}
        for one in moved.changed:
            write_down_subscription(unit, was[one.id], one, state, "plan_changed")
        upserts.append(Upsert(stored, record.customer, moved.changed))
        count += len(moved.changed)
    write_subjects(unit, upserts)
    return count, left


def _hindrance(state: PublishedCatalog, stored: StoredRecord, moved: _Moved, weighing: _Weighing, now: Instant) -> str:
    """Why a customer is not moved; empty where it is."""
    try:
        terms_for(state, stored.record.customer.id).check_totals(moved.after)
    except BodyError as error:
        return error.problems[0].detail
    if not weighing.is_as_weighed(state, stored.record, moved.after, now):
        return "it has changed meanwhile, and would lose something that was not accepted"
    return ""
