"""The results of the race."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Speed:
    """Requests per second, their ratio to the floor of the same run, and the p99 at 16 connections in milliseconds."""

    rate: float
    of_floor: float
    p99_ms: float


@dataclass
class PeerResult:
    """What was measured of one peer; None where it was not."""

    name: str
    version: str
    difference: str
    same_work: bool = True
    remark: str = ""
    """What took long or happened before the start."""
    problem: str = ""
    """Why the peer was not timed: wrong answers, or a failure."""
    asked: int = 0
    """The number of questions whose answers were checked; all were right."""
    start_s: float | None = None
    rss_mb: float | None = None
    repeated: Speed | None = None
    varying: Speed | None = None
    single_p99_ms: float | None = None
    change: str = ""
    """The way of the change of a plan."""
    change_ms: float | None = None
    """From the change until a check shows it."""
    date: str = ""
    commit: str = ""
