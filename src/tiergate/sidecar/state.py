"""The state of a running sidecar: the current generation of data, and whether it is stale.

One `State` is shared by everything that responds. It does no I/O: loaders install a `Generation`, or report which
subjects of the current one changed; caches subscribe, and keep the `SubjectVersion` with each response.

Rules:

- Everything is called in the event loop's thread; other threads use `loop.call_soon_threadsafe`.
- A generation is installed as a whole, and never replaced by an older one.
- Subscribers are called before the first decision of a new generation.
- A subject that changes within a generation is forgotten alone, in the engine and in every cache, by
  `subject_changed`. INVARIANT (no answer outlives its edition).
- Usage that moves within a generation is announced by `usage_changed`: caches forget the answers that rest on it, and
  no others. The engine needs no notice: it reads usage for each decision.
- Reports on the status of features that change within a generation are announced by `statuses_changed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tiergate.model import FOREVER, Instant, Problem, Subject, SubjectType
from tiergate.sidecar.subject_versions import SubjectVersions
from tiergate.sidecar.usage_dependence import UsageDependence

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from tiergate.engine import CheckDecider

SYNC = "sync"
"""The mode of a sidecar that follows a control plane."""


class GenerationFiles(NamedTuple):
    """Where another process finds a generation: its replica, and the folder of its bundle.

    No folder: the replica contains the bundle, and is followed.
    """

    replica: Path
    bundle: Path | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """One bundle and its subjects, with the engine that decides by them.

    `number` counts the generations of this process from 1. Subjects may change within a generation, one by one
    (`State.subject_changed`). `publication` and `revision` are those of answers and `/status`. `loaded_at`: when it
    was built. `files`: for other processes.
    """

    number: int
    engine: CheckDecider
    publication: int
    revision: str
    loaded_at: Instant
    files: GenerationFiles | None = None


class FeedPosition(NamedTuple):
    """The store that is followed, and the last entry of its feed that decisions rest on."""

    store: str
    position: int


class StateView(NamedTuple):
    """What one request is decided by, read once: the generation, if there is one, and the instant it becomes stale.

    `epoch` counts how often all caches were cleared: a response is cached only if it is still the state's.
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
    """What a loader reports to `/status` and the metrics.

    `mode`: `files` or `sync`. `loaded_at`, `failed_at`: the last load that succeeded, and that failed. `error`: why the
    newest attempt failed; `problems`: of which files. `loads`, `failures`, `abandoned` (files changed while they were
    read): counts since the start. `quarantined`: subjects with an unusable record, decided by an earlier one or none.
    `customers`, `subscriptions`: how many are loaded, if known.

    Files only: `behind`, for how many seconds the files have differed from the active data.

    Sync only: `position`, the last active entry of the feed; `latest`, the newest known one; `lag`, the entries between
    them; `last_sync_at`, the last verified response of the store; `sync_errors`; `clock_skew`, the seconds that the
    store's clock is ahead; `max_staleness`, in seconds; `control_plane`, its URL.
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


class State:
    """The current generation, the clock, and whether the process is shutting down. Others only read the attributes.

    `current`: none until the first generation is installed. `stale_at`: the instant from which decisions are stale;
    `FOREVER` with files. `epoch`: how often all caches were cleared. `draining`: a shutdown has begun. `feed_position`:
    of the decisions, none with files; the follower sets it in the same event loop turn as the data. `ready_unloaded`:
    whether it is ready without data too, because something is allowed then. `clock` returns UTC milliseconds. `report`
    must be cheap: it is called for each `/status` and each scrape.
    """

    def __init__(
        self, clock: Callable[[], Instant], report: Callable[[], StatusReport] = lambda: StatusReport(mode="none")
    ) -> None:
        self.clock = clock
        self.report = report
        self.subject_versions = SubjectVersions()
        self.feed_position: FeedPosition | None = None
        self.current: Generation | None = None
        self.stale_at: Instant = FOREVER
        self.draining = False
        self.epoch = 0
        self.ready_unloaded = False
        self._waiting = True
        self._usage_dependence: tuple[int, UsageDependence] | None = None
        self._subscribers: list[Callable[[], None]] = []
        self.view = StateView(None, FOREVER, 0)
        """The view of a request that begins now."""

    @property
    def started(self) -> bool:
        """Whether checks are served, with or without data, and no shutdown has begun."""
        return (self.current is not None or not self._waiting) and not self.draining

    @property
    def ready(self) -> bool:
        """Whether callers should be sent here: checks are served, and not all of them are denied for want of data."""
        return self.started and (self.current is not None or self.ready_unloaded)

    @property
    def unloaded(self) -> bool:
        """Whether checks are served without data."""
        return self.current is None and not self._waiting

    @property
    def stale(self) -> bool:
        """Whether decisions are stale now."""
        return self.unloaded or self.clock() >= self.stale_at

    def install(self, generation: Generation) -> None:
        """Activate a generation, whose number must be above the current one, and clear all caches."""
        if self.current is not None and generation.number <= self.current.number:
            raise ValueError(f"generation {generation.number} does not follow {self.current.number}")
        self.current = generation
        self._notify()

    def subject_changed(self, customer: str, subscriptions: Collection[str]) -> None:
        """Forget everything cached about a customer, subscriptions and their users, and about nobody else.

        Call it in the same event loop turn in which the new data can first be read, and when a subject is no longer
        followed. `subscriptions`: those before and after the change. If a subscription moves, both customers change.
        """
        if self.current is not None:
            forget = self.current.engine.forget
            forget(Subject(customer))
            for subscription in subscriptions:
                forget(Subject(subscription, SubjectType.SUBSCRIPTION))
        self.subject_versions.outdate(customer, subscriptions)

    def usage_changed(self, customer: str, subscriptions: Collection[str], features: Collection[str]) -> None:
        """Forget the answers that rest on a customer's usage of features, on the customer and on subscriptions.

        Call it in the same event loop turn in which the engine's `UsageSource` first returns the new usage: after a
        consumption, a release, a grant, a correction, or news of others' use. `subscriptions`: those that it was booked
        on. Answers about features that draw on these, and with a cap for everybody together also those about other
        customers, are forgotten too. The end of a window needs no call. Cheap where nothing is cached.
        """
        dependence = self.usage_dependence()
        self.subject_versions.outdate_usage(customer, subscriptions, dependence.affected_by(features))
        for feature in features:
            if feature in dependence.capped:
                self.subject_versions.outdate_usage_of_everybody(feature)

    def statuses_changed(self) -> None:
        """Forget all cached answers, because reports on the status of features changed.

        Call it in the same event loop turn in which the engine first reads the new reports. What the engine keeps
        needs no notice. That a report begins or ends needs no call: no answer is valid beyond that.
        """
        self._notify()

    def usage_dependence(self) -> UsageDependence:
        """Return which answers depend on which usage, in the current generation."""
        number = 0 if self.current is None else self.current.number
        known = self._usage_dependence
        if known is None or known[0] != number:
            features = {} if self.current is None else self.current.engine.evaluator.index.features
            known = self._usage_dependence = number, UsageDependence(features)
        return known[1]

    async def hold_readers(self, *, release: bool) -> bool:  # noqa: ARG002 - of other processes
        """Keep other processes that read the replica at what they see now, until the next change that they are told.

        `release`: they end their transactions, so that the log can be folded; nothing may be committed meanwhile.
        Return whether all do.
        """
        return True

    def resume_readers(self) -> None:
        """Let other processes read what is committed now."""

    def generations_elsewhere(self) -> Collection[int]:
        """Return the numbers of the generations that other processes still use."""
        return ()

    def set_stale_at(self, stale_at: Instant) -> None:
        """Set the instant from which decisions are stale.

        No response is cached beyond the instant that was known when it was made, so that moving the instant forward
        while data is fresh costs nothing; every other move clears all caches.
        """
        before, self.stale_at = self.stale_at, stale_at
        self.view = StateView(self.current, stale_at, self.epoch)
        if stale_at < before or before <= self.clock():
            self._notify()

    def serve_unloaded(self) -> None:
        """Serve checks without data from now on, until the first generation is installed."""
        self._waiting = False
        self._notify()

    def drain(self) -> None:
        """Begin the shutdown: `/readyz` fails, and connections close after their next response."""
        self.draining = True
        self._notify()

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever cached responses must be forgotten."""
        self._subscribers.append(callback)

    def _notify(self) -> None:
        self.epoch += 1
        self.view = StateView(self.current, self.stale_at, self.epoch)
        for callback in self._subscribers:
            callback()
