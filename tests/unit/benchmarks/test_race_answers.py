"""A peer that answers wrong is reported and not timed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from benchmarks.race.answers import check_answers
from benchmarks.race.facts import Question, draw_facts
from benchmarks.race.measure import Floor, Length, measure
from benchmarks.race.peer import Peer
from benchmarks.race.requests import Request

if TYPE_CHECKING:
    from pathlib import Path

FACTS = draw_facts(features=3, plans=4, customers=30)

SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"yes")
    def log_message(self, *arguments): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class Stub(Peer):
    """A peer that is asked without a server, and answers as the facts do but for some questions."""

    name = "stub"
    program = sys.executable
    difference = "It is a stub."
    request = Request("/", "$used")
    wrong: frozenset[Question] = frozenset()
    silent: frozenset[Question] = frozenset()

    def write_files(self) -> None:
        """Write nothing."""

    def command(self, port: int) -> list[str]:
        """Return the command of a server that always says yes."""
        return [self.program, "-c", SERVER, str(port)]

    def read_answer(self, body: bytes) -> bool:
        """Return whether it says yes."""
        return body == b"yes"


class WithoutServer(Stub):
    """The stub, without HTTP."""

    def ask(self, port: int, question: Question) -> bool | None:  # noqa: ARG002 - there is no server
        """Return the right answer, but for some questions the wrong one or none."""
        if question in self.silent:
            return None
        return self.facts.allowed(question) is not (question in self.wrong)


def test_right_answers_pass(tmp_path: Path) -> None:
    """Both sides of each limit are asked."""
    checked = check_answers(WithoutServer(FACTS, tmp_path), 0, pairs=20)
    assert (checked.asked, checked.wrong) == (40, ())


def test_a_wrong_answer_is_found(tmp_path: Path) -> None:
    """One wrong answer at a limit is enough, and its question is reported."""
    peer = WithoutServer(FACTS, tmp_path)
    question = list(FACTS.boundary_questions(20))[7]
    peer.wrong = frozenset({question})
    checked = check_answers(peer, 0, pairs=20)
    assert checked.wrong == (question,)
    assert str(checked).startswith("1 of 40 answers wrong")


def test_no_answer_is_wrong(tmp_path: Path) -> None:
    """A response that is no answer does not count as a denial."""
    peer = WithoutServer(FACTS, tmp_path)
    denied = next(question for question in FACTS.boundary_questions(20) if not FACTS.allowed(question))
    peer.silent = frozenset({denied})
    assert check_answers(peer, 0, pairs=20).wrong == (denied,)


def test_a_peer_that_answers_wrong_is_not_timed(tmp_path: Path) -> None:
    """The result of a server that always allows says how many answers are wrong, and has no speed."""
    result = measure(Stub(FACTS, tmp_path / "stub"), Floor(0, tmp_path / "floor.lua"), Length(1, 1))
    wrong = sum(not FACTS.allowed(question) for question in FACTS.boundary_questions(200))
    assert result.problem.startswith(f"{wrong} of 400 answers wrong")
    assert (result.repeated, result.varying, result.asked) == (None, None, 0)


def test_a_peer_that_ends_at_once_is_reported(tmp_path: Path) -> None:
    """A failure to start is a result too, so that the race goes on."""

    class Failing(Stub):
        def command(self, port: int) -> list[str]:  # noqa: ARG002 - it does not listen
            return [self.program, "-c", "raise SystemExit(3)"]

    result = measure(Failing(FACTS, tmp_path / "stub"), Floor(0, tmp_path / "floor.lua"), Length(1, 1))
    assert "status 3" in result.problem
