"""Collect problems while files are read: a bounded list, and reports that locate the problems of one text."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from tiergate.catalog.reading.document import shorten
from tiergate.model import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tiergate.catalog.reading.document import Position, SourceText
    from tiergate.errors import AuthorError

MORE_PROBLEMS = "more-problems"
"""The code of the last problem if there are more than the limit."""


_MAX_LOOKED_UP = 1000
"""After this number of problems of a text, the first of two equal keys is no longer searched, which is slow."""


class ProblemLog:
    """The problems so far; keeps the first `limit` and counts the others, so that it stays small."""

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self._problems: list[Problem] = []
        self.count = 0

    def add(self, position: Position, code: str, message: str, suggestion: str | None = None) -> None:
        """Record one problem; `suggestion`: what the author probably meant."""
        self.count += 1
        if self.count <= self._limit:
            file, line, column = position
            self._problems.append(Problem(file, line, column, code, message, suggestion=suggestion or ""))

    def sorted(self) -> list[Problem]:
        """Return the kept problems, by position, each once; the last one counts those that are not shown."""
        problems = sorted(set(self._problems))
        more = self.count - self._limit
        if more > 0:
            problems.append(Problem(problems[-1].file, 0, 0, MORE_PROBLEMS, f"{more:,} more problems are not shown"))
        return problems

    def raise_any(self, error: type[AuthorError]) -> None:
        """Raise `error` with all problems, if there are any.

        Raises:
            AuthorError: of the given type.
        """
        if self.count:
            raise error(self.sorted())


class PlacesNeeded(Exception):  # noqa: N818 - not an error: the reader's cue to read a line again, with places
    """A text that was read without places has a problem."""


class PlacelessReport:
    """The report of a text without places: the first problem stops reading."""

    __slots__ = ()
    count = 0

    def add(self, place: int, code: str, message: str, suggestion: str | None = None) -> NoReturn:  # noqa: ARG002
        """Stop reading.

        Raises:
            PlacesNeeded: always.
        """
        raise PlacesNeeded

    def position(self, place: int) -> Position:
        """Return no position; nothing with a position is kept from a text without places."""
        return "", 0, place


class TextReport:
    """Reports problems of one text to a log."""

    __slots__ = ("_log", "count", "source")

    def __init__(self, log: ProblemLog, source: SourceText) -> None:
        self._log = log
        self.source = source
        self.count = 0
        """How many problems this text has so far."""

    def add(self, place: int, code: str, message: str, suggestion: str | None = None) -> None:
        """Record a problem at a place of the text; `suggestion`: what the author probably meant."""
        self.count += 1
        self._log.add(self.source.position(place), code, message, suggestion)

    def position(self, place: int) -> Position:
        """Return the file, line and column of a place."""
        return self.source.position(place)


def report_duplicate_key(
    key: str, place: int, entries: Mapping[str, object], places: Sequence[int], report: TextReport
) -> None:
    """Report a key that is already in `entries`; `places` are those of a mapping."""
    message = f"duplicate key `{shorten(key)}`"
    if report.count < _MAX_LOOKED_UP:
        first = places[2 * list(entries).index(key)]
        message += f", first in line {report.position(first)[1]}"
    report.add(place, "duplicate-key", message)


Report = TextReport | PlacelessReport
"""Accepts the problems of one text."""
