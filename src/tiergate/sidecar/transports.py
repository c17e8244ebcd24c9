"""What uvicorn sees of a connection in the places where the protocol must have the last word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.http.flow_control import FlowControl

from tiergate.sidecar.api.responses import HttpResponse, send_response
from tiergate.sidecar.request_context import NO_CONTEXT

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable
    from uvicorn._types import Scope as UvicornScope


class GuardedFlow(FlowControl):
    """Reading goes on only where it may: uvicorn would read, and queue, more while it answers the first of a queue."""

    def __init__(self, transport: asyncio.Transport, may_read: Callable[[], bool]) -> None:
        super().__init__(transport)
        self._may_read = may_read

    def resume_reading(self) -> None:
        """Continue to read, if that is allowed."""
        if self._may_read():
            super().resume_reading()


def refusal(reply: HttpResponse) -> ASGI3Application:
    """Return an application that always sends one response."""

    async def refuse(
        scope: UvicornScope,  # noqa: ARG001 - ASGI
        receive: ASGIReceiveCallable,  # noqa: ARG001 - ASGI
        send: ASGISendCallable,
    ) -> None:
        await send_response(reply, NO_CONTEXT, send)  # type: ignore[arg-type]

    return refuse
