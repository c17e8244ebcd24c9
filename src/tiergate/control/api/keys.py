"""The endpoints of API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.admin import keys
from tiergate.control.api.request import Response
from tiergate.control.api.responses import reading
from tiergate.control.api.router import Endpoint
from tiergate.permissions import Action, Resource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.admin.roles import PublishedRoles
    from tiergate.control.api.request import AdminRequest
    from tiergate.store import WriteUnit

_SIDECAR: Final = "sidecar"


def endpoints(roles: PublishedRoles, trust: Mapping[str, object]) -> list[Endpoint]:
    """Return the routes. `trust`: what a sidecar needs besides its key to verify the store."""
    store = Resource.store()

    def create(request: AdminRequest) -> Response:
        """Create an API key; only this response has its text."""
        wanted = request.decode(keys.KeyRequest)

        def work(unit: WriteUnit) -> Response:
            data, text = keys.create_key(request.actor, unit, wanted, roles.read(unit).roles)
            more = trust if _SIDECAR in wanted.roles else {}
            return Response.json({"key": text, **data, **more}, 201, location=f"/v1/keys/{data['id']}")

        return request.change(work, kept=lambda answer: answer.without("key"))

    return [
        Endpoint("GET", "/v1/keys", Action.MANAGE_KEYS, list_keys, store, paged=True),
        Endpoint("POST", "/v1/keys", Action.MANAGE_KEYS, create, store),
        Endpoint("GET", "/v1/keys/{id}", Action.MANAGE_KEYS, reading(keys.get_key), store),
        Endpoint("DELETE", "/v1/keys/{id}", Action.MANAGE_KEYS, revoke_key, store),
    ]


def list_keys(request: AdminRequest) -> Response:
    """List API keys, including revoked and expired ones."""
    return Response.page(*request.read(lambda unit: keys.list_keys(unit, request.cursor, request.limit)))


def revoke_key(request: AdminRequest) -> Response:
    """Revoke an API key forever. Takes effect immediately."""
    return request.change(lambda unit: Response.json(keys.revoke_key(request.actor, unit, request.params["id"])))
