"""Previews in the small: each kind of effect, usage, and what many customers leave in memory."""

from __future__ import annotations

import pytest

from tiergate.bundle import Bundle
from tiergate.catalog import load_catalog_texts
from tiergate.compiler import compile_catalog
from tiergate.impact.preview.loss_analysis import can_reduce
from tiergate.impact.preview.preview import ImpactPreview, preview_impact
from tiergate.impact.preview.subject_effects import Effect, SubjectEffect, impact_data
from tiergate.impact.preview.usage_data import UsageTable
from tiergate.model import Customer, Rules, Subject, SubjectRecord, Subscription, SubscriptionItem, SubscriptionStatus

NOW = 1_780_000_000_000

FEATURES = """\
apiVersion: tiergate/v1
features:
  - {id: movies, type: quantity}
  - {id: analytics, type: switch}
  - {id: speed, type: range}
  - {id: support, type: custom, levels: [email, chat, phone]}
items:
"""
OLD = "  - {id: gold, kind: plan, entitlements: {movies: 50, speed: 10, support: chat}}\n"


def bundle(items: str, features: str = FEATURES, rules: Rules | None = None) -> Bundle:
    """The bundle of a catalog with these items."""
    loaded = load_catalog_texts({"catalog.yaml": features + items})
    return Bundle.from_files(compile_catalog(loaded.catalog, rules or Rules()))


def customer(id_: str, *items: str, **more: str) -> SubjectRecord:
    """A customer with a subscription to each of some items."""
    held = tuple(
        Subscription(f"{id_}-{n}", id_, SubscriptionStatus.ACTIVE, (SubscriptionItem(it),))
        for n, it in enumerate(items)
    )
    return SubjectRecord(Customer(id_, attributes=more), held)


def told(old: Bundle, new: Bundle, *records: SubjectRecord) -> list[tuple[str, str, str]]:
    """Subject, feature and effect of everything that is found."""
    found: list[SubjectEffect] = []
    preview_impact(old, new, records, now=NOW, each=found.append)
    return [(it.subject.id, it.feature, it.effect.value) for it in found]


@pytest.mark.parametrize(
    ("given", "feature", "effect"),
    [
        ("movies: 40, speed: 10, support: chat", "movies", "less"),
        ("movies: 51, speed: 10, support: chat", "movies", "more"),
        ("movies: unlimited, speed: 10, support: chat", "movies", "more"),
        ("speed: 10, support: chat", "movies", "loses"),
        ("movies: 50, speed: 10, support: chat, analytics: true", "analytics", "gains"),
        ("movies: 50, speed: 9, support: chat", "speed", "less"),
        ("movies: 50, speed: 10, support: email", "support", "less"),
        ("movies: 50, speed: 10, support: phone", "support", "more"),
    ],
)
def test_each_effect_is_told(given: str, feature: str, effect: str) -> None:
    """Of the one who holds the plan, and of nobody else."""
    new = bundle(f"  - {{id: gold, kind: plan, entitlements: {{{given}}}}}\n")
    assert told(bundle(OLD), new, customer("acme", "gold"), customer("beta")) == [("acme", feature, effect)]


def test_what_is_taken_here_and_given_there_is_told_as_other() -> None:
    """Steps of 3 in place of steps of 2: 2 is denied now, 3 was denied before."""
    old, new = (FEATURES.replace("quantity}", f"quantity, batch: {{increment: {step}}}}}") for step in (2, 3))
    assert told(bundle(OLD, old), bundle(OLD, new), customer("acme", "gold")) == [("acme", "movies", "other")]


def test_a_rule_that_denies_takes_from_those_whom_it_is_about() -> None:
    """Found by deciding, not by looking at what the plans give."""
    text = '@id("eu")\nforbid (principal, action, resource == Feature::"movies") when '
    text += '{ principal.hasTag("region") && principal.getTag("region") == "eu" };\n'
    new = bundle(OLD, rules=Rules(policies={"house": text}))
    records = customer("acme", "gold", region="eu"), customer("beta", "gold", region="us")
    assert told(bundle(OLD), new, *records) == [("acme", "movies", "loses")]


def test_single_subscriptions_are_told_of_those_who_have_several() -> None:
    """The customer gets less of both together, each subscription of its own."""
    new = bundle("  - {id: gold, kind: plan, entitlements: {movies: 40, speed: 10, support: chat}}\n")
    found = told(bundle(OLD), new, customer("acme", "gold", "gold"))
    assert found == [("acme", "movies", "less"), ("acme-0", "movies", "less"), ("acme-1", "movies", "less")]


def test_who_has_used_more_than_is_left_is_above() -> None:
    """Not who has used just that, nor who loses what was never used."""
    old = bundle("  - {id: gold, kind: plan, entitlements: {movies: 50}}\n")
    new = bundle("  - {id: gold, kind: plan, entitlements: {movies: 40}}\n")
    records = [customer(id_, "gold") for id_ in ("acme", "beta", "gamma")]
    with UsageTable() as figures:
        figures.put(Subject("acme"), "movies", 41)
        figures.put(Subject("beta"), "movies", 40)
        found: list[SubjectEffect] = []
        impact = preview_impact(old, new, records, now=NOW, usage=figures, each=found.append)
        assert [(it.used, it.above) for it in found] == [(41, True), (40, False), (None, False)]
        assert (impact.above, impact.features["movies"].above) == (1, 1)
        gone = preview_impact(
            old, bundle("  - {id: gold, kind: plan, entitlements: {}}\n"), records, now=NOW, usage=figures
        )
        assert gone.above == 2


def test_examples_are_few_and_first_those_who_are_above() -> None:
    """However many customers there are; the numbers count them all."""
    old = bundle("  - {id: gold, kind: plan, entitlements: {movies: 50}}\n")
    new = bundle("  - {id: gold, kind: plan, entitlements: {movies: 40}}\n")
    with UsageTable() as figures:
        figures.put(Subject("c900"), "movies", 45)
        impact = preview_impact(old, new, (customer(f"c{i}", "gold") for i in range(1000)), now=NOW, usage=figures)
    examples = impact.features["movies"].examples[Effect.LESS]
    assert (impact.examined, impact.reduces, impact.customers[Effect.LESS], len(examples)) == (1000, 1000, 1000, 10)
    assert [it.customer for it in examples if it.above] == ["c900"]


def test_those_alike_are_decided_once() -> None:
    """A thousand customers of one plan cost as many decisions as one."""
    new = bundle("  - {id: gold, kind: plan, entitlements: {movies: 40, speed: 10, support: chat}}\n")
    found = ImpactPreview(bundle(OLD), new, now=NOW)
    found.effects(customer("acme", "gold"))
    once = found.decided
    for i in range(1000):
        assert found.effects(customer(f"c{i}", "gold"))
    assert found.decided == once > 0


def test_progress_is_told_now_and_then_and_at_the_end() -> None:
    """In customers."""
    heard: list[int] = []
    preview_impact(bundle(OLD), bundle(OLD), (customer(f"c{i}") for i in range(2500)), now=NOW, progress=heard.append)
    assert heard == [1000, 2000, 2500]


def test_nobody_is_touched_by_what_means_the_same() -> None:
    """Another name, another version number: no effects, and no way to take anything."""
    old = bundle(OLD)
    new = bundle(OLD.replace("kind: plan", "kind: plan, name: Gold, version: 2"))
    assert told(old, new, customer("acme", "gold")) == []
    assert not can_reduce(old, new, ImpactPreview(old, new, now=NOW).touched, NOW)


def test_the_tally_says_nothing_of_whom_it_does_not_name() -> None:
    """Without examples it holds numbers and ids of features alone."""
    new = bundle("  - {id: gold, kind: plan, entitlements: {movies: 40}}\n")
    impact = preview_impact(bundle(OLD), new, [customer("acme", "gold")], now=NOW)
    assert "acme" in str(impact_data(impact))
    assert "acme" not in str(impact_data(impact, named=False))
