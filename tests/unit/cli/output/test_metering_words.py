from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tiergate.catalog.entries.metering import METERED_KEYS
from tiergate.cli.output.metering_words import describe_amount, describe_metering

TWO_WEEKS = {"every": 2, "of": "week"}


@pytest.mark.parametrize(
    ("path", "before", "after", "line"),
    [
        ("metered", None, {"reset": "month"}, "usage is counted: no → resets every month"),
        (
            "metered",
            {"reset": TWO_WEEKS, "limit": "soft", "overage_max": 20, "rollover": {"max": 5}},
            None,
            (
                "usage is counted: resets every 2 weeks, use above the limit: allowed, most above the limit: 20, "
                "carried over to the next window: at most 5 → no"
            ),
        ),
        ("metered/reset", "month", TWO_WEEKS, "usage resets: every month → every 2 weeks"),
        ("metered/reset", "never", "day", "usage resets: never → every day"),
        ("metered/reset/every", 2, 3, "usage resets every: 2 → 3"),
        ("metered/anchor", None, "first_use", "windows are counted from: the calendar → the first use"),
        ("metered/timezone", "Europe/Berlin", None, "time zone: Europe/Berlin → UTC"),
        ("metered/limit", None, "soft", "use above the limit: denied → allowed"),
        ("metered/overage_max", None, Decimal("2.5"), "most above the limit: any amount → 2.5"),
        ("metered/rollover", None, {"max": 5}, "carried over to the next window: nothing → at most 5"),
        ("metered/rollover/max", 5, 6, "carried over to the next window: at most 5 → at most 6"),
        ("metered/late", None, "1 hour", "late usage is accepted for: 3 days → 1 hour"),
        ("metered/spend", None, "grants_first", "used up first: the allowance → grants"),
        ("metered/offline", "deny", None, "use without the control plane: denied → as the limit says"),
        ("draws", None, {"from": "credits", "cost": 3}, "each unit draws: nothing → 3 of credits"),
        ("draws/from", "credits", "points", "draws on: credits → points"),
        ("draws/cost", 3, Decimal("0.5"), "each unit costs: 3 → 0.5"),
    ],
)
def test_a_setting_is_told_in_words(path: str, before: object, after: object, line: str) -> None:
    """A missing one as what holds without it."""
    assert describe_metering(path, before, after) == line


@pytest.mark.parametrize("key", sorted(METERED_KEYS))
def test_every_setting_has_words(key: str) -> None:
    """Whatever a file may say of metering, alone and with the others."""
    samples: dict[str, Any] = {
        "reset": "day", "anchor": "calendar", "timezone": "UTC", "limit": "hard", "overage_max": 1,
        "rollover": {"max": 1}, "late": "1 day", "spend": "allowance_first", "offline": "deny",
        "thresholds": ["80%"],
    }  # fmt: skip
    assert describe_metering(f"metered/{key}", samples[key], samples[key])
    assert describe_metering("metered", None, samples)


@pytest.mark.parametrize("path", ["name", "caps/total", "max", "meteredly"])
def test_other_fields_are_left_to_others(path: str) -> None:
    """They are shown as they are written."""
    assert describe_metering(path, None, 1) is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"value": 100, "limit": "soft"}, "100, soft limit"),
        ({"value": 100, "per": "unit", "limit": "hard"}, "100 per unit, hard limit"),
        ({"value": 100, "limit": "soft", "overage_max": 20}, "100, soft limit, at most 20 above"),
        ({"value": 100, "per": "unit"}, None),
        ({"limit": "soft", "other": 1}, None),
        (100, None),
        ("soft", None),
    ],
)
def test_an_amount_with_a_limit_of_its_own_is_told_in_words(value: object, words: str | None) -> None:
    """Other values are not."""
    assert describe_amount(value) == words
