from __future__ import annotations

import pytest

from tiergate.model import BEGINNING, Audience, AudienceType, Rollout
from tiergate.publish.rollouts import CLOCK_MARGIN, RolloutTarget, find_narrowed, prune_rollouts, reachable_versions

NOW = 1_800_000_000_000
LONG_AGO = NOW - 10 * CLOCK_MARGIN


def share(percent: int) -> Audience:
    """A share of the customers."""
    return Audience(AudienceType.SHARE, share=100 * percent)


def tag(name: str) -> Audience:
    """The customers with a tag."""
    return Audience(AudienceType.TAG, tag=name)


NEW = Audience(AudienceType.NEW)
OLD = Rollout(1)


@pytest.mark.parametrize(
    ("rollouts", "left"),
    [
        ([OLD, Rollout(2)], [Rollout(2)]),
        ([OLD, Rollout(2, LONG_AGO)], [Rollout(2, LONG_AGO)]),
        ([OLD, Rollout(2, NOW)], [OLD, Rollout(2, NOW)]),
        ([OLD, Rollout(2, NOW + 1)], [OLD, Rollout(2, NOW + 1)]),
        ([OLD, Rollout(2, BEGINNING, share(10))], [OLD, Rollout(2, BEGINNING, share(10))]),
        ([OLD, Rollout(2, BEGINNING, share(10)), Rollout(3, BEGINNING, share(9))], None),
        (
            [OLD, Rollout(2, BEGINNING, share(10)), Rollout(3, BEGINNING, share(10))],
            [OLD, Rollout(3, BEGINNING, share(10))],
        ),
        ([OLD, Rollout(2, BEGINNING, share(100))], [Rollout(2, BEGINNING, share(100))]),
        ([Rollout(2, BEGINNING, share(0)), OLD], [OLD]),
        ([OLD, Rollout(2, BEGINNING, tag("a")), Rollout(3, BEGINNING, tag("b"))], None),
        (
            [OLD, Rollout(2, LONG_AGO, NEW), Rollout(3, LONG_AGO - 1, NEW)],
            [OLD, Rollout(3, LONG_AGO - 1, NEW)],
        ),
        ([OLD, Rollout(2, LONG_AGO, NEW), Rollout(3, LONG_AGO + 1, NEW)], None),
    ],
)
def test_what_can_never_decide_any_more_is_pruned(rollouts: list[Rollout], left: list[Rollout] | None) -> None:
    """An entry goes once a later one has held for all of its audience for a while; nothing else does."""
    assert prune_rollouts(rollouts, NOW) == tuple(rollouts if left is None else left)


@pytest.mark.parametrize(
    ("old", "new", "lost"),
    [
        ([OLD], [Rollout(2)], []),
        ([Rollout(2)], [OLD], [Rollout(2)]),
        ([OLD, Rollout(2, BEGINNING, share(10))], [OLD, Rollout(2, BEGINNING, share(25))], []),
        ([OLD, Rollout(2, BEGINNING, share(25))], [OLD, Rollout(2, BEGINNING, share(10))], [1]),
        ([OLD, Rollout(2, BEGINNING, share(25))], [OLD, Rollout(2, BEGINNING, tag("a"))], [1]),
        ([OLD, Rollout(2, BEGINNING, tag("a"))], [OLD, Rollout(2)], []),
        ([OLD, Rollout(2, NOW)], [OLD, Rollout(2, NOW + 1)], [1]),
        ([OLD, Rollout(2, NOW + 5)], [OLD, Rollout(2, NOW)], []),
        ([Rollout(2)], [Rollout(2), Rollout(1, BEGINNING, share(1))], [0]),
        ([OLD, Rollout(2, LONG_AGO, NEW)], [OLD, Rollout(2, LONG_AGO - 1, NEW)], []),
        ([OLD], [], [0]),
    ],
)
def test_whoever_loses_a_version_is_seen(old: list[Rollout], new: list[Rollout], lost: list[object]) -> None:
    """Widening keeps members; what takes a version away from some is told by its entry."""
    assert find_narrowed(old, new, NOW) == [old[it] if isinstance(it, int) else it for it in lost]


def test_a_launch_begins_at_once_unless_it_is_for_new_ones() -> None:
    """For everybody no clock matters; those added from now on are those added since now."""
    assert RolloutTarget().rollout(3, NOW) == Rollout(3)
    assert RolloutTarget(NEW).rollout(3, NOW) == Rollout(3, NOW, NEW)
    assert RolloutTarget(share(5), NOW + 9).rollout(3, NOW) == Rollout(3, NOW + 9, share(5))


def test_what_rollouts_and_pins_name_is_reachable() -> None:
    """Now or in the future."""
    assert reachable_versions([OLD, Rollout(4, NOW + 1)], [2]) == {1, 2, 4}
