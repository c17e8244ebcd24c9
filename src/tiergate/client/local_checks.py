"""Checks where there is no sidecar: what stands in for one decides them itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.client.check_arguments import checked
from tiergate.errors import CallerError, CheckError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tiergate.client.answers import Answer
    from tiergate.model import Check


def answer_each(checks: Sequence[Check], answer: Callable[[Check], Answer]) -> list[Answer | CallerError]:
    """Answer several checks as `Sidecar.checks`: in their order; a wrong check's place holds its error."""
    found: list[Answer | CallerError] = []
    for place, check in enumerate(checks):
        try:
            found.append(answer(checked(check, "")))
        except CheckError as error:
            found.append(CheckError(f"/checks/{place}{error.field}", error.detail, error.suggestion))
        except CallerError as error:
            found.append(error)
    return found
