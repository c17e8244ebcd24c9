from __future__ import annotations

from typing import Any

import pytest

from tests.unit.policies.requests import ACTIONS, ask
from tests.unit.policies.test_permits import LIMITS
from tiergate.cedar import builtin_text, parse_policies
from tiergate.model import Reason

BEYOND = {"consume": "reason/limit-reached", "set": "reason/out-of-range", "choose": "reason/level-too-low"}


def reasons(action: str, **facts: Any) -> tuple[str, ...]:  # noqa: ANN401 - facts of every type
    """Why a check is not permitted, as far as this set says."""
    outcome = ask("reasons", action, **facts)
    assert not outcome.errors
    return outcome.policies


@pytest.mark.parametrize(("action", "facts", "allowed"), LIMITS)
def test_what_is_beyond_the_limit_says_so(action: str, facts: dict[str, Any], allowed: bool) -> None:
    """There is a reason exactly where there is no permit."""
    assert reasons(action, **facts) == (() if allowed else (BEYOND[action],))


@pytest.mark.parametrize("action", ACTIONS)
def test_who_holds_nothing_is_not_entitled(action: str) -> None:
    """And only that, although nothing is also below what was asked for."""
    nothing = {"consume": {"limit": 0}, "set": {"limit": 0}, "choose": {"heldRank": 0}}.get(action, {})
    assert reasons(action, held=False, **nothing) == ("reason/not-entitled",)


def test_every_reason_is_one_of_the_closed_set() -> None:
    """Permits only: they allow nothing, because they are asked by themselves after a denial."""
    found = parse_policies(builtin_text("reasons"))
    assert {it.effect for it in found} == {"permit"}
    assert {Reason(it.annotations["reason"]) for it in found} == {
        Reason.NOT_ENTITLED,
        Reason.LIMIT_REACHED,
        Reason.OUT_OF_RANGE,
        Reason.LEVEL_TOO_LOW,
    }


def test_ids_of_the_policies_written_by_hand_are_all_different() -> None:
    """One id, one policy, in the decision and in the explanation."""
    ids = [it.id for name in ("guards", "overrides", "reasons") for it in parse_policies(builtin_text(name))]
    assert len(ids) == len(set(ids))
    assert all(ids)
