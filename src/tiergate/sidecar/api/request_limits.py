"""Limits on requests before any endpoint: host, origin, token, media type, size and time of the body. Pure ASGI.

Local requests are not trusted blindly. A web page that is open on this machine can send requests to it, under a name of
its own that resolves to 127.0.0.1 (DNS rebinding). So a foreign `Host` or `Origin` is rejected, and so is a body whose
media type is not JSON, which a page cannot send without a preflight request. Beyond loopback a token is required.

Every body is read here, whole, within limits of size and time, before anything else looks at the request: nothing of it
remains on the connection, and endpoints get it in one piece. The protocol limits a request's head.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiergate.errors import RequestError
from tiergate.http.loopback import is_loopback
from tiergate.sidecar.api.responses import rejected, send_response
from tiergate.sidecar.request_context import context_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from tiergate.sidecar.api.tokens import Tokens
    from tiergate.sidecar.metrics import Metrics

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_JSON = re.compile(rb'application/json(?:[ \t]*;[ \t]*charset="?utf-?8"?)?[ \t]*', re.IGNORECASE)
_FOREIGN_SITES = frozenset({b"cross-site", b"same-site"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Which requests one listener accepts.

    `names`: accepted host names, besides loopback's. `addresses`: whether any IP address is an accepted host; a page
    under a name of its own never sends one. `everywhere`: whether hosts and origins are not checked, as on a Unix
    socket, which no web page reaches. `origins`: accepted origins of web pages. `tokens`: every request needs one of
    them; `None`: no token is needed.
    """

    names: frozenset[str] = frozenset()
    addresses: bool = False
    everywhere: bool = False
    origins: frozenset[str] = frozenset()
    tokens: Tokens | None = None

    def admit(self, scope: Scope) -> None:
        """Check a request; raises `RequestError` 400, 401, 403 or 421 if it is not accepted."""
        found: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            if name in (b"host", b"origin", b"authorization", b"sec-fetch-site"):
                found.setdefault(name, []).append(value)
        if not self.everywhere:
            host = self._admit_host(found.get(b"host", []), scope["http_version"])
            self._admit_origin(found, host)
        if self.tokens is not None:
            _admit_token(self.tokens, found.get(b"authorization", []))

    def _admit_host(self, hosts: list[bytes], version: str) -> str:
        if not hosts and version == "1.0":
            return ""
        if len(hosts) != 1:
            raise RequestError(400, "malformed request", "the header `Host` must be given once")
        host = hosts[0].decode("latin-1")
        match = _HOST.fullmatch(host)
        if match is None or not self._knows(match[1].lower()):
            raise RequestError(421, "foreign host", f"`{host[:100]}` is not a host name of this sidecar")
        return host

    def _knows(self, name: str) -> bool:
        if is_loopback(name) or name in self.names:
            return True
        return self.addresses and _is_address(name)

    def _admit_origin(self, found: dict[bytes, list[bytes]], host: str) -> None:
        own = f"http://{host}".lower()
        for value in found.get(b"origin", []):
            origin = value.decode("latin-1")
            if origin not in self.origins and origin.lower() != own:
                raise RequestError(403, "foreign origin", f"requests from pages of `{origin[:100]}` are not allowed")
        if b"origin" not in found and any(site in _FOREIGN_SITES for site in found.get(b"sec-fetch-site", [])):
            raise RequestError(403, "foreign origin", "requests from pages of other sites are not allowed")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _admit_token(tokens: Tokens, values: list[bytes]) -> None:
    scheme, _, given = values[0].partition(b" ") if len(values) == 1 else (b"", b"", b"")
    if scheme.lower() != b"bearer" or not tokens.admit(given.strip()):
        raise RequestError(401, "unauthorized", "the header `Authorization: Bearer` must have a token of this sidecar")


class RequestLimits:
    """Reads a request's body, admits the request, and hands both on; else answers with a problem.

    `max_body` in bytes, `body_timeout` in seconds from the first byte that is waited for to the last.
    """

    def __init__(
        self, app: ASGIApp, access: Access, metrics: Metrics, *, max_body: int = 2**20, body_timeout: float = 10.0
    ) -> None:
        self._app = app
        self._access = access
        self._metrics = metrics
        self._max_body = max_body
        self._body_timeout = body_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(scope, receive)
            if body is None:
                return
            self._access.admit(scope)
        except RequestError as error:
            reply = rejected(error, self._metrics)
            await send_response(reply, context_of(scope["headers"]), send)
            return
        await self._app(scope, _replay(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """Return the whole body, or nothing if the client disconnected."""
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > self._max_body:
                raise self._too_large()
        parts: list[bytes] = []
        size = 0
        more = True
        try:
            async with asyncio.timeout(self._body_timeout):
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        return None
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > self._max_body:
                        raise self._too_large()
                    more = message.get("more_body", False)
        except TimeoutError:
            raise RequestError(
                408, "request timeout", f"the body did not arrive within {self._body_timeout:g} seconds"
            ) from None
        return b"".join(parts)

    def _too_large(self) -> RequestError:
        return RequestError(413, "content too large", f"the limit for a body is {self._max_body} bytes")


def require_json(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Check the media type of a body; raises `RequestError` 415 if it is not JSON."""
    types = [value for name, value in headers if name == b"content-type"]
    if len(types) != 1 or _JSON.fullmatch(types[0].strip()) is None:
        raise RequestError(415, "unsupported media type", "the header `Content-Type` must be `application/json`")


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that repeats a body that was read, then continues."""
    message: Message | None = {"type": "http.request", "body": body, "more_body": False}

    async def replay() -> Message:
        nonlocal message
        given, message = message, None
        return given if given is not None else await receive()

    return replay
