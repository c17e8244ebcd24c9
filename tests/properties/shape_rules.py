"""Random users' rules with every operator of Cedar, for what reads conditions: some err, overflow or never hold.

Written to be evaluated, not to be accepted: the compiler would refuse those that may fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.properties.choices import Choices, random_strategy
from tests.properties.rules import ACTIONS, ANYWHERE, IN_TIME, READS, item_conditions, scope

if TYPE_CHECKING:
    from tests.properties.documents import Document

OPERATORS = (
    *ANYWHERE,
    'principal.tags.containsAll(["eu", "pilot"])',
    'principal.tags.containsAny(["eu"]) == principal.tags.isEmpty()',
    'principal.tags == ["eu"]',
    "principal.tags.isEmpty()",
    'principal.tags.contains(principal.getTag("region"))',  # errs without the attribute
    '["eu", "us"].contains(principal.getTag("region"))',
    'principal has customer && principal.hasTag("region")',
    'principal.hasTag("region") && principal.getTag("region") like "*u*"',
    'principal.customer like "a*e" || principal.customer like "acme"',
    '"acme" != principal.customer',
    'principal in [Customer::"acme", User::"bob"]',
    'principal is User in Customer::"acme"',
    'principal == Customer::"acme"',
    'principal != User::"bob"',
    'Customer::"acme".customer == "acme"',  # errs where acme is not asked about
    'if principal is User then principal.tags.contains("eu") else context.held',
    'if principal.hasTag("region") then context.live else principal.getTag("region") == "eu"',
    "context.held == context.given",
    "(context.held == true) != context.live",
    "{a: context.held, b: [1]} == {a: true, b: [1]}",
    "[context.held, context.given].contains(false)",
    "context has userCap || context has limit || context has nothing",
    "context has userCap.limit && context.userCap.limit > 5",
    "context has limit && context.limit >= 30",
    "context has soft && (context.soft || context.ceiling - context.allowance > 5)",
    "context has draws && context.draws.used + context.draws.amount < 20",
    "context.draws.ceiling > 30",  # errs for features that draw on nothing
    'context has resetsAt && context.resetsAt < datetime("2026-03-01")',
    'context.resetsAt > datetime("2026-03-01")',  # errs where no window ends
    "context.limit < 30",  # errs for actions without it
    "context has amount && -context.amount < -3",
    "context has used && context.used - context.amount * 2 > 10",
    "context has value && [10, 30, 50].contains(context.value)",
    "context has rank && (if context.rank > 1 then 2 else 1) == context.rank",
    'context.limit == "30"',
    'resource.unit like "*" && resource.scale > 0',
    "resource is Feature",
    'resource == Feature::"none" || resource in [Tag::"reports", Tag::"beta"]',
    'decimal("1.5").lessThan(decimal("2.5"))',
    'ip("10.0.0.1").isInRange(ip("10.0.0.0/8")) && context.live',
    'decimal(principal.getTag("size")).lessThan(decimal("2.5"))',
    'principal.hasTag("size") && ip(principal.getTag("size")).isLoopback()',
    "!context.held && !(context.overridden || context.given)",
    'action == Action::"use" || action in [Action::"set"]',
    'context.status == "down"',
    '["partial", "degraded"].contains(context.status) && context.live',
    'context has status && context.status like "*d*"',
    'if context.status == "operational" then context.held else context.status != "maintenance"',
    'principal.hasTag("region") && context.status == principal.getTag("region")',
)
TIMED = (
    *IN_TIME,
    "[6, 7].contains(context.weekday)",
    'context.now >= datetime("2026-02-01") && context.now < datetime("2026-05-01T00:00:00.000+0100")',
    'context.now.toTime() < duration("9h")',
    'context.now.offset(duration("-1d12h")).toDate() == datetime("2026-03-01")',
    'context.now.durationSince(datetime("2026-03-01T00:00:00Z")).toDays() > 30',
    "context.now.toTime().toHours() == 0",
    'datetime("2026-03-01") == context.now || context.now.durationSince(context.now) == duration("0ms")',
    'context.now.offset(duration("9223372036854775807ms")) > datetime("2026-03-01")',  # overflows
    "context has now && context == context",
    'context.now < 3 || context.now == "now"',
)


def rule(choose: Choices, catalog: Document, known: Document) -> str:
    """One rule without its id, mostly for whoever asks, so that it is evaluated."""
    action = choose.one([None, None, None, *ACTIONS])
    tests = [*OPERATORS, *item_conditions(catalog), *(READS[action] * 3 if action else ())]
    tests += list(TIMED if choose.number(0, 2) == 2 else ())
    condition = ""
    for _ in range(choose.number(1, 3)):
        test = choose.one(tests)
        if choose.number(0, 1):
            test = (
                f"{choose.one(['context.held', 'context.live', '!context.held'])} {choose.one(['&&', '||'])} ({test})"
            )
        condition += f" {choose.one(['when', 'when', 'unless'])} {{ {test} }}"
    where = scope(choose, catalog, known, action) if choose.number(0, 2) == 2 else "principal, action, resource"
    return f"{choose.one(['permit', 'forbid'])} ({where}){condition};"


def files(choose: Choices, catalog: Document, known: Document) -> dict[str, str]:
    """A file of rules, each with an id of its own."""
    listed = [rule(choose, catalog, known) for _ in range(choose.number(1, 6))]
    return {"house": "\n".join(f'@id("r{place}")\n{text}' for place, text in enumerate(listed))}


shape_rule_files = random_strategy(files)
"""A file of rules for a world."""
