"""Requests that are answered before the parser and ASGI see them.

Two steps, both on the bytes of one segment that came while the connection was at rest, or of a few that belong together
because the first ended before the body of a known head did (`lacks_body`):

1. *Repeats.* The same bytes were answered before: the same response is sent, with a decision id of its own.
2. *Known heads.* The same head was admitted before, up to the values of `Content-Length`, `traceparent`, `tracestate`
   `X-Request-ID` and `Idempotency-Key`: the parser accepted it, request limits let it pass, and routing found its
   endpoint. The rest of the segment, of the announced length, is that endpoint's body. The endpoint may answer later.

Rules:

- A head is learned only from a request on the slow path: whole in one segment, admitted, HTTP/1.1, with one
  `Content-Length`, and without headers that change the framing or the connection.
- Heads and repeats are learned for one listener, because others admit differently.
- A repeat is sent only while its decision is valid: same generation, same version of the subject, within its window.
- Everything unusual is left to the slow path, which is the authority. INVARIANT (quick is slow): both respond the same,
  except for the decision id and the date; the tests of the API use both.
"""

from __future__ import annotations

import re
from functools import partial
from time import perf_counter_ns as _nanoseconds
from typing import TYPE_CHECKING

from tiergate.sidecar.api.responses import encode_response
from tiergate.sidecar.deferred import Deferred
from tiergate.sidecar.request_context import NO_CONTEXT, RequestContext, make_context
from tiergate.sidecar.response_cache import SLOT, ResponseCache
from tiergate.sidecar.usage.leader_usage import UsageElsewhereError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Scope

    from tiergate.sidecar.api.responses import HttpResponse
    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.metrics import Durations, Metrics
    from tiergate.sidecar.native_decisions import NativeDecision

    Endpoint = Callable[[bytes, RequestContext], HttpResponse | Deferred[HttpResponse] | None]
    """Answers a body; later, where it returns a `Deferred`. `None`, with nothing done: the slow path must."""

EXTENSION = "tiergate.segment"
"""The ASGI extension by which the protocol hands an endpoint the segment that a request came in."""

DEFAULT_CACHE_BYTES = 16 * 2**20
"""The default memory of one listener's repeats and heads."""

_HEADS_BYTES = 2 * 2**20
_MAX_HEAD = 8_192
_VARYING = re.compile(
    rb"\r\n((?i:content-length|traceparent|tracestate|x-request-id|idempotency-key)):"
    rb"[ \t]*([!-~]+(?:[ \t]+[!-~]+)*)[ \t]*(?=\r\n[^ \t])"
)
_UNUSUAL = re.compile(
    rb"\r\n(?:content-length|traceparent|tracestate|x-request-id|idempotency-key"
    rb"|transfer-encoding|expect|upgrade|trailer|te|[ \t])"
    rb"|\r\nconnection[ \t]*:(?![ \t]*keep-alive[ \t]*\r\n)",
    re.IGNORECASE,
)
_FIRST_LINE = re.compile(rb"POST /[!-~]* HTTP/1\.1\r\n")
_OK = 200
_HEAD = b"content-type: application/json\r\ncontent-length: %d\r\ntiergate-decision-id: "
_HEAD_WITH_REQUEST_ID = (
    b"content-type: application/json\r\ncontent-length: %d\r\nx-request-id: %b\r\ntiergate-decision-id: "
)
_MAX_LAYOUTS = 1_000
_MAX_AWAITED = 16_384
"""The longest body, in bytes, that is put together here from several segments."""

_MAX_DIGITS = 9


class _Head:
    """An admitted head and its endpoint; `length`: of the body, if the head says it."""

    __slots__ = ("endpoint", "length", "weight")

    def __init__(self, endpoint: Endpoint, weight: int, length: int = -1) -> None:
        self.endpoint = endpoint
        self.weight = weight
        self.length = length


class _Repeat:
    """A request that is not read again: its response but for the decision id, and the decision.

    `body`: of the response, in the form of its protocol. `durations`: where repeats are counted.
    """

    __slots__ = ("body", "decision", "durations", "head", "weight")

    def __init__(
        self, segment: bytes, head: bytes, reply: HttpResponse, decision: NativeDecision, to: Durations
    ) -> None:
        self.head = head
        self.body = reply.body
        self.decision = decision
        self.durations = to
        self.weight = SLOT + len(segment) + decision.weight + (0 if self.body is decision.body else len(self.body))


class FastPath:
    """The fast path of one listener. `cache_bytes` limits its memory; `max_body`: as on the slow path."""

    def __init__(
        self,
        service: CheckService,
        name: str,
        *,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        max_body: int = 2**20,
        hand_on: Callable[[bytes, Metrics], Deferred[bytes]] | None = None,
    ) -> None:
        """`hand_on`: answers a request whose answer rests on usage that is counted elsewhere."""
        self._service = service
        self._hand_on = hand_on
        self._clock = service.clock
        self._log = service.log
        self._durations = service.metrics.durations
        self._max_body = max_body
        self.repeats: ResponseCache[_Repeat] = ResponseCache(cache_bytes)
        self._heads: ResponseCache[_Head] = ResponseCache(min(cache_bytes, _HEADS_BYTES // 2))
        self._whole_heads: ResponseCache[_Head] = ResponseCache(min(cache_bytes, _HEADS_BYTES // 2))
        self._layouts: dict[tuple[bytes, ...], list[bytes]] = {}
        self._answer_heads: dict[int, bytes] = {}
        self._defaults: list[tuple[bytes, bytes]] | None = None
        self._preamble = b""
        service.state.subscribe(self.repeats.clear)
        service.metrics.sizes[name] = lambda: (len(self.repeats), self.repeats.size)

    def answer(self, segment: bytes, defaults: list[tuple[bytes, bytes]]) -> bytes | Deferred[bytes] | None:
        """Return the response to a segment that came at rest, or later; `None` if it must take the slow path.

        `defaults`: the headers of every response; a new list means that they changed.
        """
        begun = _nanoseconds()
        repeat = self.repeats.young.get(segment)
        if repeat is None:
            repeat = self.repeats.revive(segment)
            if repeat is None:
                return self._by_head(segment, defaults)
        decision = repeat.decision
        now = self._clock()
        if not decision.start <= now < decision.until or decision.version.is_outdated:
            self.repeats.drop(segment)
            return self._by_head(segment, defaults)
        if defaults is not self._defaults:
            self._set_defaults(defaults)
        decision_id = self._service.next_id()
        decision.counts.check_repeat += 1
        elapsed = _nanoseconds() - begun
        durations = repeat.durations
        durations.counts[elapsed.bit_length()] += 1  # as `add`, without the call
        durations.total += elapsed
        if decision.basis and self._log is not None:
            self._log.offer((decision_id, now, decision.check, decision.body, NO_CONTEXT, elapsed, decision.basis))
        return b"".join((self._preamble, repeat.head, decision_id, b"\r\n\r\n", repeat.body))

    def _by_head(self, segment: bytes, defaults: list[tuple[bytes, bytes]]) -> bytes | Deferred[bytes] | None:
        end = segment.find(b"\r\n\r\n", 0, _MAX_HEAD) + 4
        length = len(segment) - end
        raw_head = segment[:end]
        head = self._whole_heads.young.get(raw_head) or self._whole_heads.revive(raw_head)
        if head is not None:
            context = NO_CONTEXT
            if head.length != length:
                return None
        else:
            parts = _VARYING.split(raw_head)
            head = self._heads.get(b"".join(parts[::3]))
            if head is None:
                return None
            found = self._read_varying(parts)
            if found is None or found[0] != length or length > self._max_body:
                return None
            context = found[1]
            if context is NO_CONTEXT:
                self._whole_heads.put(raw_head, _Head(head.endpoint, SLOT + len(raw_head) + 100, length))
        try:
            reply = head.endpoint(segment[end:], context)
        except UsageElsewhereError:
            return None if self._hand_on is None else self._hand_on(segment, self._service.metrics)
        if isinstance(reply, Deferred):
            return reply.map(partial(self._encode, segment, context, defaults))
        return None if reply is None else self._encode(segment, context, defaults, reply)

    def _encode(
        self, segment: bytes, context: RequestContext, defaults: list[tuple[bytes, bytes]], reply: HttpResponse
    ) -> bytes:
        """Encode a response, and keep it for repeats of the segment if that is allowed."""
        decision_id, body = reply.decision_id, reply.body
        if reply.status != _OK or decision_id is None or reply.extra:
            return encode_response(reply, context, defaults)
        if defaults is not self._defaults:
            self._set_defaults(defaults)
        if context.request_id is None:
            answer_head = self._answer_heads.get(len(body)) or self._answer_head(len(body))
            decision = reply.decision
            if decision is not None and context is NO_CONTEXT:
                to = self._durations[decision.endpoint]
                self.repeats.put(segment, _Repeat(segment, answer_head, reply, decision, to))
        else:
            answer_head = _HEAD_WITH_REQUEST_ID % (len(body), context.request_id)
        return b"".join((self._preamble, answer_head, decision_id, b"\r\n\r\n", body))

    def lacks_body(self, segment: bytes) -> bool:
        """Return whether a segment that came at rest is a known head with less than its body, which is not long."""
        end = segment.find(b"\r\n\r\n", 0, _MAX_HEAD) + 4
        head = self._whole_heads.get(segment[:end])
        if head is not None:
            length = head.length
        else:
            parts = _VARYING.split(segment[:end])
            found = self._read_varying(parts) if self._heads.get(b"".join(parts[::3])) is not None else None
            if found is None:
                return False
            length = found[0]
        return len(segment) - end < length <= min(self._max_body, _MAX_AWAITED)

    def _read_varying(self, parts: list[bytes]) -> tuple[int, RequestContext] | None:
        """Read the announced length and the context; `None` if the slow path must read them."""
        names = tuple(parts[1::3])
        layout = self._layouts.get(names)
        if layout is None:
            if len(self._layouts) >= _MAX_LAYOUTS:
                self._layouts.clear()
            layout = self._layouts[names] = [name.lower() for name in names]
            if len(set(layout)) != len(layout) or b"content-length" not in layout:
                layout.clear()
        if not layout:
            return None
        values = dict(zip(layout, parts[2::3], strict=True))
        announced = values.pop(b"content-length")
        if not announced.isdigit() or len(announced) > _MAX_DIGITS:
            return None
        return int(announced), make_context(values) if values else NO_CONTEXT

    def learn(self, segment: bytes, endpoint: Endpoint) -> None:
        """Learn the head of a request that was admitted to an endpoint on the slow path."""
        end = segment.find(b"\r\n\r\n", 0, _MAX_HEAD) + 4
        parts = _VARYING.split(segment[:end])
        names = [name.lower() for name in parts[1::3]]
        key = b"".join(parts[::3])
        if (
            names.count(b"content-length") == 1
            and len(set(names)) == len(names)
            and _FIRST_LINE.match(key)
            and not _UNUSUAL.search(key)
        ):
            self._heads.put(key, _Head(endpoint, SLOT + len(key) + 100))

    def forget(self) -> None:
        """Forget every request, because requests are admitted differently from now on."""
        self.repeats.clear()
        self._heads.clear()
        self._whole_heads.clear()

    def _answer_head(self, length: int) -> bytes:
        if len(self._answer_heads) > 10_000:
            self._answer_heads.clear()
        head = self._answer_heads[length] = _HEAD % length
        return head

    def _set_defaults(self, defaults: list[tuple[bytes, bytes]]) -> None:
        self._defaults = defaults
        self._preamble = b"HTTP/1.1 200 OK\r\n" + b"".join(b"%b: %b\r\n" % pair for pair in defaults)


def learn(scope: Scope, endpoint: Endpoint) -> None:
    """Let the fast path, if there is one, learn from a request that an endpoint is about to answer."""
    found = scope.get("extensions", {}).get(EXTENSION)
    if found is not None:
        path, segment = found["path"], found["segment"]
        path.learn(segment, endpoint)
