"""The sources of the engine: a bundle, subjects, and metered usage. Protocols only."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tiergate.model import CatalogIndex, Feature, Instant, Subject, SubjectRecord, Value


class BundleSource(Protocol):
    """A compiled bundle, read on demand."""

    @property
    def revision(self) -> str:
        """The bundle's revision."""
        ...

    @property
    def index(self) -> CatalogIndex:
        """Features and items."""
        ...

    def definition(self, ref: str) -> Mapping[str, Value]:
        """Return the entitlements of an item version such as `plan/pro@7`.

        Raises `BundleError` if the bundle does not hold it, or its file is torn.
        """
        ...

    def text(self, path: str) -> str:
        """Return a file of the bundle as text; raises as `definition`."""
        ...

    def paths(self, prefix: str) -> Sequence[str]:
        """Return the files whose path begins with a prefix, sorted."""
        ...


class SubjectSource(Protocol):
    """All subjects, looked up one at a time."""

    def find(self, subject: Subject) -> SubjectRecord | None:
        """Return the record of the customer, or of the subscription's customer; `None` if there is none."""
        ...


class MeteredUsage(NamedTuple):
    """Metered usage in the present period, in units: of the subject, of its user, of everybody."""

    used: int = 0
    user_used: int = 0
    total_used: int = 0


class UsageSource(Protocol):
    """Metered usage. An answer that rests on it is not repeated."""

    def usage_of(self, subject: Subject, feature: Feature, now: Instant) -> MeteredUsage:
        """Return the usage of a metered feature."""
        ...


class NoUsage:
    """Nothing is metered here: callers say what was used."""

    def usage_of(self, subject: Subject, feature: Feature, now: Instant) -> MeteredUsage:  # noqa: ARG002
        """Return no usage."""
        return MeteredUsage()


NO_USAGE = NoUsage()
"""The one value of `NoUsage`."""
