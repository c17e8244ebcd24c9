"""The endpoints for the items of a subscription, and for the steps of its life: trial, pause, past due, cancel, end.

Each is a partial edit with a name: what the caller says is in the words of the subjects file.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from tiergate.catalog import held_item_data, patched, read_held_item_body, subscription_data
from tiergate.control.access import Endpoint
from tiergate.control.accounts import save_subscription
from tiergate.control.bodies import MERGE_PATCH
from tiergate.control.subscriptions import answer, open_holder, patched_subscription, the_subscription
from tiergate.control.terms import terms_for
from tiergate.errors import BodyError, BodyProblem, ConflictError, NotFoundError
from tiergate.model import HeldItem, Subscription, format_instant
from tiergate.permissions import Action
from tiergate.publish.plans import pins_plan
from tiergate.store.subscriptions import get_subscription

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.control.http import AdminRequest, Answer
    from tiergate.publish.publisher import Publisher
    from tiergate.store import ReadUnit, WriteUnit
    from tiergate.store.customers import Account

__all__ = ["endpoints", "with_items"]

_PATH: Final = "/v1/subscriptions/{subscription}"
_ITEM: Final = f"{_PATH}/items/{{item}}"


class _Step(NamedTuple):
    """A step: what it sets, what it takes away, which date it takes, and whether that is now where none is said."""

    summary: str
    sets: dict[str, str]
    drops: tuple[str, ...]
    date: str | None
    default: str = "none"


_STEPS: Final = {
    "trial": _Step(
        "Begin a trial, or extend it: until `trial_end`.",
        {"status": "trialing"},
        ("grace_until", "resume_at"),
        "trial_end",
        "required",
    ),
    "activate": _Step(
        "Make a subscription active: after a trial, a pause, a late payment or a cancellation.",
        {"status": "active"},
        ("trial_end", "grace_until", "resume_at", "end"),
        None,
    ),
    "pause": _Step(
        "Pause a subscription, until `resume_at` or for good.",
        {"status": "paused"},
        ("trial_end", "grace_until"),
        "resume_at",
    ),
    "resume": _Step(
        "Resume a paused subscription, now or at `resume_at`.", {"status": "active"}, ("resume_at",), "resume_at"
    ),
    "past-due": _Step(
        "Say that a payment is late; what is held counts until `grace_until`, or no more.",
        {"status": "past_due"},
        ("trial_end", "resume_at"),
        "grace_until",
    ),
    "cancel": _Step(
        "Cancel a subscription: it counts until `end`, or ends now.",
        {"status": "canceled"},
        ("trial_end", "grace_until", "resume_at"),
        "end",
        "now",
    ),
    "end": _Step("Let a subscription end at `end`, or now, whatever its status.", {}, (), "end", "now"),
}


def endpoints(publisher: Publisher | None = None) -> list[Endpoint]:
    """The routes. With a `publisher`, an item can be pinned to any version that ever was, not only to one in force."""
    pin_any = partial(pin_item, publisher)
    pin_any.__doc__ = pin_item.__doc__
    items, pin, edit = Action.EDIT_ENTITLEMENT, Action.PIN_VERSION, Action.EDIT_SUBSCRIPTION
    subject = the_subscription
    return [
        Endpoint("POST", f"{_PATH}/items", items, add_item, subject),
        Endpoint("PATCH", _ITEM, items, patch_item, subject, media_types=MERGE_PATCH),
        Endpoint("DELETE", _ITEM, items, remove_item, subject),
        Endpoint("PUT", f"{_ITEM}/pin", pin, pin_any, subject),
        Endpoint("DELETE", f"{_ITEM}/pin", pin, unpin_item, subject),
        *(Endpoint("POST", f"{_PATH}/{name}", edit, _handler(name, step), subject) for name, step in _STEPS.items()),
    ]


# ── Items ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _change(
    request: AdminRequest, edit: Callable[[WriteUnit, Account, Subscription], Subscription], status: int = 200
) -> Answer:
    """Make a subscription what `edit` makes of it."""
    id_ = request.params["subscription"]

    def work(unit: WriteUnit) -> Answer:
        account = open_holder(unit, id_)
        before = account.subscription(id_)
        request.check_etag("subscription", id_, before.stamp.etag)
        after = edit(unit, account, before.subscription)
        return answer(unit, save_subscription(request, unit, after, account, is_new=False), status)

    return request.change(work)


def add_item(request: AdminRequest) -> Answer:
    """Add an item to a subscription."""

    def edit(unit: WriteUnit, account: Account, before: Subscription) -> Subscription:
        held = read_held_item_body(request.body, terms_for(unit.published, account.customer.id).reader)
        added = replace(held, added_at=unit.now) if held.added_at is None else held
        return with_items(unit, account, before, (*before.items, added))

    return _change(request, edit, 201)


def patch_item(request: AdminRequest) -> Answer:
    """Change an item of a subscription by a JSON merge patch: its quantity, its pin, its dates."""

    def edit(unit: WriteUnit, account: Account, before: Subscription) -> Subscription:
        place = _place(before, request.params["item"])
        text = patched(request.body, held_item_data(before.items[place]))
        reader = terms_for(unit.published, account.customer.id).reader
        held = read_held_item_body(text, reader, {"item": before.items[place].item})
        return with_items(unit, account, before, _exchanged(before, place, held))

    return _change(request, edit)


def remove_item(request: AdminRequest) -> Answer:
    """Take an item out of a subscription, at once."""

    def edit(unit: WriteUnit, account: Account, before: Subscription) -> Subscription:
        place = _place(before, request.params["item"])
        return with_items(unit, account, before, before.items[:place] + before.items[place + 1 :])

    return _change(request, edit)


class _Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int


def pin_item(publisher: Publisher | None, request: AdminRequest) -> Answer:
    """Keep an item of a subscription at a version, whatever is rolled out."""
    pin = request.decode(_Pin)
    if publisher is not None:
        _put_in_reach(publisher, request, pin.version)

    def edit(unit: WriteUnit, _: Account, before: Subscription) -> Subscription:
        place = _place(before, request.params["item"])
        known = unit.published.index.items.get(before.items[place].item)
        if known is None or pin.version not in known.versions:
            listed = ", ".join(str(version) for version in known.versions[-12:]) if known is not None else "none"
            message = f"no version {pin.version} of `{before.items[place].item}`: it has {listed}"
            raise BodyError([BodyProblem("/version", "unknown-version", message)])
        held = replace(before.items[place], version=pin.version)
        return replace(before, items=_exchanged(before, place, held))

    return _change(request, edit)


def _put_in_reach(publisher: Publisher, request: AdminRequest, version: int) -> None:
    """Have a version that was published put into the bundle, by a publication of its own, unless it is there."""
    id_ = request.params["subscription"]

    def missing(unit: ReadUnit) -> str | None:
        held = get_subscription(unit.session, id_).subscription
        item = held.items[_place(held, request.params["item"])].item
        known = unit.published.index.items.get(item)
        return item if known is not None and version not in known.versions else None

    item = request.read(missing)
    if item is None:
        return
    note = f"`{id_}` is pinned to `{item}` {version}"
    with suppress(NotFoundError):  # there never was one: what follows says so
        publisher.carry_out(pins_plan({item: [version]}, note), request.write)


def unpin_item(request: AdminRequest) -> Answer:
    """Let an item of a subscription follow the rollouts again."""

    def edit(_: WriteUnit, __: Account, before: Subscription) -> Subscription:
        place = _place(before, request.params["item"])
        return replace(before, items=_exchanged(before, place, replace(before.items[place], version=None)))

    return _change(request, edit)


def _place(subscription: Subscription, item: str) -> int:
    """Where a subscription holds an item.

    Raises:
        NotFoundError: it does not.
        ConflictError: it holds it in several entries.
    """
    found = [place for place, held in enumerate(subscription.items) if held.item == item]
    if not found:
        raise NotFoundError("item", item)
    if len(found) > 1:
        said = f"`{subscription.id}` holds `{item}` in {len(found)} entries: change its list of items instead"
        raise ConflictError("ambiguous-item", said)
    return found[0]


def _exchanged(subscription: Subscription, place: int, held: HeldItem) -> tuple[HeldItem, ...]:
    return (*subscription.items[:place], held, *subscription.items[place + 1 :])


def with_items(unit: WriteUnit, account: Account, before: Subscription, items: tuple[HeldItem, ...]) -> Subscription:
    """The subscription with these items, which must be possible together.

    Raises:
        BodyError: they are not.
    """
    listed = subscription_data(replace(before, items=items, overrides=(), suspensions=()), {})["items"]
    patch = msgspec.json.encode({"items": listed})
    return patched_subscription(unit, account, before.id, patch)


# ── Steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _handler(name: str, step: _Step) -> Callable[[AdminRequest], Answer]:
    handler = partial(_take, step)
    handler.__doc__ = step.summary
    handler.__name__ = name.replace("-", "_")  # type: ignore[attr-defined]
    return handler


def _take(step: _Step, request: AdminRequest) -> Answer:
    said = request.decode(dict[str, str]) if request.body else {}
    unknown = [key for key in said if key != step.date]
    if unknown:
        takes = f"`{step.date}` alone" if step.date else "nothing"
        raise BodyError(
            [BodyProblem(f"/{key}", "unknown-key", f"no key `{key}` here: it takes {takes}") for key in unknown]
        )
    if step.default == "required" and not said:
        raise BodyError([BodyProblem("", "missing-key", f"the key `{step.date}` is missing")])

    def edit(unit: WriteUnit, account: Account, before: Subscription) -> Subscription:
        patch: dict[str, str | None] = {**dict.fromkeys(step.drops), **step.sets, **said}
        if step.date is not None and not said:
            patch[step.date] = format_instant(unit.now) if step.default == "now" else None
        return patched_subscription(unit, account, before.id, msgspec.json.encode(patch))

    return _change(request, edit)
