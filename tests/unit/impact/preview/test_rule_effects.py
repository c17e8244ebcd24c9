"""What rules take from customers: at the numbers that they compare with, from users, and on days to come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tests.unit.impact.diff.test_rule_equivalence import CATALOG, DAILY, DAY, NOW, SCOPE, bundle
from tiergate.impact.preview.preview import ImpactPreview
from tiergate.impact.preview.subject_effects import Effect, Impact, SubjectEffect, effect_data
from tiergate.impact.preview.usage_data import UsageTable
from tiergate.model import (
    Amount,
    Customer,
    Override,
    OverrideMode,
    Reason,
    Subject,
    SubjectRecord,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
    parse_instant,
)

if TYPE_CHECKING:
    from tiergate.bundle import Bundle

RANGE = """
apiVersion: tiergate/v1
features:
  - {id: exports, type: range}
items:
  - {id: team, kind: plan, entitlements: {exports: 500}}
"""
SET = 'principal, action == Action::"set", resource'


def holder(id_: str, *tags: str, item: str = "team", overrides: tuple[Override, ...] = ()) -> SubjectRecord:
    """A customer with one plan."""
    held = Subscription(f"{id_}-s", id_, SubscriptionStatus.ACTIVE, (SubscriptionItem(item),))
    return SubjectRecord(Customer(id_, tags, overrides=overrides), (held,))


def effects(old: str, new: str, record: SubjectRecord, catalog: str = CATALOG) -> list[SubjectEffect]:
    """What putting one law in the place of another does to a customer."""
    return ImpactPreview(bundle(old, catalog), bundle(new, catalog), now=NOW).effects(record)


TRIAL = (
    f'@id("few") forbid ({SCOPE}) when {{ principal.tags.contains("trial") && context.used + context.amount > %d }};'
)
MORE = f'@id("burst") permit ({SCOPE}) when {{ context.given && context.used + context.amount <= context.limit + %d }};'


@pytest.mark.parametrize(
    ("old", "new", "record", "catalog"),
    [
        (TRIAL % 10, TRIAL % 5, holder("initech", "trial"), CATALOG),
        (DAILY % 50, DAILY % 49, holder("initech"), CATALOG),
        (MORE % 5, MORE % 2, holder("initech"), CATALOG),
        (
            f'@id("r") forbid ({SET}) when {{ context.value > 400 }};',
            f'@id("r") forbid ({SET}) when {{ context.value > 200 }};',
            holder("initech"),
            RANGE,
        ),
        (
            f'@id("r") forbid ({SET}) when {{ context.value > context.limit - 10 }};',
            f'@id("r") forbid ({SET}) when {{ context.value > context.limit - 20 }};',
            holder("initech"),
            RANGE,
        ),
    ],
)
def test_a_tightened_rule_takes_and_a_loosened_one_gives(
    old: str, new: str, record: SubjectRecord, catalog: str
) -> None:
    """Shown by a check between the limits."""
    (taken,) = effects(old, new, record, catalog)
    assert taken.effect is Effect.LESS
    assert taken.shown_by is not None
    assert (taken.shown_by.before[0], taken.shown_by.after[0]) == (True, False)
    (given,) = effects(new, old, record, catalog)
    assert given.effect is Effect.MORE


def test_those_whom_a_rule_does_not_concern_keep_everything() -> None:
    """By tag, or because their limit is below what the rule compares with."""
    assert not effects(TRIAL % 10, TRIAL % 5, holder("acme"))
    assert not effects(DAILY % 200, DAILY % 150, holder("acme"))
    assert not effects(TRIAL % 10, TRIAL % 5, holder("initech", "trial", item="free"))


def test_a_rule_about_one_user_takes_from_the_customer() -> None:
    """Who the users are is not known, but whom the rule names is."""
    rule = '@id("u") forbid (principal == User::"eve", action == Action::"consume", resource);'
    other = f'@id("none") forbid ({SCOPE}) when {{ context.amount > 100000 }};'
    taken, of_subscription = effects(other, rule, holder("acme"))
    assert (taken.effect, taken.shown_by and taken.shown_by.user) == (Effect.LESS, "eve")
    assert of_subscription.effect is Effect.LESS
    users, _ = effects(other, f'@id("u") forbid ({SCOPE}) when {{ principal is User }};', holder("acme"))
    assert users.effect is Effect.LESS


def test_what_everybody_has_used_is_told_where_it_matters() -> None:
    """A check that shows an effect only then says so: otherwise it could not be repeated."""
    catalog = CATALOG.replace("unit: exports/day", "unit: exports/day, caps: {total: 90}, metered: {reset: never}")
    rule = f'@id("rush") forbid ({SCOPE}) when {{ context has totalCap && context.totalCap.used >= %d }};'
    (taken,) = effects(rule % 50, rule % 40, holder("acme"), catalog)
    assert taken.shown_by is not None
    assert 40 <= taken.shown_by.total_used < 50
    said = effect_data(taken)["shown_by"]
    assert isinstance(said, dict)
    assert said["total_used"] == taken.shown_by.total_used


def test_a_rule_about_subscriptions_takes_from_the_only_one() -> None:
    """A customer is not denied, its subscription is."""
    rule = '@id("s") forbid (principal is Subscription, action == Action::"consume", resource);'
    found = effects(f'@id("n") forbid ({SCOPE}) when {{ false }};', rule, holder("acme"))
    assert [(it.subject.id, it.effect.reduces) for it in found] == [("acme-s", True)]


def test_a_rule_of_a_day_to_come_takes_from_then_on() -> None:
    """Between the instants at which anything else begins or ends."""
    rule = f'@id("t") forbid ({SCOPE}) when {{ context.now >= datetime("2027-03-01") && context.weekday == 7 }};'
    (taken,) = effects(f'@id("n") forbid ({SCOPE}) when {{ false }};', rule, holder("acme"))
    assert taken.effect is Effect.LESS
    assert taken.since == parse_instant("2027-03-07T00:00:00Z")


def effects_after(first: SubjectRecord, record: SubjectRecord, *sides: Bundle) -> list[SubjectEffect]:
    """Preview one record after another; confirm that the effects are those of the record alone."""
    old, new = sides
    preview = ImpactPreview(old, new, now=NOW)
    assert preview.effects(first)
    found = preview.effects(record)
    assert found == ImpactPreview(old, new, now=NOW).effects(record)
    return found


def test_a_shown_check_goes_by_the_limit_of_the_subject() -> None:
    """Not by that of another subject, of whom the same becomes allowed."""
    first, record = (
        holder(name, overrides=(Override("o", "exports", OverrideMode.REPLACE, Amount(limit)),))
        for name, limit in (("acme", 30), ("initech", 50))
    )
    users = f'@id("u") permit ({SCOPE}) when {{ principal is User }};'
    more, _ = effects_after(first, record, bundle(""), bundle(users))
    assert more.effect is Effect.MORE
    assert more.shown_by is not None
    assert more.shown_by.before == (False, Reason.LIMIT_REACHED)
    assert (more.shown_by.amount or 0) + (more.shown_by.used or 0) > 50


HOURS = """
@id("h") forbid (principal, action, resource == Feature::"other") when { context.now < datetime("2020-01-01") };
"""


@pytest.mark.parametrize("hours", ["", HOURS], ids=["none reads the time", "one of another feature reads the time"])
@pytest.mark.parametrize("starts", [(NOW + DAY, NOW + 9 * DAY), (NOW + 9 * DAY, NOW + DAY)], ids=["later", "earlier"])
def test_a_shown_check_has_the_instant_of_the_subject(starts: tuple[int, int], hours: str) -> None:
    """Not that of another subject, whose entitlement starts at another instant."""
    catalog = CATALOG.replace("features:", "features:\n  - {id: other, type: switch}")
    first, record = (
        SubjectRecord(Customer(name), (replace(holder(name).subscriptions[0], start=start),))
        for name, start in zip(("acme", "initech"), starts, strict=True)
    )
    users = f'@id("u") forbid ({SCOPE}) when {{ principal is User }};'
    less, _ = effects_after(first, record, bundle(hours, catalog), bundle(users + hours, catalog))
    assert less.effect is Effect.LESS
    assert less.shown_by is not None
    assert less.since == less.shown_by.at == starts[1]


def test_a_change_that_is_not_compared_may_take() -> None:
    """It is not said to take nothing."""
    old = f'@id("n") forbid ({SCOPE}) when {{ context.used * context.amount > 9000 }};'
    new = f'@id("n") forbid ({SCOPE}) when {{ context.amount * context.used > 7000 }};'
    (found,) = effects(old, new, holder("acme"))
    assert found.effect is Effect.UNPROVED
    impact = Impact()
    impact.count([found])
    assert (impact.reduces, impact.touched) == (1, 1)
    assert not effects(old, old + TRIAL % 10, holder("acme"))


def test_known_usage_is_asked_about() -> None:
    """Who has used more than a rule allows then is told."""
    with UsageTable() as usage:
        usage.put(Subject("initech"), "exports", 7)
        usage.put(Subject("early"), "exports", 2)
        preview = ImpactPreview(bundle(TRIAL % 10), bundle(TRIAL % 5), now=NOW, usage=usage)
        found = {name: preview.effects(holder(name, "trial"))[0] for name in ("initech", "early")}
    assert {name: (it.used, it.above) for name, it in found.items()} == {"initech": (7, True), "early": (2, False)}


def test_who_keeps_something_by_an_override_alone_is_told() -> None:
    """Not as touched; one that takes the feature away keeps nothing."""
    less = CATALOG.replace("exports: 100", "exports: 10")
    preview, impact = ImpactPreview(bundle("", CATALOG), bundle("", less), now=NOW), Impact()
    kept = Override("o", "exports", OverrideMode.REPLACE, Amount(300))
    ended = Override("o", "exports", OverrideMode.REPLACE, Amount(300), until=NOW + 1000)
    gone = Override("o", "exports", OverrideMode.DISABLED, None)
    found = {}
    for name, overrides in (("keep", (kept,)), ("until", (ended,)), ("gone", (gone,)), ("less", ())):
        its = preview.effects(holder(name, overrides=overrides))
        impact.count(its)
        found[name] = [(it.effect, it.since) for it in its]
    assert found == {
        "keep": [(Effect.KEPT, NOW)],
        "until": [(Effect.LESS, NOW + 1000)],
        "gone": [],
        "less": [(Effect.LESS, NOW)],
    }
    assert (impact.touched, impact.reduces, impact.customers[Effect.KEPT]) == (2, 2, 1)


def test_what_an_override_keeps_is_told_as_it_would_be_without() -> None:
    """Else nobody would see what depends on it."""
    less = CATALOG.replace("exports: 100", "exports: 10")
    kept = Override("o", "exports", OverrideMode.REPLACE, Amount(300))
    (it,) = ImpactPreview(bundle("", CATALOG), bundle("", less), now=NOW).effects(holder("keep", overrides=(kept,)))
    assert (it.effect, it.before.value, it.after.value) == (Effect.KEPT, 100, 10)


def test_what_is_added_keeps_nothing() -> None:
    """Who has so much on top of what the plan gives gets less with the plan."""
    less = CATALOG.replace("exports: 100", "exports: 10")
    added = Override("o", "exports", OverrideMode.ADD, Amount(300))
    (it,) = ImpactPreview(bundle("", CATALOG), bundle("", less), now=NOW).effects(holder("add", overrides=(added,)))
    assert (it.effect, it.before.value, it.after.value) == (Effect.LESS, 400, 310)


def test_a_status_in_which_a_rule_will_take_something_is_shown() -> None:
    """Though it is operational now."""
    rule = f'@id("incident") forbid ({SCOPE}) when {{ context.status == "%s" }};'
    (effect,) = effects(rule % "down", rule % "degraded", holder("initech"))
    assert effect.effect is Effect.OTHER
    shown = effect_data(effect)["shown_by"]
    assert isinstance(shown, dict)
    assert (shown["status"], shown["after"]["reason"]) == ("degraded", "rule_denied")
