"""What conditions of rules read: what can be decided at every boundary, and what cannot."""

from __future__ import annotations

import pytest

from tiergate.cedar import parse_policies
from tiergate.impact.readings import Reading, read
from tiergate.model import parse_instant


def reading(condition: str) -> Reading:
    """What one condition reads."""
    (policy,) = parse_policies(f'@id("a") forbid (principal, action, resource) when {{ {condition} }};')
    return read(policy)


@pytest.mark.parametrize(
    ("condition", "numbers"),
    [
        ("context.amount > 3", {"amount": {3}}),
        ("!(5 <= context.used) || context.value == 7", {"used": {5}, "value": {7}}),
        ("context.used + context.amount >= 100 && context.rank != 2", {"together": {100}, "rank": {2}}),
        ("principal is User && true", {}),
    ],
)
def test_comparisons_with_numbers_are_understood(condition: str, numbers: dict[str, set[int]]) -> None:
    """However they are joined, and whichever side the number is on."""
    found = reading(condition)
    assert (found.numbers, found.obstacles) == (numbers, [])


def test_an_instant_is_a_boundary() -> None:
    """As an offset or in UTC."""
    found = reading('context.now < datetime("2026-04-01T00:00:00Z")')
    assert (found.instants, found.obstacles) == ({parse_instant("2026-04-01T00:00:00Z")}, [])


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("context.held", "reads `context.held`"),
        ("context.used + context.amount <= context.limit + 10", "reads `context.used`"),
        ("context.weekday > 5", "reads `context.weekday`"),
        ('principal.tags.contains("eu")', "reads the tags of the subject"),
        ('principal.hasTag("region")', "reads attributes of the subject, or what an item gives"),
        ('User::"bob" == principal', 'tests for `User::"bob"`'),
        ("resource.scale > 1", "reads `resource.scale`"),
        ("if true then true else false", "has a condition that is not only a comparison with a number"),
    ],
)
def test_whatever_else_is_read_is_an_obstacle(condition: str, why: str) -> None:
    """And it is said which."""
    assert reading(condition).obstacles == [why]


def test_texts_and_attributes_are_collected_to_be_tried() -> None:
    """Wherever they stand."""
    found = reading('principal.hasTag("region") && ["eu", "us"].contains(principal.getTag("region"))')
    assert (found.keys, found.texts) == ({"region"}, {"region", "eu", "us"})
