"""What changes in meaning are found, told apart, and proved not to be there: one case for each kind of boundary."""

from __future__ import annotations

import pytest

from tiergate.bundle import Bundle
from tiergate.catalog import load_catalog_texts
from tiergate.compiler import compile_catalog
from tiergate.impact.diff.diff_result import ChangeDirection, SemanticDiff
from tiergate.impact.diff.representative_subjects import HolderGroup, HoldingPattern
from tiergate.impact.diff.semantic_diff import compare_bundles
from tiergate.impact.single_subject_engine import EntitlementValue
from tiergate.model import Rules, parse_instant

NOW = parse_instant("2026-11-21T00:00:00Z")
LATER = parse_instant("2027-01-01T00:00:00Z")
CATALOG = """
apiVersion: tiergate/v1
features:
  - {id: seats, type: quantity, combine: max}
  - {id: movies, type: quantity, metered: {reset: month}, batch: {increment: 2}, caps: {per_user: 6, total: 90}}
  - {id: rate, type: range, max: 100}
  - {id: support, type: custom, levels: [email, phone]}
  - {id: idle, type: quantity}
items:
  - {id: gold, kind: plan, entitlements: {seats: 5, movies: 50, rate: 80, support: phone}}
"""
ROLLOUTS = """entitlements: {seats: 5, movies: 50, rate: 80, support: phone}}"""


def found(new: str, old: str = CATALOG, *, rules: tuple[str, str] = ("", "")) -> SemanticDiff:
    """What putting one text, and file of rules, in the place of another means."""
    made = []
    for text, rule in zip((old, new), rules, strict=True):
        law = Rules(policies={"law": rule} if rule else {})
        made.append(Bundle.from_files(compile_catalog(load_catalog_texts({"c.yaml": text}).catalog, law)))
    return compare_bundles(made[0], made[1], NOW)


def changed(before: str, after: str) -> SemanticDiff:
    """What writing something else in the catalog means."""
    assert before in CATALOG
    return found(CATALOG.replace(before, after))


def rows(meant: SemanticDiff) -> list[tuple[str, HoldingPattern, ChangeDirection]]:
    """What each difference is about, of those that are pinned to nothing."""
    return [(it.feature, it.bearing, it.kind) for it in meant.differences if it.audience is None]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            "seats: 5",
            "seats: {add: 5}",
            [(HoldingPattern.TWO, ChangeDirection.MORE), (HoldingPattern.TWICE, ChangeDirection.MORE)],
        ),
        ("seats: 5", "seats: {add: 5, per: subscription}", [(HoldingPattern.TWICE, ChangeDirection.MORE)]),
        ("seats: 5", "seats: {value: 5, per: unit}", [(HoldingPattern.TWO, ChangeDirection.MORE)]),
        (
            "seats: 5",
            "seats: 4",
            [(it, ChangeDirection.LESS) for it in (HoldingPattern.ONE, HoldingPattern.TWO, HoldingPattern.TWICE)],
        ),
        (
            "seats: 5, ",
            "",
            [(it, ChangeDirection.LOSES) for it in (HoldingPattern.ONE, HoldingPattern.TWO, HoldingPattern.TWICE)],
        ),
        (
            "seats: 5",
            "seats: unlimited",
            [(it, ChangeDirection.MORE) for it in (HoldingPattern.ONE, HoldingPattern.TWO, HoldingPattern.TWICE)],
        ),
    ],
)
def test_ways_to_give_are_told_apart(
    before: str, after: str, expected: list[tuple[HoldingPattern, ChangeDirection]]
) -> None:
    """By one of it, two of it, and one in each of two subscriptions."""
    meant = changed(before, after)
    assert sorted(rows(meant)) == sorted(("seats", *it) for it in expected)
    assert not meant.features + meant.turns + meant.unproved


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ("id: idle, type: quantity", "id: idle, type: quantity, combine: max", "combine"),
        ("id: idle, type: quantity", "id: idle, type: quantity, scale: 1", "scale"),
        ("id: idle, type: quantity", "id: idle, type: quantity, unit: GB", "unit"),
        ("id: idle, type: quantity", "id: idle, type: quantity, status: draft", "status"),
        ("increment: 2", "increment: 3", "batch/increment"),
        ("increment: 2", "increment: 2, minimum: 4", "batch/minimum"),
        ("per_user: 6", "per_user: 7", "caps/per_user"),
        ("total: 90", "total: 91", "caps/total"),
        ("reset: month", "reset: week", "metered/reset"),
        ("id: idle, type: quantity", "id: idle, type: quantity, metered: {reset: never}", "metered"),
        ("reset: month", "reset: {every: 2, of: month}", "metered/reset"),
        ("reset: month", "reset: month, anchor: first_use", "metered/anchor"),
        ("reset: month", "reset: month, timezone: Europe/Berlin", "metered/timezone"),
        ("reset: month", "reset: month, limit: soft", "metered/limit"),
        ("reset: month", "reset: month, rollover: {max: 5}", "metered/rollover"),
        ("reset: month", "reset: month, late: 1 day", "metered/late"),
        ("reset: month", "reset: month, spend: grants_first", "metered/spend"),
        ("reset: month", "reset: month, offline: allow", "metered/offline"),
        ("max: 100", "max: 120", "max"),
        ("id: idle, type: quantity", "id: idle, type: quantity, across: max", "across"),
        ("combine: max}", "combine: max, across: max}", "across"),
        ("max: 100", "max: 100, across: max", "across"),
        ("levels: [email, phone]", "levels: [email, phone, visit]", "levels"),
        ("levels: [email, phone]", "levels: [phone, email]", "levels"),
        (
            "id: idle, type: quantity",
            "id: idle, type: quantity, suspensions: [{from: 2027-01-01T00:00:00Z, reason: repair}]",
            "suspensions",
        ),
    ],
)
def test_what_is_said_of_a_feature_is_found_whoever_holds_it(before: str, after: str, path: str) -> None:
    """Whether an item gives it or not."""
    meant = changed(before, after)
    assert [[it.path for it in one.details] for one in meant.features] == [[path]]
    assert not meant.turns


HARD, SOFT = EntitlementValue(50), EntitlementValue(50, soft=True)


@pytest.mark.parametrize(
    ("before", "after", "held", "kind"),
    [
        ("movies: 50", "movies: {value: 50, limit: soft}", (HARD, SOFT), ChangeDirection.MORE),
        ("movies: {value: 50, limit: soft}", "movies: 50", (SOFT, HARD), ChangeDirection.LESS),
        (
            "movies: {value: 50, limit: soft}",
            "movies: {value: 50, limit: soft, overage_max: 10}",
            (SOFT, EntitlementValue(50, soft=True, overage_max=10)),
            ChangeDirection.LESS,
        ),
        (
            "movies: {value: 50, limit: soft, overage_max: 10}",
            "movies: {value: 54, limit: soft, overage_max: 4}",
            (EntitlementValue(50, soft=True, overage_max=10), EntitlementValue(54, soft=True, overage_max=4)),
            ChangeDirection.LESS,
        ),
    ],
)
def test_another_kind_of_limit_is_another_value(
    before: str, after: str, held: tuple[EntitlementValue, EntitlementValue], kind: ChangeDirection
) -> None:
    """Even where the number stays, and however far nobody has used it."""
    old = CATALOG.replace("movies: 50", before)
    meant = found(CATALOG.replace("movies: 50", after), old)
    (row,) = [it for it in meant.differences if it.bearing is HoldingPattern.ONE and it.audience is None]
    assert (row.feature, row.before, row.after, row.kind) == ("movies", *held, kind)
    assert not meant.features + meant.unproved


def test_what_a_feature_draws_on_is_found_whoever_holds_it() -> None:
    """And what it costs."""
    old = CATALOG.replace("features:\n", "features:\n  - {id: credits, type: quantity, metered: {reset: never}}\n")
    three = old.replace("reset: month}", "reset: month}, draws: {from: credits, cost: 3}")
    for before, after, path in ((old, three, "draws"), (three, three.replace("cost: 3", "cost: 4"), "draws/cost")):
        assert [[it.path for it in one.details] for one in found(after, before).features] == [[path]]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{id: idle, type: quantity}", "{id: idle, type: quantity, batch: {increment: 1}}"),
        ("{id: idle, type: quantity}", "{id: idle, type: quantity, levels: [1, 2], tags: [a], name: Idle}"),
        ("max: 100", "min: 10, max: 100"),
        ("seats: 5", "seats: 5, idle: 0"),
        ("seats: 5", "seats: {value: 5.0, per: subscription}"),
        ("kind: plan,", "kind: plan, version: 9, name: Gold, private_to: acme,"),
        (
            "{id: idle, type: quantity}",
            "{id: idle, type: quantity, suspensions: [{until: 2020-01-01T00:00:00Z, reason: repair}]}",
        ),
    ],
)
def test_what_decides_nothing_is_no_difference(before: str, after: str) -> None:
    """However much else it says."""
    meant = changed(before, after)
    assert meant.is_same
    assert meant.cases > 10


def test_rollouts_are_told_by_audience_and_instant() -> None:
    """To new holders, a share, and those with a tag: each from its instant on."""
    versions = (
        "versions: [{version: 1, entitlements: {seats: 5}}, {version: 2, entitlements: {seats: 7}}], rollouts: [%s]}"
    )
    old = CATALOG.replace(ROLLOUTS, versions % "{version: 1}")
    new = "{version: 1}, {version: 2, from: 2027-01-01T00:00:00Z, audience: %s}"
    (one,) = [
        it for it in found(old.replace("[{version: 1}]", f"[{new % 'new'}]"), old).differences if it.bearing == "one"
    ]
    assert (one.audience, one.since, one.until) == (HolderGroup(added=LATER), LATER, None)
    share = found(old.replace("[{version: 1}]", f"[{new % '{share: 25}'}]"), old)
    assert {(it.audience, it.since) for it in share.differences} == {(HolderGroup(share=(0, 2500)), LATER)}
    tag = found(old.replace("[{version: 1}]", f"[{new % '{tag: eu}'}]"), old)
    assert {(it.audience, it.since) for it in tag.differences} == {(HolderGroup(tags=("eu",)), LATER)}


def test_a_version_that_changes_is_told_of_those_who_are_pinned_to_it() -> None:
    """Whoever else gets another one."""
    versions = "versions: [{version: 1, entitlements: {seats: %s}}, {version: 2, entitlements: {seats: 7}}]}"
    meant = found(CATALOG.replace(ROLLOUTS, versions % 6), CATALOG.replace(ROLLOUTS, versions % 5))
    assert {(it.audience, it.kind) for it in meant.differences} == {(HolderGroup(pin=1), ChangeDirection.MORE)}


RULE = '@id("%s") %s (%s, action == Action::"consume", resource == Feature::"idle") when { %s };'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("permit", "principal", "context.amount > 3"), ("permit", "principal", "context.amount > 4")),
        (("permit", "principal", "context.used < 7"), ("permit", "principal", "context.used <= 7")),
        (
            ("permit", "principal", "context.used + context.amount < 70"),
            ("permit", "principal", "context.used + context.amount < 71"),
        ),
        (("permit", "principal", "true"), ("forbid", "principal", "true")),
        (("permit", "principal is User", "true"), ("permit", "principal is Customer", "true")),
        (("permit", 'principal == Customer::"acme"', "true"), ("permit", 'principal == Customer::"other"', "true")),
        (("permit", 'principal in Item::"plan/gold"', "true"), ("forbid", 'principal in Item::"plan/gold"', "true")),
        (
            ("permit", "principal", 'context.now < datetime("2027-01-01T00:00:00Z")'),
            ("permit", "principal", 'context.now < datetime("2027-01-01T00:00:01Z")'),
        ),
        (
            ("permit", "principal", 'principal.tags.contains("eu")'),
            ("permit", "principal", 'principal.tags.contains("us")'),
        ),
    ],
)
def test_a_rule_that_changes_is_found_at_its_boundary(
    before: tuple[str, str, str], after: tuple[str, str, str]
) -> None:
    """By number, effect, scope, instant or text."""
    meant = found(CATALOG, rules=(RULE % ("a", *before), RULE % ("a", *after)))
    assert {it.feature for it in meant.turns} == {"idle"}
    assert {it.rules for it in meant.turns} == {("rule/law/a",)}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("context.amount > 3", "!(context.amount < 4) || context.amount == 12"),
        ("context.held && context.amount > 3", "context.amount > 3 && context.held"),
        ("context.used + context.amount > 9", "context.amount > 9 - context.used"),
        ("context.limit + 5 < context.used", "context.used - context.limit >= 6"),
        (
            'principal.tags.contains("a") && principal.tags.contains("b")',
            'principal.tags.containsAll(["b", "a"])',
        ),
        ('principal.tags.contains("a") || principal.tags.contains("b")', 'principal.tags.containsAny(["a", "b"])'),
        (
            "principal.tags.isEmpty()",
            '["a"].containsAll(principal.tags) && !principal.tags.contains("a")',
        ),
        (
            'principal.hasTag("region") && principal.getTag("region") == "eu"',
            'principal.hasTag("region") && ["eu"].contains(principal.getTag("region"))',
        ),
        (
            'principal.hasTag("region") && principal.getTag("region") like "*"',
            'principal.hasTag("region")',
        ),
        ("context.weekday >= 6", "context.weekday == 6 || context.weekday == 7"),
        (
            'context.now.toTime() >= duration("9h")',
            '!(context.now.toTime() < duration("540m"))',
        ),
        (
            "context.now.toTime().toHours() >= 9",
            'context.now.toTime() >= duration("9h")',
        ),
        (
            'context.now.toDate() < datetime("2027-01-01")',
            'context.now < datetime("2027-01-01T00:00:00Z")',
        ),
        (
            'context.now.durationSince(datetime("2026-12-01")) > duration("24h")',
            'context.now > datetime("2026-12-02")',
        ),
        ('context.now < datetime("2020-01-01")', "false"),
        ("principal is User || principal is Subscription", "!(principal is Customer)"),
        ('principal.customer == "acme"', '["acme"].contains(principal.customer)'),
        ("context.held", "context.unlimited || context.limit > 0"),
        ("if context.live then context.amount > 3 else false", "context.live && context.amount >= 4"),
        ('resource.type == "quantity" && resource in Tag::"data"', 'Feature::"idle" == resource'),
        ("context has userCap", "false"),
        ("context.minimum == 1 && context.remainder == 0", "true"),
        ("context.used * context.amount > 12", "context.used * context.amount > 12 && true"),
    ],
)
def test_conditions_that_come_to_the_same_are_proved_to(before: str, after: str) -> None:
    """However they are put."""
    catalog = CATALOG.replace("id: idle, type: quantity", "id: idle, type: quantity, tags: [data]")
    rules = (RULE % ("a", "forbid", "principal", before), RULE % ("b", "forbid", "principal", after))
    meant = found(catalog, catalog, rules=rules)
    assert meant.is_same, meant
    assert meant.ruled == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("context.used * context.amount > 12", "context.amount * context.used >= 13"),
        ('decimal("1.5").lessThan(decimal("1.6"))', "true"),
    ],
)
def test_what_is_not_read_is_not_proved(before: str, after: str) -> None:
    """Where it is another condition on the other side, and it is said which rules have it."""
    rules = (RULE % ("a", "forbid", "principal", before), RULE % ("a", "forbid", "principal", after))
    meant = found(CATALOG, rules=rules)
    assert not meant.is_same
    assert not meant.differs
    (unproved,) = meant.unproved
    assert unproved.what == "idle"
    assert "rule/law/a" in unproved.why


def test_more_cases_than_can_be_told_apart_are_not_proved() -> None:
    """Nothing is cut off silently."""
    every = ", ".join(f'"a{it}"' for it in range(40))
    law = RULE % ("all", "forbid", "principal", f"principal.tags.containsAll([{every}])")
    for it in range(40):
        law += RULE % (
            it,
            "forbid",
            "principal",
            f'principal.tags.contains("a{it}") && principal.tags.contains("b{it}")',
        )
    more = RULE % (
        "more",
        "forbid",
        "principal",
        'principal.tags.contains("a1") && principal.tags.contains("b1") && true',
    )
    meant = found(CATALOG, rules=(law, law + more))
    assert [it.what for it in meant.unproved] == ["idle"]


def test_a_fact_that_only_rules_can_tell_is_not_proved_to_mean_nothing() -> None:
    """Zero of something is nothing, and yet it is given."""
    rule = RULE % ("a", "forbid", "principal", "context.given")
    meant = found(CATALOG.replace("seats: 5", "seats: 5, idle: 0"), rules=(rule, rule))
    assert meant.differs or [it.what for it in meant.unproved] == ["idle"]
    reads = RULE % ("a", "forbid", "principal", "context.given && context.amount > 99999")
    meant = found(CATALOG.replace("seats: 5", "seats: 5, idle: 0"), rules=(reads, reads))
    assert not meant.is_same


def test_a_rule_that_comes_or_goes_is_found() -> None:
    """Whichever side has it, and whatever it names with it."""
    rule = RULE % ("a", "permit", "principal", "context.amount > 3") + RULE % (
        "b",
        "permit",
        "principal",
        "context.live",
    )
    for rules in ((rule, ""), ("", rule)):
        meant = found(CATALOG, rules=rules)
        assert {it.feature for it in meant.turns} == {"idle"}
        assert not meant.unproved


ADDONS = """
apiVersion: tiergate/v1
features:
  - {id: seats, type: quantity}
  - {id: sso, type: switch}
items:
  - {id: gold, kind: plan, entitlements: {sso: true}}
  - {id: silver, kind: plan, entitlements: {}}
  - {id: safe, kind: addon, available_for: [gold], entitlements: {}}
  - {id: pack, kind: addon, available_for: [gold], entitlements: {seats: {add: 5}}}
"""


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("id: pack, kind: addon, available_for: [gold]", "id: pack, kind: addon", {("pack", "gains")}),
        ("id: pack, kind: addon, available_for: [gold]", "id: pack, kind: addon, available_for: [silver]",
         {("pack", "gains"), ("pack", "loses")}),
        ("id: pack, kind: addon, available_for: [gold]", "id: pack, kind: addon, available_for: [gold, silver]",
         {("pack", "gains")}),
        ("id: pack, kind: addon,", "id: pack, kind: addon, depends_on: [safe],", {("pack", "loses")}),
        ("id: silver, kind: plan,", "id: silver, kind: plan, status: draft,", set()),
        ("id: gold, kind: plan,", "id: gold, kind: plan, status: draft,", {("gold", "loses"), ("pack", "loses")}),
        ("id: gold, kind: plan,", "id: gold, kind: plan, rollouts: [],", {("gold", "loses"), ("pack", "loses")}),
        ("id: gold, kind: plan,", "id: gold, kind: plan, status: archived,", set()),
        ("id: gold, kind: plan,", "id: gold, kind: plan, version: 2,", set()),
    ],
)  # fmt: skip
def test_what_an_item_needs_to_count_is_compared(before: str, after: str, expected: set[tuple[str, str]]) -> None:
    """By the holders of the item, with every plan that either side lets it count with."""
    assert before in ADDONS
    meant = found(ADDONS.replace(before, after), ADDONS)
    assert {(it.item, it.kind.value) for it in meant.differences if it.audience is None} == expected
    assert not meant.unproved
    assert meant.is_same is not bool(expected)


def test_needs_of_what_is_needed_are_compared() -> None:
    """An item that depends on an add-on counts with each plan that this one counts with."""
    old = ADDONS.replace("id: pack, kind: addon, available_for: [gold]", "id: pack, kind: addon, depends_on: [safe]")
    new = old.replace(
        "id: safe, kind: addon, available_for: [gold]", "id: safe, kind: addon, available_for: [gold, silver]"
    )
    assert {(it.item, it.kind.value) for it in found(new, old).differences} == {("pack", "gains")}


@pytest.mark.parametrize("count", [2, 30])
def test_what_is_decided_follows_what_differs_and_not_the_catalog(count: int) -> None:
    """One number of one plan differs: other plans and features, however many, are not decided."""
    features = "".join(f"  - {{id: f{it}, type: quantity}}\n" for it in range(count))
    given = ", ".join(f"f{it}: {it + 5}" for it in range(count))
    items = "".join(f"  - {{id: p{it}, kind: plan, entitlements: {{{given}}}}}\n" for it in range(count))
    old = f"apiVersion: tiergate/v1\nfeatures:\n{features}items:\n{items}"
    meant = found(old.replace("f1: 6", "f1: 7", 1), old)
    assert {(it.item, it.feature) for it in meant.differences} == {("p0", "f1")}
    assert meant.cases == DECIDED


DECIDED = 68
"""The cases of one number that differs: three ways to hold it, and the boundaries of both sides."""
