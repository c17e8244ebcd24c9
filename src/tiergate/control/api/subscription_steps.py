"""The endpoints for the items of a subscription, and for the steps of its life: trial, pause, past due, cancel, end.

Each is an edit with a name. What a step makes of a subscription, and when it is possible, `subscription_life` says.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from tiergate.admin.customer_validation import terms_for
from tiergate.admin.subscription_steps import STEPS, taken
from tiergate.catalog import (
    apply_merge_patch,
    escape_pointer,
    read_subject_body,
    subscription_data,
    subscription_item_data,
)
from tiergate.control.api.bodies import MERGE_PATCH, unordered
from tiergate.control.api.router import Endpoint
from tiergate.control.api.subject_changes import save_subscription
from tiergate.control.api.subject_loss_gate import ACCEPT_LOSS
from tiergate.control.api.subscriptions import answer, open_holder, patched_subscription, the_subscription
from tiergate.control.api.write_order import AS_OF, ordered
from tiergate.errors import BodyError, BodyProblem, ConflictError, NotFoundError
from tiergate.model import SubjectType, Subscription, SubscriptionItem, parse_instant
from tiergate.permissions import Action
from tiergate.publish.publish_plans import plan_pins
from tiergate.store.subscriptions import get_subscription
from tiergate.store.write_order import Side

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tiergate.admin.subscription_steps import Step
    from tiergate.control.api.request import AdminRequest, Answer
    from tiergate.model import Instant
    from tiergate.publish.publisher import Publisher
    from tiergate.store import ReadUnit, WriteUnit
    from tiergate.store.customers import Account

_PATH: Final = "/v1/subscriptions/{subscription}"
_BILLING: Final = (Side.BILLING,)
_PEOPLE: Final = (Side.PEOPLE,)
_ITEM: Final = f"{_PATH}/items/{{item}}"


def endpoints(publisher: Publisher | None = None) -> list[Endpoint]:
    """The routes. With a `publisher`, an item can be pinned to any version that ever was, not only to one in force."""
    pin_any = partial(pin_item, publisher)
    pin_any.__doc__ = pin_item.__doc__
    items, pin, edit = Action.EDIT_ENTITLEMENT, Action.PIN_VERSION, Action.EDIT_SUBSCRIPTION
    subject = the_subscription
    return [
        Endpoint("POST", f"{_PATH}/items", items, add_item, subject, query=(ACCEPT_LOSS,)),
        Endpoint("PATCH", _ITEM, items, patch_item, subject, query=(ACCEPT_LOSS,), media_types=MERGE_PATCH),
        Endpoint("DELETE", _ITEM, items, remove_item, subject, query=(ACCEPT_LOSS, AS_OF)),
        Endpoint("PUT", f"{_ITEM}/pin", pin, pin_any, subject, query=(ACCEPT_LOSS,)),
        Endpoint("DELETE", f"{_ITEM}/pin", pin, unpin_item, subject, query=(ACCEPT_LOSS, AS_OF)),
        *(Endpoint("POST", f"{_PATH}/{name}", edit, _handler(name, step), subject) for name, step in STEPS.items()),
    ]


# ── Items ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _change(
    request: AdminRequest,
    edit: Callable[[WriteUnit, Account, Subscription], Subscription],
    status: int = 200,
    *,
    verb: str,
    sides: Collection[Side] = _BILLING,
) -> Answer:
    """Make a subscription what `edit` makes of it, unless something newer of these `sides` was applied."""
    id_ = request.params["subscription"]

    def work(unit: WriteUnit) -> Answer:
        account = open_holder(unit, id_)
        before = account.subscription(id_)
        order = ordered(unit, request, SubjectType.SUBSCRIPTION, id_)
        if order.passes_over(sides):
            return answer(unit, before, 200, order, applied=False)
        request.check_etag("subscription", id_, before.stamp.etag)
        after = edit(unit, account, before.subscription)
        stored = save_subscription(request, unit, after, account, is_new=False, verb=verb)
        order.applied(sides)
        return answer(unit, stored, status, order)

    return request.change(work)


def add_item(request: AdminRequest) -> Answer:
    """Add an item to a subscription."""

    def edit(unit: WriteUnit, account: Account, before: Subscription) -> Subscription:
        held = read_subject_body(
            unordered(request.body), terms_for(unit.published, account.customer.id).reader.subscription_item
        )
        added = replace(held, added_at=unit.now) if held.added_at is None else held
        return with_items(unit, account, before, (*before.items, added))

    return _change(request, edit, 201, verb="item_added")


def patch_item(request: AdminRequest) -> Answer:
    """Change an item of a subscription by a JSON merge patch: its quantity, its pin, its dates."""

    def edit(unit: WriteUnit, account: Account, before: Subscription) -> Subscription:
        place = _place(before, request.params["item"], unit.now)
        text = apply_merge_patch(unordered(request.body), subscription_item_data(before.items[place]))
        reader = terms_for(unit.published, account.customer.id).reader
        held = read_subject_body(text, reader.subscription_item, {"item": before.items[place].item})
        return with_items(unit, account, before, _exchanged(before, place, held))

    return _change(request, edit, verb="item_changed")


def remove_item(request: AdminRequest) -> Answer:
    """Take an item out of a subscription, at once."""

    def edit(unit: WriteUnit, account: Account, before: Subscription) -> Subscription:
        place = _place(before, request.params["item"], unit.now)
        return with_items(unit, account, before, before.items[:place] + before.items[place + 1 :])

    return _change(request, edit, verb="item_removed")


class _Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    as_of: str | None = None  # which is read with the rest of the order


def pin_item(publisher: Publisher | None, request: AdminRequest) -> Answer:
    """Keep an item of a subscription at a version, whatever is rolled out."""
    pin = request.decode(_Pin)
    if publisher is not None:
        _put_in_reach(publisher, request, pin.version)

    def edit(unit: WriteUnit, _: Account, before: Subscription) -> Subscription:
        place = _place(before, request.params["item"], unit.now)
        known = unit.published.index.items.get(before.items[place].item)
        if known is None or pin.version not in known.versions:
            listed = ", ".join(str(version) for version in known.versions[-12:]) if known is not None else "none"
            message = f"no version {pin.version} of `{before.items[place].item}`: it has {listed}"
            raise BodyError([BodyProblem("/version", "unknown-version", message)])
        held = replace(before.items[place], version=pin.version)
        return replace(before, items=_exchanged(before, place, held))

    return _change(request, edit, verb="pinned", sides=_PEOPLE)


def _put_in_reach(publisher: Publisher, request: AdminRequest, version: int) -> None:
    """Have a version that was published put into the bundle, by a publication of its own, unless it is there."""
    id_ = request.params["subscription"]

    def missing(unit: ReadUnit) -> str | None:
        if ordered(unit, request, SubjectType.SUBSCRIPTION, id_).passes_over(_PEOPLE):
            return None
        held = get_subscription(unit.session, id_).subscription
        item = held.items[_place(held, request.params["item"], unit.now)].item
        known = unit.published.index.items.get(item)
        return item if known is not None and version not in known.versions else None

    item = request.read(missing)
    if item is None:
        return
    note = f"`{id_}` is pinned to `{item}` {version}"
    with suppress(NotFoundError):  # there never was one: what follows says so
        publisher.publish(plan_pins({item: [version]}, note), request.write)


def unpin_item(request: AdminRequest) -> Answer:
    """Let an item of a subscription follow the rollouts again."""

    def edit(unit: WriteUnit, _: Account, before: Subscription) -> Subscription:
        place = _place(before, request.params["item"], unit.now)
        return replace(before, items=_exchanged(before, place, replace(before.items[place], version=None)))

    return _change(request, edit, verb="unpinned", sides=_PEOPLE)


def _place(subscription: Subscription, item: str, now: Instant) -> int:
    """Where a subscription holds an item; an entry that is over is not meant where there is another.

    Raises:
        NotFoundError: it does not.
        ConflictError: it holds it in several entries.
    """
    every = [place for place, held in enumerate(subscription.items) if held.item == item]
    found = [place for place in every if subscription.items[place].until > now] or every
    if not found:
        raise NotFoundError("item", item)
    if len(found) > 1:
        said = f"`{subscription.id}` holds `{item}` in {len(found)} entries: change its list of items instead"
        raise ConflictError("ambiguous-item", said)
    return found[0]


def _exchanged(subscription: Subscription, place: int, held: SubscriptionItem) -> tuple[SubscriptionItem, ...]:
    return (*subscription.items[:place], held, *subscription.items[place + 1 :])


def with_items(
    unit: WriteUnit, account: Account, before: Subscription, items: tuple[SubscriptionItem, ...]
) -> Subscription:
    """The subscription with these items, which must be possible together.

    Raises:
        BodyError: they are not.
    """
    listed = subscription_data(replace(before, items=items, overrides=(), suspensions=()), {})["items"]
    patch = msgspec.json.encode({"items": listed})
    return patched_subscription(unit, account, before.id, patch)


# ── Steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _handler(name: str, step: Step) -> Callable[[AdminRequest], Answer]:
    handler = partial(_take, name, step)
    handler.__doc__ = step.summary
    handler.__name__ = name.replace("-", "_")  # type: ignore[attr-defined]
    return handler


def _take(name: str, step: Step, request: AdminRequest) -> Answer:
    said = request.decode(dict[str, str]) if request.body else {}
    said.pop("as_of", None)  # which is read with the rest of the order
    takes = f"`{step.date}` alone" if step.date else "nothing"
    problems = [
        BodyProblem(f"/{escape_pointer(key)}", "unknown-key", f"no key `{key[:100]}` here: it takes {takes}")
        for key in said
        if key != step.date
    ]
    if step.required and not said:
        problems.append(BodyProblem("", "missing-key", f"the key `{step.date}` is missing"))
    if problems:
        raise BodyError(problems)
    date = None if step.date is None or step.date not in said else _instant(step.date, said[step.date])

    def edit(unit: WriteUnit, _: Account, before: Subscription) -> Subscription:
        return taken(name, before, date, unit.now)

    return _change(request, edit, verb=step.action)


def _instant(key: str, text: str) -> Instant:
    try:
        return parse_instant(text)
    except ValueError as error:
        raise BodyError([BodyProblem(f"/{key}", "bad-instant", str(error))]) from None
