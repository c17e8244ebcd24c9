"""All flags for one context: `POST /ofrep/v1/evaluate/flags`.

For each feature there are two flags, its key and `<feature>:allowed`. INVARIANT (all flags are single flags): each has
the value, the reason and the metadata that a request for it alone with the same context gets.

The entity tag is a hash of the whole context and of the body, so that it changes with either. A response without
volatile decisions is cached until one of its decisions changes. It is decided by one view of the state (one generation,
fresh or stale) and one version of its subject; a short one at once, another in time slices.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from tiergate.engine.shapes.kept_decision import KeptDecision
from tiergate.errors import CheckError, TiergateError
from tiergate.http import entity_tags
from tiergate.model import BEGINNING, FOREVER
from tiergate.sidecar.api.ofrep.failures import failure, reject
from tiergate.sidecar.api.ofrep.kept_flags import KeptFlagWriter
from tiergate.sidecar.api.ofrep.translation import decided_feature, evaluate, evaluate_both
from tiergate.sidecar.api.protocol_paths import EVENTS_PATH
from tiergate.sidecar.api.responses import JSON, HttpResponse
from tiergate.sidecar.response_cache import SLOT, ResponseCache
from tiergate.sidecar.startup_deadline import NO_PUBLICATION, NO_REVISION
from tiergate.sidecar.time_slicing import decide_consistently
from tiergate.wire.json import encode, encode_sorted
from tiergate.wire.ofrep import ALLOWED, BulkEvaluation, EventStream, FlagSetMetadata, StreamEndpoint
from tiergate.wire.ofrep_reader import Context, read_context, targeting_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.model import Decision, Feature, Instant, Subject
    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.state import Generation, StateView
    from tiergate.sidecar.subject_versions import SubjectVersion

ENDPOINT = "ofrep_bulk"

_NO_FLAGS = b'"flags":[]'
_CACHE = (b"cache-control", b"private, no-cache")


class CachedFlags:
    """A response that may be repeated within `[start, until)` unless its subject's version is outdated."""

    __slots__ = ("body", "headers", "start", "tag", "until", "version", "weight")

    def __init__(self, body: bytes, tag: bytes, window: tuple[Instant, Instant], version: SubjectVersion) -> None:
        self.body = body
        self.tag = tag
        self.headers = ((b"etag", tag), _CACHE)
        self.start, self.until = window
        self.version = version
        self.weight = SLOT + len(body) + 1_000 + version.claim_weight()

    def is_valid(self, now: Instant) -> bool:
        """Return whether the flags are the same now."""
        return self.start <= now < self.until and not self.version.is_outdated


class BulkAdapter:
    """Responds to requests for all flags. `cache_bytes` bounds what cached responses take in memory."""

    def __init__(self, service: CheckService, cache_bytes: int) -> None:
        self._service = service
        self._writer: tuple[Generation | None, KeptFlagWriter] | None = None
        self.cache: ResponseCache[CachedFlags] = ResponseCache(cache_bytes)
        service.state.subscribe(self.cache.clear)
        service.metrics.sizes[ENDPOINT] = lambda: (len(self.cache), self.cache.size)

    def respond_now(self, body: bytes, known_tags: bytes | None) -> HttpResponse | None:
        """Respond if the flags are cached; else `None`, with nothing done."""
        begun = time.perf_counter_ns()
        try:
            cached = self.cache.get(_key(read_context(body)))
        except TiergateError:
            return None
        if cached is None or not cached.is_valid(self._service.clock()):
            return None
        return self._response(cached, known_tags, begun)

    async def respond(self, body: bytes, known_tags: bytes | None) -> HttpResponse:
        """Respond with all flags, or with 304 if `known_tags`, an `If-None-Match`, names their current state."""
        begun = time.perf_counter_ns()
        try:
            flags = await self.flags(read_context(body))
        except TiergateError as error:
            return reject(self._service, ENDPOINT, error)
        return self._response(flags, known_tags, begun)

    async def flags(self, context: Context) -> CachedFlags:
        """Return all flags for a context, cached or decided; an error that concerns all is raised."""
        key = _key(context)
        cached = self.cache.get(key)
        if cached is not None and cached.is_valid(self._service.clock()):
            return cached
        return await self._decide(context, key)

    def _response(self, flags: CachedFlags, known_tags: bytes | None, begun: int) -> HttpResponse:
        service = self._service
        if known_tags is not None and entity_tags.matches(known_tags, flags.tag):
            service.metrics.durations[ENDPOINT].add(time.perf_counter_ns() - begun)
            service.metrics.count_request(ENDPOINT, 304)
            return HttpResponse(304, b"", extra=flags.headers)
        service.count_success(ENDPOINT, begun)
        return HttpResponse(200, flags.body, None, JSON, flags.headers)

    async def _decide(self, context: Context, key: bytes) -> CachedFlags:
        service = self._service
        subject = context.subject
        view = service.view()
        if service.must_fetch(view, subject):
            await service.fetch([subject])
        made = await decide_consistently(service, lambda view: _Flags(service, view, context, self._writer_of(view)))
        body = made.body()
        digest = hashlib.blake2b(body, digest_size=16, key=hashlib.blake2b(key, digest_size=32).digest())
        flags = CachedFlags(body, b'"%b"' % digest.hexdigest().encode(), (made.start, made.until), made.version)
        if made.is_steady and made.view.epoch == service.state.epoch:
            self.cache.put(key, flags)
        return flags

    def _writer_of(self, view: StateView) -> KeptFlagWriter:
        """Return the writer of a view, kept as long as its generation is current."""
        generation = view.generation
        if self._writer is None or self._writer[0] is not generation:
            revision = NO_REVISION if generation is None else generation.revision
            self._writer = generation, KeptFlagWriter(revision)
        return self._writer[1]


class _Flags:
    """All flags in progress. `start`, `until`: when they are the same; `is_steady`: whether they are at all."""

    def __init__(self, service: CheckService, view: StateView, context: Context, writer: KeptFlagWriter) -> None:
        self._service = service
        self._writer = writer
        self.view = view
        self.version = service.version_of_all(view, context.subject)
        self._context = context
        self._now = service.clock()
        self._flags: list[bytes] = []
        generation = view.generation
        self._revision = NO_REVISION if generation is None else generation.revision
        self._publication = NO_PUBLICATION if generation is None else generation.publication
        self._is_stale = self._now >= view.stale_at or generation is None
        self._windows: set[tuple[Instant, Instant]] = set()
        self.is_steady = generation is not None
        self.start = BEGINNING
        self.until = FOREVER

    @property
    def is_consistent(self) -> bool:
        """Whether the subject is still as it was at the beginning."""
        return not self.version.is_outdated

    def decide(self) -> Iterator[None]:
        """Add the flags of the features in order, pausing after each."""
        service, view, context = self._service, self.view, self._context
        add, windows, write_kept = self._flags.append, self._windows, self._writer.write_both
        now, has_fields = self._now, bool(context.fields)
        features = {} if view.generation is None else view.generation.engine.evaluator.index.features
        for decision in service.decide_all_features(view, context.subject, now):
            feature = decision.feature if isinstance(decision, KeptDecision) else features.get(decision.feature)
            if has_fields and feature is not None and context.names_for(feature.type, decision=True):
                self._add_checked(feature)
            elif isinstance(decision, KeptDecision):
                add(write_kept(decision))
                windows.add((decision.start, decision.until))
            else:
                self._note(decision)
                shown = service.mark_stale(decision) if now >= view.stale_at else decision
                add(evaluate_both(decision.feature, decided_feature(shown, feature), self._revision))
            yield
        self.start = max((start for start, _ in windows), default=now)
        self.until = min((until for _, until in windows), default=FOREVER)
        if now >= view.stale_at:
            self.start = max(self.start, view.stale_at)
        else:
            self.until = min(self.until, view.stale_at)

    def _add_checked(self, feature: Feature) -> None:
        """Add the flags of a feature that members of the context count for: each is a check of its own."""
        for key, is_decision in ((feature.id, False), (feature.id + ALLOWED, True)):
            try:
                check = self._context.check(feature.id, feature.type, decision=is_decision)
                decision = self._service.decide(self.view, check, self._now, once=True).decision
            except CheckError as error:
                self._flags.append(encode(failure(error, key)))
            else:
                self._note(decision)
                decided = decided_feature(decision, feature)
                self._flags.append(evaluate(key, decided, self._revision, is_decision=is_decision))

    def _note(self, decision: Decision) -> None:
        if decision.volatile:
            self.is_steady = False
        else:
            self._windows.add((decision.start, decision.until))
        self._is_stale = self._is_stale or decision.stale

    def body(self) -> bytes:
        """Put the flags together."""
        frame = BulkEvaluation(
            [],
            [EventStream("sse", StreamEndpoint(_events_of(self._context.subject)))],
            FlagSetMetadata(self._publication, self._revision, self._is_stale),
        )
        before, _, after = encode(frame).partition(_NO_FLAGS)
        return b'%b"flags":[%b]%b' % (before, b",".join(self._flags), after)


def _key(context: Context) -> bytes:
    """Return what identifies a context: all of it, whatever the order of its members."""
    try:
        return encode_sorted(context.whole)
    except UnicodeEncodeError:
        raise CheckError("/context", "has half of a surrogate pair, which is not a character") from None
    except RecursionError:
        raise CheckError("/context", "is nested too deeply") from None


def _events_of(subject: Subject) -> str:
    user = "" if subject.user is None else f"&user={quote(subject.user, safe='')}"
    return f"{EVENTS_PATH}?targetingKey={quote(targeting_key(subject), safe=':')}{user}"


def all_flags_for(subject: Subject) -> Context:
    """Return the least context of a subject."""
    whole: dict[str, object] = {"targetingKey": targeting_key(subject)}
    if subject.user is not None:
        whole["user"] = subject.user
    return Context(subject, {}, whole)
