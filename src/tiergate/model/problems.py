"""Problems in files: what is wrong, and where."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tiergate.errors import did_you_mean


class Severity(StrEnum):
    """Whether a problem stops the work."""

    ERROR = "error"
    WARNING = "warning"


class Problem(msgspec.Struct, frozen=True, order=True):
    """One problem, ordered by file, line and column. Lines and columns count from 1; 0 where there is none.

    `code` is a short stable word (`unknown-key`, `duplicate-id` …); `message` starts in lower case, has no final
    period and puts what the author wrote in backticks. `suggestion`: what was probably meant, or empty.
    """

    file: str
    line: int
    column: int
    code: str
    message: str
    severity: str = Severity.ERROR
    suggestion: str = ""

    @property
    def sentence(self) -> str:
        """The message with the suggestion."""
        return self.message + did_you_mean(self.suggestion)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.severity}: {self.sentence} [{self.code}]"
