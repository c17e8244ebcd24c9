from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.catalog.marked import expect, unmark
from tiergate.catalog import lint, load_catalog
from tiergate.catalog.lint import CODES
from tiergate.impact.rule_lint.findings import RULE_CODES
from tiergate.impact.subject_change.subject_lint import SUBJECT_CODES

if TYPE_CHECKING:
    from tiergate.model import Problem

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "lint.md"

FEATURES = """\
apiVersion: tiergate/v1
features:
  - {id: sso, type: switch, linked: [users]}
  - {id: users, type: quantity}
  - {id: storage, type: quantity, combine: max}
  - {id: speed, type: range, max: 100}
  - {id: support, type: custom, levels: [email, chat, phone]}
"""
ALL = "{sso: true, users: 5, storage: 5, speed: 50, support: chat}"
"""Gives every feature, so that only what a test is about is found."""


def catalog(*items: str, more: str = "", features: str = FEATURES) -> str:
    """A catalog with these items beside one that nobody mistakes for anything."""
    entries = "".join(f"  - {{{item}}}\n" for item in items)
    return f"{features}items:\n  - {{id: fee, kind: charge, entitlements: {ALL}}}\n{entries}{more}"


def findings(folder: Path, text: str) -> list[Problem]:
    """What lint says of a catalog."""
    path = folder / "catalog.yaml"
    path.write_text(text, encoding="utf-8")
    return lint(load_catalog([path]))


def gives(id_: str, entitlements: str, kind: str = "plan", rest: str = "") -> str:
    """An item that gives this."""
    return f"id: {id_}, kind: {kind}, entitlements: {{{entitlements}}}{rest}"


def versions(id_: str, *given: str, rest: str = "") -> str:
    """A plan with these versions, from 1 on."""
    listed = ", ".join(f"{{version: {number}, entitlements: {one}}}" for number, one in enumerate(given, start=1))
    return f"id: {id_}, kind: plan, versions: [{listed}]{rest}"


def feature(text: str) -> str:
    """The features, and one more that the fee does not give."""
    return FEATURES + f"  - {text}\n"


METERED = "{id: sms, type: quantity, metered: {reset: day}}"


def drawing(more: str = "") -> str:
    """The features, credits, and one that draws 3 of them; `more` begins with a mark, or is more keys."""
    mark, more = (more, "") if more == "^" else ("", more)
    credits_ = "  - {id: credits, type: quantity, metered: {reset: never}}\n"
    sms = f"{mark}{{id: sms, type: quantity, metered: {{reset: day}}, draws: {{from: credits, cost: 3}}{more}}}"
    return FEATURES + credits_ + f"  - {sms}\n"


PROMISED = "{id: api, type: switch, service_level: {availability: 99.9, latency_ms: 100}}"


def promising(levels: str, given: str = "api: true") -> str:
    """A catalog whose plan promises service levels."""
    return catalog(
        "^" + gives("plan", given, rest=f", service_levels: {levels}"),
        gives("extra", "api: true, storage: 1", "addon"),
        features=feature(PROMISED),
    )


CASES: dict[str, list[str]] = {
    "service-level-down-below-degraded": [
        promising("{api: {minute: {down: 4}}}"),
        catalog(
            gives("plan", "api: true"),
            features=feature(
                "^{id: api, type: switch, service_level: {availability: 99, minute: {degraded: 60, down: 50}}}"
            ),
        ),
    ],
    "service-level-not-given": [
        promising("{api: {availability: 99.99}}", "sso: true, users: 1"),
        promising("{api: {availability: 99.99}}", "api: false, users: 1"),
    ],
    "service-level-repeated": [promising("{api: {availability: 99.9}}"), promising("{api: {latency_ms: 100}}")],
    "service-level-weaker": [
        promising("{api: {availability: 99}}"),
        promising("{api: {availability: 99.99, latency_ms: 101}}"),
        promising("{api: {spent_by: down}}"),
    ],
    "time-zone-without-effect": [
        catalog(
            gives("plan", "sms: 1"),
            features=feature(
                f"^{{id: sms, type: quantity, metered: {{reset: hour, anchor: {anchor}, timezone: Europe/Berlin}}}}"
            ),
        )
        for anchor in ("subscription", "first_use")
    ],
    "threshold-above-hard-limit": [
        catalog(
            gives("plan", "sms: 1"),
            features=feature("^{id: sms, type: quantity, metered: {reset: day, thresholds: [80%, 120%]}}"),
        ),
    ],
    "draws-on-draft": [
        catalog(
            gives("plan", "sms: 1, credits: 1"),
            features=drawing("^").replace("id: credits,", "id: credits, status: draft,"),
        ),
    ],
    "soft-limit-zero": [
        catalog(gives("plan", "sms: ^{value: 0, limit: soft}"), features=feature(METERED)),
        catalog(gives("plan", "sms: ^{value: 0, limit: soft, overage_max: 5}"), features=feature(METERED)),
    ],
    "limit-repeated": [
        catalog(gives("plan", "sms: ^{value: 5, limit: hard}"), features=feature(METERED)),
        catalog(
            gives("plan", "sms: ^{value: 5, limit: soft, overage_max: 2}"),
            features=feature(METERED.replace("reset: day", "reset: day, limit: soft, overage_max: 2")),
        ),
    ],
    "source-missing": [
        catalog(gives("plan", "sms: ^1"), gives("other", "credits: 9, sso: true, users: 1"), features=drawing()),
        catalog(
            gives("plan", "sms: ^1"),
            gives("other", "credits: 9, users: 1"),
            gives("extra", "credits: 9", "addon", ", available_for: [other]"),
            features=drawing(),
        ),
    ],
    "source-below-cost": [
        catalog(gives("plan", "sms: ^1, credits: 2"), features=drawing()),
        catalog(gives("plan", "sms: ^1, credits: 29"), features=drawing(", batch: {minimum: 10}")),
        catalog(gives("plan", "sms: ^1, credits: {value: 1, limit: soft, overage_max: 1}"), features=drawing()),
    ],
    "range-summed": [
        catalog(gives("plan", "sla: 99.95"), features=feature("^{id: sla, type: range, scale: 2, combine: sum}")),
        catalog(gives("plan", "sla: {value: 1, per: unit}"), features=feature("^{id: sla, type: range, combine: sum}")),
    ],
    "plan-not-sellable": [
        catalog(
            "^" + gives("plan", "users: 1", rest=", depends_on: [x]"),
            gives("x", "sso: true", "addon", ", status: draft"),
        ),
        catalog(
            "^" + gives("plan", "users: 1", rest=", depends_on: [x]"),
            gives("x", "sso: true", "addon", ", rollouts: []"),
        ),
    ],
    "same-entitlements": [
        catalog(gives("one", "users: 5"), "^" + gives("two", "users: 5")),
        catalog(gives("one", "users: {value: 5, per: unit}"), "^" + gives("two", "users: 5, sso: false, storage: 0")),
        catalog(
            gives("plan", "users: 1"),
            gives("a", "users: 5", "addon"),
            "^" + gives("b", "users: 5", "addon", ", available_for: [plan]"),
        ),
        catalog(versions("one", "{users: 5}", "{users: 6}"), "^" + gives("two", "users: 6")),
    ],
    "plan-contained": [
        catalog(gives("crm-basic", "users: 5, support: chat"), "^" + gives("crm-pro", "users: 5, support: email")),
        catalog("^" + gives("gold", "users: 5"), gives("silver", "users: unlimited")),
        catalog(gives("team-10", "storage: {value: 5, per: unit}"), "^" + gives("team-50", "storage: 5")),
        catalog(gives("basic-plus", "users: 6"), "^" + gives("standard", "users: 5")),
        catalog(gives("basic", "users: 6"), "^" + gives("basic-plus", "users: 5")),
        catalog(gives("crm-ant", "users: 6"), "^" + gives("crm-bee", "users: 5")),
        catalog(gives("crm-ant", "users: 1"), gives("crm-bee", "users: 3"), "^" + gives("crm-cow", "users: 2")),
    ],
    "broken-ladder": [
        catalog(
            gives("low", "users: 5"),
            gives("high", "users: ^4"),
            more="ladders: [{id: l, plans: [low, high]}]\n",
        ),
        catalog(
            gives("low", "users: 5, support: email"),
            "id: high, kind: plan, entitlements: ^{support: phone}",
            more="ladders: [{id: l, plans: [low, high]}]\n",
        ),
    ],
    "feature-not-given": [
        catalog(features=feature("^{id: unused, type: switch}")),
        catalog(gives("plan", "unused: 0"), features=feature("^{id: unused, type: quantity}")),
    ],
    "add-on-not-sellable": [
        catalog(
            gives("old", "users: 1", rest=", status: archived"),
            gives("plan", "users: 2"),
            "^" + gives("more", "sso: true", "addon", ", available_for: [old]"),
        ),
        catalog(
            gives("plan", "users: 1", rest=", rollouts: [{version: 1, from: 2030-01-01}]"),
            versions("gone", "{users: 2}", rest=", rollouts: []"),
            "^" + gives("extra", "users: 5", "addon", ", available_for: [gone]"),
        ),
        catalog(
            gives("plan", "users: 1"),
            gives("needed", "users: 3", "addon", ", rollouts: []"),
            "^" + gives("extra", "users: 5", "addon", ", depends_on: [needed]"),
        ),
        catalog(
            gives("plan", "users: 1"),
            "^" + gives("extra", "users: 5", "charge", ", excludes: [plan]"),
        ),
    ],
    "add-on-without-effect": [
        catalog(
            gives("plan", "sso: true, users: unlimited"), "^" + gives("extra", "sso: true, users: {add: 5}", "addon")
        ),
        catalog(gives("plan", "storage: 10"), "^" + gives("extra", "storage: 10", "addon")),
        catalog(gives("plan", "speed: 100"), "^" + gives("extra", "speed: {add: 10}", "addon")),
        catalog(gives("plan", "support: phone"), "^" + gives("extra", "support: chat", "addon")),
        catalog(
            gives("one", "users: unlimited"),
            gives("two", "users: 3"),
            "^" + gives("extra", "users: {add: 1}", "addon", ", available_for: [one, two]"),
        ),
    ],
    "gives-nothing": [
        catalog("^" + gives("plan", "")),
        catalog("^" + gives("plan", "sso: false, users: 0, storage: {add: 0}")),
    ],
    "ids-differ-by-case": [
        catalog(gives("Pro", "users: 3"), "^" + gives("pro", "users: 4")),
        catalog(features=FEATURES.replace("{id: sso", "{id: SSO, type: switch, status: draft}\n  - ^{id: sso")),
    ],
    "linked-limit-zero": [
        catalog(gives("plan", "sso: true, users: ^0")),
        catalog(gives("plan", "sso: true, users: {value: 0}").replace("{value: 0}", "^{value: 0}")),
        catalog(gives("extra", "sso: true, users: ^{add: 0}", "addon")),
    ],
    "linked-limit-missing": [catalog(gives("plan", "sso: ^true, storage: 5"))],
    "limit-below-minimum": [
        catalog(gives("plan", "exports: ^4"), features=feature("{id: exports, type: quantity, batch: {minimum: 5}}")),
    ],
    "batch-below-increment": [
        catalog(
            gives("plan", "exports: 9"),
            features=feature("^{id: exports, type: quantity, batch: {minimum: 5, increment: 3}}"),
        ),
    ],
    "cap-without-effect": [
        catalog(
            gives("plan", "exports: 9"),
            features=feature("^{id: exports, type: quantity, metered: {reset: day}, caps: {total: 5, per_user: 6}}"),
        ),
    ],
    "no-rollout-for-everybody": [
        catalog("^" + gives("plan", "users: 5", rest=", rollouts: []")),
        catalog("^" + gives("plan", "users: 5", rest=", rollouts: [{version: 1, audience: {tag: beta}}]")),
    ],
    "version-not-rolled-out": [
        catalog(versions("plan", "{users: 5}", "^{users: 6}", rest=", rollouts: [{version: 1}]")),
    ],
    "dead-rollout": [
        catalog("^" + versions("plan", "{users: 5}", "{users: 6}", rest=", rollouts: [{version: 1}, {version: 2}]")),
        catalog(
            "^"
            + versions(
                "plan",
                "{users: 5}",
                "{users: 6}",
                rest=", rollouts: [{version: 2, from: 2030-01-01, audience: {tag: beta}}, {version: 1}, "
                "{version: 2, from: 2029-01-01}]",
            )
        ),
    ],
    "share-of-nobody": [
        catalog(
            "^"
            + versions(
                "plan",
                "{users: 5}",
                "{users: 6}",
                rest=", rollouts: [{version: 1}, {version: 2, audience: {share: 0}}]",
            )
        ),
    ],
    "archived-feature-given": [
        catalog(
            versions("plan", "{users: 5}", "{old: ^true}"),
            features=feature("{id: old, type: switch, status: archived}"),
        ),
    ],
}


@pytest.mark.parametrize(("code", "text"), [(code, text) for code, texts in CASES.items() for text in texts])
def test_what_is_suspicious_is_found_at_its_place(code: str, text: str, tmp_path: Path) -> None:
    """Each finding is named once, where it stands."""
    clean, marks = unmark(text.replace("- {^", "- ^{"))
    expect([problem for problem in findings(tmp_path, clean) if problem.code == code], marks, code)


@pytest.mark.parametrize(
    "text",
    [
        catalog(),
        # A rising family, by name and by order, and one that lists its dearest first.
        catalog(gives("crm-basic", "users: 5"), gives("crm-pro", "users: 6")),
        catalog(gives("crm-ant", "users: 5"), gives("crm-bee", "users: 6")),
        catalog(gives("crm-ant", "users: 7"), gives("crm-bee", "users: 6"), gives("crm-cow", "users: 5")),
        # Not comparable, not related, of the same rank, of two years.
        catalog(gives("crm-basic", "users: 5, storage: 1"), gives("crm-pro", "users: 6")),
        catalog(gives("crm-basic", "storage: 1"), gives("crm-pro", "users: 6")),
        catalog(gives("apple", "users: 6"), gives("pear", "users: 5")),
        catalog(gives("gold", "users: 6"), gives("premium", "users: 5")),
        catalog(gives("crm-2023", "users: 6"), gives("crm-2024", "users: 5")),
        # Words that mean different things to different people, words of two scales.
        catalog(gives("pro", "users: 5"), gives("team", "users: 6"), gives("growth", "users: 4")),
        catalog(gives("crm-silver", "users: 6"), gives("crm-enterprise", "users: 5")),
        # What a ladder says counts more than what names say.
        catalog(gives("pro", "users: 5"), gives("basic", "users: 6"), more="ladders: [{id: l, plans: [pro, basic]}]\n"),
        # A flat number above one for each unit, each plan held once.
        catalog(
            gives("low", "users: 5"),
            gives("high", "users: {value: 50, per: subscription}"),
            more="ladders: [{id: l, plans: [low, high]}]\n",
        ),
        # One add-on for each plan; a plan and an add-on that give the same.
        catalog(
            gives("one", "users: 5"),
            gives("two", "users: 6"),
            gives("a", "users: 5", "addon", ", available_for: [one]"),
            gives("b", "users: 5", "addon", ", available_for: [two]"),
        ),
        # Add-ons that give something, if only to some of those who might buy them.
        catalog(gives("plan", "users: 5"), gives("extra", "users: 3", "addon")),
        catalog(gives("plan", "storage: 5"), gives("extra", "storage: {value: 3, per: unit}", "addon")),
        catalog(gives("one", "users: unlimited"), gives("two", "users: 3"), gives("extra", "users: {add: 1}", "addon")),
        # Without plans everything stands alone.
        catalog(gives("extra", "users: 3", "addon")),
        catalog("id: setup, kind: charge, entitlements: {}", gives("extra", "users: 3", "charge")),
        # A charge for something that is no entitlement.
        catalog("id: setup, kind: charge, entitlements: {}"),
        # A draft waits for its items, an archived feature stays where it was.
        catalog(features=feature("{id: later, type: switch, status: draft}")),
        catalog(
            versions("plan", "{old: true}", "{old: true, users: 1}"),
            features=feature("{id: old, type: switch, status: archived}"),
        ),
        # A range whose values are added once for a subscription, or by add-ons alone.
        catalog(
            gives("plan", "r: {value: 5, per: subscription}"), features=feature("{id: r, type: range, combine: sum}")
        ),
        catalog(
            gives("plan", "users: 1"),
            gives("more", "r: 5", "addon"),
            features=feature("{id: r, type: range, combine: sum}"),
        ),
        # An archived add-on of an archived plan goes on for those who have it.
        catalog(
            gives("old", "users: 1", rest=", status: archived"),
            gives("plan", "users: 2"),
            gives("more", "sso: true", "addon", ", status: archived, available_for: [old]"),
        ),
        # More than the feature promises to everybody, or something else that cannot be compared.
        promising("{api: {availability: 99.99, latency_ms: 50, spent_by: degraded}}").replace("^", ""),
        promising("{api: {window: year, timezone: Europe/Berlin}}").replace("^", ""),
        # Plans that give the same, with different promises.
        catalog(
            gives("one", "api: true"),
            gives("two", "api: true", rest=", service_levels: {api: {availability: 99.99}}"),
            features=feature(PROMISED),
        ),
        # A limit beside its switch, or a switch that is off.
        catalog(gives("plan", "sso: true, users: 1")),
        catalog(gives("plan", "sso: false, users: 0, storage: 1")),
        # Rollouts step by step.
        catalog(
            versions(
                "plan",
                "{users: 5}",
                "{users: 6}",
                rest=", rollouts: [{version: 1}, {version: 2, audience: {share: 10}}, {version: 2, from: 2030-01-01}]",
            )
        ),
    ],
)
def test_what_is_ordinary_is_not_found(text: str, tmp_path: Path) -> None:
    """A catalog as people mean it has no findings."""
    assert [str(problem) for problem in findings(tmp_path, text)] == []


def test_the_order_of_the_alphabet_says_nothing(tmp_path: Path) -> None:
    """A file that a program wrote, sorted by id, does not say which plan is dearer."""
    text = catalog(gives("crm-ant", "users: 6"), gives("crm-bee", "users: 5")).replace("id: fee", "id: a-fee")
    assert findings(tmp_path, text) == []


def test_findings_are_warnings_in_order(tmp_path: Path) -> None:
    """They are problems like others, but none that stops the work."""
    found = findings(tmp_path, catalog(gives("b", ""), gives("a", ""), features=feature("{id: x, type: switch}")))
    assert [(problem.line, problem.code, problem.severity) for problem in found] == [
        (8, "feature-not-given", "warning"),
        (11, "gives-nothing", "warning"),
        (12, "gives-nothing", "warning"),
    ]


def test_every_code_has_a_case() -> None:
    """No finding goes untested."""
    assert CASES.keys() == CODES.keys()


def test_every_code_is_documented() -> None:
    """The page has a heading for each code, in alphabetical order, with the words that the code has here."""
    text = PAGE.read_text(encoding="utf-8")
    headings = re.findall(r"^### `([a-z-]+)`\n\n(\S.*)$", text, re.MULTILINE)
    known = CODES | SUBJECT_CODES | RULE_CODES
    assert [code for code, _ in headings] == sorted(known)
    for code, first in headings:
        assert first.lower().startswith(known[code].lower()), code
