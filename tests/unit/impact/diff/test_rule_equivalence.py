"""Rules compared over every check: no rule, day, tag or number of names hides what another one changes."""

from __future__ import annotations

import pytest

from tiergate.bundle import Bundle
from tiergate.catalog import load_catalog_texts
from tiergate.compiler import compile_catalog
from tiergate.impact.diff.semantic_diff import compare_bundles
from tiergate.model import Rules, parse_instant

NOW = parse_instant("2026-11-23T00:00:00Z")
"""A Monday."""
DAY = 86_400_000
CATALOG = """
apiVersion: tiergate/v1
features:
  - {id: exports, type: quantity, unit: exports/day}
items:
  - {id: team, kind: plan, entitlements: {exports: 100}}
  - {id: free, kind: plan, entitlements: {}}
"""
SCOPE = 'principal, action == Action::"consume", resource == Feature::"exports"'
DAILY = f'@id("day") forbid ({SCOPE}) when {{ context.used >= %d }};'


def bundle(rules: str, catalog: str = CATALOG, entities: str = "", schema: str = "") -> Bundle:
    """A catalog with rules."""
    law = Rules(
        policies={"law": rules},
        entities={"law": entities} if entities else {},
        schemas={"law": schema} if schema else {},
    )
    return Bundle.from_files(compile_catalog(load_catalog_texts({"c.yaml": catalog}).catalog, law))


@pytest.mark.parametrize(
    "unchanged",
    [
        f'@id("kyc") forbid ({SCOPE}) unless {{ principal.tags.contains("verified") }};',
        f'@id("region") forbid ({SCOPE}) unless {{ principal.hasTag("region") }};',
        f'@id("region") forbid ({SCOPE}) unless {{ principal.hasTag("r") && principal.getTag("r") like "e*" }};',
        f'@id("bulk") forbid ({SCOPE}) when {{ context.amount < 10 }};',
        f'@id("weekend") forbid ({SCOPE}) when {{ context.weekday >= 6 }};',
        f'@id("night") forbid ({SCOPE}) when {{ context.now.toTime() < duration("6h") }};',
        f'@id("launch") forbid ({SCOPE}) when {{ context.now < datetime("2027-02-03T04:05:06Z") }};',
        f'@id("incident") forbid ({SCOPE}) when {{ context.status == "down" || context.status == "partial" }};',
        f'@id("works") forbid ({SCOPE}) unless {{ context.status == "degraded" }};',
        f'@id("one") forbid ({SCOPE}) unless {{ principal.customer == "acme" }};',
        f'@id("user") forbid ({SCOPE}) unless {{ principal == User::"eve" }};',
        f'@id("subscriptions") forbid ({SCOPE}) when {{ principal is Customer }};',
        f'@id("free") forbid ({SCOPE}) unless {{ principal in Item::"plan/free" }};',
        f'@id("plain") forbid ({SCOPE}) unless {{ context.overridden && !context.given }};',
        f'@id("large") forbid ({SCOPE}) unless {{ context.limit > 450 }};',
        f'@id("both") forbid ({SCOPE}) unless {{ principal.tags.containsAll(["a", "b"]) && context.amount == 7 }};',
    ],
)
def test_an_unchanged_rule_hides_no_change(unchanged: str) -> None:
    """Whoever it leaves is found, and shown by a check."""
    meant = compare_bundles(bundle(DAILY % 50 + unchanged), bundle(DAILY % 20 + unchanged), NOW)
    assert [(it.reason_before, it.reason_after) for it in meant.turns if it.allowed_before] == [
        ("granted", "rule_denied")
    ]
    (turn,) = (it for it in meant.turns if it.allowed_before)
    assert turn.rules == ("rule/law/day",)


@pytest.mark.parametrize("day", range(7))
def test_the_day_of_the_comparison_does_not_matter(day: int) -> None:
    """On each day of the week, a rule of other days hides nothing."""
    weekend = f'@id("weekend") forbid ({SCOPE}) when {{ context.weekday >= 6 }};'
    meant = compare_bundles(bundle(DAILY % 50 + weekend), bundle(DAILY % 20 + weekend), NOW + day * DAY)
    assert any(it.allowed_before for it in meant.turns)


def test_what_is_over_is_not_compared() -> None:
    """A rule that ends before the comparison begins changes nothing from then on."""
    rule = f'@id("past") forbid ({SCOPE}) when {{ context.now < datetime("%s") }};'
    assert compare_bundles(bundle(rule % "2026-11-01"), bundle(rule % "2026-11-02"), NOW).is_same
    assert not compare_bundles(bundle(rule % "2026-11-01"), bundle(rule % "2026-11-02"), NOW - 365 * DAY).is_same


def test_a_rule_hides_no_change_of_a_feature() -> None:
    """A batch or a cap, which only those notice whom the rule leaves."""
    kyc = f'@id("kyc") forbid ({SCOPE}) unless {{ principal.tags.contains("verified") }};'
    for more in (
        "batch: {minimum: 5}",
        "batch: {increment: 3}",
        "caps: {per_user: 3}",
        "caps: {total: 9}, metered: {reset: never}",
    ):
        old = CATALOG.replace("unit: exports/day", "unit: exports/day, metered: {reset: never}")
        new = CATALOG.replace("unit: exports/day", f"unit: exports/day, {more}")
        meant = compare_bundles(bundle(kyc, old if "metered" in more else CATALOG), bundle(kyc, new), NOW)
        (change,) = meant.features
        assert change.shown_by is not None
        assert change.shown_by.tags == ("verified",)
        assert not meant.unproved


def test_what_a_rule_forbids_to_everybody_may_change() -> None:
    """No check shows it, and that is proved."""
    ban = f'@id("ban") forbid ({SCOPE});'
    new = CATALOG.replace("unit: exports/day", "unit: exports/day, batch: {minimum: 5}")
    assert compare_bundles(bundle(ban), bundle(ban, new), NOW).is_same


def test_a_tag_of_a_feature_concerns_the_rules_of_the_tag() -> None:
    """In a scope or a condition, of this feature or another one."""
    old = CATALOG.replace("type: quantity", "type: quantity, tags: [data]").replace(
        "features:", "features:\n  - {id: reports, type: switch}"
    )
    new = old.replace("{id: reports, type: switch}", "{id: reports, type: switch, tags: [data]}")
    scoped = '@id("out") forbid (principal, action, resource in Tag::"data") when { principal.tags.contains("out") };'
    meant = compare_bundles(bundle(scoped, old), bundle(scoped, new), NOW)
    assert {it.feature for it in meant.turns if it.shown_by.tags == ("out",)} == {"reports"}
    other = f'@id("out") forbid ({SCOPE}) when {{ Feature::"reports" in Tag::"data" }};'
    assert {it.feature for it in compare_bundles(bundle(other, old), bundle(other, new), NOW).turns} == {"exports"}


@pytest.mark.parametrize("count", [61, 300])
def test_any_number_of_names_is_compared(count: int) -> None:
    """Of customers and of subscriptions."""
    rule = '@id("ban-%d") forbid (principal == %s::"c%d", action == Action::"consume", resource) when { %s };'
    for kind in ("Customer", "Subscription"):
        old = "".join(rule % (it, kind, it, "context.used >= 5") for it in range(count))
        new = "".join(
            rule % (it, kind, it, "context.used > 4" if it < count - 1 else "context.used > 2") for it in range(count)
        )
        same = "".join(rule % (it, kind, it, "context.used > 4") for it in range(count))
        meant = compare_bundles(bundle(old), bundle(new), NOW)
        assert {it.shown_by.subject for it in meant.turns} == {f"c{count - 1}"}
        assert {it.rules for it in meant.turns} == {(f"rule/law/ban-{count - 1}",)}
        assert compare_bundles(bundle(old), bundle(same), NOW).is_same


def test_entities_of_rules_are_compared_by_what_rules_read() -> None:
    """A number in an entity file is a boundary; what no rule reads is none."""
    schema = "entity Region { exports: Long, note: String };"
    one = '[{"uid": {"type": "Region", "id": "eu"}, "attrs": {"exports": %d, "note": "%s"}, "parents": []}]'
    rule = f'@id("region") forbid ({SCOPE}) when {{ context.amount > Region::"eu".exports }};'
    old, same, new = (bundle(rule, entities=one % it, schema=schema) for it in ((5, "a"), (5, "b"), (6, "a")))
    assert compare_bundles(old, same, NOW).is_same
    meant = compare_bundles(old, new, NOW)
    assert {it.shown_by.amount for it in meant.turns} == {6}


def test_an_item_that_a_rule_names_in_another_version_is_found() -> None:
    """Who holds it is no longer in the version that the rule is for."""
    rule = '@id("v") forbid (principal in Item::"plan/team@1", action == Action::"consume", resource);'
    versions = "versions: [{version: 1, entitlements: {exports: 100}}, {version: 2, entitlements: {exports: 100}}]"
    both = CATALOG.replace("id: team, kind: plan, entitlements: {exports: 100}", f"id: team, kind: plan, {versions}")
    first = both.replace("}}]}", "}}], rollouts: [{version: 1}]}")
    meant = compare_bundles(bundle(rule, first), bundle(rule, both), NOW)
    assert [it.reason_after for it in meant.turns if it.allowed_after] == ["granted"]


def test_rules_of_the_same_numbers_in_another_place_are_the_same() -> None:
    """Split, joined, in another order, put the other way round."""
    one = f'@id("a") forbid ({SCOPE}) when {{ context.used >= 5 || principal.tags.contains("x") }};'
    two = (
        f'@id("b") forbid ({SCOPE}) when {{ principal.tags.contains("x") }};'
        f'@id("c") forbid ({SCOPE}) unless {{ context.used < 5 }};'
    )
    meant = compare_bundles(bundle(one), bundle(two), NOW)
    assert meant.is_same
    assert meant.ruled == 1


def test_a_failure_is_a_difference() -> None:
    """A number beyond what Cedar can hold denies."""
    permit = f'@id("p") permit ({SCOPE}) when {{ context.amount * %d > 0 }};'
    meant = compare_bundles(bundle(permit % 2), bundle(permit % 9_000_000_000), NOW)
    assert "evaluation_error" in {it.reason_after for it in meant.turns}


def test_rules_about_the_status_are_compared_over_all_of_them() -> None:
    """What means the same is the same; a status that only one forbids is in the check that shows it."""
    rule = f'@id("incident") forbid ({SCOPE}) when {{ %s }};'
    narrow = bundle(rule % '["down", "partial"].contains(context.status)')
    same = bundle(
        rule % '!(context.status like "*d" || context.status == "operational" || context.status like "maint*")'
    )
    assert compare_bundles(narrow, same, NOW).is_same
    wide = bundle(rule % 'context.status != "operational" && context.status != "maintenance"')
    (turn,) = (it for it in compare_bundles(narrow, wide, NOW).turns if it.allowed_before)
    assert (turn.allowed_before, turn.allowed_after, turn.shown_by.status) == (True, False, "degraded")
    assert not turn.shown_by.timed
