"""Rules compared: whatever is said to be the same is the same in every check of a grid, and what is shown is so.

The grid is finer than the numbers, texts and instants that the rules compare with, and is decided by two engines.
"""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING, Any

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from tests.properties.choices import Choices, Seeded
from tests.properties.engines import Subjects, World
from tiergate.cli.output.diff_json import diff_json
from tiergate.engine import Evaluator
from tiergate.engine.feature_status import FeatureStatuses, fixed_status
from tiergate.engine.fixed_sources import FixedUsage
from tiergate.impact.diff.semantic_diff import compare_bundles
from tiergate.model import (
    FOREVER,
    Amount,
    Check,
    Customer,
    Level,
    MeteredUsage,
    Override,
    OverrideMode,
    Status,
    Subject,
    SubjectRecord,
    SubjectType,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
    Suspension,
    Switch,
    parse_instant,
)
from tiergate.model.values import UNLIMITED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.properties.documents import Document
    from tiergate.impact.diff.diff_result import SemanticDiff
    from tiergate.model import Instant

NOW = parse_instant("2026-11-27T09:59:59Z")
"""A Friday."""
INSTANTS = [
    parse_instant(it)
    for it in (
        "2026-11-27T09:59:59Z",
        "2026-11-27T10:00:00Z",
        "2026-11-28T03:00:00Z",
        "2026-11-29T12:30:00Z",
        "2026-11-30T23:59:59.999Z",
        "2026-12-31T23:59:59.999Z",
        "2027-01-01T00:00:00Z",
        "2027-01-06T10:00:00Z",
    )
]
CATALOG: Document = {
    "apiVersion": "tiergate/v1",
    "features": [
        {"id": "exports", "type": "quantity", "tags": ["data"]},
        {"id": "rate", "type": "range", "max": 20},
        {"id": "support", "type": "custom", "levels": ["email", "chat", "phone"]},
        {"id": "sso", "type": "switch", "tags": ["data"]},
        {"id": "calls", "type": "quantity", "metered": {"reset": "month", "limit": "soft", "overage_max": 4}},
    ],
    "items": [
        {
            "id": "team",
            "kind": "plan",
            "entitlements": {"exports": 9, "rate": 12, "support": "chat", "sso": True, "calls": 9},
        },
        {"id": "free", "kind": "plan", "entitlements": {"exports": 0}},
    ],
}
NOBODY: Document = {"apiVersion": "tiergate/v1", "customers": [], "subscriptions": []}
ACTIONS = {"exports": "consume", "rate": "set", "support": "choose", "sso": "use", "calls": "consume"}
OPERATORS = ("==", "!=", "<", "<=", ">", ">=")


def numbers(choose: Choices, feature: str) -> str:
    """A comparison of numbers of the context."""
    op, number = choose.one(OPERATORS), choose.number(0, 12)
    match feature:
        case "exports" | "calls":
            left = choose.one(
                ["context.used", "context.amount", "context.used + context.amount", "context.limit",
                 "context.limit - 3", "context.used * 2", "context.used - context.amount"]
            )  # fmt: skip
            right = choose.one([str(number), str(number), f"context.limit + {number}", f"{number} - context.amount"])
            return f"{left} {op} {right}"
        case "rate":
            return f"context.value {op} {choose.one([str(number), f'context.limit - {number}'])}"
        case "support":
            return choose.one([f"context.rank {op} {number % 4}", "context.rank < context.heldRank"])
        case _:
            return "context.given"


def of_reset(choose: Choices) -> str:
    """A comparison of when usage resets."""
    op = choose.one(["<", "<=", ">", ">="])
    until = "context.resetsAt.durationSince(context.now)"
    compared = choose.one(
        [
            f'{until} {op} duration("{choose.one(["2h", "1d", "14d"])}")',
            f"{until}.toHours() {op} {choose.number(1, 12)} ",
            f'context.resetsAt {op} datetime("{choose.one(["2027-01-01", "2026-12-01"])}")',
            f'context.resetsAt.toDate() {op} datetime("2026-12-01")',
            f"context.resetsAt {op} context.now",
            f'context.now.offset(duration("2d")) {op} context.resetsAt',
        ]
    )
    return choose.one([f"context has resetsAt && {compared}", f"!(context has resetsAt) || {compared}", compared])


def of_status(choose: Choices) -> str:
    """A test of the status of the feature."""
    one, other = choose.one([*Status]), choose.one([*Status])
    return choose.one(
        [
            f'context.status == "{one}"',
            f'context.status != "{one}"',
            f'["{one}", "{other}"].contains(context.status)',
            f'context.status like "{choose.one(["d*", "*a*", "*n", "down", "*"])}"',
            'principal.hasTag("region") && context.status != principal.getTag("region")',
            'context has status && context.status == "unknown"',
        ]
    )


def atom(choose: Choices, feature: str) -> str:
    """A condition without connectives."""
    if choose.number(0, 6) == 0:
        return of_status(choose)
    if feature == "calls" and choose.number(0, 2):
        return of_reset(choose)
    return choose.one(
        [
            numbers(choose, feature),
            numbers(choose, feature),
            numbers(choose, feature),
            f'principal.tags.contains("{choose.one(["a", "b"])}")',
            'principal.tags.containsAll(["a", "b"])',
            'principal.tags.containsAny(["b", "c"])',
            'principal.hasTag("region")',
            f'principal.hasTag("region") && principal.getTag("region") {choose.one(["==", "!="])} "eu"',
            'principal.hasTag("region") && principal.getTag("region") like "e*"',
            f"context.weekday {choose.one(OPERATORS)} {choose.number(1, 7)}",
            f'context.now {choose.one(["<", ">="])} datetime("{choose.one(["2027-01-01", "2026-11-28T03:00:00Z"])}")',
            f'context.now.toTime() {choose.one(["<", ">="])} duration("{choose.one(["10h", "12h30m"])}")',
            "principal is User",
            f'principal == User::"{choose.one(["eve", "bob"])}"',
            f'principal in Customer::"{choose.one(["acme", "ben"])}"',
            f'principal.customer == "{choose.one(["acme", "ben"])}"',
            f'principal in Item::"plan/{choose.one(["team", "free"])}"',
            f"context.{choose.one(['held', 'given', 'live', 'overridden', 'suspended'])}",
        ]
    )


def condition(choose: Choices, feature: str, depth: int = 2) -> str:
    """A condition of one to four atoms."""
    if not depth or choose.number(0, 2) == 0:
        return f"({atom(choose, feature)})"
    one, other = condition(choose, feature, depth - 1), condition(choose, feature, depth - 1)
    return f"{choose.one(['', '', '!'])}({one} {choose.one(['&&', '||'])} {other})"


def rule(choose: Choices, feature: str) -> str:
    """A rule on one feature, or on all that carry its tag."""
    resource = choose.one([f'resource == Feature::"{feature}"', f'resource == Feature::"{feature}"'])
    effect, kind = choose.one(["forbid", "forbid", "permit"]), choose.one(["when", "when", "unless"])
    scope = choose.one(
        ["principal", "principal", "principal", 'principal in Item::"plan/team"', "principal is Customer"]
    )
    return (
        f'{effect} ({scope}, action == Action::"{ACTIONS[feature]}", {resource}) '
        f"{kind} {{ {condition(choose, feature)} }};"
    )


def changed(choose: Choices, text: str) -> str:
    """A rule otherwise: another number, tag, connective, or put in another way that may mean the same."""
    swaps = [
        ("&&", "||"), ("||", "&&"), (" >= ", " > "), (" < ", " <= "), ('"a"', '"b"'), ("forbid", "permit"),
        (" when ", " unless "), ('"eu"', '"us"'), ('like "e*"', '== "eu"'), ("team", "free"),
        *[(f" {it} ", f" {it + 1} ") for it in range(12)], *[(f" {it})", f" {it + 1})") for it in range(12)],
        ('principal.tags.containsAll(["a", "b"])', '(principal.tags.contains("b") && principal.tags.contains("a"))'),
        ('principal.tags.contains("a")', '(["a"].containsAny(principal.tags))'),
        ("context.used + context.amount > ", "context.amount > 0 - context.used + "),
        ('"down"', '"degraded"'), ('"partial"', '"down"'), ('like "down"', '== "down"'), ('like "d*"', 'like "do*"'),
        ('"1d"', '"24h"'), ('"14d"', '"1d"'), ("context has resetsAt && ", ""), ("2026-12-01", "2027-01-01"),
        ("context.resetsAt > ", 'context.resetsAt.offset(duration("0h")) > '),
        ("context.resetsAt >= ", "context.resetsAt > "),
    ]  # fmt: skip
    fitting = [it for it in swaps if it[0] in text] or [(" when ", " unless "), (" unless ", " when ")]
    before, after = choose.one(fitting)
    return text.replace(before, after, 1)


def pair(choose: Choices, feature: str = "") -> tuple[str, str]:
    """Two sets of rules, of which one or two rules differ; all on one feature, if it is given."""
    features = [feature or choose.one(["exports", "exports", "exports", "rate", "support", "sso"])] * choose.number(
        1, 3
    )
    old = [rule(choose, it) for it in features]
    new = list(old)
    for _ in range(choose.number(1, 2)):
        place = choose.number(0, len(new) - 1)
        new[place] = changed(choose, new[place])
    if choose.number(0, 9) == 0:
        new.append(rule(choose, features[0]))
    return tuple("\n".join(f'@id("r{place}") {it}' for place, it in enumerate(side)) for side in (old, new))  # type: ignore[return-value]


# ── the grid ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def records() -> Iterator[SubjectRecord]:
    """Customers with every combination of what rules read of them."""
    tags = [(), ("a",), ("b",), ("a", "b"), ("c",)]
    regions: list[dict[str, str]] = [{}, {"region": "eu"}, {"region": "us"}, {"region": "e9"}]
    holdings = [
        None,
        (),
        (SubscriptionItem("team"),),
        (SubscriptionItem("free"),),
        (SubscriptionItem("team", 2), SubscriptionItem("free")),
    ]
    extras: list[tuple[tuple[Override, ...], tuple[Suspension, ...]]] = [
        ((), ()),
        (tuple(Override(f"o{it}", it, OverrideMode.REPLACE, UNLIMITED) for it in ("exports", "rate")), ()),
        (
            (
                Override("o1", "exports", OverrideMode.REPLACE, Amount(4)),
                Override("o2", "support", OverrideMode.REPLACE, Level("phone")),
                Override("o3", "sso", OverrideMode.REPLACE, Switch(on=True)),
            ),
            (),
        ),
        ((), (Suspension("exports"),)),
    ]
    for name, its, region, held, (overrides, suspensions) in product(
        ("acme", "ben", "zoe"), tags, regions, holdings, extras
    ):
        subscriptions = () if held is None else (Subscription("sub", name, SubscriptionStatus.ACTIVE, held),)
        yield SubjectRecord(Customer(name, its, region, overrides, suspensions), subscriptions)


RECORDS = list(records())


def checks(choose: Choices, feature: str, count: int) -> Iterator[tuple[SubjectRecord, Check, Instant]]:
    """Checks of the grid."""
    for _ in range(count):
        record = choose.one(RECORDS)
        for check, at in checks_of(record, choose, feature, 1):
            yield record, check, at


def checks_of(record: SubjectRecord, choose: Choices, feature: str, count: int) -> Iterator[tuple[Check, Instant]]:
    """Checks of the grid about one customer."""
    for _ in range(count):
        kinds = [SubjectType.CUSTOMER, *([SubjectType.SUBSCRIPTION] if record.subscriptions else [])]
        kind = choose.one(kinds)
        user = choose.one([None, None, "eve", "bob", "nobody"])
        subject = Subject(record.customer.id if kind is SubjectType.CUSTOMER else "sub", kind, user)
        asked = {
            "exports": Check(subject, feature, amount=choose.number(1, 14), used=choose.number(0, 15)),
            "rate": Check(subject, feature, value=choose.number(0, 16)),
            "support": Check(subject, feature, level=choose.one(["email", "chat", "phone"])),
            "sso": Check(subject, feature),
            "calls": Check(subject, feature, amount=choose.number(1, 14), used=choose.number(0, 15)),
        }
        yield asked[feature], choose.one(INSTANTS)


METER = FixedUsage()
"""What all engines say was used."""

STATUSES = FeatureStatuses()
"""The reports that all engines know."""


def metered(made: World) -> Evaluator:
    """An engine that counts usage, and knows the status of features."""
    return Evaluator(made.bundle, Subjects(made.records), usage=METER, statuses=STATUSES)


def world(rules: str, catalog: Document = CATALOG) -> World:
    """The catalog with rules."""
    return World(catalog, NOBODY, {"law": rules})


def decided(
    engines: tuple[Evaluator, Evaluator],
    record: SubjectRecord,
    check: Check,
    at: Instant,
    resets_at: Instant = FOREVER,
    status: Status = Status.OPERATIONAL,
) -> list[tuple[bool, str]]:
    """What both sides say of a check."""
    found = []
    for engine in engines:
        METER.usage = MeteredUsage(window_end=resets_at)
        STATUSES.replace(fixed_status(check.feature, status, at))
        engine.subjects._source = Subjects({record.customer.id: record})
        for subject in (
            Subject(record.customer.id),
            *(Subject(it.id, SubjectType.SUBSCRIPTION) for it in record.subscriptions),
        ):
            engine.forget(subject)
        decision = engine.evaluate(check, at).decision
        found.append((decision.allowed, decision.reason.value))
    return found


def repeated(shown: dict[str, Any], feature: str) -> tuple[SubjectRecord, Check, Instant]:
    """A check as it is told to programs, and nothing else."""
    kinds = {"exports": Amount, "rate": Amount, "calls": Amount}

    def override(text: str) -> Override:
        mode, _, value = text.partition(" ")
        if mode == "disabled":
            return Override("again", feature, OverrideMode.DISABLED, None)
        if value == "unlimited":
            return Override("again", feature, OverrideMode(mode), UNLIMITED)
        made = (
            kinds[feature](int(value))
            if feature in kinds
            else Level(value)
            if feature == "support"
            else Switch(on=value == "on")
        )
        return Override("again", feature, OverrideMode(mode), made)

    def item(text: str) -> SubscriptionItem:
        count, _, name = text.rpartition(" ")
        id_, _, version = name.partition("@")
        return SubscriptionItem(id_, int(count or 1), int(version) if version else None)

    name, kind = shown["subject"], SubjectType(shown["type"])
    owner = name if kind is SubjectType.CUSTOMER else shown["customer"]
    subscriptions = tuple(
        Subscription(
            name if kind is SubjectType.SUBSCRIPTION else f"s{place}",
            owner,
            SubscriptionStatus.ACTIVE,
            tuple(item(it) for it in held if not it.startswith("override ")),
            overrides=tuple(override(it.removeprefix("override ")) for it in held if it.startswith("override ")),
        )
        for place, held in enumerate(shown.get("items", ()))
    )
    suspensions = (Suspension(feature),) if shown.get("suspended") else ()
    overrides = tuple(map(override, shown.get("overrides", ())))
    customer = Customer(owner, tuple(shown.get("tags", ())), shown.get("attributes", {}), overrides, suspensions)
    asked = {key: shown[key] for key in ("amount", "used", "user_used", "value", "level") if key in shown}
    check = Check(Subject(name, kind, shown.get("user")), feature, **asked)
    return SubjectRecord(customer, subscriptions), check, parse_instant(shown["at"])


def expect_shown(found: SemanticDiff, engines: tuple[Evaluator, Evaluator]) -> None:
    """Every difference's check shows it, as it is told."""
    for turn in json.loads(diff_json(found))["turns"]:
        record, check, at = repeated(turn["shown_by"], turn["feature"])
        told = turn["shown_by"].get("resets_at")
        status = Status(turn["shown_by"].get("status", "operational"))
        before, after = decided(engines, record, check, at, FOREVER if told is None else parse_instant(told), status)
        assert before == (turn["allowed_before"], turn["reason_before"]), turn
        assert after == (turn["allowed_after"], turn["reason_after"]), turn


@example(1)
@example(7858373)
@settings(max_examples=settings().max_examples)
@given(st.integers(0, 2**32))
def test_rules_that_are_said_to_be_the_same_are_so_in_every_check(seed: int) -> None:
    """Of whoever asks, whatever is asked, on any day; and each difference that is shown is one."""
    choose = Seeded(seed)
    old, new = pair(choose)
    worlds = world(old), world(new)
    found = compare_bundles(worlds[0].bundle, worlds[1].bundle, NOW)
    event("same" if found.is_same else "differs" if found.differs else "unproved")
    engines = metered(worlds[0]), metered(worlds[1])
    expect_shown(found, engines)
    told = {it.feature for it in found.turns} | {it.what for it in found.unproved}
    for feature in ACTIONS:
        if feature in told:
            continue
        count = 1500 if feature in old + new else 20
        for record, check, at in checks(choose, feature, count):
            status = choose.one([*Status])
            before, after = decided(engines, record, check, at, status=status)
            assert before == after, (old, new, record, check, at, status)


@settings(max_examples=settings().max_examples // 2)
@given(st.integers(0, 2**32))
def test_rules_that_read_when_usage_resets_are_compared(seed: int) -> None:
    """Whether that is known or not, an instant before it or half a year."""
    choose = Seeded(seed)
    old, new = pair(choose, "calls")
    worlds = world(old), world(new)
    found = compare_bundles(worlds[0].bundle, worlds[1].bundle, NOW)
    event("same" if found.is_same else "differs" if found.differs else "unproved")
    engines = metered(worlds[0]), metered(worlds[1])
    expect_shown(found, engines)
    if {it.feature for it in found.turns} | {it.what for it in found.unproved}:
        return
    ahead = [1, 3_600_000, 2 * 3_600_000, 86_400_000 - 1, 86_400_000, 172_800_000, 14 * 86_400_000, 180 * 86_400_000]
    for record, check, at in checks(choose, "calls", 1000):
        resets_at = choose.one([FOREVER, *(at + it for it in ahead), *(it for it in INSTANTS if it > at)])
        before, after = decided(engines, record, check, at, resets_at)
        assert before == after, (old, new, record, check, at, resets_at)
