"""The endpoints for what billing decides: that a subscription is, and which plan it has.

Billing writes what it owns as a whole, in the order in which things happened, and touches nothing that people own
(`ownership`). The change of plan is one verb, for whoever sells as for billing (`plan_changes`).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec.structs import replace

from tiergate.admin.customer_validation import terms_for
from tiergate.admin.field_ownership import kept_subscription, merged, resuming_as
from tiergate.admin.plan_changes import (
    Items,
    PlanChange,
    change_instant,
    changed_plan,
    ended_with_plan,
    from_then_on,
    kept_schedule,
    scheduled_change,
    unfit,
    without_scheduled,
)
from tiergate.catalog import MAX_QUANTITY, escape_pointer, read_subject_body
from tiergate.control.api.bodies import form_of, named_in, peek
from tiergate.control.api.request import Answer
from tiergate.control.api.router import Endpoint
from tiergate.control.api.subject_changes import save_subscription
from tiergate.control.api.subscriptions import answer, named_subscription, open_holder, reader_beside, the_subscription
from tiergate.control.api.write_order import AS_OF, ordered
from tiergate.errors import BodyError, BodyProblem, NotFoundError
from tiergate.model import SubjectType, parse_instant
from tiergate.permissions import Action
from tiergate.store.customers import open_account
from tiergate.store.scheduled_endings import find_ending, keep_ending
from tiergate.store.subscriptions import customer_of
from tiergate.store.write_order import Side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.admin.customer_validation import Terms
    from tiergate.catalog import PlainData
    from tiergate.control.api.request import AdminRequest
    from tiergate.model import Subscription
    from tiergate.store import WriteUnit
    from tiergate.store.customers import Account

_PATH: Final = "/v1/subscriptions/{subscription}"
_SIDES: Final = (Side.BILLING,)
_MERGED: Final = ("metadata", "external_ids")


def endpoints() -> list[Endpoint]:
    """The routes."""
    items = Action.EDIT_ENTITLEMENT
    return [
        Endpoint(
            "PUT", f"{_PATH}/billing", Action.EDIT_SUBSCRIPTION, put_billing, named_subscription, subjects=("customer",)
        ),
        Endpoint("POST", f"{_PATH}/change", items, change_plan, the_subscription),
        Endpoint("DELETE", f"{_PATH}/change", items, withdraw_change, the_subscription, query=(AS_OF,)),
    ]


# ── What billing owns ────────────────────────────────────────────────────────────────────────────────────────────────


def put_billing(request: AdminRequest) -> Answer:
    """Make of a subscription what billing says, and of nothing that people own; create it for a `customer`."""
    id_ = request.params["subscription"]

    def work(unit: WriteUnit) -> Answer:
        known = customer_of(unit.session, id_)
        account = None if known is None else open_holder(unit, id_)
        order = ordered(unit, request, SubjectType.SUBSCRIPTION, id_)
        if account is None:
            if order.makes_again():
                return Answer.json(order.passed_over())
            account = _new_holder(request, unit)
            subscription = _billed(request, unit, account, None)
            stored = save_subscription(request, unit, subscription, account, is_new=True)
            order.applied(_SIDES)
            return answer(unit, stored, 201, order)
        stored = account.subscription(id_)
        if order.passes_over(_SIDES):
            return answer(unit, stored, 200, order, applied=False)
        request.check_etag("subscription", id_, stored.stamp.etag)
        subscription = _billed(request, unit, account, stored.subscription)
        stored = save_subscription(request, unit, subscription, account, is_new=False, verb="billed", gated=False)
        order.applied(_SIDES)
        return answer(unit, stored, 200, order)

    return request.change(work, brief=True)


def _new_holder(request: AdminRequest, unit: WriteUnit) -> Account:
    """The customer whose a subscription will be that is not there.

    Raises:
        NotFoundError: there is neither such a subscription nor such a customer.
    """
    id_ = request.params["subscription"]
    if "if-match" in request.headers or "customer" not in named_in(request.body):
        raise NotFoundError("subscription", id_)
    return open_account(unit, peek(request.body, "customer"))


def _billed(request: AdminRequest, unit: WriteUnit, account: Account, before: Subscription | None) -> Subscription:
    """What billing makes of a subscription.

    Raises:
        BodyError: it says what people own, or what cannot be by the published catalog.
    """
    named = named_in(request.body)
    _expect_billings(named)
    fixed = {"id": request.params["subscription"], "customer": account.customer.id}
    said = read_subject_body(form_of(request.body), reader_beside(unit, account).subscription, fixed)
    pinned = [
        BodyProblem(f"/items/{place}/version", "not-edited-here", "a pin is people's: billing leaves it as it is")
        for place, held in enumerate(said.items)
        if held.version is not None
    ]
    if pinned:
        raise BodyError(pinned)
    if before is None:
        return said
    found = kept_subscription(said, before, (), unit.now)
    for key in _MERGED:
        found = replace(found, **{key: merged(getattr(said, key), getattr(before, key))})
    if "term" not in named:
        found = replace(found, term=before.term)
    index = terms_for(unit.published, account.customer.id).index
    ending = find_ending(unit.session, before.id)
    found = replace(found, items=kept_schedule(found.items, before.items, index, unit.now, ending))
    return found if "resumes_as" in named else resuming_as(found, before, unit.now)


def _expect_billings(named: frozenset[str]) -> None:
    problems = [
        BodyProblem(
            f"/{escape_pointer(key)}", "not-edited-here", f"`{key}` are people's: billing leaves them as they are"
        )
        for key in ("overrides", "suspensions")
        if key in named
    ]
    if problems:
        raise BodyError(problems)


# ── The change of plan ───────────────────────────────────────────────────────────────────────────────────────────────


class _Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    to: str
    at: str = "now"
    quantity: Annotated[int, msgspec.Meta(ge=1, le=MAX_QUANTITY)] | None = None
    from_item: str | None = None
    addons: Literal["keep", "end"] = "keep"
    as_of: str | None = None  # which is read with the rest of the order


def change_plan(request: AdminRequest) -> Answer:
    """Change the plan: `at` now, an instant, or the `term_end`, in place of a change that was scheduled before.

    `addons`: whether what cannot be held with the new plan ends with the old one, or stands in the way.
    """
    id_, said = request.params["subscription"], request.decode(_Change)
    at = said.at if said.at in {"now", "term_end"} else _instant(said.at)

    def work(unit: WriteUnit) -> Answer:
        account = open_holder(unit, id_)
        order = ordered(unit, request, SubjectType.SUBSCRIPTION, id_)
        before, stamp = account.subscription(id_)
        if order.passes_over(_SIDES):
            return answer(unit, account.subscription(id_), 200, order, applied=False)
        request.check_etag("subscription", id_, stamp.etag)
        terms = terms_for(unit.published, account.customer.id)
        change = PlanChange(said.to, change_instant(at, before, unit.now), said.quantity, said.from_item)
        known = find_ending(unit.session, id_)
        items = changed_plan(before.items, terms.index, change, unit.now, known)
        stood = without_scheduled(before.items, terms.index, unit.now, known)
        places = unfit(items, stood, terms.holdings, terms.index, change)
        ends: list[PlainData] = list(dict.fromkeys(items[place].item for place in places))
        if places and said.addons == "keep":
            _refuse_unfit(terms, items, stood, change, ends)
        items, ending = ended_with_plan(items, places, change.at, unit.now)
        terms.check_holdings(from_then_on(items, change.at), from_then_on(stood, change.at), pointer="/to")
        verb = "plan_changed" if change.at <= unit.now else "plan_change_scheduled"
        after = replace(before, items=items)
        stored = save_subscription(request, unit, after, account, is_new=False, verb=verb, gated=False)
        keep_ending(unit.session, id_, ending)
        order.applied(_SIDES)
        return answer(unit, stored, 200, order, more={"ends": ends} if ends else {})

    return request.change(work, brief=True)


def _refuse_unfit(terms: Terms, items: Items, stood: Items, change: PlanChange, ends: Sequence[PlainData]) -> None:
    """Refuse a change with which something cannot be held.

    Raises:
        BodyError: with what it is.
    """
    named = ", ".join(f"`{one}`" for one in ends)
    hint = f'`"addons": "end"` ends {named} with the plan'
    try:
        terms.check_holdings(from_then_on(items, change.at), from_then_on(stood, change.at), pointer="/to")
    except BodyError as error:
        raise BodyError([dataclasses.replace(one, detail=f"{one.detail}: {hint}") for one in error.problems]) from None


def withdraw_change(request: AdminRequest) -> Answer:
    """Take back the change of plan that is scheduled: the plan that holds now stays, and what would end with it."""
    id_ = request.params["subscription"]

    def work(unit: WriteUnit) -> Answer:
        account = open_holder(unit, id_)
        order = ordered(unit, request, SubjectType.SUBSCRIPTION, id_)
        before, stamp = account.subscription(id_)
        if order.passes_over(_SIDES):
            return answer(unit, account.subscription(id_), 200, order, applied=False)
        request.check_etag("subscription", id_, stamp.etag)
        index = terms_for(unit.published, account.customer.id).index
        if scheduled_change(before.items, index, unit.now) is None:
            raise NotFoundError("scheduled change", id_)
        ending = find_ending(unit.session, id_)
        after = replace(before, items=without_scheduled(before.items, index, unit.now, ending))
        verb = "plan_change_withdrawn"
        stored = save_subscription(request, unit, after, account, is_new=False, verb=verb, gated=False)
        keep_ending(unit.session, id_, None)
        order.applied(_SIDES)
        return answer(unit, stored, 200, order)

    return request.change(work, brief=True)


def _instant(text: str) -> int:
    try:
        return parse_instant(text)
    except ValueError:
        message = "must be `now`, `term_end` or an instant such as 2026-11-01T00:00:00Z"
        raise BodyError([BodyProblem("/at", "bad-instant", message)]) from None
