"""Changes of soft limits and draws, as previews and comparisons of catalogs find them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.impact.preview.test_preview import NOW, bundle, customer, told
from tiergate.impact.diff.semantic_diff import compare_bundles
from tiergate.impact.preview.preview import preview_impact
from tiergate.model import Rules

if TYPE_CHECKING:
    from tiergate.impact.preview.subject_effects import SubjectEffect

FEATURES = """\
apiVersion: tiergate/v1
features:
  - {id: calls, type: quantity, metered: {reset: month}}
  - {id: credits, type: quantity, metered: {reset: month}}
  - {id: images, type: quantity, metered: {reset: month}, draws: {from: credits, cost: 2}}
items:
"""


def item(**given: str) -> str:
    """A plan with entitlements."""
    return f"  - {{id: gold, kind: plan, entitlements: {{{', '.join(f'{key}: {it}' for key, it in given.items())}}}}}\n"


SOFT = "{value: 50, limit: soft, overage_max: 10}"


@pytest.mark.parametrize(
    ("before", "after", "effect"),
    [
        ("50", SOFT, "more"),
        (SOFT, "50", "less"),
        (SOFT, "{value: 50, limit: soft}", "more"),
        ("{value: 50, limit: soft, overage_max: 20}", SOFT, "less"),
        (SOFT, "60", None),  # as much may be used
        ("{value: 50, limit: hard}", "50", None),
    ],
)
def test_what_is_allowed_above_a_limit_counts(before: str, after: str, effect: str | None) -> None:
    """Taking softness away takes something, which publishing asks about."""
    found = told(bundle(item(calls=before), FEATURES), bundle(item(calls=after), FEATURES), customer("acme", "gold"))
    assert found == ([] if effect is None else [("acme", "calls", effect)])


def test_fewer_credits_allow_less_of_what_draws_on_them() -> None:
    """Though its own limit stays."""
    old, new = (bundle(item(images="unlimited", credits=amount), FEATURES) for amount in ("10", "6"))
    assert told(old, new, customer("acme", "gold")) == [("acme", "credits", "less"), ("acme", "images", "less")]


@pytest.mark.parametrize(
    ("before", "after", "kind"), [("50", SOFT, "more"), (SOFT, "50", "less"), ("{value: 50, limit: hard}", "50", None)]
)
def test_a_comparison_of_catalogs_names_it(before: str, after: str, kind: str | None) -> None:
    """As a difference of the plan's entitlement."""
    old, new = (bundle(item(calls=it), FEATURES) for it in (before, after))
    found = compare_bundles(old, new, NOW)
    assert {(it.item, it.feature, it.kind.value) for it in found.differences} == (
        set() if kind is None else {("gold", "calls", kind)}
    )
    assert not found.unproved


LATE = (
    '@id("late") forbid (principal, action == Action::"consume", resource == Feature::"calls") when '
    '{{ context has resetsAt && context.resetsAt.durationSince(context.now) < duration("{}") && context.amount > 5 }};'
)


@pytest.mark.parametrize(
    ("before", "after", "effect"), [("1h", "2h", "less"), ("2h", "1h", "more"), ("1d", "24h", None)]
)
def test_a_rule_about_the_time_until_usage_resets_is_compared(before: str, after: str, effect: str | None) -> None:
    """By previews and by comparisons of catalogs; what means the same is the same."""
    old, new = (bundle(item(calls="50"), FEATURES, Rules(policies={"late": LATE.format(it)})) for it in (before, after))
    shown: list[SubjectEffect] = []
    preview_impact(old, new, [customer("acme", "gold")], now=NOW, each=shown.append)
    found = compare_bundles(old, new, NOW)
    assert not found.unproved
    if effect is None:
        assert (shown, found.is_same) == ([], True)
        return
    ((effect_on, check),) = [(it.effect.value, it.shown_by) for it in shown]
    assert check is not None
    assert check.resets_at is not None
    assert (effect_on, 3_600_000 <= check.resets_at - check.at < 7_200_000) == (effect, True)
    assert {it.feature for it in found.turns} == {"calls"}
