"""The protocol of following a store, as a table of transitions.

The *active* replica answers checks. A *candidate* is built beside it from a snapshot, or opened from disk, and becomes
active once it is not older than the rollback floor. So good data is never replaced by worse data.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from tiergate.errors import RejectionReason, ReplicaError, SyncError, TrustError

_GONE: Final = frozenset({404, 409, 410})
_NOT_CONTINUED: Final = frozenset({RejectionReason.GAP, RejectionReason.BROKEN_CHAIN, RejectionReason.CONTRADICTION})


class Phase(Enum):
    """Which replicas there are."""

    EMPTY = auto()
    """Neither an active replica nor a candidate: build one."""

    CATCHING_UP = auto()
    """A candidate and nothing active: follow the feed with the candidate, then promote it."""

    FOLLOWING = auto()
    """An active replica: follow the feed with it."""

    REBUILD_DUE = auto()
    """An active replica that must be replaced: build a candidate."""

    REBUILDING = auto()
    """An active replica, and a candidate that replaces it once it has caught up."""

    @property
    def has_candidate(self) -> bool:
        """Whether there is a candidate."""
        return self in (Phase.CATCHING_UP, Phase.REBUILDING)

    @property
    def must_build(self) -> bool:
        """Whether a candidate must be built."""
        return self in (Phase.EMPTY, Phase.REBUILD_DUE)


class Event(Enum):
    """What can happen."""

    CANDIDATE_OPENED = auto()
    PROMOTED = auto()
    """The candidate became active."""

    CANDIDATE_REJECTED = auto()
    """The candidate contradicts what was active, or its bundle is not usable."""

    DAMAGED = auto()
    """The active replica is damaged."""

    FOLDER_LOST = auto()
    """The data folder is read-only, and another one is used from now on."""

    NOT_CONTINUED = auto()
    """The store's feed does not continue the replica, or no longer goes back so far."""

    REPLICA_FAILED = auto()
    """The disk refuses, or a replica cannot be read."""

    FAILED = auto()
    """Another failure: nothing is wrong with the replica."""


TRANSITIONS: Final[dict[tuple[Phase, Event], Phase]] = {
    (Phase.EMPTY, Event.CANDIDATE_OPENED): Phase.CATCHING_UP,
    (Phase.EMPTY, Event.FOLDER_LOST): Phase.EMPTY,
    (Phase.EMPTY, Event.NOT_CONTINUED): Phase.EMPTY,
    (Phase.EMPTY, Event.REPLICA_FAILED): Phase.EMPTY,
    (Phase.EMPTY, Event.FAILED): Phase.EMPTY,
    (Phase.CATCHING_UP, Event.PROMOTED): Phase.FOLLOWING,
    (Phase.CATCHING_UP, Event.CANDIDATE_REJECTED): Phase.EMPTY,
    (Phase.CATCHING_UP, Event.FOLDER_LOST): Phase.EMPTY,
    (Phase.CATCHING_UP, Event.NOT_CONTINUED): Phase.EMPTY,
    (Phase.CATCHING_UP, Event.REPLICA_FAILED): Phase.EMPTY,
    (Phase.CATCHING_UP, Event.FAILED): Phase.CATCHING_UP,
    (Phase.FOLLOWING, Event.DAMAGED): Phase.REBUILD_DUE,
    (Phase.FOLLOWING, Event.FOLDER_LOST): Phase.REBUILD_DUE,
    (Phase.FOLLOWING, Event.NOT_CONTINUED): Phase.REBUILD_DUE,
    (Phase.FOLLOWING, Event.REPLICA_FAILED): Phase.FOLLOWING,
    (Phase.FOLLOWING, Event.FAILED): Phase.FOLLOWING,
    (Phase.REBUILD_DUE, Event.CANDIDATE_OPENED): Phase.REBUILDING,
    (Phase.REBUILD_DUE, Event.FOLDER_LOST): Phase.REBUILD_DUE,
    # Building failed: follow the feed again. If that is impossible, the next page shows it.
    (Phase.REBUILD_DUE, Event.NOT_CONTINUED): Phase.FOLLOWING,
    (Phase.REBUILD_DUE, Event.REPLICA_FAILED): Phase.FOLLOWING,
    (Phase.REBUILD_DUE, Event.FAILED): Phase.FOLLOWING,
    (Phase.REBUILDING, Event.PROMOTED): Phase.FOLLOWING,
    (Phase.REBUILDING, Event.CANDIDATE_REJECTED): Phase.FOLLOWING,
    (Phase.REBUILDING, Event.FOLDER_LOST): Phase.REBUILD_DUE,
    (Phase.REBUILDING, Event.NOT_CONTINUED): Phase.FOLLOWING,
    (Phase.REBUILDING, Event.REPLICA_FAILED): Phase.FOLLOWING,
    (Phase.REBUILDING, Event.FAILED): Phase.REBUILDING,
}
"""The next phase. A pair that is missing here cannot occur."""


def classify_failure(error: Exception) -> Event:
    """Return the event of a failed step."""
    if (isinstance(error, SyncError) and error.status in _GONE) or (
        isinstance(error, TrustError) and error.kind in _NOT_CONTINUED
    ):
        return Event.NOT_CONTINUED
    return Event.REPLICA_FAILED if isinstance(error, ReplicaError) else Event.FAILED
