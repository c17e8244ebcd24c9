"""Usage that another process counts: with several workers, their leader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from tiergate.model import Feature, Instant, Subject

SUGGESTED_RETRY_MS: Final = 5_000
"""After how many milliseconds an answer that rests on usage elsewhere may be another, where nobody says when."""


class UsageElsewhereError(BaseException):
    """A decision rests on usage that another process counts: that one must answer the request.

    It is no `Exception`, so that nothing takes it for a failure of the decision.
    """


class UsageOfLeader:
    """A `UsageSource` of which every question ends the request here, so that the leader answers it."""

    def usage_of(self, subject: Subject, feature: Feature, now: Instant) -> NoReturn:  # noqa: ARG002 - whatever is asked
        """Raise `UsageElsewhereError`."""
        raise UsageElsewhereError
