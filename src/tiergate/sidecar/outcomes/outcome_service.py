"""Outcomes of requests to features, over the check service's data and the recorder. It knows no HTTP."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.errors import CheckError, RequestError, TiergateError, UnknownFeatureError
from tiergate.model import Check, Subject, parse_instant
from tiergate.sidecar.deferred import Deferred
from tiergate.sidecar.time_slicing import run_in_slices
from tiergate.status.outcome_book import digest_of_id
from tiergate.status.outcome_delivery import LATENCIES_MOST
from tiergate.status.outcome_minutes import MinuteSum
from tiergate.status.outcomes import Outcomes, minute_of
from tiergate.wire.decision import UNSET
from tiergate.wire.outcome_reader import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.errors import JournalError
    from tiergate.model import Instant
    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.outcomes.recorder import OutcomeCounts, OutcomeRecorder, Tally
    from tiergate.sidecar.state import Generation

OLDEST_MS: Final = 24 * 3_600_000
"""How long ago a request may have ended, in milliseconds: a day."""

AHEAD_MS: Final = 60_000
"""How far in the future it may have ended, in milliseconds: clocks differ. It counts now."""

_NOBODY: Final = Subject("-")

Result = bool | TiergateError
"""Whether the outcome was counted before, by its id; or why it is not counted."""

Written = Deferred["RequestError | None"]
"""That everything is on disk, or why it is not."""


class OutcomesAbsence(Enum):
    """Why no outcomes are counted in a sidecar."""

    NO_DATA_FOLDER = auto()
    READ_ONLY_FOLDER = auto()
    UNREADABLE = auto()

    def error(self) -> RequestError:
        """Return it as the answer to a request."""
        match self:
            case OutcomesAbsence.NO_DATA_FOLDER:
                detail = "this sidecar has no folder that keeps outcomes: start it with the setting `data`"
            case OutcomesAbsence.READ_ONLY_FOLDER:
                return RequestError(503, "outcomes not written", "the data folder of this sidecar cannot be written")
            case OutcomesAbsence.UNREADABLE:
                detail = "the outcomes in the data folder cannot be read: see the log of this sidecar"
                return RequestError(503, "outcomes not written", detail)
        return RequestError(501, "outcomes not counted", detail)


class _Known(NamedTuple):
    """The latencies that are promised of features, as far as they were asked for, in one generation."""

    generation: Generation
    latencies: dict[str, tuple[int, ...]]


class OutcomeService:
    """Counts outcomes, once it has a recorder."""

    def __init__(self, checks: CheckService) -> None:
        self.checks = checks
        self._recorder: OutcomeRecorder | OutcomesAbsence = OutcomesAbsence.NO_DATA_FOLDER
        self._known: _Known | None = None

    def use(self, recorder: OutcomeRecorder | OutcomesAbsence) -> None:
        """Count with a recorder from now on, or say why nothing is counted."""
        self._recorder = recorder

    @property
    def recorder(self) -> OutcomeRecorder:
        """What counts; raises `RequestError` if nothing is counted here."""
        if isinstance(self._recorder, OutcomesAbsence):
            raise self._recorder.error()
        return self._recorder

    def count(self, outcomes: Sequence[Outcome | CheckError], now: Instant) -> tuple[list[Result], Written]:
        """Count outcomes, each on its own; return what became of each, and when they are on disk, or why they are not.

        Raises:
            RequestError: 501 or 503, nothing can be counted here.
        """
        recorder = self.recorder
        tallies = recorder.tallies(minute_of(now))
        known = self._latencies()
        results: list[Result] = []
        add_result = results.append
        for outcome in outcomes:
            if not isinstance(outcome, Outcome):
                add_result(outcome)
                continue
            tally = tallies.get(outcome.feature) if outcome.at is UNSET and outcome.id is UNSET else None
            if tally is None:
                try:
                    tally = self._tally(recorder, known, outcome, now)
                except (CheckError, RequestError, UnknownFeatureError) as error:
                    add_result(error)
                    continue
                if tally is None:
                    add_result(True)
                    continue
            tally.requests += 1
            if not outcome.ok:
                tally.failed += 1
            elif tally.latencies and outcome.duration_ms is not UNSET:
                tally.add_slow(outcome.duration_ms)
            add_result(False)
        written: Written = Deferred()
        if not _note(recorder.counts, results):
            written.resolve(None)  # nothing to wait for
            return results, written
        recorder.when_durable(lambda error: written.resolve(_write_error(recorder.counts, error)))
        return results, written

    async def read(self, feature: str, start: Instant) -> list[MinuteSum]:
        """Return what is kept of a feature's outcomes in minutes that begin from an instant on, in their order.

        Raises:
            RequestError: 501 or 503, nothing is counted here.
            UnknownFeatureError: neither the catalog nor an outcome has the feature.
        """
        found: dict[Instant, Outcomes] = {}
        parts = self.recorder.book.search(feature, start)

        def collect() -> Iterator[None]:
            for one in parts:
                if one is not None:
                    found[one.minute] = found.get(one.minute, Outcomes()) + one.outcomes
                yield

        await run_in_slices(collect())
        if not found and feature not in self._generation().engine.evaluator.index.features:
            raise self.checks.unknown_feature(Check(_NOBODY, feature))
        return [MinuteSum.of(feature, minute, outcomes) for minute, outcomes in sorted(found.items())]

    def _tally(
        self, recorder: OutcomeRecorder, known: dict[str, tuple[int, ...]], outcome: Outcome, now: Instant
    ) -> Tally | None:
        """Return where an outcome is counted; `None` if one with its id was counted before."""
        feature = outcome.feature
        latencies = known.get(feature)
        if latencies is None:
            index = self._generation().engine.evaluator.index
            if feature not in index.features:
                raise self.checks.unknown_feature(Check(_NOBODY, feature))
            # What was slower than one that is left out counts as slow by the next lower one (`Outcomes.slower_than`).
            latencies = known[feature] = index.latencies_of(feature)[:LATENCIES_MOST]
        minute = minute_of(now if outcome.at is UNSET else _instant(outcome.at, now))
        tally = recorder.tallies(minute).get(feature)
        if tally is None:
            tally = recorder.add_tally(minute, feature, latencies)
        if tally is None:
            raise _storage_full("too many minutes of outcomes are not delivered")
        if outcome.id is not UNSET and not recorder.claim(digest_of_id(feature, outcome.id)):
            return None
        return tally

    def _latencies(self) -> dict[str, tuple[int, ...]]:
        """Return the latencies of the features of this generation that were asked for."""
        generation = self._generation()
        if self._known is None or self._known.generation is not generation:
            self._known = _Known(generation, {})
        return self._known.latencies

    def _generation(self) -> Generation:
        generation = self.checks.view().generation
        if generation is None:
            raise RequestError(503, "not ready", "no data is loaded yet: outcomes cannot be counted")
        return generation


def _instant(text: str, now: Instant) -> Instant:
    """Return when a request ended: at most now."""
    try:
        at = parse_instant(text)
    except ValueError as error:
        raise CheckError("/at", str(error)) from None
    if at < now - OLDEST_MS:
        detail = f"the request ended at {text}, more than 24 hours ago"
        raise RequestError(422, "outcome too old", detail, field="/at")
    if at > now + AHEAD_MS:
        raise RequestError(422, "outcome in the future", f"the request ended at {text}, in the future", field="/at")
    return min(at, now)


def _storage_full(why: str) -> RequestError:
    return RequestError(503, "outcomes storage full", f"{why}: nothing was counted")


def _note(counts: OutcomeCounts, results: list[Result]) -> bool:
    """Count results; return whether any outcome was counted, now or before."""
    counts.counted += (counted := results.count(False))
    if counted == len(results):
        return bool(counted)
    counts.replayed += (replayed := results.count(True))
    counts.refused += len(results) - counted - replayed
    return bool(counted or replayed)


def _write_error(counts: OutcomeCounts, error: JournalError | None) -> RequestError | None:
    if error is None:
        return None
    counts.failed += 1
    if error.full:
        return _storage_full("the disk, or the budget `outcomes-disk`, is full")
    return RequestError(503, "outcomes not written", f"the outcomes journal cannot be written: {error.detail}")
