"""How errors and problems are told: lines for people on standard error, or one JSON document for programs."""

from __future__ import annotations

import json
import sys
import traceback
from typing import TYPE_CHECKING

from tiergate.cli.exit_codes import ExitCode, exit_code
from tiergate.cli.output.console import say, warn
from tiergate.errors import AuthorError, CheckError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.model import Problem

_STYLES = {"error": "red", "warning": "yellow"}


def report(error: BaseException, *, as_json: bool) -> ExitCode:
    """Tell an error and return the exit code that it stands for. A defect of ours is told with its traceback."""
    code = exit_code(error)
    if code is ExitCode.INTERRUPTED:
        return code
    if code is ExitCode.INTERNAL:
        traceback.print_exception(error, file=sys.stderr)
        warn("error: this is a defect in tiergate: please report what stands above", "bold red")
        return code
    problems = error.problems if isinstance(error, AuthorError) else ()
    if as_json:
        say_json({"error": _words(error), "exit_code": code.value, "problems": problems_json(problems)})
    elif problems:
        warn_problems(problems)
    else:
        warn(f"error: {_words(error)}", "red")
    return code


def warn_problems(problems: Sequence[Problem]) -> None:
    """Write problems to standard error, a line each: `file:line:column: error: message [code]`."""
    for problem in problems:
        warn(str(problem), _STYLES.get(problem.severity))
    errors = sum(problem.severity == "error" for problem in problems)
    counts = (_count(errors, "error"), _count(len(problems) - errors, "warning"))
    warn(", ".join(count for count in counts if count))


def problems_json(problems: Sequence[Problem]) -> list[dict[str, object]]:
    """Problems as JSON members."""
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


def say_json(document: object) -> None:
    """Write one JSON document to standard output."""
    say(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def _words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        detail = error.strerror[:1].lower() + error.strerror[1:]
        return f"`{error.filename}`: {detail}" if error.filename else detail
    if isinstance(error, AuthorError):
        return f"the files have {_count(len(error.problems), 'problem')}"
    if isinstance(error, CheckError) and not error.field:
        return error.detail + did_you_mean(error.suggestion)
    return str(error)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}" if number else ""
