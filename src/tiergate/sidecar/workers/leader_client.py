"""Asks the leader what a worker cannot answer: HTTP/1.1 over the leader's own Unix socket, on connections that stay."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

from tiergate.errors import RequestError
from tiergate.sidecar.api.responses import encode_response
from tiergate.sidecar.deferred import Deferred
from tiergate.sidecar.request_context import NO_CONTEXT
from tiergate.sidecar.workers.leader_failures import reject_handed_on

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import Scope

    from tiergate.sidecar.metrics import Metrics

CONNECTIONS: Final = 64
"""The most connections of one worker to its leader; more requests wait for one."""

_IDLE_SECONDS: Final = 2.0
"""How long a connection may have been idle; the leader closes it later than that."""

_MOST_HEAD: Final = 64 * 1024
_OF_CONNECTION: Final = frozenset(
    {b"connection", b"keep-alive", b"transfer-encoding", b"te", b"trailer", b"upgrade", b"expect", b"content-length"}
)
_OF_SERVER: Final = _OF_CONNECTION | {b"date", b"server"}
_NO_BODY: Final = frozenset({204, 304})
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)


class LeaderAnswer(NamedTuple):
    """An answer of the leader, whole."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class _Connection(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used_at: float


class LeaderClient:
    """Connections of one worker. `path`: of the leader's socket."""

    def __init__(self, path: str, connections: int = CONNECTIONS) -> None:
        self._path = path
        self._idle: list[_Connection] = []
        self._turns = asyncio.Semaphore(connections)
        self._asking: set[asyncio.Task[None]] = set()

    async def ask(self, scope: Scope, body: bytes) -> LeaderAnswer:
        """Hand a request on and return its answer.

        Raises:
            RequestError: 503, the leader has ended. It may have counted; who repeats a request uses the same key.
        """
        head, content = await self._exchange(_request(scope, body))
        first, *lines = head[:-4].split(b"\r\n")
        status = int(first.split(b" ", 2)[1])
        pairs = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
        headers = [(name, value) for name, value in pairs if name not in _OF_SERVER]
        if status not in _NO_BODY:
            headers.append((b"content-length", b"%d" % len(content)))
        return LeaderAnswer(status, headers, content)

    def answer_soon(self, request: bytes, metrics: Metrics) -> Deferred[bytes]:
        """Hand a whole request on as it came; its answer comes as the leader gave it, or as a counted error."""
        answer: Deferred[bytes] = Deferred()

        async def ask() -> None:
            try:
                answer.resolve(b"".join(await self._exchange(request)))
            except RequestError as error:
                path = unquote(request.split(b" ", 2)[1].partition(b"?")[0].decode("latin-1"))
                answer.resolve(encode_response(reject_handed_on(error, path, metrics), NO_CONTEXT, []))

        task = asyncio.get_running_loop().create_task(ask())
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return answer

    async def _exchange(self, request: bytes) -> tuple[bytes, bytes]:
        """Send a request; return the head and the body of its answer. Raises as `ask`."""
        async with self._turns:
            connection = None
            try:
                connection = await self._connection()
                connection.writer.write(request)
                answer = await _read(connection.reader)
            except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
                if connection is not None:
                    connection.writer.close()
                detail = "the process that counts has ended; it is not known whether this request was counted"
                raise RequestError(503, "usage not counted now", detail) from None
            except BaseException:
                if connection is not None:
                    connection.writer.close()
                raise
            self._idle.append(connection._replace(used_at=time.monotonic()))
            return answer

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            is_fresh = time.monotonic() - connection.used_at < _IDLE_SECONDS
            if is_fresh and not connection.writer.is_closing() and not connection.reader.at_eof():
                return connection
            connection.writer.close()
        reader, writer = await asyncio.open_unix_connection(self._path, limit=_MOST_HEAD)
        return _Connection(reader, writer, 0.0)

    def close(self) -> None:
        """Close all connections that are idle."""
        for connection in self._idle:
            connection.writer.close()
        self._idle.clear()


def _request(scope: Scope, body: bytes) -> bytes:
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    target = path + b"?" + query if query else path
    head = [b"%b %b HTTP/1.1" % (scope["method"].encode(), target)]
    head += _lines(scope["headers"])
    return b"\r\n".join([*head, b"content-length: %d" % len(body), b"", body])


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    return [b"%b: %b" % (name, value) for name, value in headers if name.lower() not in _OF_CONNECTION]


async def _read(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    if int(head.split(b" ", 2)[1]) in _NO_BODY:
        return head, b""
    found = _LENGTH.search(head)
    if found is None:
        raise ValueError("an answer without a length")
    return head, await reader.readexactly(int(found[1]))
