"""What billing decides: the part of a subscription that it owns, and changes of plan.

Billing writes its part as a whole, in the order in which things happened, and changes nothing that people own
(`field_ownership`). A change of plan is one operation, for sales as for billing (`plan_changes`). All functions raise
the errors of `change_subscription`; `BodyError` if the text names what people own, the plan or the instant is not
possible, or items block the change; `ConflictError` if the plan cannot change then; `NotFoundError` if no change is
scheduled.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from tiergate.admin.customer_validation import validator_for
from tiergate.admin.field_ownership import merge_subscription, with_resume_status
from tiergate.admin.json_members import member_names, subject_id_at
from tiergate.admin.plan_changes import (
    Items,
    PlanChange,
    end_with_plan,
    find_incompatible,
    find_scheduled_change,
    items_from,
    keep_schedule,
    remove_scheduled_change,
    replace_plan,
    resolve_change_instant,
)
from tiergate.admin.subscriptions import add_subscription, change_subscription, subscription_reader
from tiergate.admin.write_order import WriteConditions, read_order
from tiergate.catalog import read_subject_body
from tiergate.errors import BodyError, BodyProblem, NotFoundError
from tiergate.model import SubjectType
from tiergate.store.customers import open_account
from tiergate.store.scheduled_endings import find_ending, write_ending
from tiergate.store.write_order import Side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.admin.actor import Actor
    from tiergate.admin.customer_validation import CustomerValidator
    from tiergate.admin.results import SubjectResult
    from tiergate.catalog import PlainData
    from tiergate.model import Instant, Subscription
    from tiergate.store import WriteUnit
    from tiergate.store.customers import Account

_BILLING: Final = (Side.BILLING,)
_MERGED: Final = ("metadata", "external_ids")


# ── The part that billing owns ───────────────────────────────────────────────────────────────────────────────────────


def put_billing(actor: Actor, unit: WriteUnit, id_: str, text: bytes, conditions: WriteConditions) -> SubjectResult:
    """Replace the part of a subscription that billing owns, and nothing that people own; create it for a `customer`."""
    if unit.customer_of(id_) is None:
        order = read_order(unit, SubjectType.SUBSCRIPTION, id_, conditions.as_of)
        if order.undoes_deletion():
            return order.outdated_result()
        if conditions.expected.must_exist or "customer" not in member_names(text):
            raise NotFoundError("subscription", id_)
        account = open_account(unit, subject_id_at(text, "customer"))
        return add_subscription(actor, unit, account, _read(unit, account, id_, text), order, _BILLING)

    def edit(account: Account, before: Subscription) -> Subscription:
        return _merge(unit, before, _read(unit, account, id_, text), member_names(text))

    return change_subscription(actor, unit, id_, edit, conditions, verb="billed", checks_loss=False)


def _read(unit: WriteUnit, account: Account, id_: str, text: bytes) -> Subscription:
    named = member_names(text)
    problems = [
        BodyProblem(f"/{key}", "not-edited-here", f"people own `{key}`: billing does not change them")
        for key in ("overrides", "suspensions")
        if key in named
    ]
    if problems:
        raise BodyError(problems)
    fixed = {"id": id_, "customer": account.customer.id}
    subscription = read_subject_body(text, subscription_reader(unit, account).subscription, fixed)
    problems = [
        BodyProblem(f"/items/{place}/version", "not-edited-here", "people own pins: billing does not change them")
        for place, entry in enumerate(subscription.items)
        if entry.version is not None
    ]
    if problems:
        raise BodyError(problems)
    return subscription


def _merge(unit: WriteUnit, before: Subscription, written: Subscription, named: frozenset[str]) -> Subscription:
    """Return a subscription with what billing wrote, and the rest as it was."""
    merged = merge_subscription(written, before, (), unit.now)
    texts = {key: dict(sorted({**getattr(before, key), **getattr(written, key)}.items())) for key in _MERGED}
    merged = replace(merged, **texts)
    if "term" not in named:
        merged = replace(merged, term=before.term)
    index = validator_for(unit.published, before.customer).index
    ending = find_ending(unit.side_session, before.id)
    merged = replace(merged, items=keep_schedule(merged.items, before.items, index, unit.now, ending))
    return merged if "resumes_as" in named else with_resume_status(merged, before, unit.now)


# ── Changes of plan ──────────────────────────────────────────────────────────────────────────────────────────────────


class PlanChangeRequest(NamedTuple):
    """A wanted change of plan. `at`: `now`, `term_end` or an instant. `quantity`: `None` keeps it.

    `from_item`: the plan to replace, `None` if the subscription has one only. `ends_addons`: items that the new plan
    does not allow end with the old one, instead of blocking the change.
    """

    to: str
    at: str | Instant = "now"
    quantity: int | None = None
    from_item: str | None = None
    ends_addons: bool = False


def change_plan(
    actor: Actor, unit: WriteUnit, id_: str, wanted: PlanChangeRequest, conditions: WriteConditions
) -> SubjectResult:
    """Change the plan, in place of a change that was scheduled before. The result's `ends` are the items that end."""
    ends: list[PlainData] = []

    def edit(account: Account, before: Subscription) -> Subscription:
        validator = validator_for(unit.published, account.customer.id)
        at = resolve_change_instant(wanted.at, before, unit.now)
        change = PlanChange(wanted.to, at, wanted.quantity, wanted.from_item)
        scheduled = find_ending(unit.side_session, id_)
        items = replace_plan(before.items, validator.index, change, unit.now, scheduled)
        unchanged = items_from(remove_scheduled_change(before.items, validator.index, unit.now, scheduled), at)
        places = find_incompatible(items, unchanged, validator.compatibility, validator.index, change)
        ends[:] = dict.fromkeys(items[place].item for place in places)
        if places and not wanted.ends_addons:
            _reject_unfit(validator, items_from(items, at), unchanged, ends)
        items, ending = end_with_plan(items, places, at, unit.now)
        validator.check_items(items_from(items, at), unchanged, pointer="/to")
        write_ending(unit.side_writing_session, id_, ending)
        return replace(before, items=items)

    verb = "plan_changed" if wanted.at == "now" else "plan_change_scheduled"
    result = change_subscription(actor, unit, id_, edit, conditions, verb=verb, checks_loss=False)
    return dataclasses.replace(result, data={**(result.data or {}), "ends": ends}) if ends else result


def _reject_unfit(validator: CustomerValidator, items: Items, unchanged: Items, ends: Sequence[PlainData]) -> None:
    hint = f'`"addons": "end"` ends {", ".join(f"`{item}`" for item in ends)} with the plan'
    try:
        validator.check_items(items, unchanged, pointer="/to")
    except BodyError as error:
        raise BodyError([dataclasses.replace(it, detail=f"{it.detail}: {hint}") for it in error.problems]) from None


def withdraw_change(actor: Actor, unit: WriteUnit, id_: str, conditions: WriteConditions) -> SubjectResult:
    """Withdraw the scheduled change of plan: the present plan stays, and the items that would end with it."""

    def edit(account: Account, before: Subscription) -> Subscription:
        index = validator_for(unit.published, account.customer.id).index
        if find_scheduled_change(before.items, index, unit.now) is None:
            raise NotFoundError("scheduled change", id_)
        items = remove_scheduled_change(before.items, index, unit.now, find_ending(unit.side_session, id_))
        write_ending(unit.side_writing_session, id_, None)
        return replace(before, items=items)

    return change_subscription(actor, unit, id_, edit, conditions, verb="plan_change_withdrawn", checks_loss=False)
