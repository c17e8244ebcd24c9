"""Sources with one settable value: an engine that decides about one subject at a time reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.model import MeteredUsage

if TYPE_CHECKING:
    from tiergate.model import Feature, Instant, Subject, SubjectRecord


class FixedSubject:
    """A `SubjectSource` that returns `record`, whatever the subject."""

    def __init__(self, record: SubjectRecord | None = None) -> None:
        self.record = record

    def find(self, subject: Subject) -> SubjectRecord | None:  # noqa: ARG002 - there is only one
        """Return the record."""
        return self.record


class FixedUsage:
    """A `UsageSource` that returns `usage`, whatever the subject and the feature."""

    def __init__(self) -> None:
        self.usage = MeteredUsage()

    def usage_of(self, subject: Subject, feature: Feature, now: Instant) -> MeteredUsage:  # noqa: ARG002 - there is one
        """Return the usage."""
        return self.usage
