"""All that a subject holds: `GET /v1/entitlements`.

The entity tag is a hash of the body, so that it changes exactly when the answer does: with the data, with the
publication, and with time. A list that no volatile decision is part of is remembered until something in it changes.
One list rests on one view of the state (one generation, fresh or stale) and one edition of its subject, also where it
is decided in turns.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

import msgspec

from tiergate.engine.normalized_check import expect_valid_subject
from tiergate.errors import CheckError, TiergateError
from tiergate.model import FOREVER, FeatureType, Instant, format_instant
from tiergate.sidecar.api.responses import HttpResponse
from tiergate.sidecar.response_cache import SLOT, ResponseCache
from tiergate.sidecar.startup_deadline import NO_PUBLICATION, NO_REVISION
from tiergate.sidecar.time_slicing import run_in_slices_for_view
from tiergate.wire.decision import EntitlementList, ListedEntitlement, ListedSubject
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.model import Decision, Feature, Subject
    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.state import StateView
    from tiergate.sidecar.subject_versions import SubjectVersion

_TRIES = 3
_OF_NUMBERS = (FeatureType.QUANTITY, FeatureType.RANGE)
_CACHE = (b"cache-control", b"private, no-cache")
_QUERY_NAMES = {"subject.id": "subject", "subject.user": "user"}


class _Listing:
    """A list that may be told again within `[start, until)` unless its edition is outdated."""

    __slots__ = ("body", "edition", "etag", "start", "until", "weight")

    def __init__(self, body: bytes, holds: tuple[Instant, Instant], edition: SubjectVersion) -> None:
        self.body = body
        self.edition = edition
        self.etag = b'"%b"' % hashlib.blake2b(body, digest_size=16).hexdigest().encode()
        self.start, self.until = holds
        self.weight = SLOT + len(body) + 500 + edition.claim_weight()


class Listings:
    """Lists entitlements, deciding in turns. `memo_bytes` bounds what remembered lists keep in memory."""

    def __init__(self, decider: CheckService, memo_bytes: int) -> None:
        self._decider = decider
        self.memo: ResponseCache[_Listing] = ResponseCache(memo_bytes)

    async def reply(self, subject: Subject, known_tags: bytes | None = None) -> HttpResponse:
        """Answer with the list, or with 304 where `known_tags`, an `If-None-Match`, names its present state."""
        begun = time.perf_counter_ns()
        metrics = self._decider.metrics
        key = encode(subject)
        now = self._decider.clock()
        listing = self.memo.get(key)
        if listing is None or not listing.start <= now < listing.until or listing.edition.is_outdated:
            try:
                listing = await self._decide(subject, key)
            except TiergateError as error:
                return self._decider.refuse("entitlements", _named(error))
        metrics.durations["entitlements"].add(time.perf_counter_ns() - begun)
        extra = ((b"etag", listing.etag), _CACHE)
        if known_tags is not None and _name(known_tags, listing.etag):
            metrics.count_request("entitlements", 304)
            return HttpResponse(304, b"", extra=extra)
        metrics.count_request("entitlements", 200)
        return HttpResponse(200, listing.body, extra=extra)

    async def _decide(self, subject: Subject, key: bytes) -> _Listing:
        decider = self._decider
        await decider.ensure_subject(subject)
        for _ in range(_TRIES):
            view = decider.view()
            if view.generation is None:
                return self._unloaded(subject)
            edition = decider.state.subject_versions.of(subject)
            now = decider.clock()
            found: list[Decision] = []
            work = _collect(decider.entitlements(view.generation, subject, now), found)
            if await run_in_slices_for_view(work, decider.state, view) and not edition.is_outdated:
                return self._listing(subject, key, view, edition, found, now)
        view = decider.view()
        if view.generation is None:  # pragma: no cover - one that was there does not go
            return self._unloaded(subject)
        edition = decider.state.subject_versions.of(subject)
        now = decider.clock()
        found = list(decider.entitlements(view.generation, subject, now))
        return self._listing(subject, key, view, edition, found, now)

    def _listing(
        self,
        subject: Subject,
        key: bytes,
        view: StateView,
        edition: SubjectVersion,
        found: list[Decision],
        now: Instant,
    ) -> _Listing:
        steady = [decision for decision in found if not decision.volatile]
        start = max((decision.start for decision in steady), default=now)
        until = min((decision.until for decision in steady), default=FOREVER)
        generation, stale_at, epoch = view
        if now >= stale_at:
            start = max(start, stale_at)
            found = [self._decider.mark_stale(decision) for decision in found]
        else:
            until = min(until, stale_at)
        features = {} if generation is None else generation.engine.evaluator.index.features
        shown = EntitlementList(
            subject=_subject(subject),
            entitlements=[_entry(decision, features.get(decision.feature)) for decision in found],
            publication=NO_PUBLICATION if generation is None else generation.publication,
            revision=NO_REVISION if generation is None else generation.revision,
            valid_until=_instant(until),
            stale=now >= stale_at or any(decision.stale for decision in found),
        )
        listing = _Listing(encode(shown), (start, until), edition)
        if len(steady) == len(found) and epoch == self._decider.state.epoch:
            self.memo.put(key, listing)
        return listing

    def _unloaded(self, subject: Subject) -> _Listing:
        """The list where there is nothing to decide by, which is not remembered: what is allowed then by its id."""
        expect_valid_subject(subject)
        answers = self._decider.startup.answers(subject)
        entries = [
            ListedEntitlement(
                feature=decision.feature,
                allowed=decision.allowed,
                reason=decision.reason,
                entitlement=decision.entitlement,
                sources=decision.sources,
            )
            for decision in answers
        ]
        shown = EntitlementList(
            subject=_subject(subject),
            entitlements=entries,
            publication=NO_PUBLICATION,
            revision=NO_REVISION,
            stale=True,
        )
        now = self._decider.clock()
        return _Listing(encode(shown), (now, now), self._decider.state.subject_versions.of(subject))


def _subject(subject: Subject) -> ListedSubject:
    return ListedSubject(subject.type.value, subject.id, msgspec.UNSET if subject.user is None else subject.user)


def _collect(decisions: Iterator[Decision], found: list[Decision]) -> Iterator[None]:
    for decision in decisions:
        found.append(decision)
        yield


def _entry(decision: Decision, feature: Feature | None) -> ListedEntitlement:
    return ListedEntitlement(
        feature=decision.feature,
        type=decision.type.value,
        scale=msgspec.UNSET if feature is None or feature.type not in _OF_NUMBERS else feature.scale,
        allowed=decision.allowed,
        reason=decision.reason.value,
        entitlement=decision.entitlement,
        sources=decision.sources,
        valid_until=msgspec.UNSET if decision.volatile else _instant(decision.until),
    )


def _instant(until: Instant) -> str | msgspec.UnsetType:
    try:
        return format_instant(until)
    except OverflowError:
        return msgspec.UNSET


def _name(known_tags: bytes, etag: bytes) -> bool:
    """Whether an `If-None-Match` names a tag (RFC 9110, section 13.1.2: weakly, a list, or `*`)."""
    tags = [tag.strip().removeprefix(b"W/") for tag in known_tags.split(b",")]
    return etag in tags or tags == [b"*"]


def _named(error: TiergateError) -> TiergateError:
    """Name the parameter of the query instead of the field of a check."""
    if isinstance(error, CheckError):
        return CheckError(_QUERY_NAMES.get(error.field, error.field), error.detail)
    return error
