"""Whether each thing counts, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from tests.unit.engine.small import (
    ACME,
    GOLD,
    MOVIES,
    NOW,
    SUB,
    bundle,
    catalog,
    check,
    engine,
    item,
    override,
    record,
    subscription,
)
from tiergate.engine import Applicability, Reasoning, build_reasoning, explain
from tiergate.model import (
    Amount,
    Audience,
    AudienceType,
    Definition,
    ItemKind,
    ItemStatus,
    OverrideMode,
    Rollout,
    Subject,
    SubjectRecord,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
    Suspension,
)

if TYPE_CHECKING:
    from tiergate.bundle import Bundle

LATER = NOW + 1_000
SOON = "14 November 2023 at 22:13:21 UTC"
THEN = "14 November 2023 at 22:13:19 UTC"


def reasoned(
    known: SubjectRecord, feature: str = "movies", subject: Subject = ACME, compiled: Bundle | None = None
) -> Reasoning:
    """The reasoning about a check."""
    asking = engine(of=known, compiled=compiled)
    return build_reasoning(
        explain(asking, check(feature, subject), NOW), asking.index.features[feature], known, subject
    )


@pytest.mark.parametrize(
    ("status", "dates", "standing", "why"),
    [
        ("active", {}, Applicability.COUNTS, "it is active"),
        ("active", {"end": LATER}, Applicability.COUNTS, f"it is active until {SOON}"),
        ("active", {"start": LATER}, Applicability.NOT_YET, f"it begins on {SOON}"),
        ("active", {"end": NOW}, Applicability.OVER, "it ended on 14 November 2023 at 22:13:20 UTC"),
        ("trialing", {"trial_end": LATER}, Applicability.COUNTS, f"its trial runs until {SOON}"),
        ("trialing", {"trial_end": NOW - 1_000}, Applicability.OVER, f"its trial ended on {THEN}"),
        ("trialing", {}, Applicability.SET_ASIDE, "it is a trial without an end, which does not count"),
        (
            "past_due",
            {"grace_until": LATER},
            Applicability.COUNTS,
            f"its payment is past due, and the grace period runs until {SOON}",
        ),
        (
            "past_due",
            {"grace_until": NOW - 1_000},
            Applicability.OVER,
            f"its payment is past due, and the grace period ended on {THEN}",
        ),
        ("past_due", {}, Applicability.SET_ASIDE, "its payment is past due, and there is no grace period"),
        ("canceled", {"end": LATER}, Applicability.COUNTS, f"it is canceled, and runs until {SOON}"),
        ("canceled", {"end": NOW - 1_000}, Applicability.OVER, f"it is canceled and ended on {THEN}"),
        ("canceled", {}, Applicability.SET_ASIDE, "it is canceled"),
        ("paused", {}, Applicability.SET_ASIDE, "it is paused"),
        ("paused", {"resume_at": LATER}, Applicability.NOT_YET, f"it is paused until {SOON}"),
        ("paused", {"resume_at": NOW}, Applicability.COUNTS, "its pause is over"),
        (
            "paused",
            {"resume_at": NOW, "end": LATER},
            Applicability.COUNTS,
            f"its pause is over, and it runs until {SOON}",
        ),
        ("expired", {}, Applicability.SET_ASIDE, "it has expired"),
        (
            "past_due",
            {"start": LATER, "grace_until": NOW},
            Applicability.SET_ASIDE,
            "it is past due, and its time ends before it begins",
        ),
    ],
)
def test_a_subscription_counts_or_says_why_not(
    status: str, dates: dict[str, int], standing: Applicability, why: str
) -> None:
    """Whatever its status and dates; and it counts exactly where what it holds is held."""
    held = Subscription("sub", "acme", SubscriptionStatus(status), (SubscriptionItem("gold"),), **dates)  # type: ignore[arg-type]
    found = reasoned(record(held))
    (one,) = found.subscriptions
    assert (one.standing, one.why) == (standing, why)
    assert (standing is Applicability.COUNTS) == bool(found.held)


def test_a_subscription_that_is_asked_about_stands_alone() -> None:
    """The customer's others have no say."""
    known = record(subscription("gold"), subscription("gold", id_="other"))
    assert [one.id for one in reasoned(known, subject=SUB).subscriptions] == ["sub"]


def test_an_item_says_what_it_gives_or_why_it_does_not_count() -> None:
    """In its own time, of a catalog that has it, in a version that is rolled out to it."""
    gold = item("gold", {"movies": Amount(50)})
    beta = replace(
        item("beta", {"movies": Amount(5)}), rollouts=(Rollout(1, audience=Audience(AudienceType.TAG, tag="pilot")),)
    )
    compiled = bundle(catalog(items=[gold, beta, item("none", {})]))
    held = (
        SubscriptionItem("gold", 2, version=1),
        SubscriptionItem("gold", start=LATER),
        SubscriptionItem("gold", until=NOW),
        SubscriptionItem("beta"),
        SubscriptionItem("none"),
        SubscriptionItem("gone"),
        SubscriptionItem("gold", version=9),
    )
    (one,) = reasoned(record(subscription(*held)), compiled=compiled).subscriptions
    assert [(it.item, it.standing, it.gives or it.why or "") for it in one.items] == [
        ("plan/gold", Applicability.COUNTS, "50 movies/month"),
        ("plan/gold", Applicability.NOT_YET, f"it begins on {SOON}"),
        ("plan/gold", Applicability.OVER, "it ended on 14 November 2023 at 22:13:20 UTC"),
        ("plan/beta", Applicability.SET_ASIDE, "no active rollout of it applies to this customer"),
        ("plan/none", Applicability.COUNTS, ""),
        ("gone", Applicability.SET_ASIDE, "the catalog has no such item"),
        ("plan/gold", Applicability.SET_ASIDE, "the catalog has no version 9 of it"),
    ]
    assert [it.pinned for it in one.items] == [True, False, False, False, False, False, True]


def test_an_item_says_what_it_misses() -> None:
    """An add-on without its plan, an item without what it depends on, and a draft are set aside."""
    compiled = bundle(
        catalog(
            items=[
                item("gold", {"movies": Amount(50)}),
                replace(item("next", {}), status=ItemStatus.DRAFT),
                replace(item("extra", {}, ItemKind.ADDON), available_for=("gold", "next")),
                replace(item("sso", {}, ItemKind.ADDON), depends_on=("extra",)),
            ]
        )
    )
    (one,) = reasoned(record(subscription("next", "extra", "sso")), compiled=compiled).subscriptions
    assert [(it.item, it.standing, it.why) for it in one.items] == [
        ("plan/next", Applicability.SET_ASIDE, "it is a draft, which is given to nobody"),
        (
            "addon/extra",
            Applicability.SET_ASIDE,
            "it counts only with gold or next, which the subscription does not have now",
        ),
        ("addon/sso", Applicability.SET_ASIDE, "it depends on extra, which does not count"),
    ]
    (one,) = reasoned(record(subscription("gold", "extra", "sso")), compiled=compiled).subscriptions
    assert [it.standing for it in one.items] == [Applicability.COUNTS] * 3


def test_a_suspension_of_one_subscription_says_why_it_does_not_matter() -> None:
    """Where something else gives the feature, or nothing would."""
    off = subscription("gold", suspensions=(SUSPENDED,))
    (found,) = reasoned(record(off, subscription("gold", id_="b"))).suspensions
    assert (found.standing, found.why) == (Applicability.SET_ASIDE, "something else gives it")
    (found,) = reasoned(record(replace(off, items=()))).suspensions
    assert (found.standing, found.why) == (Applicability.SET_ASIDE, "the subscription would not give it")
    (found,) = reasoned(record(off)).suspensions
    assert (found.standing, found.why) == (Applicability.COUNTS, msgspec.UNSET)


ONE = override("movies", Amount(70), id_="one", start=NOW - 5)
TWO = override("movies", Amount(80), id_="two", start=NOW - 9)
GONE = override("movies", None, id_="gone")
LEAST = override("movies", Amount(10), OverrideMode.AT_LEAST, id_="least")
MOST = override("movies", Amount(90), OverrideMode.AT_LEAST, id_="most")
MORE = override("movies", Amount(5), OverrideMode.ADD, id_="more")
LATE = override("movies", None, id_="late", start=NOW - 1)
SUSPENDED = Suspension("movies", reason="audit")


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (record(subscription("gold"), overrides=(ONE, TWO)), {"one": "", "two": "the override one stands before it"}),
        (
            record(subscription("gold"), overrides=(ONE, GONE)),
            {"one": "", "gone": "the override one stands before it"},
        ),
        (
            record(subscription("gold"), overrides=(LATE, LEAST, MORE)),
            {
                "late": "",
                "least": "the override late stands before it",
                "more": "the override late stands before it",
            },
        ),
        (
            record(subscription("gold"), overrides=(LEAST, MOST, MORE)),
            {"least": "the override most gives at least as much", "most": "", "more": ""},
        ),
        (record(subscription("gold"), overrides=(ONE, MOST, MORE)), {"one": "", "most": "", "more": ""}),
        (record(subscription("gold"), overrides=(LEAST,)), {"least": "as much is held without it"}),
        (
            record(subscription("gold", overrides=(ONE,)), overrides=(TWO,)),
            {"two": "", "one": "the customer's override two stands in place of it"},
        ),
        (
            record(subscription("gold", overrides=(ONE,)), overrides=(LEAST,)),
            {"least": "as much is held without it", "one": ""},
        ),
        (record(subscription("gold", overrides=(GONE,)), subscription("gold", id_="b")), {"gone": ""}),
        (
            record(subscription("gold", overrides=(ONE,), status=SubscriptionStatus.EXPIRED)),
            {"one": "the subscription does not count"},
        ),
        (
            record(subscription("gold", overrides=(ONE,), suspensions=(SUSPENDED,))),
            {"one": "the feature is suspended for this subscription"},
        ),
    ],
)
def test_an_override_counts_or_says_what_stands_before_it(known: SubjectRecord, expected: dict[str, str]) -> None:
    """Of those whose time it is."""
    found = {one.id: one for one in reasoned(known).overrides}
    assert {id_: one.why or "" for id_, one in found.items()} == expected
    assert all((one.standing is Applicability.COUNTS) == (not one.why) for one in found.values())


def test_a_customers_override_does_not_reach_a_subscription_that_does_not_count() -> None:
    """Asked about by itself, nothing is left to replace."""
    known = record(subscription("gold", status=SubscriptionStatus.EXPIRED), overrides=(ONE,))
    (alone,) = reasoned(known, subject=SUB).overrides
    (all_,) = reasoned(known).overrides
    assert (alone.standing, all_.standing) == (Applicability.SET_ASIDE, Applicability.COUNTS)


def test_of_a_draft_no_override_of_a_subscription_counts() -> None:
    """It is prepared, and not effective."""
    mine = override("draft", None)
    (found,) = reasoned(record(subscription("gold", overrides=(mine,))), "draft").overrides
    assert (found.standing, found.why) == (Applicability.SET_ASIDE, "the feature is a draft")


def test_a_suspension_is_told_by_whom_it_is_for() -> None:
    """And whether it is felt: one on a subscription that does not count is not."""
    idle = subscription("gold", id_="idle", status=SubscriptionStatus.EXPIRED, suspensions=(SUSPENDED,))
    known = record(
        subscription("gold", suspensions=(replace(SUSPENDED, start=LATER),)),
        idle,
        suspensions=(replace(SUSPENDED, until=NOW),),
    )
    found = [(one.on.type, one.on.id, one.standing) for one in reasoned(known).suspensions]
    assert found == [
        ("customer", "acme", Applicability.OVER),
        ("subscription", "sub", Applicability.NOT_YET),
        ("subscription", "idle", Applicability.SET_ASIDE),
    ]


def test_a_suspension_of_the_feature_is_for_everybody() -> None:
    """Whoever it is asked about."""
    compiled = bundle(
        catalog([replace(MOVIES, suspensions=(Suspension(reason="broken"),))], [item("gold", {"movies": Amount(5)})])
    )
    (found,) = reasoned(record(subscription("gold")), compiled=compiled).suspensions
    assert (found.on.type, found.standing, found.reason) == ("everybody", Applicability.COUNTS, "broken")


def test_what_may_change_is_told_with_everything_that_turns_then() -> None:
    """Items, overrides, suspensions, subscriptions, rollouts: all that begins or ends at that instant."""
    two = replace(
        item("gold", {"movies": Amount(50)}),
        versions=(Definition(1, {"movies": Amount(50)}), Definition(2, {"movies": Amount(60)})),
        rollouts=(Rollout(1), Rollout(2, start=LATER)),
    )
    compiled = bundle(catalog(items=[two, item("silver", GOLD)]))
    held = replace(
        subscription("gold", SubscriptionItem("silver", until=LATER), overrides=(replace(LEAST, start=LATER),)),
        end=LATER,
        suspensions=(replace(SUSPENDED, start=LATER),),
    )
    found = reasoned(record(held, overrides=(replace(ONE, until=LATER),)), compiled=compiled)
    assert {change.what for change in found.changes} == {
        "subscription sub no longer counts",
        "plan/silver in subscription sub no longer counts",
        "another version of plan/gold may come into force",
        "the override one ends",
        "the override least begins",
        "the suspension on subscription sub begins",
    }
    assert {change.at for change in found.changes} == {found.decision.valid_until}


def test_an_unknown_subject_has_no_standings() -> None:
    """There is nothing to say of anything."""
    asking = engine()
    nobody = Subject("nobody")
    explanation = explain(asking, check("movies", nobody), NOW)
    found = build_reasoning(explanation, asking.index.features["movies"], None, nobody)
    assert (found.known, found.subscriptions, found.overrides, found.suspensions) == (False, (), (), ())
