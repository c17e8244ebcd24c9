"""What the sentences about a decision claim is read again, and is what the reference model says."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hypothesis import event, given
from hypothesis import strategies as st

from tests.properties.documents import Document, worlds
from tests.properties.engines import World, answered, check_of
from tests.properties.inquiries import Inquirer
from tests.properties.rules import rule_files
from tests.reference.entitlement import decide, live
from tiergate.engine import explain, explanation_sentences

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.engine import Evaluator, Explanation

SEEDS = st.integers(0, 2**32)

CAUSES = {
    "unknown_subject": r"because no (customer|subscription) \S+ is known\.$",
    "evaluation_error": r"because the check could not be evaluated",
    "stale_data": r"because the data is too old",
    "feature_inactive": r"because .+ is still being prepared",
    "feature_suspended": r"because .+ is suspended\.$",
    "subscription_inactive": r"because no subscription counts at that time\.$",
    "override_denied": r"because an override removes .+\.$",
    "rule_denied": r"because (the rule \S+ forbids|several rules forbid) it\.$",
    "amount_invalid": r"because this amount is not possible: it must be ",
    "cap_reached": r"because a cap is reached: (each user|everybody together) may take at most ",
    "not_entitled": r"because no item of the customer gives ",
    "limit_reached": r"because the limit is reached: \S+ are used, and \S+ more would pass the limit of ",
    "out_of_range": r"because that is out of range: no more than ",
    "level_too_low": r"because the level held is too low: it is ",
}
OFTEN = "(?:, however often it is held)?"
NUMBER = r"(\d+(?:\.\d+)?)"


def told(engine: Evaluator, ask: Document, now: int) -> tuple[Explanation, list[str]]:
    """A check explained, and the sentences about it."""
    check = check_of(ask)
    explanation = explain(engine, check, now)
    record = explanation.evaluation.record
    return explanation, list(
        explanation_sentences(explanation, engine.index.features[check.feature], record, check.subject)
    )


def claimed(texts: Sequence[str], pattern: str) -> list[tuple[Any, ...]]:
    """What the groups of a pattern hold, in every sentence that it fits; numbers as numbers."""
    found = [match.groups() for text in texts for match in [re.search(pattern, text)] if match]
    return [tuple(Decimal(it) if it and re.fullmatch(NUMBER, it) else it for it in groups) for groups in found]


def see_the_verdict(texts: Sequence[str], decision: Document) -> None:
    """The first sentence says yes or no, and names the one reason."""
    assert texts[0].startswith("Yes: on " if decision["allowed"] else "No: on ")
    assert not any(text.startswith(("Yes", "No:")) for text in texts[1:])
    if not decision["allowed"]:
        assert re.search(CAUSES[decision["reason"]], texts[0]), texts[0]
        assert decision["reason"] in {name for name, pattern in CAUSES.items() if re.search(pattern, texts[0])}
    else:
        assert "because" not in texts[0]


def see_the_numbers(texts: Sequence[str], feature: Document, ask: Document, decision: Document) -> None:
    """Every number that a sentence claims is the decision's."""
    held = decision["entitlement"]
    for limit, remaining in claimed(texts, rf"^The limit is {NUMBER}\b.*, so {NUMBER} remain\.$"):
        assert (limit, remaining) == (held["value"], held["remaining"])
    for (used,) in claimed(texts, rf"the check says that {NUMBER} are used") + claimed(texts, rf"counts as {NUMBER}\b"):
        assert used == held["used"] == ask.get("used", 0)
    assert bool(claimed(texts, r"^There is no limit(;)|may be set to any value(\.)$")) <= held.get("unlimited", False)
    for used, amount, limit in claimed(texts[:1], rf"reached: {NUMBER} are used, and {NUMBER} more .* of {NUMBER}"):
        assert used + amount > limit == held["value"]
        assert (used, amount) == (held["used"], ask.get("amount", amount))
    for limit, used, amount in claimed(
        texts[:1], rf"may take at most {NUMBER}.*?, {NUMBER} are used, and {NUMBER} more would"
    ):
        assert used + amount > limit
        assert limit in feature["caps"].values()
    for (most,) in claimed(texts, rf"may be set up to {NUMBER}") + claimed(texts[:1], rf"no more than {NUMBER}"):
        assert most == held["value"]
    for (amount,) in claimed(texts[:1], rf"may (?:not )?take {NUMBER} more of"):
        assert amount == ask.get("amount", amount)
    for (level,) in claimed(texts, r"^The level held is (.*); the levels are, lowest first"):
        assert str(level) == held["value"]


def see_the_sum(texts: Sequence[str], feature: Document, decision: Document) -> None:
    """What items are said to give adds up to what is held, where nothing else has a say."""
    given = claimed(
        texts,
        rf"^(?:Plan|Add-on|Charge) .*, version \d+.*,(?: gives| adds).* {NUMBER}(?: \S+)?{OFTEN}\.$",
    )
    combine = feature.get("combine", "max" if feature["type"] == "range" else "sum")
    others = any(it.get("override") for it in decision["sources"]) or "max" in {combine, feature.get("across")}
    capped = "max" in feature or any("There are" in text or "held is" in text for text in texts)
    if given and not others and not capped and decision["entitlement"].get("unlimited") is False:
        assert sum(number for (number,) in given) == decision["entitlement"]["value"], texts


def asked_about(inquirer: Inquirer, ask: Document) -> Iterator[Document]:
    """The subscriptions that a check is about."""
    subject = ask["subject"]
    subject = subject if isinstance(subject, dict) else {"type": "customer", "id": subject}
    key = "id" if subject["type"] == "subscription" else "customer"
    return (it for it in inquirer.reference.subscriptions.values() if it[key] == subject["id"])


@given(worlds(), SEEDS)
def test_sentences_say_what_the_reference_model_says(world: tuple[Document, Document], seed: int) -> None:
    """Yes or no, the reason, the numbers, what is summed, and which subscriptions and overrides count."""
    inquirer, engine = Inquirer(*world, seed), World(*world).engine()
    for now, ask in inquirer.asks(nows=3, checks=6):
        expected = decide(inquirer.reference, ask, now)
        feature = inquirer.reference.features[ask["feature"]]
        event(expected["reason"])
        _, texts = told(engine, ask, now)
        see_the_verdict(texts, expected)
        see_the_numbers(texts, feature, ask, expected)
        see_the_sum(texts, feature, expected)
        if expected["reason"] == "unknown_subject":
            assert len(texts) == 1
            continue
        idle = {it["id"] for it in asked_about(inquirer, ask) if not live(it, now)}
        assert {name for (name,) in claimed(texts, r"^Subscription (\S+) does not count: ")} == idle
        acting = claimed(texts, r"^The override (\S+) on (?:customer|subscription) \S+ (?:puts|gives|adds|says that) ")
        named = {it["override"] for it in expected["sources"] if it.get("override")}
        assert {str(name) for (name,) in acting} == named, texts
        if expected["reason"] == "feature_suspended":
            assert any(re.search(r" is suspended for (everybody|customer|subscription)", it) for it in texts), texts


@given(worlds(), st.data(), SEEDS)
def test_sentences_do_not_contradict_the_decision_under_rules(
    drawn: tuple[Document, Document], data: st.DataObject, seed: int
) -> None:
    """With the users' own rules in force too, which may forbid, permit and err."""
    world = World(*drawn, data.draw(rule_files(*drawn), label="rules"))
    inquirer, engine, asked = Inquirer(*drawn, seed), world.engine(), world.engine()
    for now, ask in inquirer.asks(nows=2, checks=5):
        explanation, texts = told(engine, ask, now)
        decision = answered(explanation.decision)
        assert decision == answered(asked.decide(check_of(ask), now))
        event(decision["reason"])
        see_the_verdict(texts, decision)
        see_the_numbers(texts, inquirer.reference.features[ask["feature"]], ask, decision)
        for name in decision["policies"] if decision["reason"] != "evaluation_error" else ():
            if name.startswith("rule/"):
                act = "permits" if decision["allowed"] else "forbids"
                assert any(text.startswith(f"The rule {name.removeprefix('rule/')} {act} it") for text in texts)
