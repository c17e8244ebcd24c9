"""The paths of OFREP, and what each does."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Final

from starlette.routing import Route

from tiergate.http import entity_tags
from tiergate.sidecar.api.ofrep.bulk import BulkAdapter
from tiergate.sidecar.api.ofrep.events import EventStreams
from tiergate.sidecar.api.ofrep.flags import FlagAdapter
from tiergate.sidecar.api.protocol_paths import EVENTS_PATH, FLAG_PATH, FLAGS_PATH, OFREP_CONFIGURATION_PATH
from tiergate.sidecar.api.request_limits import require_json
from tiergate.sidecar.api.responses import JSON, HttpResponse, send_response
from tiergate.sidecar.fast_path import learn
from tiergate.sidecar.request_context import context_of
from tiergate.wire.json import encode
from tiergate.wire.ofrep import CONFIGURATION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import Receive, Scope, Send

    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.request_context import RequestContext

_SHARE_OF_FLAGS: Final = 0.4


class OfrepApi:
    """The adapters of OFREP. They cache at most `cache_bytes`; 0 caches nothing."""

    def __init__(self, service: CheckService, cache_bytes: int) -> None:
        self.service = service
        single = int(cache_bytes * _SHARE_OF_FLAGS)
        self.flags = FlagAdapter(service, single)
        self.bulk = BulkAdapter(service, cache_bytes - single)
        self.events = EventStreams(service, self.bulk)
        body = encode(CONFIGURATION)
        self.configuration_tag = b'"%b"' % hashlib.blake2b(body, digest_size=16).hexdigest().encode()
        self.configuration = HttpResponse(200, body, extra=((b"etag", self.configuration_tag),))


def routes(api: OfrepApi) -> list[Route]:
    """Return every path of OFREP with its endpoint."""
    return [
        Route(FLAGS_PATH, _BulkEndpoint(api.bulk), methods=["POST"]),
        Route(FLAG_PATH, _FlagEndpoint(api.flags), methods=["POST"]),
        Route(OFREP_CONFIGURATION_PATH, _ConfigurationEndpoint(api), methods=["GET"]),
        Route(EVENTS_PATH, _EventsEndpoint(api.events), methods=["GET"]),
    ]


class _FlagEndpoint:
    """Passes a key and a body to the adapter of single flags, and lets the fast path learn both."""

    def __init__(self, flags: FlagAdapter) -> None:
        self._flags = flags

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        require_json(scope["headers"])
        key: str = scope["path_params"]["key"]
        context = context_of(scope["headers"])
        body = (await receive())["body"]
        learn(scope, partial(self._flags.respond_now, key))
        await send_response(await self._flags.respond(key, body, context), context, send)


class _BulkEndpoint:
    """Passes a body and the header `If-None-Match` to the adapter of all flags. The parameters of a query are hints."""

    def __init__(self, bulk: BulkAdapter) -> None:
        self._bulk = bulk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        require_json(scope["headers"])
        known_tags = _known_tags(scope["headers"])
        body = (await receive())["body"]

        def respond_now(body: bytes, context: RequestContext) -> HttpResponse | None:  # noqa: ARG001 - of `Endpoint`
            return self._bulk.respond_now(body, known_tags)

        learn(scope, respond_now)
        await send_response(await self._bulk.respond(body, known_tags), context_of(scope["headers"]), send)


class _ConfigurationEndpoint:
    def __init__(self, api: OfrepApi) -> None:
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        response, tag = self._api.configuration, self._api.configuration_tag
        known_tags = _known_tags(scope["headers"])
        if known_tags is not None and entity_tags.matches(known_tags, tag):
            response = HttpResponse(304, b"", None, JSON, response.extra)
        self._api.service.metrics.count_request("other", response.status)
        await send_response(response, context_of(scope["headers"]), send)


class _EventsEndpoint:
    def __init__(self, events: EventStreams) -> None:
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # the body, which is empty
        await self._events.respond(scope["query_string"], context_of(scope["headers"]), receive, send)


def _known_tags(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    tags = [value for name, value in headers if name == b"if-none-match"]
    return b", ".join(tags) if tags else None
