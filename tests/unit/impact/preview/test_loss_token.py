"""The token of a loss: the same for the same loss, another one for every other."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tiergate.admin.loss_gate import parse_loss_token
from tiergate.errors import BodyError
from tiergate.impact.preview.loss_token import (
    Loss,
    LossAccumulator,
    customer_count,
    is_loss_token,
    loss_token,
    losses_of,
)
from tiergate.impact.preview.subject_effects import Effect, LeastCheckResult, SubjectEffect
from tiergate.model import Reason, Subject, SubjectType

LOSS = Loss(Subject("acme"), "movies", Effect.LESS, None, 50, 30)


def summed(*customers: tuple[str, Loss], basis: tuple[str, ...] = ()) -> str:
    """The token of losses, each of a customer."""
    found = LossAccumulator()
    for customer, loss in customers:
        found.add(customer, [loss])
    return found.token(basis)


def test_a_token_says_how_many_customers_lose_something() -> None:
    """People who read a log see the size of what was accepted."""
    token = summed(("acme", LOSS), ("initech", LOSS))
    assert is_loss_token(token)
    assert customer_count(token) == 2


def test_the_order_in_which_losses_are_found_does_not_matter() -> None:
    """Databases order customers differently."""
    other = LOSS._replace(subject=Subject("initech"))
    assert summed(("acme", LOSS), ("initech", other)) == summed(("initech", other), ("acme", LOSS))


def test_one_number_has_one_token_in_whatever_form_it_comes() -> None:
    """A process that read JSON has decimals where another has integers."""
    assert loss_token("acme", [LOSS]) == loss_token("acme", [LOSS._replace(before=Decimal("50.0"))])


@pytest.mark.parametrize(
    "other",
    [
        LOSS._replace(subject=Subject("acme", SubjectType.SUBSCRIPTION)),
        LOSS._replace(subject=Subject("initech")),
        LOSS._replace(feature="seats"),
        LOSS._replace(effect=Effect.LOSES),
        LOSS._replace(since=1_800_000_000_000),
        LOSS._replace(before=60),
        LOSS._replace(after=29),
        LOSS._replace(after=None),
        LOSS._replace(after="30"),
        LOSS._replace(after=True),
    ],
)
def test_every_other_loss_has_another_token(other: Loss) -> None:
    """Of another subject, feature, direction, instant or size."""
    assert loss_token("acme", [other]) != loss_token("acme", [LOSS])


def test_more_and_fewer_losses_have_other_tokens() -> None:
    """A token accepts neither a larger loss nor one that somebody else has."""
    both = summed(("acme", LOSS), ("initech", LOSS))
    assert len({both, summed(("acme", LOSS)), summed(("initech", LOSS)), summed(("acme", LOSS), ("acme", LOSS))}) == 4


def test_what_values_do_not_show_is_part_of_the_token() -> None:
    """A rule that takes more than the one that was shown takes something else."""
    assert summed(("acme", LOSS), basis=("rule 1",)) != summed(("acme", LOSS), basis=("rule 2",))


def test_where_nothing_is_lost_there_is_no_token() -> None:
    """Neither of no customer, nor of one that loses nothing."""
    assert LossAccumulator().token() == loss_token("acme", []) == ""


def test_what_begins_at_once_has_no_instant() -> None:
    """So the token is the same a minute later; what begins in the future keeps its instant."""

    def effect(since: int) -> SubjectEffect:
        before, after = LeastCheckResult(True, Reason.GRANTED, 5), LeastCheckResult(False, Reason.NOT_ENTITLED, None)
        return SubjectEffect("acme", Subject("acme"), "movies", Effect.LOSES, since, before, after)

    assert losses_of([effect(1000)], 1000) == losses_of([effect(61_000)], 61_000)
    assert losses_of([effect(70_000)], 1000) == losses_of([effect(70_000)], 61_000)
    assert losses_of([effect(1000)], 1000) != losses_of([effect(70_000)], 1000)


@pytest.mark.parametrize("value", [True, "", "true", "yes", "loss-0-" + 32 * "0", "loss-1-" + 31 * "0", "Loss-1"])
def test_a_plain_yes_accepts_nothing(value: str | bool) -> None:
    """The refusal says where the token is."""
    with pytest.raises(BodyError) as caught:
        parse_loss_token(value)
    assert [(it.pointer, it.code) for it in caught.value.problems] == [("/accept_loss", "wrong-value")]
    assert "customers-would-lose" in caught.value.problems[0].detail


def test_a_token_is_taken_as_it_is_and_false_as_none() -> None:
    """Programs may say that they accept nothing."""
    assert parse_loss_token(loss_token("acme", [LOSS])) == loss_token("acme", [LOSS])
    assert parse_loss_token(False) == ""
