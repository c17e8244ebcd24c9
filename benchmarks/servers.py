"""The baselines: minimal servers on uvloop that read a request and return constant bytes.

`floor`: a bare httptools protocol. `asgi`: uvicorn and a bare ASGI application. `starlette`: a route that reads the
body and returns constant JSON. Run as `python -m benchmarks.servers KIND PORT BODY-FILE [HEADER…]`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httptools
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send


class _Floor(asyncio.Protocol):
    """Parses requests and answers each with the same bytes."""

    answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.transport.write(self.answer)  # type: ignore[attr-defined]


async def _serve_floor(port: int, answer: bytes) -> None:
    _Floor.answer = answer
    server = await asyncio.get_running_loop().create_server(_Floor, "127.0.0.1", port)
    await server.serve_forever()


def _asgi(body: bytes) -> object:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def _starlette(body: bytes) -> object:
    constant = json.loads(body)

    async def endpoint(request: Request) -> JSONResponse:
        await request.body()
        return JSONResponse(constant)

    return Starlette(routes=[Route("/v1/check", endpoint, methods=["POST"])])


def main(kind: str, port: int, answer: Path) -> None:
    """Serve until killed. `answer` is the whole response with its head for `floor`, else the body."""
    content = answer.read_bytes()
    if kind == "floor":
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve_floor(port, content))
    app = _asgi(content) if kind == "asgi" else _starlette(content)
    uvicorn.run(
        app,  # type: ignore[arg-type]
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        lifespan="off",
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
