"""Losses, effects of overrides and findings where limits are soft: what is allowed above a number counts too."""

from __future__ import annotations

from typing import Any

import pytest

from tiergate.catalog import load_catalog_texts
from tiergate.errors import ConflictError
from tiergate.impact.preview.loss_token import loss_token, losses_of
from tiergate.impact.preview.subject_effects import UNLIMITED, Effect, effect_data
from tiergate.impact.subject_change.change_effects import CatalogDefinitions, RecordChange, subject_effects
from tiergate.impact.subject_change.override_effects import override_effect, reject_ineffective_overrides
from tiergate.impact.subject_change.subject_lint import lint_record
from tiergate.model import (
    UNLIMITED as NO_LIMIT,
)
from tiergate.model import (
    Amount,
    Customer,
    LimitKind,
    MeteredAmount,
    Override,
    OverrideMode,
    SubjectRecord,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
    Value,
)
from tiergate.store.units import PublishedCatalog

NOW = 1_000
CATALOG = load_catalog_texts(
    {
        "catalog.yaml": """
apiVersion: tiergate/v1
features:
  - {id: calls, type: quantity, metered: {reset: month}}
items:
  - {id: hard, kind: plan, entitlements: {calls: 100}}
  - {id: soft, kind: plan, entitlements: {calls: {value: 100, limit: soft}}}
  - {id: some, kind: plan, entitlements: {calls: {value: 100, limit: soft, overage_max: 20}}}
"""
    }
).catalog
SOURCE = CatalogDefinitions(CATALOG, CATALOG.index())
STATE = PublishedCatalog(1, "sha256:x", CATALOG, CATALOG.index())


def soft(units: int, overage_max: int | None = None) -> MeteredAmount:
    """A number with a soft limit of its own."""
    return MeteredAmount(units, None, LimitKind.SOFT, overage_max)


def record(plan: str, *values: Value) -> SubjectRecord:
    """A customer with a plan, and overrides to these values, the later ones acting."""
    overrides = tuple(Override(f"o{place}", "calls", OverrideMode.REPLACE, it) for place, it in enumerate(values))
    held = Subscription("s", "acme", SubscriptionStatus.ACTIVE, (SubscriptionItem(plan),))
    return SubjectRecord(Customer("acme", overrides=overrides), (held,))


def changed(before: SubjectRecord, after: SubjectRecord) -> list[Effect]:
    """How a change of a record affects the customer."""
    return [it.effect for it in subject_effects(RecordChange(before, after, frozenset({"calls"})), SOURCE, NOW)]


@pytest.mark.parametrize(
    ("value", "effects"),
    [
        (Amount(100), []),
        (soft(100), [Effect.MORE]),
        (soft(100, 1), [Effect.MORE]),
        (soft(90), [Effect.OTHER]),
        (soft(90, 5), [Effect.LESS]),
        (soft(90, 10), [Effect.LESS]),
        (Amount(90), [Effect.LESS]),
        (NO_LIMIT, [Effect.MORE]),
    ],
)
def test_what_a_soft_limit_allows_counts(value: Value, effects: list[Effect]) -> None:
    """Beside the number, which is what is paid for."""
    assert changed(record("hard"), record("hard", value)) == effects


@pytest.mark.parametrize(
    ("before", "after", "effects"),
    [
        ("soft", "hard", [Effect.LESS]),
        ("soft", "some", [Effect.LESS]),
        ("some", "hard", [Effect.LESS]),
        ("hard", "some", [Effect.MORE]),
        ("some", "soft", [Effect.MORE]),
    ],
)
def test_another_kind_of_limit_is_a_gain_or_a_loss(before: str, after: str, effects: list[Effect]) -> None:
    """Though the number is the same; a loss has a token that says which."""
    assert changed(record(before), record(after)) == effects


def test_a_loss_is_shown_with_what_was_allowed_above() -> None:
    """And another loss has another token."""
    tokens = set()
    for before, overage in (("soft", UNLIMITED), ("some", 20)):
        change = RecordChange(record(before), record("hard"), frozenset({"calls"}))
        (effect,) = subject_effects(change, SOURCE, NOW)
        data: Any = effect_data(effect)
        assert data["before"] == {"allowed": True, "reason": "granted", "value": 100, "overage": overage}
        assert data["after"] == {"allowed": True, "reason": "granted", "value": 100}
        tokens.add(loss_token("acme", losses_of([effect], NOW)))
    assert len(tokens) == 2


@pytest.mark.parametrize(
    ("plan", "value", "effect"),
    [
        (
            "hard",
            soft(100, 20),
            {"state": "raises", "from": 100, "to": {"value": 100, "limit": "soft", "overage_max": 20}},
        ),
        ("soft", Amount(100), {"state": "lowers", "from": {"value": 100, "limit": "soft"}, "to": 100}),
        ("hard", Amount(100), {"state": "none"}),
        ("soft", MeteredAmount(100), {"state": "lowers", "from": {"value": 100, "limit": "soft"}, "to": 100}),
        ("hard", MeteredAmount(100), {"state": "none"}),
    ],
)
def test_an_override_acts_on_the_kind_of_limit(plan: str, value: Value, effect: dict[str, object]) -> None:
    """A plain number takes the place of what items say of it, too: the feature decides."""
    holder = record(plan, value)
    shown = override_effect(STATE, holder, None, holder.customer.overrides[0], NOW)
    assert {key: shown[key] for key in effect} == effect


def test_an_override_that_repeats_what_is_held_is_refused() -> None:
    """One that changes the kind of limit alone is not."""
    for value, is_idle in ((soft(100, 20), True), (soft(100, 21), False), (MeteredAmount(100), False)):
        holder = record("some", value)
        if is_idle:
            with pytest.raises(ConflictError) as caught:
                reject_ineffective_overrides(STATE, holder, None, holder.customer.overrides, NOW)
            assert "100, soft limit, at most 20 above" in str(caught.value)
        else:
            reject_ineffective_overrides(STATE, holder, None, holder.customer.overrides, NOW)


@pytest.mark.parametrize(
    ("plan", "value", "codes"),
    [
        ("soft", MeteredAmount(100), ["override-below-plan"]),
        ("some", soft(100, 20), ["redundant-override"]),
        ("hard", soft(100), []),
    ],
)
def test_lint_finds_overrides_of_the_kind_of_limit(plan: str, value: Value, codes: list[str]) -> None:
    """One that takes the overage away, and one that repeats it."""
    assert [it.code for it in lint_record(record(plan, value), SOURCE, NOW)] == codes
