"""Tests that coverage calls complete notice every mutant of a catalog and its rules that changes a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.unit.policytest.coverage.measured import coverage
from tiergate.errors import SuiteError
from tiergate.policytest.coverage import Mark
from tiergate.policytest.runner import Runner

if TYPE_CHECKING:
    from pathlib import Path

    from tiergate.policytest.coverage import Coverage

CATALOG: Final = """\
apiVersion: tiergate/v1
features:
  - {id: seats, type: quantity, unit: seats, combine: max}
  - {id: storage, type: quantity, unit: GB, scale: 1, batch: {minimum: 1, increment: 0.5}}
  - {id: exports, type: quantity, unit: exports/day, metered: {reset: day}, caps: {per_user: 3, total: 1000}}
  - {id: api, type: range, unit: req/min, max: 1000}
  - id: beta
    type: switch
    suspensions: [{from: 2026-11-01, until: 2026-11-10, reason: maintenance}]
  - {id: support, type: custom, levels: [email, chat, phone]}
items:
  - id: team
    kind: plan
    versions:
      - {version: 1, entitlements: {seats: 5, storage: 10, exports: 50, api: 600, beta: true, support: phone}}
      - {version: 2, entitlements: {seats: 8, storage: 10, exports: 50, api: 600, beta: true, support: phone}}
    rollouts:
      - {version: 1}
      - {version: 2, from: 2026-12-01, audience: new}
      - {version: 2, audience: {tag: early}}
  - id: pack
    kind: addon
    available_for: [team]
    entitlements: {storage: {add: 5}}
"""

RULE: Final = """\
@id("no-phone-at-the-weekend")
forbid (principal, action == Action::"choose", resource == Feature::"support")
when { context.weekday >= 6 && context.rank >= 3 };
"""

HEAD: Final = """\
apiVersion: tiergate/v1
suite: all of it
catalog: catalog.yaml
rules: rules
now: 2026-12-02T12:00:00Z
holders:
  v1: [{item: team, version: 1}]
  v2: [{item: team, version: 2}]
  two-v1: [{item: team, version: 1, quantity: 2}]
  two-v2: [{item: team, version: 2, quantity: 2}]
  packed: [{item: team, version: 1}, {item: pack, quantity: 2}]
customers:
  - {id: twice}
  - {id: outlived}
  - {id: tagged, tags: [early]}
  - {id: old}
  - {id: just}
  - {id: late}
  - {id: mail, overrides: [{feature: support, value: email}]}
subscriptions:
  - {id: s1, customer: twice, status: active, items: [{item: team, version: 1}]}
  - {id: s2, customer: twice, status: active, items: [{item: team, version: 2}]}
  - {id: s3, customer: outlived, status: active, items: [{item: team, until: 2026-06-01}, {item: pack}]}
  - {id: s4, customer: tagged, status: active, items: [{item: team}]}
  - {id: s5, customer: old, status: active, start: 2026-01-01, items: [{item: team}]}
  - {id: s6, customer: just, status: active, start: 2026-12-01, items: [{item: team}]}
  - {id: s7, customer: late, status: active, start: 2026-11-30T23:59:59.999Z, items: [{item: team}]}
"""

TESTS: Final = """\
  - name: values
    subjects: [v1, v2, two-v1, two-v2, packed]
    features: [seats, storage, exports, api, beta, support]
    expected:
      - {feature: beta, allowed: true}
      - {feature: support, allowed: true, value: phone}
      - {subject: [v1, two-v1, packed], feature: seats, allowed: true, value: 5}
      - {subject: [v2, two-v2], feature: seats, allowed: true, value: 8}
      - {subject: [v1, v2], feature: storage, allowed: true, value: 10}
      - {subject: [two-v1, two-v2, packed], feature: storage, allowed: true, value: 20}
      - {subject: [v1, v2, packed], feature: exports, allowed: true, value: 50}
      - {subject: [two-v1, two-v2], feature: exports, allowed: true, value: 100}
      - {feature: api, allowed: true, value: 600}
  - name: two subscriptions
    subjects: [twice, outlived]
    features: [seats, storage, exports]
    expected:
      - {subject: twice, feature: seats, allowed: true, value: 8}
      - {subject: twice, feature: storage, allowed: true, value: 20}
      - {subject: twice, feature: exports, allowed: true, value: 100}
  - name: batches
    subjects: [v1]
    requests:
      half: {feature: storage, amount: 0.5}
      one: {feature: storage, amount: 1}
      one and a half: {feature: storage, amount: 1.5}
      a bit more: {feature: storage, amount: 1.2}
      odd: {feature: storage, amount: 2.4}
    expected:
      - {request: [one, one and a half], allowed: true}
      - {request: [half, a bit more, odd], reason: amount_invalid}
  - name: caps
    subjects: [v1]
    requests:
      the third: {feature: exports, user_used: 2}
      the fourth: {feature: exports, user_used: 3}
    expected:
      - {request: the third, allowed: true}
      - {request: the fourth, reason: cap_reached}
  - {name: the last of all, subjects: [v1], features: [exports], usage: {v1: {exports: {total_used: 999}}},
     expected: [{allowed: true}]}
  - {name: one too many, subjects: [v1], features: [exports], usage: {v1: {exports: {total_used: 1000}}},
     expected: [{reason: cap_reached}]}
  - {name: counted, subjects: [v1], features: [exports], usage: {v1: {exports: 50}},
     expected: [{reason: limit_reached}]}
  - name: suspended
    subjects: [v1]
    requests:
      before: {feature: beta, now: 2026-10-31T23:59:59.999Z}
      at first: {feature: beta, now: 2026-11-01}
      at last: {feature: beta, now: 2026-11-09T23:59:59.999Z}
      after: {feature: beta, now: 2026-11-10}
    expected:
      - {request: [before, after], allowed: true}
      - {request: [at first, at last], reason: feature_suspended}
  - name: rollouts
    subjects: [tagged, old, just, late]
    features: [seats]
    expected:
      - {subject: [tagged, just], allowed: true, value: 8}
      - {subject: [old, late], allowed: true, value: 5}
  - name: a chat is more than an email
    subjects: [mail]
    requests: {chat: {feature: support, level: chat}}
    expected: [{reason: level_too_low}]
  - name: levels
    subjects: [v1]
    requests:
      chat: {feature: support, level: chat, now: 2026-11-21}
      phone on Friday: {feature: support, level: phone, now: 2026-11-20}
      phone on Saturday: {feature: support, level: phone, now: 2026-11-21}
      phone on Sunday: {feature: support, level: phone, now: 2026-11-22}
      email: {feature: support, level: email}
      the phone: {feature: support, level: phone}
    expected:
      - {request: [chat, phone on Friday, email, the phone], allowed: true, value: phone}
      - {request: [phone on Saturday, phone on Sunday], reason: rule_denied}
"""

CATALOG_MUTANTS: Final = {
    "combine": ("combine: max}", "combine: sum}"),
    "scale": ("scale: 1,", "scale: 0,"),
    "minimum": ("minimum: 1,", "minimum: 5,"),
    "increment": ("increment: 0.5", "increment: 1"),
    "cap per user": ("per_user: 3", "per_user: 1"),
    "cap total": ("total: 1000", "total: 1"),
    "caps": (", caps: {per_user: 3, total: 1000}", ""),
    "suspension": ("    suspensions: [{from: 2026-11-01, until: 2026-11-10, reason: maintenance}]\n", ""),
    "suspended later": ("from: 2026-11-01", "from: 2026-11-02"),
    "audience": (", audience: new", ""),
    "date": ("from: 2026-12-01, audience", "from: 2036-12-01, audience"),
    "tag": ("tag: early", "tag: earlier"),
    "order": (
        "      - {version: 1}\n      - {version: 2, from: 2026-12-01, audience: new}\n",
        "      - {version: 2, from: 2026-12-01, audience: new}\n      - {version: 1}\n",
    ),
    "per": ("{add: 5}", "{add: 5, per: subscription}"),
    "available_for": ("available_for: [team]\n    ", ""),
    "draft": ("id: api, type", "id: api, status: draft, type"),
    "not metered": ("metered: {reset: day}, ", ""),
    "soft": ("{reset: day}", "{reset: day, limit: soft}"),
    "levels": ("[email, chat, phone]", "[email, phone, chat]"),
    "value": ("storage: 10, exports: 50, api: 600, beta: true, support: phone}}\n    rollouts",
              "storage: 9, exports: 50, api: 600, beta: true, support: phone}}\n    rollouts"),
}  # fmt: skip

RULE_MUTANTS: Final = {
    "or": ("&&", "||"),
    "only Saturday": (">= 6", "== 6"),
    "chat too": (">= 3", ">= 2"),
    "from Thursday": (">= 6", ">= 4"),
    "any day": ("context.weekday >= 6 && ", ""),
    "any level": (" && context.rank >= 3", ""),
    "permit": ("forbid", "permit"),
}

WITHOUT_EFFECT: Final = {
    "finer": ("scale: 1,", "scale: 3,"),
    "maximum": ("max: 1000", "max: 600"),
    "reset": ("reset: day", "reset: never"),
}
"""What no test can notice: it accepts more checks, no total reaches it, or a test states what it would count."""


def test_complete_tests_are_told_to_be_complete(tmp_path: Path) -> None:
    """And nothing that they cannot show is counted."""
    found = measured(tmp_path)
    assert [(it.target.id, it.target.aspect.value, it.target.part) for it in found.missing] == []


@pytest.mark.parametrize("name", CATALOG_MUTANTS)
def test_they_notice_every_mutant_of_the_catalog(tmp_path: Path, name: str) -> None:
    """Of features, rollouts and values: a case fails, or the file is none any more."""
    assert not passes(tmp_path, CATALOG.replace(*CATALOG_MUTANTS[name], 1), RULE)


@pytest.mark.parametrize("name", RULE_MUTANTS)
def test_they_notice_every_mutant_of_a_rule(tmp_path: Path, name: str) -> None:
    """Of each part of its condition, and of its scope."""
    assert not passes(tmp_path, CATALOG, RULE.replace(*RULE_MUTANTS[name], 1))


@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_what_changes_no_decision_is_not_noticed(tmp_path: Path, name: str) -> None:
    """So it is no unit."""
    assert passes(tmp_path, CATALOG.replace(*WITHOUT_EFFECT[name], 1), RULE)


def test_a_scope_that_could_name_nothing_else_is_no_unit(tmp_path: Path) -> None:
    """The catalog has no other feature with levels."""
    assert passes(tmp_path, CATALOG, RULE.replace('resource == Feature::"support"', "resource"))


@pytest.mark.parametrize("test", ["two subscriptions", "batches", "caps", "suspended", "rollouts", "levels"])
def test_without_one_of_the_tests_something_is_not_covered(tmp_path: Path, test: str) -> None:
    """What it alone shows."""
    head, _, rest = TESTS.partition(f"  - name: {test}\n")
    after = rest.partition("\n  - ")
    found = measured(tmp_path, head + after[1].removeprefix("\n") + after[2])
    assert any(it.mark is not Mark.COVERED for it in found.measured)


def measured(folder: Path, tests: str = TESTS) -> Coverage:
    """The coverage of the catalog and its rule."""
    files = {"catalog.yaml": CATALOG, "rules/w.cedar": RULE}
    return coverage(folder, tests, HEAD, files, shipped=False)


def passes(folder: Path, catalog: str, rule: str) -> bool:
    """Say whether the tests pass against other files."""
    for name, text in {"catalog.yaml": catalog, "rules/w.cedar": rule, "a_test.yaml": f"{HEAD}tests:\n{TESTS}"}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert catalog != CATALOG or rule != RULE
    runner = Runner()
    try:
        return runner.run(runner.read_suites([folder])).has_passed
    except SuiteError:
        return False
