"""A preview of a publish knows what the store has counted: who is above the new limit is told. On both databases."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.publishing import Press, opened
from tests.usage_bounds import PlainBounds, debits
from tiergate.catalog import load_catalog_texts
from tiergate.impact.preview.preview import KnownUsage
from tiergate.model import Subject, SubjectType, parse_instant
from tiergate.publish import loss_estimate
from tiergate.publish.apply_planner import ApplyRequest, plan_apply
from tiergate.publish.stored_usage import StoredUsage
from tiergate.store import SYSTEM
from tiergate.store.usage_grants import give_grant
from tiergate.store.usage_ledger import UsageLedger
from tiergate.usage.accounts import Account, Consumption, Scope
from tiergate.usage.pools import Grant
from tiergate.usage.protocol import Booked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.publish.publication_plan import Planner
    from tiergate.store import ReadUnit

CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: calls, type: quantity, scale: 1, metered: {reset: month}}
  - {id: seats, type: quantity}
items:
  - {id: gold, kind: plan, entitlements: {calls: 100, seats: 5}}
"""
NOW = parse_instant("2027-01-15T08:00:00Z")


JANUARY = parse_instant("2027-01-01")
DECEMBER = parse_instant("2026-12-01")


def book(ledger: UsageLedger, customer: str, units: int, window: int = JANUARY) -> None:
    """Book calls on a customer and its subscription."""
    accounts = (
        Account("calls", Scope.CUSTOMER, customer, "", window),
        Account("calls", Scope.SUBSCRIPTION, customer, f"sub-{customer}", window),
    )
    booked = ledger.record(Consumption(b"", b"", window + 1, debits(*accounts, amount=units)))
    assert booked == Booked()


@pytest.fixture
def press(store_url: str) -> Iterator[Press]:
    """A publisher, and customers with usage in this month or the last one, one of them with a grant."""
    with opened(store_url) as made:
        clock = [NOW]
        made.store.clock = lambda: clock[0]
        made.apply(CATALOG)
        for customer in ("heavy", "idle", "light", "past", "topped-up"):
            made.hold(customer, "gold")
        made.store.change(lambda unit: give_grant(unit, "topped-up", "calls", Grant("g", 500)), SYSTEM)
        ledger = UsageLedger(made.store, PlainBounds(limit=1000))
        clock[0] = DECEMBER + 1
        book(ledger, "past", 900, DECEMBER)
        clock[0] = NOW
        for customer, units in (("heavy", 605), ("light", 400), ("topped-up", 1010)):
            book(ledger, customer, units)
        ledger.close()
        yield made


def with_calls(calls: int) -> Planner:
    """The same catalog with another number of calls."""
    text = CATALOG.replace("calls: 100", f"calls: {calls}")
    return plan_apply(ApplyRequest(load_catalog_texts({"catalog.yaml": text})))


def examples(press: Press, calls: int, at: int | None = None) -> dict[str, Any]:
    """What a preview says of each customer who gets less calls, and under `above` how many are above the new limit."""
    estimate = press.publisher.preview(with_calls(calls), estimates=True, at=at).estimate
    assert estimate is not None
    impact = estimate.tally(press.store)
    (feature,) = impact["features"]
    return {it["customer"]: it for it in feature["examples"]} | {"above": impact["customers"]["above"]}


@pytest.mark.parametrize("in_process", [True, False])
def test_customers_above_their_new_limit_are_listed_with_their_use(
    press: Press, monkeypatch: pytest.MonkeyPatch, *, in_process: bool
) -> None:
    """What was granted is not above it, and neither is what was used in a window that has ended."""
    monkeypatch.setattr(loss_estimate, "MAX_IN_PROCESS", 2_000 if in_process else 0)
    found = examples(press, 60)
    assert found.pop("above") == 1
    assert {customer: (float(it["used"]), it["above"]) for customer, it in found.items()} == {
        "heavy": (60.5, True),
        "idle": (0, False),
        "light": (40, False),
        "past": (0, False),
        "topped-up": (101, False),
    }
    assert (found["heavy"]["before"]["value"], found["heavy"]["after"]["value"]) == (100, 60)
    assert examples(press, 50)["above"] == 2  # and the one that has used 51 besides what was granted


def test_usage_of_now_says_nothing_of_later_windows(press: Press) -> None:
    """Only whoever has not used anything yet is known to be below."""
    found = examples(press, 60, at=parse_instant("2027-02-01"))
    assert found.pop("above") == 0
    assert {customer for customer, it in found.items() if "used" in it} == {"idle", "past"}


def test_usage_does_not_change_the_token_of_a_loss(press: Press) -> None:
    """A loss is accepted for what is taken, however much was used meanwhile."""
    tokens = []
    for units in (1, 100):
        ledger = UsageLedger(press.store, PlainBounds(limit=1000))
        book(ledger, "light", units)
        ledger.close()
        estimate = press.publisher.preview(with_calls(60), estimates=True).estimate
        assert estimate is not None
        tokens.append(estimate.tally(press.store)["loss"])
    assert tokens[0] == tokens[1] != ""


def test_usage_of_subscriptions_is_known_where_it_was_named(press: Press) -> None:
    """Each subject has its own; features that are not metered have none."""

    def read(unit: ReadUnit) -> list[KnownUsage | None]:
        usage = StoredUsage(unit.session, unit.published.index, {"calls", "seats", "gone"}, NOW)
        usage.choose(["heavy", "topped-up"])
        of_subscription = Subject("sub-heavy", SubjectType.SUBSCRIPTION)
        return [
            usage.known(of_subscription, "calls", NOW),
            usage.known(Subject("topped-up"), "calls", NOW),
            usage.known(Subject("heavy"), "seats", NOW),
            usage.known(Subject("heavy"), "gone", NOW),
        ]

    found = press.store.read(read)
    assert found == [KnownUsage(Decimal("60.5")), KnownUsage(101, 50), None, None]
