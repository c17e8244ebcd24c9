from __future__ import annotations

from tiergate.usage.kept_answers import BLOCK_ANSWERS, AnswerPacker


def test_an_answer_is_read_as_it_was_kept() -> None:
    """Before and after its block is compressed, to which nothing is added then."""
    packer = AnswerPacker()
    answers = [b'{"used": %d}' % number for number in range(2 * BLOCK_ANSWERS + 1)]
    kept = [packer.keep(answer) for answer in answers]
    assert [it.read() for it in kept] == answers
    assert len({id(it.block) for it in kept}) == 3


def test_answers_that_are_alike_take_a_small_part_of_their_bytes() -> None:
    """A block that is complete has them compressed, and nothing else."""
    packer = AnswerPacker()
    answers = [b'{"allowed":true,"reason":"granted","used":%d}' % number * 10 for number in range(BLOCK_ANSWERS)]
    first, *_ = [packer.keep(answer) for answer in answers]
    block = first.block
    assert block.answers is None
    assert 5 * len(block.packed) < sum(map(len, answers))
