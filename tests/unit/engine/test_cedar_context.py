from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.unit.engine.small import ACME, NOW, bundle, check, record, subscription
from tiergate.engine.active_items import resolve_active_items
from tiergate.engine.cedar_context import CONTEXT_FUNCTIONS, context_json, context_terms, weekday
from tiergate.engine.facts import resolve_facts
from tiergate.engine.normalized_check import normalize_check
from tiergate.model import Check, Instant, MeteredUsage, parse_instant

DAY = 86_400_000


def context(of: Check, usage: MeteredUsage | None = None, *, time: bool = False, now: Instant = NOW) -> dict[str, Any]:
    """The context of a check by the customer of `gold`."""
    compiled = bundle()
    feature, question = normalize_check(of, compiled.index.features)
    facts = resolve_facts(
        feature, resolve_active_items(record(subscription("gold")), ACME, compiled.index, now), ACME, compiled, now
    )
    found: dict[str, Any] = json.loads(
        context_json(facts, question, usage or MeteredUsage(), now, time=time, status=time)
    )
    return found


COMMON = {
    "active": True,
    "suspended": False,
    "live": True,
    "held": True,
    "given": True,
    "overridden": False,
    "disabled": False,
}


def test_a_switch_has_what_all_types_have() -> None:
    """The facts, and no more."""
    assert context(check("analytics")) == COMMON


def test_a_quantity_has_its_numbers_in_units() -> None:
    """Limit, usage, amount and the batch: what is left of the amount after whole increments."""
    assert context(check("storage", amount=2, used=3)) == COMMON | {
        "limit": 10_000,
        "allowance": 10_000,
        "ceiling": 10_000,
        "soft": False,
        "unlimited": False,
        "used": 3_000,
        "amount": 2_000,
        "minimum": 1_000,
        "remainder": 0,
    }
    assert context(check("storage", amount=Decimal("1.7")))["remainder"] == 200


def test_a_quantity_without_a_batch_takes_any_amount() -> None:
    """The least amount is one unit, and nothing is left over."""
    found = context(check("movies", amount=7))
    assert (found["minimum"], found["remainder"]) == (1, 0)


def test_usage_is_what_the_check_says_else_what_is_metered() -> None:
    """Zero, said, is not the same as not said."""
    usage = MeteredUsage(used=5, user_used=2, total_used=7)
    assert context(check("movies"), usage)["used"] == 5
    assert context(check("movies", used=0), usage)["used"] == 0


def test_caps_are_there_where_the_feature_has_them() -> None:
    """Of the user, as the check says it else as metered; of everybody, as metered."""
    usage = MeteredUsage(used=5, user_used=2, total_used=7)
    found = context(check("seats"), usage)
    assert (found["userCap"], found["totalCap"]) == ({"limit": 3, "used": 2}, {"limit": 8, "used": 7})
    assert context(check("seats", user_used=0), usage)["userCap"] == {"limit": 3, "used": 0}
    assert not context(check("movies")).keys() & {"userCap", "totalCap"}


def test_a_range_has_its_limit_and_the_value_asked_for() -> None:
    """In units."""
    assert context(check("api-limit", value=900)) == COMMON | {"limit": 800, "unlimited": False, "value": 900}


def test_a_custom_feature_has_ranks() -> None:
    """Of the level asked for and of the one held."""
    assert context(check("support", level="phone")) == COMMON | {"rank": 3, "heldRank": 2}


def test_time_is_there_when_it_is_asked_for() -> None:
    """To the millisecond, with the day of the week."""
    found = context(check("analytics"), time=True, now=parse_instant("2026-11-21T23:59:59.999Z"))
    datetime = {"__extn": {"fn": "datetime", "arg": "2026-11-21T23:59:59.999Z"}}
    assert found == COMMON | {"now": datetime, "weekday": 6, "status": "operational"}


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("1970-01-01T00:00:00Z", 4),
        ("1969-12-31T23:59:59.999Z", 3),
        ("2026-11-22T23:59:59.999Z", 7),
        ("2026-11-23T00:00:00Z", 1),
    ],
)
def test_days_of_the_week_change_at_midnight_in_utc(text: str, day: int) -> None:
    """1 is Monday, 7 Sunday."""
    assert weekday(parse_instant(text)) == day
    assert weekday(parse_instant(text) + 7 * DAY) == day


@pytest.mark.parametrize(
    "of",
    [
        check("analytics"), check("support", level="phone"), check("api-limit", value=300), check("movies", used=3),
        check("storage", amount=Decimal("1.7")), check("seats", amount=2, used=1, user_used=1), check("seats"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("time", [False, True])
def test_the_terms_are_the_values_of_the_context(of: Check, *, time: bool) -> None:
    """The same names, and the same values."""
    compiled, usage = bundle(), MeteredUsage(7, 2, 5)
    feature, question = normalize_check(of, compiled.index.features)
    if feature.metered is not None:
        usage = MeteredUsage(7, 2, 5, 3, window_end=NOW + 1)
    items = resolve_active_items(record(subscription("gold")), ACME, compiled.index, NOW)
    facts = resolve_facts(feature, items, ACME, compiled, NOW)
    scope = {"facts": facts, "question": question, "usage": usage, "now": NOW, **CONTEXT_FUNCTIONS}
    terms = {
        name: eval(term.expression, {}, scope) for name, term in context_terms(feature, time=time, status=time).items()
    }
    terms = {name: value for name, value in terms.items() if value is not None}
    expected: dict[str, Any] = {}
    for name, value in context(of, usage, time=time).items():
        if name in ("now", "resetsAt"):
            expected[name] = parse_instant(value["__extn"]["arg"])
        elif isinstance(value, dict):
            expected |= {f"{name}.{part}": number for part, number in value.items()}
        else:
            expected[name] = value
    assert terms == expected
