"""The protocol of following a store, exhaustively: every phase with every event."""

from __future__ import annotations

from itertools import product

import pytest

from tiergate.errors import RejectionReason, ReplicaError, SyncError, TrustError
from tiergate.sidecar.replica.sync.follow_phases import TRANSITIONS, Event, Phase, classify_failure

ACTIVE = {Phase.FOLLOWING, Phase.REBUILD_DUE, Phase.REBUILDING}
"""The phases with an active replica."""

IMPOSSIBLE = {
    *product([Phase.EMPTY, Phase.FOLLOWING, Phase.REBUILD_DUE], [Event.PROMOTED, Event.CANDIDATE_REJECTED]),
    *product([Phase.CATCHING_UP, Phase.FOLLOWING, Phase.REBUILDING], [Event.CANDIDATE_OPENED]),
    *product([Phase.EMPTY, Phase.CATCHING_UP, Phase.REBUILD_DUE, Phase.REBUILDING], [Event.DAMAGED]),
}
"""A candidate that is not there is neither promoted nor rejected; only one is opened; damage counts once."""


def test_every_phase_knows_every_event() -> None:
    """Or it is known why the event cannot happen."""
    assert TRANSITIONS.keys() | IMPOSSIBLE == set(product(Phase, Event))
    assert not TRANSITIONS.keys() & IMPOSSIBLE


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_survives_every_failure(phase: Phase) -> None:
    """A step may fail at any time, and the folder may become read-only."""
    failures = {Event.NOT_CONTINUED, Event.REPLICA_FAILED, Event.FAILED, Event.FOLDER_LOST}
    assert {event for known, event in TRANSITIONS if known is phase} >= failures


def test_no_event_takes_the_active_replica_away() -> None:
    """Good data is never replaced by none."""
    assert {after for (before, _), after in TRANSITIONS.items() if before in ACTIVE} <= ACTIVE


def test_only_a_promotion_activates() -> None:
    """Nothing becomes active without the checks of a promotion."""
    assert {event for (before, event), after in TRANSITIONS.items() if before not in ACTIVE and after in ACTIVE} == {
        Event.PROMOTED
    }


def test_only_opening_makes_a_candidate() -> None:
    """A phase with a candidate follows from one without only when one was opened."""
    made = {event for (before, event), after in TRANSITIONS.items() if after.has_candidate and not before.has_candidate}
    assert made == {Event.CANDIDATE_OPENED}


def test_a_passing_failure_changes_no_replica() -> None:
    """An unreachable store is waited for, with what there is."""
    after = {phase: TRANSITIONS[phase, Event.FAILED] for phase in Phase}
    assert all(next_.has_candidate == phase.has_candidate for phase, next_ in after.items())


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_can_lead_to_following(phase: Phase) -> None:
    """There is no dead end."""
    reached, frontier = {phase}, [phase]
    while frontier:
        now = frontier.pop()
        new = {after for (before, _), after in TRANSITIONS.items() if before is now} - reached
        reached |= new
        frontier += new
    assert Phase.FOLLOWING in reached


@pytest.mark.parametrize(
    ("error", "event"),
    [
        *[(SyncError("u", "gone", status), Event.NOT_CONTINUED) for status in (404, 409, 410)],
        *[(SyncError("u", "no", status), Event.FAILED) for status in (None, 401, 403, 429, 500, 503)],
        *[
            (TrustError(kind, "x"), Event.NOT_CONTINUED)
            for kind in (RejectionReason.GAP, RejectionReason.BROKEN_CHAIN, RejectionReason.CONTRADICTION)
        ],
        (TrustError(RejectionReason.ROLLBACK, "x"), Event.FAILED),
        (TrustError(RejectionReason.BAD_SIGNATURE, "x"), Event.FAILED),
        (ReplicaError("torn"), Event.REPLICA_FAILED),
        (OSError(28, "full"), Event.FAILED),
        (RuntimeError("bug"), Event.FAILED),
    ],
)
def test_failures_are_classified(error: Exception, event: Event) -> None:
    """Only what the feed cannot continue asks for a new replica."""
    assert classify_failure(error) is event
