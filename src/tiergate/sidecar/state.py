"""What the sidecar knows at this moment: the generation of data in force, and what stands around it.

One `State` is shared by everything that answers. It does no I/O: whoever loads or follows data makes a
`Generation` and installs it, or says which subjects of the present one changed; whoever remembers answers subscribes
in order to forget them, and keeps the `Edition` of its subject with each.

Rules:

- Everything here is called from the event loop's thread. A loader in another thread or process hands over with
  `loop.call_soon_threadsafe`.
- A generation is installed whole or not at all, and never replaced by an older one.
- Subscribers are told before the first answer of a new generation can be made.
- A subject that changes within a generation is forgotten alone, in the engine and in every memo, by one call:
  `subject_changed`. INVARIANT (no answer outlives its edition).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tiergate.model import FOREVER, Instant, Problem, Subject, SubjectType
from tiergate.sidecar.subject_versions import SubjectVersions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tiergate.engine import CheckDecider

SYNC = "sync"
"""The mode of a sidecar that follows a control plane."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One bundle and its subjects, with the engine that decides by them.

    `number` counts the generations of this process from 1. Subjects may change within a generation, one by one
    (`State.subject_changed`). `publication` and `revision` are those of answers and `/status`. `loaded_at`: when it
    was built.
    """

    number: int
    engine: CheckDecider
    publication: int
    revision: str
    loaded_at: Instant


class FeedPosition(NamedTuple):
    """The store that is followed, and the last entry of its feed that decisions rest on."""

    store: str
    position: int


class StateView(NamedTuple):
    """All that one request is answered by, taken once: the generation, if there is one, and when its data gets stale.

    `epoch` counts how often everything remembered had to be forgotten: what is made by a view is remembered only while
    it is still the state's.
    """

    generation: Generation | None
    stale_at: Instant
    epoch: int


class SourceReport(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that data comes from: `kind` such as `catalog`, `subjects`, `rules`; `location`, a path or a URL."""

    kind: str
    location: str
    changed_at: Instant | None = None


class StatusReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a loader tells `/status` and the metrics about its work.

    `mode`: `files` or `sync`. `loading`: a load is under way. `loaded_at`, `failed_at`: the last load that
    succeeded and the last one that failed. `error`: why the newest attempt failed, in one line, or none if it did
    not; `problems`: what was wrong with which file then. `loads`, `failures`: how many since the process began.
    `quarantined`: how many subjects are decided by an earlier record, or none, because their own cannot be used.
    `abandoned`: those that came to nothing because files were rewritten under the reading. `customers`,
    `subscriptions`: how many are held, where known.

    Of files alone: `behind`, for how many seconds they have said something else than what is in force.

    Of sync alone: `position`, the last entry of the feed that is in force; `latest`, the newest that was heard of, and
    `lag`, how many entries are between them; `last_sync_at`, when the store was last heard and believed;
    `sync_errors`, how often that failed; `clock_skew`, by how many seconds the store's clock is ahead of this
    machine's, below 0 where it is behind, and 0 where the time that an answer took does not tell; `max_staleness`, in
    seconds, after which data is stale; `control_plane`, its URL.
    """

    mode: str
    sources: tuple[SourceReport, ...] = ()
    position: str | None = None
    loading: bool = False
    loaded_at: Instant | None = None
    failed_at: Instant | None = None
    error: str | None = None
    problems: tuple[Problem, ...] = ()
    loads: int = 0
    failures: int = 0
    abandoned: int = 0
    quarantined: int = 0
    behind: float | None = None
    load_seconds: float | None = None
    customers: int | None = None
    subscriptions: int | None = None
    latest: int | None = None
    lag: int | None = None
    last_sync_at: Instant | None = None
    clock_skew: float | None = None
    sync_errors: int = 0
    max_staleness: float | None = None
    control_plane: str | None = None


def _no_report() -> StatusReport:
    return StatusReport(mode="none")


class State:
    """The generation in force, the clock, and whether the process is going down.

    `subject_versions` are those of the subjects that cached answers depend on. `feed_position` is the last feed entry
    that decisions depend on, none with files: the follower sets it in the same event loop turn. `clock` gives UTC
    milliseconds.
    `report` is asked at each `/status` and each scrape of the metrics, so it must be cheap. `draining` says that a
    shutdown has begun: set it with `drain()`. `unloaded` says that checks are answered though nothing was ever loaded:
    `give_up_waiting()` begins that, and the first generation ends it.
    """

    __slots__ = (
        "_current",
        "_draining",
        "_epoch",
        "_stale_at",
        "_subscribers",
        "_waiting",
        "clock",
        "feed_position",
        "report",
        "subject_versions",
    )

    def __init__(self, clock: Callable[[], Instant], report: Callable[[], StatusReport] = _no_report) -> None:
        self.clock = clock
        self.report = report
        self.subject_versions = SubjectVersions()
        self.feed_position: FeedPosition | None = None
        self._current: Generation | None = None
        self._stale_at: Instant = FOREVER
        self._draining = False
        self._epoch = 0
        self._waiting = True
        self._subscribers: list[Callable[[], None]] = []

    @property
    def current(self) -> Generation | None:
        """The generation in force; none until the first one is installed."""
        return self._current

    @property
    def view(self) -> StateView:
        """What a request is answered by that begins now."""
        return StateView(self._current, self._stale_at, self._epoch)

    @property
    def epoch(self) -> int:
        """How often subscribers were told to forget everything."""
        return self._epoch

    @property
    def stale_at(self) -> Instant:
        """The instant from which answers say that their data is stale; FOREVER with files."""
        return self._stale_at

    @property
    def draining(self) -> bool:
        """Whether a shutdown has begun."""
        return self._draining

    @property
    def ready(self) -> bool:
        """Whether checks are answered, and will be for a while."""
        return (self._current is not None or not self._waiting) and not self._draining

    @property
    def unloaded(self) -> bool:
        """Whether checks are answered without anything to decide by."""
        return self._current is None and not self._waiting

    @property
    def stale(self) -> bool:
        """Whether answers say that their data is stale, now."""
        return self.unloaded or self.clock() >= self._stale_at

    def install(self, generation: Generation) -> None:
        """Put a generation in force and have every subscriber forget what it remembers.

        Raises:
            ValueError: its number is not above the current one.
        """
        if self._current is not None and generation.number <= self._current.number:
            msg = f"generation {generation.number} does not follow {self._current.number}"
            raise ValueError(msg)
        self._current = generation
        self._notify()

    def subject_changed(self, customer: str, subscriptions: Collection[str]) -> None:
        """Forget what is remembered of a customer, of subscriptions and of their users, and of nobody else.

        To be called in the same turn of the event loop in which their new data can first be read. `subscriptions` are
        those that the customer has now and those that it had before: one that it lost or that left it for another
        customer is answered differently too, and so is one that did not exist until now. Of a subscription that moves
        both customers change. Whoever stops following a subject says so here as well: what is remembered of it would
        no longer be forgotten in time.
        """
        if self._current is not None:
            forget = self._current.engine.forget
            forget(Subject(customer))
            for subscription in subscriptions:
                forget(Subject(subscription, SubjectType.SUBSCRIPTION))
        self.subject_versions.outdate(customer, subscriptions)

    def set_stale_at(self, stale_at: Instant) -> None:
        """Set the instant from which answers say `stale`.

        Remembered answers are never kept beyond the instant that was known when they were made, so moving it
        forward while the data is fresh costs nothing; every other move makes subscribers forget.
        """
        before, self._stale_at = self._stale_at, stale_at
        if stale_at < before or before <= self.clock():
            self._notify()

    def serve_unloaded(self) -> None:
        """Have checks answered from now on although there is nothing to decide by, until there is."""
        self._waiting = False
        self._notify()

    def drain(self) -> None:
        """Say that a shutdown has begun: `/readyz` turns, and connections close after their next answer."""
        self._draining = True
        self._notify()

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, in the event loop's thread, whenever remembered answers must be forgotten."""
        self._subscribers.append(callback)

    def _notify(self) -> None:
        self._epoch += 1
        for callback in self._subscribers:
            callback()
