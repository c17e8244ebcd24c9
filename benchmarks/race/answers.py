"""Check that a peer answers right, before its speed is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.race.facts import Question
    from benchmarks.race.peer import Peer

PAIRS = 200
"""Pairs of questions on both sides of a limit: 400 questions."""


@dataclass(frozen=True)
class AnswerCheck:
    """The number of questions, and the questions that the peer answered wrong or not at all."""

    asked: int
    wrong: tuple[Question, ...]

    def __str__(self) -> str:
        text = f"{len(self.wrong)} of {self.asked} answers wrong"
        if not self.wrong:
            return text
        first = self.wrong[0]
        return f"{text}, the first for customer c{first.customer}, feature f{first.feature}, used {first.used}"


def check_answers(peer: Peer, port: int, pairs: int = PAIRS) -> AnswerCheck:
    """Ask a peer for answers at the very limits and compare them with the right ones."""
    questions = tuple(peer.facts.boundary_questions(pairs))
    wrong = tuple(question for question in questions if peer.ask(port, question) is not peer.expected(question))
    return AnswerCheck(len(questions), wrong)
