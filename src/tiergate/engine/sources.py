"""The sources of the engine: a bundle, subjects, and metered usage. Protocols only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from tiergate.model import NO_METERED_USAGE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tiergate.model import CatalogIndex, Feature, Instant, MeteredUsage, Subject, SubjectRecord, SubjectType, Value


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


@runtime_checkable
class ListedSubjects(Protocol):
    """A source that can also list all of its subjects."""

    def list_ids(self, kind: SubjectType, after: str, most: int) -> list[str]:
        """Return the ids that follow `after`, in their order by code points, at most so many.

        Raises:
            ReplicaError: if they cannot be read.
        """
        ...


class UsageSource(Protocol):
    """Metered usage. It changes at any time: what rests on it is outdated by `State.usage_changed` in a sidecar."""

    def usage_of(self, subject: Subject, feature: Feature, now: Instant) -> MeteredUsage:
        """Return the usage of a feature that is metered or draws on one. Cheap: it is called for each decision.

        A customer's is all of it; a subscription's is what was booked on that subscription; `user_used` is of the
        subject's user. With a hard bound that is held elsewhere, such as by leases of others, `used` is at least the
        ceiling without what is available here, so that Cedar denies with `limit_reached`.
        """
        ...


class NoUsage:
    """Nothing is metered here: callers say what was used."""

    def usage_of(self, subject: Subject, feature: Feature, now: Instant) -> MeteredUsage:  # noqa: ARG002
        """Return no usage."""
        return NO_METERED_USAGE


NO_USAGE = NoUsage()
"""The one value of `NoUsage`."""
