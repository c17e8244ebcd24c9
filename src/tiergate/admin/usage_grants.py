"""Grants: units that a customer gets besides the allowance, such as a top-up. Given, changed, topped up, ended.

The account of the customer follows in the same transaction: usage above the limit is taken over by what a grant adds.
All functions raise `NotFoundError` if there is no such customer or grant.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tiergate.admin.usage_debits import ROUNDS, OtherWindows, Use, call_in_windows
from tiergate.errors import BodyError, BodyProblem, ConflictError, NotFoundError
from tiergate.model import FOREVER, Subject, format_instant, from_units, to_units
from tiergate.model.instants import BEGINNING
from tiergate.naming import nearest
from tiergate.permissions import Action, Resource
from tiergate.store.customers import open_account
from tiergate.store.outbox import EventType
from tiergate.store.usage_events import limit_changes
from tiergate.store.usage_grants import change_grant, give_grant, read_grants
from tiergate.store.usage_ledger import LedgerCall
from tiergate.usage.accounts import AMOUNT_MAX, Account, Consumption, Scope
from tiergate.usage.ledger_records import Needs
from tiergate.usage.pools import DEFAULT_PRIORITY, ROLLOVER, Grant

if TYPE_CHECKING:
    from tiergate.admin.actor import Actor
    from tiergate.model import CatalogIndex, Feature, Instant, Interval, Number
    from tiergate.store import ReadUnit, WriteUnit
    from tiergate.store.usage_ledger import UsageLedger
    from tiergate.store.usage_state import StoredGrant
    from tiergate.usage.ledger import Ledger
    from tiergate.wire.usage_changes import GrantEdit, NewGrant

MAX_OPEN_GRANTS: Final = 200
"""The most grants of one customer for one feature that are not ended and not used up: each consumption reads them."""


def list_grants(unit: ReadUnit, customer: str, feature: str | None = None) -> list[dict[str, object]]:
    """List the grants of a customer, for one feature or all, past and future ones and what rolled over too.

    Windows from which nothing rolled over are left out.
    """
    if unit.record(customer) is None:
        raise NotFoundError("customer", customer)
    index = unit.published.index
    grants = read_grants(unit, customer, feature)
    shown = [stored for stored in grants if stored.grant.amount or not stored.grant.id.startswith(ROLLOVER)]
    return [_data(index, stored, unit.now) for stored in shown]


def read_grant(unit: ReadUnit, customer: str, id_: str) -> dict[str, object]:
    """Read a grant of a customer."""
    return _data(unit.published.index, _find(unit, customer, id_), unit.now)


def give(actor: Actor, unit: WriteUnit, ledger: UsageLedger, customer: str, wanted: NewGrant) -> dict[str, object]:
    """Give a customer units of a metered feature.

    Raises:
        BodyError: the feature is unknown or not metered, the amount is not one of it, or the interval is over or empty.
        ConflictError: `already-exists`: the customer has a grant with this id; `too-many-grants`.
    """
    actor.require(Action.OVERRIDE, Resource.customer_of(customer))
    open_account(unit, customer)
    index = unit.published.index
    feature = _metered(index, wanted.feature)
    amount = _units(wanted.amount, feature, "/amount")
    if not amount:
        raise BodyError([BodyProblem("/amount", "wrong-value", "must be positive")])
    grants = read_grants(unit, customer)
    id_ = f"grant_{secrets.token_hex(8)}" if wanted.id is None else wanted.id
    if any(stored.grant.id == id_ for stored in grants):
        raise ConflictError("already-exists", f"the grant `{id_}` already exists")
    is_open = [_state(stored, unit.now) in {"active", "scheduled"} for stored in grants if stored.feature == feature.id]
    if sum(is_open) >= MAX_OPEN_GRANTS:
        detail = f"the customer has {MAX_OPEN_GRANTS} grants for `{feature.id}`: top one of them up"
        raise ConflictError("too-many-grants", detail)
    start = unit.now if wanted.start is None else wanted.start
    until = FOREVER if wanted.until is None else wanted.until
    _expect_interval(start, until, unit.now)
    priority = DEFAULT_PRIORITY if wanted.priority is None else wanted.priority
    limit = _limit(unit, ledger, customer, feature)
    stored = give_grant(unit, customer, feature.id, Grant(id_, amount, start, until, priority, wanted.reason))
    _settle(unit, ledger, customer, feature)
    changes = limit_changes(index, feature.id, limit, _limit(unit, ledger, customer, feature))
    return _recorded(unit, "grant.given", None, _find(unit, customer, stored.grant.id), changes)


def change(
    actor: Actor, unit: WriteUnit, ledger: UsageLedger, customer: str, id_: str, edit: GrantEdit
) -> dict[str, object]:
    """Change a grant of a customer, or top it up. Less than what is spent leaves nothing of it.

    Raises:
        BodyError: the amount is not one of the feature, or the interval is empty.
        ConflictError: `rolled-over`: the grant is what rolled over from another window.
    """
    actor.require(Action.EDIT_ENTITLEMENT, Resource.customer_of(customer))
    open_account(unit, customer)
    stored = _changeable(unit, customer, id_)
    grant = stored.grant
    feature = unit.published.index.features.get(stored.feature)
    amount = grant.amount
    if edit.amount is not None:
        amount = _units(edit.amount, feature, "/amount")
    if edit.add is not None:
        amount += _units(edit.add, feature, "/add")
        if amount > AMOUNT_MAX:
            raise BodyError([BodyProblem("/add", "wrong-value", "makes the grant too large")])
    start = grant.start if edit.start is None else edit.start
    until = grant.until if edit.until is None else edit.until
    if (start, until) != (grant.start, grant.until):
        _expect_interval(start, until, None)
    changed = replace(
        grant,
        amount=amount,
        start=start,
        until=until,
        priority=grant.priority if edit.priority is None else edit.priority,
        reason=grant.reason if edit.reason is None else edit.reason,
    )
    return _changed(unit, ledger, stored, changed, "grant.changed")


def end(actor: Actor, unit: WriteUnit, ledger: UsageLedger, customer: str, id_: str) -> dict[str, object]:
    """End a grant of a customer now: what is left of it is lost; what was spent of it stays paid for.

    Raises:
        ConflictError: `rolled-over`: the grant is what rolled over from another window.
    """
    actor.require(Action.EDIT_ENTITLEMENT, Resource.customer_of(customer))
    open_account(unit, customer)
    stored = _changeable(unit, customer, id_)
    grant = stored.grant
    if grant.until > unit.now:
        grant = replace(grant, start=min(grant.start, unit.now), until=unit.now)
    return _changed(unit, ledger, stored, grant, "grant.ended")


def _changed(unit: WriteUnit, ledger: UsageLedger, stored: StoredGrant, grant: Grant, action: str) -> dict[str, object]:
    index = unit.published.index
    if grant == stored.grant:
        return _data(index, stored, unit.now)
    feature = index.features.get(stored.feature)
    if feature is not None and feature.metered is None:
        feature = None
    limit = None if feature is None else _limit(unit, ledger, stored.customer, feature)
    change_grant(unit, stored.customer, stored.feature, grant)
    changes: list[dict[str, object]] = []
    if feature is not None:
        _settle(unit, ledger, stored.customer, feature)
        changes = limit_changes(index, feature.id, limit, _limit(unit, ledger, stored.customer, feature))
    return _recorded(unit, action, stored, _find(unit, stored.customer, grant.id), changes)


def _limit(unit: WriteUnit, ledger: UsageLedger, customer: str, feature: Feature) -> int | None:
    """Return the limit that a customer has now, with grants; `None`: unlimited."""
    account = Account(feature.id, Scope.CUSTOMER, customer, "", unit.now)
    needs = Needs("", frozenset({account}), frozenset(), frozenset(), all_leases=False)
    return ledger.run_within(unit, LedgerCall(needs, lambda ledger: ledger.limit_at(account, unit.now)))


def _recorded(
    unit: WriteUnit,
    action: str,
    before: StoredGrant | None,
    after: StoredGrant,
    changes: list[dict[str, object]],
) -> dict[str, object]:
    index = unit.published.index
    data = _data(index, after, unit.now)
    was = None if before is None else _data(index, before, unit.now)
    unit.audit(action, "grant", after.grant.id, before=was, after=data, customer=after.customer)
    event = {"customer": after.customer, "at": format_instant(unit.now), "entitlements": changes}
    unit.emit(EventType.ENTITLEMENTS_CHANGED, event)
    return data


def _settle(unit: WriteUnit, ledger: UsageLedger, customer: str, feature: Feature) -> None:
    """Let the customer's account follow: its overage, its limit, and the version that answers rest on."""
    consumption = Consumption(b"", b"", unit.now, Use(Subject(customer), customer, feature, 1).debits(unit.now)[:1])

    def act(ledger: Ledger, consumption: Consumption, _: tuple[Interval, ...]) -> None:
        ledger.settle_pools(consumption.debits[0].account)

    for _ in range(ROUNDS):
        outcome = ledger.run_within(unit, call_in_windows(consumption, act))
        if not isinstance(outcome, OtherWindows):
            return
        consumption = outcome.consumption


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _find(unit: ReadUnit, customer: str, id_: str) -> StoredGrant:
    for stored in read_grants(unit, customer):
        if stored.grant.id == id_:
            return stored
    raise NotFoundError("grant", id_)


def _changeable(unit: ReadUnit, customer: str, id_: str) -> StoredGrant:
    stored = _find(unit, customer, id_)
    if id_.startswith(ROLLOVER):
        raise ConflictError("rolled-over", "what rolled over follows from the window before: give a grant instead")
    return stored


def _metered(index: CatalogIndex, id_: str) -> Feature:
    feature = index.features.get(id_)
    if feature is None:
        detail = f"no feature `{id_}` in the catalog"
        raise BodyError([BodyProblem("/feature", "unknown-feature", detail, nearest(id_, index.features))])
    if feature.metered is None:
        raise BodyError([BodyProblem("/feature", "not-metered", f"`{id_}` is not metered: it takes no grants")])
    return feature


def _units(number: Number, feature: Feature | None, pointer: str) -> int:
    if feature is None:
        raise ConflictError("unknown-feature", "the feature of the grant is not published any more")
    try:
        return to_units(number, feature.scale)
    except ValueError as error:
        raise BodyError([BodyProblem(pointer, "wrong-value", str(error))]) from None


def _expect_interval(start: Instant, until: Instant, now: Instant | None) -> None:
    if until <= start:
        raise BodyError([BodyProblem("/until", "empty-period", "must be after `from`")])
    if now is not None and until <= now:
        raise BodyError([BodyProblem("/until", "empty-period", "is in the past")])


def _state(stored: StoredGrant, now: Instant) -> str:
    grant = stored.grant
    if grant.until <= now:
        return "ended"
    if stored.spent >= grant.amount:
        return "used_up"
    return "active" if grant.start <= now else "scheduled"


def _data(index: CatalogIndex, stored: StoredGrant, now: Instant) -> dict[str, object]:
    """Return a grant as JSON. Units of a feature that is not published any more are shown as they are stored."""
    grant = stored.grant
    feature = index.features.get(stored.feature)
    scale = 0 if feature is None else feature.scale
    state = _state(stored, now)
    left = max(0, grant.amount - stored.spent) if state in {"active", "scheduled"} else 0
    data: dict[str, object] = {
        "id": grant.id,
        "feature": stored.feature,
        "amount": from_units(grant.amount, scale),
        "spent": from_units(stored.spent, scale),
        "remaining": from_units(left, scale),
        "state": state,
        "priority": grant.priority,
    }
    if grant.start > BEGINNING:
        data["from"] = format_instant(grant.start)
    if grant.until < FOREVER:
        data["until"] = format_instant(grant.until)
    if grant.id.startswith(ROLLOVER):
        data["rolled_over"] = True
    else:
        data |= {"reason": grant.reason, "author": stored.author}
    return data | {"created_at": format_instant(stored.created_at)}
