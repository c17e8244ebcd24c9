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
from tiergate.model import FOREVER, Entitlement, FeatureType, Instant, Source, format_instant
from tiergate.sidecar.api.responses import HttpResponse
from tiergate.sidecar.response_cache import SLOT, ResponseCache
from tiergate.sidecar.startup_deadline import NO_PUBLICATION, NO_REVISION
from tiergate.sidecar.time_slicing import run_in_slices_for_view

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


class _SubjectJson(msgspec.Struct, frozen=True):
    type: str
    id: str
    user: str | msgspec.UnsetType


class _EntryJson(msgspec.Struct, frozen=True):
    feature: str
    type: str | msgspec.UnsetType
    scale: int | msgspec.UnsetType
    allowed: bool
    reason: str
    entitlement: Entitlement
    sources: tuple[Source, ...]
    valid_until: str | msgspec.UnsetType


class _ListingJson(msgspec.Struct, frozen=True):
    subject: _SubjectJson
    entitlements: list[_EntryJson]
    publication: int
    revision: str
    valid_until: str | msgspec.UnsetType
    stale: bool


_encode = msgspec.json.Encoder(decimal_format="number").encode


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
        key = _encode(subject)
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
        shown = _ListingJson(
            _subject(subject),
            [_entry(decision, features.get(decision.feature)) for decision in found],
            NO_PUBLICATION if generation is None else generation.publication,
            NO_REVISION if generation is None else generation.revision,
            _instant(until),
            now >= stale_at or any(decision.stale for decision in found),
        )
        listing = _Listing(_encode(shown), (start, until), edition)
        if len(steady) == len(found) and epoch == self._decider.state.epoch:
            self.memo.put(key, listing)
        return listing

    def _unloaded(self, subject: Subject) -> _Listing:
        """The list where there is nothing to decide by, which is not remembered: what is allowed then by its id."""
        expect_valid_subject(subject)
        answers = self._decider.startup.answers(subject)
        entries = [
            _EntryJson(
                it.feature, it.type, msgspec.UNSET, it.allowed, it.reason, it.entitlement, it.sources, msgspec.UNSET
            )
            for it in answers
        ]
        shown = _ListingJson(_subject(subject), entries, NO_PUBLICATION, NO_REVISION, msgspec.UNSET, stale=True)
        now = self._decider.clock()
        return _Listing(_encode(shown), (now, now), self._decider.state.subject_versions.of(subject))


def _subject(subject: Subject) -> _SubjectJson:
    return _SubjectJson(subject.type.value, subject.id, msgspec.UNSET if subject.user is None else subject.user)


def _collect(decisions: Iterator[Decision], found: list[Decision]) -> Iterator[None]:
    for decision in decisions:
        found.append(decision)
        yield


def _entry(decision: Decision, feature: Feature | None) -> _EntryJson:
    return _EntryJson(
        decision.feature,
        decision.type.value,
        msgspec.UNSET if feature is None or feature.type not in _OF_NUMBERS else feature.scale,
        decision.allowed,
        decision.reason.value,
        decision.entitlement,
        decision.sources,
        msgspec.UNSET if decision.volatile else _instant(decision.until),
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
