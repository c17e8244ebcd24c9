from __future__ import annotations

from tests.unit.engine.small import SUPPORT
from tiergate.cedar import CedarResult
from tiergate.engine.shapes.answer_table import Answer, AnswerTable, general_answer
from tiergate.engine.shapes.shape import Shape, shape_of
from tiergate.model import Reason

GIVERS = ("addon/extra@1", "plan/gold@3")
ANSWER = Answer(allowed=True, static=(), by_items=True, reason=Reason.GRANTED)


def shape() -> Shape:
    """An empty shape."""
    made = shape_of([], SUPPORT, time=False)
    assert made is not None
    return made


def test_the_permits_of_items_are_put_back_by_name() -> None:
    """Of whoever asks, among the other policies in their order."""
    result = CedarResult(allowed=True, policies=("addon/extra@1/a", "override/use", "plan/gold@3/a"), errors=())
    answer = general_answer(result, Reason.GRANTED, GIVERS, "a")
    assert answer == Answer(allowed=True, static=("override/use",), by_items=True, reason=Reason.GRANTED)
    assert answer.policies(GIVERS, "a") == result.policies
    assert answer.policies(("plan/base@1",), "b") == ("override/use", "plan/base@1/b")
    assert ANSWER.policies(("plan/base@1",), "b") == ("plan/base@1/b",)


def test_an_answer_that_other_checks_may_not_share_is_not_kept() -> None:
    """One with an error, and one in which not all permits of items decided."""
    failed = CedarResult(allowed=False, policies=(), errors=("overflow",))
    assert general_answer(failed, Reason.EVALUATION_ERROR, GIVERS, "a") is None
    apart = CedarResult(allowed=True, policies=("plan/gold@3/a",), errors=())
    assert general_answer(apart, Reason.GRANTED, GIVERS, "a") is None


def test_a_full_table_is_emptied() -> None:
    """By entries and by bytes."""
    one, other = shape(), shape()
    table = AnswerTable(2, 10_000)
    table.put(one, 1, ANSWER)
    table.put(other, 1, ANSWER)
    table.put(one, 2, ANSWER)
    assert (one.answers, other.answers, table.count) == ({2: ANSWER}, {}, 1)
    table.put(other, 1, ANSWER, 9_000)
    assert (len(one.answers), len(other.answers), table.count) == (1, 1, 2)
    table.put(other, 2, ANSWER, 20_000)
    assert table.count == 2
    empty = AnswerTable(0, 10_000)
    empty.put(one, 3, ANSWER)
    assert empty.count == 0


def test_answers_are_shed_in_steps() -> None:
    """Until none is left."""
    one, other = shape(), shape()
    table = AnswerTable(10, 10_000)
    for key in range(3):
        table.put(one, key, ANSWER)
        table.put(other, key, ANSWER)
    assert table.shed(4)
    assert table.count == len(one.answers) + len(other.answers) == 2
    assert not table.shed(4)
    assert (table.count, table.bytes) == (0, 0)
