"""Parts of an HTTP request that do not depend on the endpoint's meaning: id, credentials, query, headers, body.

What is missing, repeated, unknown, too large or too slow is a `RequestError`. The character U+0000, which PostgreSQL
cannot store, is one too in a query, and a `BodyError` in a body.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from typing import IO, TYPE_CHECKING, Final
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool

from tiergate.control.api.query_parameters import LISTS
from tiergate.errors import BodyError, BodyProblem, RequestError
from tiergate.http.request_ids import is_request_id
from tiergate.naming import nearest
from tiergate.text_normalization import to_nfc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from tiergate.control.api.router import Endpoint

_BODILESS: Final = frozenset({"GET", "HEAD", "DELETE"})
_BODY_TIMEOUT: Final = 30.0
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
"""The headers of requests with a body."""

_PAGING: Final = ("limit", "cursor")


def raw_path(http: Request) -> bytes:
    """Return the path, still encoded."""
    raw: bytes = http.scope.get("raw_path") or quote(http.scope["path"]).encode()
    return raw.partition(b"?")[0]


def request_id(http: Request) -> str:
    """Return the caller's request id if it has one that can be logged, else a new one."""
    given = _values(http, b"x-request-id")
    return given[0].decode("ascii") if len(given) == 1 and is_request_id(given[0]) else str(uuid.uuid4())


def bearer_token(http: Request) -> str:
    """Return the token of `Authorization: Bearer`."""
    values = _values(http, b"authorization")
    if len(values) > 1:
        raise RequestError(400, "malformed request", "the header `Authorization` must be given once")
    scheme, _, token = values[0].decode("latin-1").partition(" ") if values else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise RequestError(401, "unauthorized", "the header `Authorization: Bearer` with a key or token is needed")
    return token.strip()


def read_query(http: Request, endpoint: Endpoint) -> Mapping[str, str]:
    """Return the query parameters of an endpoint, each once; the values of a list are joined with commas."""
    query: dict[str, str] = {}
    if not http.scope["query_string"]:
        return query
    known = (*endpoint.query, *(_PAGING if endpoint.paged else ()))
    for name, value in http.query_params.multi_items():
        if name not in known:
            raise RequestError(400, "invalid request", f"no parameter `{name[:100]}` here", nearest(name, known))
        if name in query and name not in LISTS:
            raise RequestError(400, "invalid request", f"the parameter `{name}` must be given once")
        if "\x00" in value:
            raise RequestError(400, "invalid request", f"the parameter `{name}` must not have the character U+0000")
        query[name] = ",".join([*([query[name]] if name in query else []), to_nfc(value)])
    return query


def read_headers(http: Request) -> Mapping[str, str]:
    """Return the headers by lower-case name, repeated ones joined, without the credentials."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in http.scope["headers"]:
        if raw_name != b"authorization":
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _values(http: Request, name: bytes) -> list[bytes]:
    """Return the values of a header. ASGI has their names in lower case."""
    return [value for known, value in http.scope["headers"] if known == name]


async def read_body(http: Request, endpoint: Endpoint, spool: IO[bytes] | None = None) -> bytes:
    """Return the body; with `spool`, write it there and return nothing."""
    limit = 0 if endpoint.method in _BODILESS else endpoint.max_body
    if not limit and not any(name in _FRAMING for name, _ in http.scope["headers"]):
        return b""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_BODY_TIMEOUT) as timeout:
            async for part in http.stream():
                size += len(part)
                if size > limit:
                    detail = f"a body may have {limit} bytes at most" if limit else "this request takes no body"
                    raise RequestError(413, "content too large", detail)
                if spool is None:
                    parts.append(part)
                else:
                    await run_in_threadpool(spool.write, part)
                    timeout.reschedule(asyncio.get_running_loop().time() + _BODY_TIMEOUT)
    except TimeoutError:
        detail = f"the body did not arrive within {_BODY_TIMEOUT:g} seconds"
        raise RequestError(408, "request timeout", detail) from None
    if size:
        _expect_media_type(http, endpoint)
    if spool is not None:
        spool.flush()
    body = b"".join(parts)
    if endpoint.is_binary:
        return body
    if b"\x00" in body or (b"\\u0000" in body and _NUL.search(body)):
        raise BodyError([BodyProblem("", "bad-character", "must not have the character U+0000")])
    return body


def _expect_media_type(http: Request, endpoint: Endpoint) -> None:
    types = _values(http, b"content-type")
    if len(types) != 1 or types[0].decode("latin-1").partition(";")[0].strip().lower() not in endpoint.media_types:
        expected = " or ".join(f"`{media_type}`" for media_type in endpoint.media_types)
        raise RequestError(415, "unsupported media type", f"the header `Content-Type` must be {expected}")
