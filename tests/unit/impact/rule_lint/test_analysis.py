"""Findings about rules, against one catalog."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import pytest

from tiergate.bundle import Bundle
from tiergate.catalog import load_catalog_texts
from tiergate.compiler import compile_catalog
from tiergate.impact.rule_lint.analysis import lint_rules
from tiergate.impact.rule_lint.findings import RULE_CODES
from tiergate.impact.rule_lint.near_misses import KnownNames
from tiergate.impact.rule_lint.positions import locate_findings
from tiergate.model import Customer, Rules, Subscription, SubscriptionStatus, parse_instant

if TYPE_CHECKING:
    from tiergate.catalog import LoadedCatalog
    from tiergate.impact.rule_lint.findings import RuleFinding

NOW: Final = parse_instant("2026-11-30")

CATALOG: Final = """\
apiVersion: tiergate/v1
features:
  - {id: exports, type: quantity, unit: exports/day, tags: [data]}
  - {id: reports, type: switch, tags: [data]}
  - {id: dashboards, type: switch}
  - {id: api, type: range, unit: req/min, max: 1000}
  - {id: support, type: custom, levels: [email, chat, phone]}
items:
  - {id: free, kind: plan, entitlements: {exports: 5, support: email}}
  - id: team
    kind: plan
    rollouts: [{version: 1}, {version: 1, audience: {tag: pilot-group}}]
    entitlements: {exports: 100, reports: true, dashboards: true, api: 500, support: chat}
  - id: big
    kind: plan
    entitlements: {exports: unlimited, reports: true, dashboards: true, api: 1000, support: phone}
"""

EXPORTS: Final = '(principal, action == Action::"consume", resource == Feature::"exports")'
ALL: Final = "(principal, action, resource)"


def forbid(condition: str, scope: str = EXPORTS) -> str:
    """A rule that forbids."""
    return f'@id("a")\nforbid {scope} when {{ {condition} }};\n'


REGION: Final = 'principal.hasTag("region") && principal.getTag("region") == "eu"'

CASES: Final = {
    "another type": ('@id("a") forbid (principal, action == Action::"consume", resource == Feature::"reports");',
                     {"rule-never-applies"}),
    "contradiction": (forbid("context.used > 10 && context.used < 5"), {"rule-never-applies"}),
    "false": (forbid("false"), {"rule-never-applies"}),
    "no status": (forbid('context.status == "broken"'), {"rule-never-applies"}),
    "no status like it": (forbid('context.status like "x*"'), {"rule-never-applies"}),
    "two statuses": (forbid('context.status == "down" && context.status == "partial"'), {"rule-never-applies"}),
    "negative": (forbid("context.used < 0"), {"rule-never-applies"}),
    "too high a level": (forbid("context.rank > 3", '(principal, action == Action::"choose", resource)'),
                         {"rule-never-applies"}),
    "no such day": (forbid("context.weekday == 8"), {"rule-never-applies"}),
    "the past": (forbid('context.now < datetime("2020-01-01")'), {"rule-never-applies"}),
    "facts that exclude each other": (forbid("context.given && !context.live"), {"rule-never-applies"}),
    "no such item tag": (forbid('Item::"plan/team@1".hasTag("exprots")'), {"rule-never-applies", "feature-near-miss"}),
    "all of it": (f'@id("a") forbid {ALL};', {"rule-denies-everybody"}),
    "nobody's exports": (f'@id("a") forbid {EXPORTS};', {"rule-denies-everybody"}),
    "anybody": (f'@id("a") permit {ALL};', {"rule-permits-everybody"}),
    "overflows at two": (forbid("context.used * 4611686018427387904 > 9"), {"rule-can-fail"}),
    "always overflows": (f'@id("a") permit {EXPORTS} when {{ 9223372036854775807 + context.amount > 9 }};',
                         {"rule-always-fails", "rule-denies-everybody"}),
    "a plan": ('@id("a") forbid (principal in Item::"plan/big", action in Action::"access", resource);',
               {"plan-denied"}),
    "a part of a plan": ('@id("a") forbid (principal in Item::"plan/big", action, resource == Feature::"reports");',
                         {"entitlement-denied"}),
    "implied": (forbid("context.used > 5") + forbid("context.used > 10").replace('"a"', '"b"'),
                {"rule-without-effect"}),
    "the same": (forbid("context.used > 5") + forbid("5 < context.used").replace('"a"', '"b"'),
                 {"rule-without-effect"}),
    "permitted anyway": ((f'@id("a") permit {EXPORTS} when {{ context.given && context.held && '
                         "context.used + context.amount <= context.limit };"), {"rule-without-effect"}),
    "forbidden anyway": (f'@id("a") permit {EXPORTS} when {{ context.suspended }};', {"rule-without-effect"}),
    "attribute": (forbid('principal.hasTag("regoin") && principal.getTag("regoin") == "eu"'), {"attribute-near-miss"}),
    "tag": (forbid('principal.tags.contains("frad")'), {"tag-near-miss"}),
    "tag in a set": (forbid('principal.tags.containsAny(["fraud", "pilot-gruop"])'), {"tag-near-miss"}),
    "customer": (forbid("true", '(principal == Customer::"ue1", action == Action::"consume", resource)'),
                 {"subject-not-found"}),
    "two scripts": (forbid('principal.tags.contains("fr\u0430ud")'), {"mixed-scripts", "tag-near-miss"}),
    "direction": (forbid('principal.tags.contains("fraud\u202e")'), {"bidirectional-text", "tag-near-miss"}),
    # What is right.
    "a day": (forbid("context.weekday >= 6"), set()),
    "a region": (forbid(REGION), set()),
    "a burst": ((f'@id("a") permit {EXPORTS} when {{ context.given && !context.unlimited && '
                "(context.used + context.amount) * 10 <= context.limit * 12 };"), set()),
    "next year": (forbid('context.now >= datetime("2027-01-01")'), set()),
    "a plan without the feature": (('@id("a") forbid (principal in Item::"plan/free", action == Action::"use", '
                                   'resource == Feature::"reports");'), set()),
    "two that overlap": (forbid("context.used > 5") + forbid("context.amount > 3").replace('"a"', '"b"'), set()),
    "not supported": (forbid('ip("10.0.0.1").isLoopback() && context.used > 3'), set()),
}  # fmt: skip


@cache
def loaded() -> LoadedCatalog:
    """The catalog."""
    return load_catalog_texts({"catalog.yaml": CATALOG})


def lint(text: str) -> list[RuleFinding]:
    """The findings about a file of rules."""
    names = KnownNames()
    names.add(Customer("eu1", tags=("fraud",), attributes={"region": "eu"}))
    names.add(Subscription("s1", "eu1", SubscriptionStatus.ACTIVE))
    files = compile_catalog(loaded().catalog, Rules(policies={"r": text}))
    return lint_rules(Bundle.from_files(files), names, NOW)


@pytest.mark.parametrize("name", CASES)
def test_a_rule_has_these_findings(name: str) -> None:
    """And no others."""
    text, codes = CASES[name]
    assert {it.code for it in lint(text)} == codes


def test_every_code_has_a_case() -> None:
    """No finding goes untested."""
    assert set().union(*(codes for _, codes in CASES.values())) == RULE_CODES.keys()


def test_the_last_of_rules_that_repeat_each_other_is_found() -> None:
    """By the one that remains."""
    text = forbid("context.used > 5") * 1 + "".join(forbid("context.used > 5").replace('"a"', f'"{it}"') for it in "bc")
    found = [it for it in lint(text) if it.code == "rule-without-effect"]
    assert [it.rule for it in found] == ["rule/r/b", "rule/r/c"]
    assert all("`rule/r/a`" in it.message for it in found)


def test_a_finding_stands_at_its_rule_or_at_its_word() -> None:
    """Line and column, of the text as it is written."""
    text = "// a comment\n\n" + forbid("context.used < 0") + '@id("b") forbid ' + EXPORTS
    text += '\nwhen {\n  context.used > 3 &&\n  principal.tags.contains("frad")\n};\n'
    places = [(it.line, it.column, it.code) for it in locate_findings(lint(text), Rules(policies={"r": text}), "rules")]
    assert sorted(places) == [(3, 1, "rule-never-applies"), (8, 27, "tag-near-miss")]


def test_without_subjects_nothing_is_said_about_them() -> None:
    """But rollouts name tags."""
    text = forbid('principal.tags.contains("pilot-grup") && principal.hasTag("regoin")')
    files = compile_catalog(loaded().catalog, Rules(policies={"r": text}))
    found = lint_rules(Bundle.from_files(files), KnownNames(), NOW)
    assert [(it.code, it.suggestion) for it in found] == [("tag-near-miss", "pilot-group")]


def test_what_is_overflowing_says_for_which_number() -> None:
    """The least one that is found."""
    (finding,) = lint(CASES["overflows at two"][0])
    assert "`context.used` is 2" in finding.message
