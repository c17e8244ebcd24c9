"""Leases: which sidecar holds what of whom, and how units of a sidecar that is lost with its disk are given up.

An expired lease counts until its holder reports. Of a quantity that never resets that is for ever if the holder is
lost, so an operator may write its leases off: as spent, or as not spent. Whatever the choice was, what the holder
reports later counts exactly.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from tiergate.errors import ConflictError, NotFoundError, ParameterError, RequestError
from tiergate.model import BEGINNING, format_instant, from_units
from tiergate.permissions import Action, Resource
from tiergate.store.usage_leases import LeaseFilter, StoredLease, find_holder, find_leases
from tiergate.store.usage_ledger import LedgerCall
from tiergate.usage.accounts import Account, Scope
from tiergate.usage.leases import LeaseState
from tiergate.usage.ledger_records import Needs

if TYPE_CHECKING:
    from tiergate.admin.actor import Actor
    from tiergate.model import CatalogIndex, Instant
    from tiergate.store import ReadUnit, WriteUnit
    from tiergate.store.usage_ledger import UsageLedger
    from tiergate.usage.leases import LeaseRecord
    from tiergate.usage.ledger import Ledger


class _Given(NamedTuple):
    """Units of an account that were given up, and of how many leases."""

    account: Account
    units: int
    leases: int


def whose_leases(customer: str | None) -> Resource:
    """Return what the permission to write off is needed for: a customer, or all if none is named."""
    return Resource.customer_of("*" if customer is None else customer)


def list_leases(
    unit: ReadUnit, wanted: LeaseFilter, cursor: str | None, limit: int
) -> tuple[list[dict[str, object]], str | None]:
    """Return a page of leases that are not settled, by the names of their holders, and the cursor of the next.

    Raises:
        ParameterError: the cursor is none.
    """
    found = find_leases(unit, wanted, None if cursor is None else _parse_cursor(cursor), limit + 1)
    page = found[:limit]
    following = "{} {}".format(*page[-1].place) if len(found) > limit else None
    return [_data(unit.published.index, stored, unit.now) for stored in page], following


def write_off(
    actor: Actor, unit: WriteUnit, ledger: UsageLedger, wanted: LeaseFilter, *, spent: bool
) -> dict[str, object]:
    """Give the expired leases of a holder up, all or those of a customer or a feature: as spent, or as not spent.

    Return what was given up, by accounts.

    Raises:
        RequestError: 400, the actor gives no reason.
        NotFoundError: the holder has no such lease, or all of them are written off.
        ConflictError: `lease-not-expired`: one of the leases has not expired; then nothing changes.
    """
    actor.require(Action.EDIT_ENTITLEMENT, whose_leases(wanted.customer))
    if not actor.reason:
        raise RequestError(400, "invalid request", "to write off needs a reason: the header `Tiergate-Reason`")
    name = wanted.holder or ""
    identity = find_holder(unit, name)
    if identity is None:
        raise NotFoundError("holder of leases", name)

    def act(ledger: Ledger) -> list[_Given]:
        meant = [lease for lease in ledger.leases_of(identity) if _is_meant(lease, wanted)]
        if not meant:
            raise NotFoundError("lease of the holder", name)
        live = sum(lease.expires > unit.now for lease in meant)
        if live:
            detail = f"{live} of these leases of `{name}` have not expired: it may still spend from them"
            raise ConflictError("lease-not-expired", detail)
        units: Counter[Account] = Counter()
        for lease in meant:
            units[lease.account] += lease.units - lease.spent
        leases = Counter(lease.account for lease in meant)
        ledger.write_off(identity, {lease.number for lease in meant}, spent=spent)
        return [_Given(account, units[account], leases[account]) for account in sorted(units, key=_order)]

    needs = Needs(identity, frozenset(), frozenset(), frozenset(), all_leases=True)
    given = ledger.run_within(unit, LedgerCall(needs, act))
    index = unit.published.index
    items = []
    for one in given:
        data = _account_data(one.account) | {
            "leases": one.leases,
            "amount": from_units(one.units, _scale(index, one.account)),
        }
        items.append(data)
        customer = one.account.customer or None
        after = {"holder": name, "spent": _word(spent=spent)} | data
        unit.audit("usage.written_off", "usage", one.account.feature, after=after, customer=customer)
    return {"holder": name, "spent": _word(spent=spent), "written_off": items}


def _is_meant(lease: LeaseRecord, wanted: LeaseFilter) -> bool:
    account = lease.account
    return (
        lease.state is LeaseState.LIVE
        and wanted.customer in {None, account.customer}
        and wanted.feature in {None, account.feature}
    )


def _order(account: Account) -> tuple[str, str, str, str, Instant]:
    return account.customer, account.feature, account.scope.value, account.member, account.window


def _word(*, spent: bool) -> str:
    return "all" if spent else "none"


def _data(index: CatalogIndex, stored: StoredLease, now: Instant) -> dict[str, object]:
    lease = stored.lease
    scale = _scale(index, lease.account)
    state = "written_off" if lease.state is LeaseState.WRITTEN_OFF else "expired" if lease.expires <= now else "live"
    holder, number = stored.place
    return {
        "holder": holder,
        "lease": number,
        **_account_data(lease.account),
        "amount": from_units(lease.units, scale),
        "reported": from_units(lease.spent, scale),
        "state": state,
        "expires_at": format_instant(lease.expires),
        "seen_at": format_instant(stored.seen),
    }


def _account_data(account: Account) -> dict[str, object]:
    data: dict[str, object] = {"feature": account.feature, "scope": account.scope.value}
    if account.customer:
        data["customer"] = account.customer
    if account.scope in {Scope.SUBSCRIPTION, Scope.USER}:
        data[account.scope.value] = account.member
    if account.window > BEGINNING:
        data["window_from"] = format_instant(account.window)
    return data


def _scale(index: CatalogIndex, account: Account) -> int:
    """Return the scale of an account's feature; units of one that is not published any more are shown as stored."""
    feature = index.features.get(account.feature)
    return 0 if feature is None else feature.scale


def _parse_cursor(cursor: str) -> tuple[str, int]:
    holder, _, number = cursor.partition(" ")
    if not number.isdecimal():
        raise ParameterError("cursor", "is not one that a list gave out")
    return holder, int(number)
