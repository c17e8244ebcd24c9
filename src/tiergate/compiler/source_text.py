"""The text of an author's file: converts places into lines and columns, and collects problems."""

from __future__ import annotations

import bisect
import re

from tiergate.model import Problem

_LINE_END = re.compile("\n")


class AuthorText:
    """The text of one file, with the name that its author knows."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self.problems: list[Problem] = []
        self._line_starts = [0, *(match.end() for match in _LINE_END.finditer(text))]

    def report(self, place: int, code: str, message: str, suggestion: str | None = None) -> None:
        """Add a problem at a place in the text, counted in characters from 0."""
        line = bisect.bisect_right(self._line_starts, place)
        column = place - self._line_starts[line - 1] + 1
        self.problems.append(Problem(self.file, line, column, code, message, suggestion=suggestion or ""))
