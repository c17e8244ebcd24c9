"""What the race needs to know of a system."""

from __future__ import annotations

import http.client
import re
import shutil
import subprocess
from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from benchmarks.race.facts import Facts, Question
    from benchmarks.race.requests import Request

CHANGED_LIMIT = 7
"""The limit of feature 1 in plan 0 after the change whose effect is timed."""

_VERSION = re.compile(r"\d+\.\d+\.\d+[\w.+-]*")
_GO_MODULE = re.compile(rb"\nmod\t[\w./-]+\tv(\d[\w.+-]*)")


class Peer(ABC):
    """A system in the race: writes the facts in its own form, starts, and answers questions.

    `home` is a folder of its own that stays between runs with the same `--directory`.
    """

    name: ClassVar[str]
    program: ClassVar[str]
    """The program that must be on the path."""
    difference: ClassVar[str]
    """What is not the same as in Tiergate's work."""
    same_work: ClassVar[bool] = True
    """Whether it answers the question of the race, not only a simpler one."""
    denial_status: ClassVar[int] = 200
    """The status of the response that denies."""
    version_arguments: ClassVar[tuple[str, ...]] = ("--version",)

    def __init__(self, facts: Facts, home: Path) -> None:
        self.facts = facts
        self.home = home

    @classmethod
    def key(cls) -> str:
        """Return the name for the command line and for folders."""
        return re.sub(r"[^a-z]+", "-", cls.name.lower()).strip("-")

    def find_program(self) -> str | None:
        """Return the path of the program, or None if it is missing."""
        return shutil.which(self.program)

    def version(self) -> str:
        """Return the version that the program prints, or that Go wrote into it, or an empty string."""
        program = self.find_program() or self.program
        command = [program, *self.version_arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if found := _VERSION.search(done.stdout + done.stderr):
            return found[0]
        built = _GO_MODULE.search(Path(program).read_bytes())
        return built[1].decode() if built else ""

    @abstractmethod
    def write_files(self) -> None:
        """Write the files of the facts."""

    def prepare(self) -> str:
        """Prepare the start; return what took long or happened before it, or an empty string."""
        self.write_files()
        return ""

    @abstractmethod
    def command(self, port: int) -> list[str]:
        """Return the command that serves on a port of localhost."""

    @property
    @abstractmethod
    def request(self) -> Request:
        """The request that asks a question."""

    @abstractmethod
    def read_answer(self, body: bytes) -> bool:
        """Return the answer of a response with status 200.

        Raises:
            LookupError, ValueError, TypeError: The response has no answer.
        """

    def expected(self, question: Question) -> bool:
        """Return the right answer to the question that this peer is asked."""
        return self.facts.allowed(question)

    def change(self, port: int) -> str | None:
        """Set the limit of feature 1 in plan 0 to `CHANGED_LIMIT`; return the way, or None if it is not measured."""
        return None

    def ask(self, port: int, question: Question) -> bool | None:
        """Ask one question; return the answer, or None if the response has none."""
        path, body = self.request.fill(question, self.facts)
        status, answer = send(port, "POST", path, body, dict(self.request.headers))
        if status != 200:
            return False if status == self.denial_status else None
        try:
            return self.read_answer(answer)
        except (LookupError, ValueError, TypeError):
            return None


def send(port: int, method: str, path: str, body: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Send a request with a JSON body to localhost; return status and body of the response."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
        connection.request(method, path, body, {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        return response.status, response.read()
