"""The administration API on a real socket in this process, for tests: a real uvicorn in a thread of its own.

`serving` takes any endpoints and a store. Who asks is said by the token: `as_("admin")`, `as_("publisher", "sidecar")`
are callers of these roles; real keys and tokens are tested where they are read. Every answer that a client gets is
held to the OpenAPI document of the endpoints.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import httpx
import uvicorn

from tests.contract import Contract
from tiergate.control.api.admin_api import AdminApi
from tiergate.errors import RequestError
from tiergate.permissions import Caller, CallerKind, Scope, shipped_roles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from starlette.types import ASGIApp

    from tiergate.control.api.router import Endpoint
    from tiergate.permissions import RolePolicies
    from tiergate.store import Store


def identify_by_roles(token: str) -> Caller:
    """The caller that a token names: roles, after `@` the customers that it is narrowed to, after `!` the actions."""
    narrowed, _, actions = token.partition("!")
    roles, _, customers = narrowed.partition("@")
    if not roles:
        raise RequestError(401, "unauthorized", "no roles")
    scope = Scope(*(frozenset(its.split("+")) if its else None for its in (actions, customers)))
    return Caller(f"test/{token}", CallerKind.KEY, frozenset(roles.split("+")), token, scope)


class Admin:
    """Where an API is served, and clients of it."""

    def __init__(self, url: str, check: Callable[[httpx.Response], None] | None = None) -> None:
        self.url = url
        self._check = check
        self._clients: list[httpx.Client] = []

    def as_(self, *roles: str, customers: Iterable[str] = (), actions: Iterable[str] = ()) -> httpx.Client:
        """A client with these roles, narrowed to these customers and these actions."""
        parts = [(sign, "+".join(its)) for sign, its in (("@", customers), ("!", actions))]
        return self.bearing("+".join(roles) + "".join(sign + its for sign, its in parts if its))

    def bearing(self, token: str) -> httpx.Client:
        """A client with a token."""
        return self.client({"authorization": f"Bearer {token}"})

    def client(self, headers: dict[str, str] | None = None) -> httpx.Client:
        """A client with these headers."""
        hooks = {"response": [] if self._check is None else [self._check]}
        client = httpx.Client(
            base_url=self.url, headers=headers, timeout=30, trust_env=False, verify=False, event_hooks=hooks
        )
        self._clients.append(client)
        return client

    def close(self) -> None:
        """Close all clients."""
        for client in self._clients:
            client.close()


@contextlib.contextmanager
def serving(
    store: Store,
    endpoints: Iterable[Endpoint],
    *,
    identify: Callable[[str], Caller] = identify_by_roles,
    roles: Callable[[], RolePolicies] | None = None,
) -> Iterator[Admin]:
    """Serve endpoints on a store."""
    table = shipped_roles()
    api = AdminApi(endpoints, identify=identify, roles=roles or (lambda: table), store=store)
    with serving_app(api, Contract(api.endpoints).check) as admin:
        yield admin


@contextlib.contextmanager
def serving_app(app: ASGIApp, check: Callable[[httpx.Response], None] | None = None) -> Iterator[Admin]:
    """Serve an application, of which every answer to a client goes through `check`."""
    # Said to be TCP, or asyncio does not turn off its delay; whoever connects early waits in the queue.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])), name="admin")
    thread.start()
    admin = Admin(f"http://127.0.0.1:{listening.getsockname()[1]}", check)
    try:
        yield admin
    finally:
        admin.close()
        server.should_exit = True
        thread.join(30)
        listening.close()
