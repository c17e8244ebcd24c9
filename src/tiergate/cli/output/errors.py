"""How errors and problems are printed: lines on standard error, or one JSON document on standard output."""

from __future__ import annotations

import json
import sys
import traceback
from typing import TYPE_CHECKING

from tiergate.cli.exit_codes import ExitCode, exit_code
from tiergate.cli.output.console import print_line, warn
from tiergate.errors import AuthorError, CheckError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.model import Problem

_STYLES = {"error": "red", "warning": "yellow"}


def report(error: BaseException, *, as_json: bool) -> ExitCode:
    """Print an error and return its exit code. A defect of Tiergate is printed with its traceback."""
    code = exit_code(error)
    if code is ExitCode.INTERRUPTED:
        return code
    if code is ExitCode.INTERNAL:
        traceback.print_exception(error, file=sys.stderr)
        warn("error: this is a defect in tiergate: please report the traceback above", "bold red")
        return code
    problems = error.problems if isinstance(error, AuthorError) else ()
    if as_json:
        print_json({"error": _message(error), "exit_code": code.value, "problems": problems_json(problems)})
    elif problems:
        warn_problems(problems)
    else:
        warn(f"error: {_message(error)}", "red")
    return code


def warn_problems(problems: Sequence[Problem]) -> None:
    """Write problems to standard error, a line each: `file:line:column: error: message [code]`."""
    for problem in problems:
        warn(str(problem), _STYLES.get(problem.severity))
    errors = sum(problem.severity == "error" for problem in problems)
    counts = (_count(errors, "error"), _count(len(problems) - errors, "warning"))
    warn(", ".join(count for count in counts if count))


def problems_json(problems: Sequence[Problem]) -> list[dict[str, object]]:
    """Return problems as JSON members."""
    return [
        {
            "file": problem.file,
            "line": problem.line,
            "column": problem.column,
            "severity": str(problem.severity),
            "code": problem.code,
            "message": problem.sentence,
        }
        for problem in problems
    ]


def print_json(document: object) -> None:
    """Write one JSON document to standard output."""
    print_line(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def print_json_bytes(document: bytes) -> None:
    """Write one encoded JSON document to standard output, indented; numbers keep all of their digits."""
    import msgspec

    print_line(msgspec.json.format(document, indent=2).decode())


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        detail = error.strerror[:1].lower() + error.strerror[1:]
        return f"`{error.filename}`: {detail}" if error.filename else detail
    if isinstance(error, AuthorError):
        return f"the files have {_count(len(error.problems), 'problem')}"
    if isinstance(error, CheckError) and not error.field:
        return error.detail + did_you_mean(error.suggestion)
    return str(error)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}" if number else ""
