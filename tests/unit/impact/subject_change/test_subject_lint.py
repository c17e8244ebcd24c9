"""What is found about overrides and items of subjects."""

from __future__ import annotations

import pytest

from tiergate.catalog import load_catalog_texts
from tiergate.impact.subject_change.change_effects import CatalogDefinitions
from tiergate.impact.subject_change.subject_lint import can_have_findings, lint_record
from tiergate.model import (
    BEGINNING,
    FOREVER,
    Amount,
    Customer,
    Level,
    Override,
    OverrideMode,
    SubjectRecord,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
    Switch,
    Value,
)

NOW = 1_000
CATALOG = """
apiVersion: tiergate/v1
features:
  - {id: reports, type: switch}
  - {id: seats, type: quantity}
  - {id: support, type: custom, levels: [email, chat, phone]}
items:
  - {id: gold, kind: plan, entitlements: {reports: true, seats: 5, support: chat}}
  - {id: late, kind: plan, versions: [{version: 1, entitlements: {}}], rollouts: []}
  - {id: next, kind: plan, status: draft, entitlements: {seats: 9}}
  - {id: extra, kind: addon, available_for: [gold, late], entitlements: {seats: {add: 1}}}
  - {id: deep, kind: addon, depends_on: [extra], entitlements: {}}
"""
LOADED = load_catalog_texts({"catalog.yaml": CATALOG}).catalog
SOURCE = CatalogDefinitions(LOADED, LOADED.index())


def override(
    feature: str,
    value: Value | None,
    mode: OverrideMode = OverrideMode.REPLACE,
    id_: str = "o",
    start: int = BEGINNING,
    until: int = FOREVER,
) -> Override:
    """An override."""
    return Override(id_, feature, OverrideMode.DISABLED if value is None else mode, value, start, until)


def found(
    *overrides: Override,
    items: tuple[SubscriptionItem | str, ...] = ("gold",),
    own: tuple[Override, ...] = (),
    status: SubscriptionStatus = SubscriptionStatus.ACTIVE,
    end: int | None = None,
) -> list[tuple[str, str, int]]:
    """What is found about a customer with these overrides, and a subscription with these items and its `own` ones."""
    held = tuple(SubscriptionItem(it) if isinstance(it, str) else it for it in items)
    one = Subscription("s", "acme", status, held, end=end, overrides=own)
    record = SubjectRecord(Customer("acme", overrides=overrides), (one,))
    return [(it.code, it.owner, it.number) for it in lint_record(record, SOURCE, NOW)]


AT_LEAST, ADD = OverrideMode.AT_LEAST, OverrideMode.ADD


@pytest.mark.parametrize(
    ("overrides", "codes"),
    [
        ([override("seats", Amount(9))], []),
        ([override("seats", Amount(9), AT_LEAST)], []),
        ([override("seats", Amount(1), ADD)], []),
        ([override("seats", None)], []),
        ([override("seats", Amount(3))], ["override-below-plan"]),
        ([override("reports", Switch(on=False))], ["override-below-plan"]),
        ([override("support", Level("email"))], ["override-below-plan"]),
        ([override("seats", Amount(3), start=NOW + 5)], ["override-below-plan"]),
        ([override("seats", Amount(3), until=NOW)], []),
        ([override("seats", Amount(5))], ["redundant-override"]),
        ([override("seats", Amount(4), AT_LEAST)], ["redundant-override"]),
        ([override("reports", Switch(on=True))], ["redundant-override"]),
        ([override("support", Level("chat"))], ["redundant-override"]),
        ([override("seats", Amount(9), id_="a"), override("seats", Amount(8), id_="b")], ["override-without-effect"]),
        ([override("seats", Amount(9), id_="a"), override("seats", None, id_="b")], ["override-without-effect"]),
        (
            [override("seats", Amount(9), AT_LEAST, "a"), override("seats", Amount(8), AT_LEAST, "b")],
            ["override-without-effect"],
        ),
        ([override("seats", Amount(9), id_="a"), override("seats", Amount(8), id_="b", start=NOW + 5)], []),
    ],
)
def test_an_override_that_lowers_or_does_nothing_is_found(overrides: list[Override], codes: list[str]) -> None:
    """On a customer, and on a subscription."""
    assert [code for code, owner, _ in found(*overrides) if not owner] == codes
    assert [code for code, owner, _ in found(own=tuple(overrides)) if owner] == codes


def test_the_override_that_never_acts_is_named_and_not_the_one_before_it() -> None:
    """By its place in the list."""
    first, second = override("seats", Amount(9), id_="a"), override("seats", Amount(8), id_="b")
    assert found(first, second) == [("override-without-effect", "", 0)]


def test_an_override_below_one_that_replaces_the_total_has_no_effect_alone() -> None:
    """It stands on another scope, and the customer's is looked at in its own right."""
    assert found(override("seats", Amount(9)), own=(override("seats", Amount(8)),)) == [
        ("override-without-effect", "s", 0)
    ]


def test_a_customer_without_subscription_may_have_any_override() -> None:
    """It holds by itself."""
    record = SubjectRecord(Customer("acme", overrides=(override("seats", Amount(9)),)))
    assert not list(lint_record(record, SOURCE, NOW))


@pytest.mark.parametrize(
    ("items", "codes"),
    [
        (("gold", "extra", "deep"), []),
        ((SubscriptionItem("gold", until=NOW + 9), "extra"), []),
        (("next",), [("draft-item-held", 0)]),
        (("late", "extra"), [("item-never-counts", 1)]),
        (("late", "extra", "deep"), [("item-never-counts", 1), ("item-never-counts", 2)]),
        ((SubscriptionItem("gold", until=NOW), "extra"), [("item-never-counts", 1)]),
        (
            (SubscriptionItem("gold", until=NOW + 5), SubscriptionItem("extra", start=NOW + 5)),
            [("item-never-counts", 1)],
        ),
        ((SubscriptionItem("late"), SubscriptionItem("extra", until=NOW)), []),
    ],
)
def test_an_item_that_never_counts_is_found(
    items: tuple[SubscriptionItem | str, ...], codes: list[tuple[str, int]]
) -> None:
    """For want of its plan, or of what it depends on; what is over is not looked at."""
    assert [(code, number) for code, _, number in found(items=items)] == codes


def test_what_has_ended_is_not_looked_at() -> None:
    """A subscription that expired, or whose end has come."""
    assert not found(items=("next",), status=SubscriptionStatus.EXPIRED)
    assert not found(items=("next",), end=NOW)
    assert found(items=("next",), status=SubscriptionStatus.PAUSED)


def test_customers_of_whom_nothing_can_be_found_are_passed_over() -> None:
    """Those without overrides, drafts, or items that need others."""
    plain = Subscription("s", "acme", SubscriptionStatus.ACTIVE, (SubscriptionItem("gold"),))
    based = Subscription("s", "acme", SubscriptionStatus.ACTIVE, (SubscriptionItem("gold"), SubscriptionItem("extra")))
    assert not can_have_findings(Customer("acme"), SOURCE.index)
    assert not can_have_findings(plain, SOURCE.index)
    assert can_have_findings(based, SOURCE.index)
    assert can_have_findings(Customer("acme", overrides=(override("seats", None),)), SOURCE.index)
