"""What is said of single cases; that it is never wrong is a property (`tests/properties/test_sentences.py`)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tests.unit.engine.small import (
    API_LIMIT,
    MOVIES,
    NOW,
    STORAGE,
    SUB,
    SUPPORT,
    Usage,
    bundle,
    catalog,
    check,
    engine,
    item,
    override,
    record,
    subscription,
)
from tiergate.engine import explain, explanation_sentences
from tiergate.engine.explanation.summary import _CAUSES
from tiergate.model import (
    UNLIMITED,
    AddedAmount,
    Amount,
    Check,
    Feature,
    FeatureType,
    Level,
    Override,
    OverrideMode,
    Reason,
    Subject,
    SubjectRecord,
    SubscriptionItem,
    SubscriptionStatus,
    Suspension,
    Switch,
)

if TYPE_CHECKING:
    from tiergate.bundle import Bundle

GOLD = record(subscription(SubscriptionItem("gold", 2), "extra"))
DAY = 86_400_000
ON = "on 14 November 2023 at 22:13:20 UTC"


def said(
    asked: Check,
    known: SubjectRecord = GOLD,
    *,
    rules: str = "",
    usage: Usage | None = None,
    compiled: Bundle | None = None,
) -> list[str]:
    """The sentences about a check."""
    asking = engine(of=known, compiled=compiled or bundle(rules=rules), usage=usage)
    explanation = explain(asking, asked, NOW)
    return list(
        explanation_sentences(
            explanation, asking.index.features[asked.feature], explanation.evaluation.record, asked.subject
        )
    )


def test_every_reason_has_its_cause() -> None:
    """Of the closed set none is forgotten."""
    assert set(_CAUSES) == set(Reason)


def test_a_grant_is_told_with_its_arithmetic() -> None:
    """What is asked, the limit, what was used, and every item with what it makes."""
    assert said(check("movies", used=3)) == [
        f"Yes: {ON}, customer acme may take 1 more of movies.",
        "The limit is 110 movies/month; the check says that 3 are used, so 107 remain.",
        "Plan gold, version 3, gives 50 movies/month each, is held 2 times, and so gives 100 movies/month.",
        "Add-on extra, version 1, adds 10 movies/month.",
        "Together that makes 110 movies/month.",
    ]


@pytest.mark.parametrize(
    ("asked", "known", "expected"),
    [
        (check("movies", Subject("no")), GOLD, "no customer no is known"),
        (check("draft"), GOLD, "draft is still being prepared and nobody has it yet"),
        (check("movies"), record(subscription("gold"), suspensions=(Suspension("movies"),)), "movies is suspended"),
        (check("movies"), record(), "no subscription counts at that time"),
        (check("movies"), record(overrides=(override("movies", None),)), "an override removes movies"),
        (
            check("storage", amount=Decimal("1.25")),
            GOLD,
            "this amount is not possible: it must be at least 1 and in steps of 0.5",
        ),
        (
            check("seats", amount=4),
            GOLD,
            "a cap is reached: each user may take at most 3, 0 are used, and 4 more would pass that",
        ),
        (check("storage"), record(subscription()), "no item of the customer gives storage"),
        (
            check("movies", used=110),
            GOLD,
            "the limit is reached: 110 are used, and 1 more would pass the limit of 110 movies/month",
        ),
        (check("api-limit", value=1_001), GOLD, "that is out of range: no more than 1000 requests/min is granted"),
        (check("support", level="phone"), GOLD, "the level held is too low: it is chat"),
    ],
)
def test_a_denial_names_its_cause(asked: Check, known: SubjectRecord, expected: str) -> None:
    """At the end of the first sentence."""
    first, *_ = said(asked, known)
    assert first.startswith(f"No: {ON}, customer ")
    assert first.endswith(f", because {expected}.")


def test_what_cannot_be_evaluated_is_told_with_the_error() -> None:
    """A denial that nobody meant must be possible to find."""
    erring = "context.amount + 9223372036854775807 > 0"
    rule = f'@id("a") forbid (principal, action == Action::"consume", resource) when {{ {erring} }};'
    first, second, *rest = said(check("movies"), rules=rule)
    assert first.endswith("because the check could not be evaluated, and what cannot be evaluated is denied.")
    assert second.startswith("What went wrong: ")
    assert "rule/house/a" in second
    assert rest == []


def test_a_rule_is_named_with_what_its_author_says() -> None:
    """Whether it forbids or permits."""
    forbids = '@id("a") @description("not on\\nTuesdays") forbid (principal, action, resource);'
    texts = said(check("movies"), rules=forbids)
    assert texts[0].endswith("because the rule house/a forbids it.")
    assert "The rule house/a forbids it: not on Tuesdays." in texts
    permits = '@id("b") permit (principal, action == Action::"consume", resource);'
    assert "The rule house/b permits it." in said(check("movies", used=500), rules=permits)


def test_several_rules_are_each_named() -> None:
    """The first sentence only says that they are several."""
    rules = '@id("a") forbid (principal, action, resource); @id("b") forbid (principal, action, resource);'
    texts = said(check("movies"), rules=rules)
    assert texts[0].endswith("because several rules forbid it.")
    assert texts[-2:] == ["The rule house/a forbids it.", "The rule house/b forbids it."]


def test_what_else_stood_against_it_is_told_too() -> None:
    """Whoever mends the first thing should know of the second."""
    known = record(subscription("gold"), suspensions=(Suspension("seats", reason="audit"),))
    texts = said(check("seats", amount=4), known)
    assert texts[0].endswith("because seats is suspended.")
    assert "seats is suspended for customer acme, because: audit." in texts
    assert texts[-1].startswith("Besides, a cap is reached: each user may take at most 3")


def test_both_caps_are_told_where_both_are_reached() -> None:
    """Each with its own numbers."""
    texts = said(check("seats", amount=4), usage=Usage(0, 1, 6))
    assert "each user may take at most 3, 1 are used" in texts[0]
    assert "everybody together may take at most 8, 6 are used" in texts[0]


def test_who_says_what_was_used_is_told() -> None:
    """The check, what is counted here, or nobody."""
    assert "the check says that 3 are used" in said(check("movies", used=3), usage=Usage(7))[1]
    assert "7 are counted as used" in said(check("movies"), usage=Usage(7))[1]
    assert "the check does not say that any are used, which counts as 0" in said(check("movies"))[1]


def test_unlimited_is_never_told_as_a_number() -> None:
    """It stands above every number."""
    compiled = bundle(
        catalog([MOVIES], [item("gold", {"movies": UNLIMITED}), item("extra", {"movies": AddedAmount(10)})])
    )
    texts = said(check("movies", used=3), record(subscription("gold", "extra")), compiled=compiled)
    assert "There is no limit; the check says that 3 are used." in texts
    assert "Plan gold, version 1, gives it without limit." in texts
    assert "Unlimited stands above every number." in texts


def test_a_number_that_nothing_multiplies_is_told_so() -> None:
    """The greatest counts, however often it is held."""
    compiled = bundle(
        catalog([STORAGE], [item("gold", {"storage": Amount(10_000)}), item("big", {"storage": Amount(12_500)})])
    )
    texts = said(check("storage"), record(subscription(SubscriptionItem("gold", 3), "big")), compiled=compiled)
    assert "Plan gold, version 1, gives 10, however often it is held." in texts
    assert texts[-1] == "The greatest of them counts: 12.5."


def test_what_passes_the_end_of_a_range_is_told() -> None:
    """1,900 are held and 1,000 count: a sum would not explain it."""
    texts = said(check("api-limit"))
    assert texts[1] == "api-limit may be set up to 1000 requests/min."
    assert texts[-1] == "What items give counts up to 1000 requests/min, and no further."


def test_levels_are_told_in_their_order() -> None:
    """So that it is plain which are above."""
    assert said(check("support"))[1] == "The level held is chat; the levels are, lowest first: email, chat, phone."
    assert said(check("support"))[-1] == "The highest level counts: chat."


def test_a_switch_is_given_or_said_not_to_be() -> None:
    """Explicitly."""
    assert said(check("analytics")) == [
        f"Yes: {ON}, customer acme may use analytics.",
        "Plan gold, version 3, gives it.",
    ]


def test_people_hear_the_names_of_features_and_items() -> None:
    """Ids are for programs."""
    named = replace(item("gold", {"movies": Amount(5)}), name="Gold\x1b[31m plan")
    feature = replace(MOVIES, name="Movies  a\nmonth")
    texts = said(check("movies"), record(subscription("gold")), compiled=bundle(catalog([feature], [named])))
    assert texts[0].endswith("may take 1 more of Movies a month.")
    assert texts[2] == "Plan Gold [31m plan, version 1, gives 5 movies/month."


def test_an_override_is_told_with_its_end_author_and_reason() -> None:
    """What it puts in place of what."""
    mine = replace(override("movies", Amount(7), until=NOW + DAY), author="ann", reason="a\ngift")
    texts = said(check("movies"), record(subscription("gold"), overrides=(mine,)))
    assert (
        "The override o on customer acme puts 7 movies/month in place of everything that the customer has until "
        "15 November 2023 at 22:13:20 UTC, given by ann, because: a gift."
    ) in texts
    assert texts[-1] == "This may change on 15 November 2023 at 22:13:20 UTC: the override o ends."


@pytest.mark.parametrize(
    ("mine", "why"),
    [
        (override("movies", Amount(7), until=NOW - 1), "it ended on 14 November 2023 at 22:13:19.999 UTC"),
        (override("movies", Amount(7), start=NOW + 1), "it begins on 14 November 2023 at 22:13:20.001 UTC"),
        (override("movies", Amount(7), OverrideMode.AT_LEAST), "as much is held without it"),
    ],
)
def test_an_override_that_does_not_count_is_told_with_why(mine: object, why: str) -> None:
    """It is what people ask about."""
    texts = said(check("movies"), record(subscription("gold"), overrides=(mine,)))  # type: ignore[arg-type]
    assert any(
        text.startswith("The override o on customer acme, which ") and text.endswith(f": {why}.") for text in texts
    )


def test_what_does_not_count_is_told_with_why() -> None:
    """Subscriptions first, then items of those that count."""
    known = record(
        subscription("gold", id_="old", status=SubscriptionStatus.EXPIRED),
        subscription("gold", SubscriptionItem("extra", until=NOW)),
    )
    texts = said(check("movies"), known)
    assert "Subscription old does not count: it has expired." in texts
    assert "addon/extra in subscription sub does not count: it ended on 14 November 2023 at 22:13:20 UTC." in texts
    assert "There is no subscription for customer acme." in said(check("movies"), record())


def test_through_which_subscription_is_told_where_there_are_several() -> None:
    """And not where there is only one."""
    known = record(subscription("gold", id_="a"), subscription("gold", id_="b"))
    assert "Plan gold, version 3, in subscription b, gives 50 movies/month." in said(check("movies"), known)
    assert all("in subscription" not in text for text in said(check("movies"), GOLD))


def test_what_is_many_is_cut() -> None:
    """Nobody reads out a hundred subscriptions; data has them all."""
    known = record(*(subscription("gold", id_=f"s{n}", status=SubscriptionStatus.EXPIRED) for n in range(100)))
    texts = said(check("movies"), known)
    assert sum("does not count" in text for text in texts) == 12
    assert "There are 88 more subscriptions and items that do not count." in texts


def test_a_subscription_and_a_user_are_named() -> None:
    """As the check names them."""
    assert said(check("movies", replace(SUB, user="ann")))[0].startswith(
        f"Yes: {ON}, user ann of subscription sub may take"
    )


@pytest.mark.parametrize(
    ("feature", "asked", "act"),
    [
        (API_LIMIT, check("api-limit", value=100), "set api-limit to 100 requests/min"),
        (API_LIMIT, check("api-limit"), "use api-limit"),
        (SUPPORT, check("support", level="email"), "choose the level email of support"),
        (SUPPORT, check("support"), "use support"),
    ],
)
def test_what_is_asked_is_said_in_the_words_of_its_type(feature: Feature, asked: Check, act: str) -> None:
    """With the value, where the check names one."""
    assert feature.type in {FeatureType.RANGE, FeatureType.CUSTOM}
    assert said(asked)[0] == f"Yes: {ON}, customer acme may {act}."


@pytest.mark.parametrize(
    ("feature", "mine", "act"),
    [
        ("movies", override("movies", UNLIMITED), "puts no limit in place of what this subscription gives"),
        ("movies", override("movies", Amount(500), OverrideMode.AT_LEAST), "gives at least 500 movies/month"),
        ("movies", override("movies", None), "takes movies away"),
        (
            "support",
            override("support", Level("phone")),
            "puts the level phone in place of what this subscription gives",
        ),
        ("analytics", override("analytics", Switch(on=True)), "gives analytics"),
        ("analytics", override("analytics", Switch(on=False)), "says that analytics is not given"),
    ],
)
def test_what_an_override_does_is_said_in_the_words_of_its_mode_and_type(
    feature: str, mine: Override, act: str
) -> None:
    """On a subscription it stands against what this one gives."""
    texts = said(check(feature), record(subscription("gold", overrides=(mine,))))
    assert f"The override o on subscription sub {act}." in texts
