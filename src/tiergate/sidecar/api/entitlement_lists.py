"""Everything that a subject is entitled to: `GET /v1/entitlements`.

The entity tag is a hash of the body, so that it changes exactly when the body does: with the data, with the
publication, and with time. A list without volatile decisions is cached until one of its decisions changes.
A list is decided by one view of the state (one generation, fresh or stale) and one version of its subject.
"""

from __future__ import annotations

import hashlib
import time
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from tiergate.engine.shapes.kept_decision import KeptDecision
from tiergate.errors import CheckError, TiergateError
from tiergate.http import entity_tags
from tiergate.model import BEGINNING, FOREVER, Check, Instant
from tiergate.model.features import COUNTED
from tiergate.sidecar.api.responses import HttpResponse, reject
from tiergate.sidecar.native_decisions import KeptDecisionWriter
from tiergate.sidecar.response_cache import SLOT, ResponseCache
from tiergate.sidecar.startup_deadline import NO_PUBLICATION, NO_REVISION
from tiergate.sidecar.time_slicing import decide_consistently
from tiergate.wire.check_reader import read_list_query
from tiergate.wire.decision import (
    EntitlementList,
    ListedEntitlement,
    ListedSubject,
    instant_text,
    resets_at,
    status_shown,
)
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.model import Decision, Entitlement, Feature, Subject
    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.state import StateView
    from tiergate.sidecar.subject_versions import SubjectVersion

_NO_ENTRIES = b'"entitlements":[]'
_CACHE = (b"cache-control", b"private, no-cache")
_QUERY_NAMES = {"subject.id": "subject", "subject.user": "user"}


class _CachedList:
    """A response that may be repeated within `[start, until)` unless its subject's version is outdated."""

    __slots__ = ("body", "etag", "start", "until", "version", "weight")

    def __init__(self, body: bytes, window: tuple[Instant, Instant], version: SubjectVersion) -> None:
        self.body = body
        self.version = version
        self.etag = b'"%b"' % hashlib.blake2b(body, digest_size=16).hexdigest().encode()
        self.start, self.until = window
        self.weight = SLOT + len(body) + 500 + version.claim_weight()


class EntitlementListAdapter:
    """Lists entitlements, deciding in time slices. `cache_bytes` bounds what cached lists take in memory."""

    def __init__(self, service: CheckService, cache_bytes: int) -> None:
        self._service = service
        self._writers = KeptDecisionWriter()
        self.cache: ResponseCache[_CachedList] = ResponseCache(cache_bytes)
        service.state.subscribe(self.cache.clear)
        service.metrics.sizes["entitlements"] = lambda: (len(self.cache), self.cache.size)

    async def respond(self, query: bytes, known_tags: bytes | None = None) -> HttpResponse:
        """Respond with the list, or with 304 if `known_tags`, an `If-None-Match`, names its current state."""
        begun = time.perf_counter_ns()
        service = self._service
        try:
            subject, features = read_list_query(query)
            key = encode(subject) + ",".join(sorted(features)).encode()
            now = service.clock()
            cached = self.cache.get(key)
            if cached is None or not cached.start <= now < cached.until or cached.version.is_outdated:
                cached = await self._decide(subject, features, key)
        except TiergateError as error:
            return reject(service, "entitlements", _name_parameter(error))
        extra = ((b"etag", cached.etag), _CACHE)
        if known_tags is not None and entity_tags.matches(known_tags, cached.etag):
            service.metrics.durations["entitlements"].add(time.perf_counter_ns() - begun)
            service.metrics.count_request("entitlements", 304)
            return HttpResponse(304, b"", extra=extra)
        service.count_success("entitlements", begun)
        return HttpResponse(200, cached.body, extra=extra)

    async def _decide(self, subject: Subject, features: frozenset[str], key: bytes) -> _CachedList:
        service = self._service
        view = service.view()
        if service.must_fetch(view, subject):
            await service.fetch([subject])
        made = await decide_consistently(service, lambda view: _List(service, self._writers, view, subject, features))
        response = _CachedList(made.body(), (made.start, made.until), made.version)
        if made.is_steady and made.view.epoch == service.state.epoch:
            self.cache.put(key, response)
        return response


class _List:
    """One list in progress. `start`, `until`: when it says the same; `is_steady`: whether it does at all.

    `wanted`: the features that it is about; all, if there is none.
    """

    def __init__(
        self,
        service: CheckService,
        writers: KeptDecisionWriter,
        view: StateView,
        subject: Subject,
        wanted: frozenset[str],
    ) -> None:
        if view.generation is not None:
            for feature in sorted(wanted):
                service.expect_feature(view.generation, Check(subject, feature))
        self._service = service
        self._writers = writers
        self.view = view
        self.version = service.version_of_all(view, subject)
        self._subject = subject
        self._wanted = wanted
        self._now = service.clock()
        self._entries: list[bytes] = []
        self._is_stale = self._now >= view.stale_at or view.generation is None
        self.is_steady = view.generation is not None
        self.start = BEGINNING
        self.until = FOREVER

    @property
    def is_consistent(self) -> bool:
        """Whether the subject is still as it was at the beginning."""
        return not self.version.is_outdated

    def decide(self) -> Iterator[None]:
        """Add the entries in order, pausing after each."""
        service, view, writers, add = self._service, self.view, self._writers, self._entries.append
        windows: set[tuple[Instant, Instant]] = set()
        generation = view.generation
        features = {} if generation is None else generation.engine.evaluator.index.features
        wanted = self._wanted
        for decision in service.decide_all_features(view, self._subject, self._now):
            name = decision.feature.id if isinstance(decision, KeptDecision) else decision.feature
            if wanted and name not in wanted:
                pass
            elif isinstance(decision, KeptDecision):
                add(writers.of(view).write_entry(decision))
                windows.add((decision.start, decision.until))
            else:
                if decision.volatile:
                    self.is_steady = False
                else:
                    windows.add((decision.start, decision.until))
                shown = service.mark_stale(decision) if self._now >= view.stale_at else decision
                self._is_stale = self._is_stale or shown.stale
                add(encode(_entry(shown, features.get(shown.feature))))
            yield
        self.start = max((start for start, _ in windows), default=self._now)
        self.until = min((until for _, until in windows), default=FOREVER)
        if self._now >= view.stale_at:
            self.start = max(self.start, view.stale_at)
        else:
            self.until = min(self.until, view.stale_at)

    def body(self) -> bytes:
        """Put the list together."""
        generation = self.view.generation
        frame = EntitlementList(
            subject=_subject(self._subject),
            entitlements=[],
            publication=NO_PUBLICATION if generation is None else generation.publication,
            revision=NO_REVISION if generation is None else generation.revision,
            valid_until=msgspec.UNSET if generation is None else instant_text(self.until),
            stale=self._is_stale,
        )
        before, _, after = encode(frame).partition(_NO_ENTRIES)  # a subject's id has no unescaped `"`
        return b'%b"entitlements":[%b]%b' % (before, b",".join(self._entries), after)


def _subject(subject: Subject) -> ListedSubject:
    return ListedSubject(subject.type.value, subject.id, msgspec.UNSET if subject.user is None else subject.user)


def _entry(decision: Decision, feature: Feature | None) -> ListedEntitlement:
    shown = status_shown(decision)
    return ListedEntitlement(
        feature=decision.feature,
        type=msgspec.UNSET if decision.type is None else decision.type.value,
        scale=msgspec.UNSET if feature is None or feature.type not in COUNTED else feature.scale,
        allowed=decision.allowed,
        reason=decision.reason.value,
        entitlement=_at_rest(decision.entitlement),
        sources=decision.sources,
        valid_until=msgspec.UNSET if decision.volatile else instant_text(decision.until),
        resets_at=resets_at(decision),
        status=shown.status,
        since=shown.since,
    )


def _at_rest(entitlement: Entitlement) -> Entitlement:
    """Return an entitlement whose overage is that of what is used, without the amount of a check."""
    over, used, value = entitlement.overage, entitlement.used, entitlement.value
    if over is msgspec.UNSET or used is msgspec.UNSET or not isinstance(value, int | Decimal):
        return entitlement
    return replace(entitlement, overage=used - value if used > value else msgspec.UNSET)


def _name_parameter(error: TiergateError) -> TiergateError:
    """Name the parameter of the query instead of the field of a check."""
    if isinstance(error, CheckError):
        return CheckError(_QUERY_NAMES.get(error.field, error.field), error.detail, error.suggestion)
    return error
