"""The endpoints of role policies. Publishing them is elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.admin import roles
from tiergate.control.api.request import Response, etag_text
from tiergate.control.api.responses import changing, expected_version
from tiergate.control.api.router import Endpoint, Open
from tiergate.permissions import Action, Resource

if TYPE_CHECKING:
    from tiergate.admin.roles import PublishedRoles, RolesDraft
    from tiergate.control.api.request import AdminRequest
    from tiergate.store import WriteUnit

_MAX_BODY: Final = 2**20


class _Draft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str


def endpoints(published: PublishedRoles) -> list[Endpoint]:
    """Return the routes."""
    store = Resource.store()

    def get_roles(request: AdminRequest) -> Response:
        """Return the active role policies."""
        return Response.json(request.read(lambda unit: roles.active_roles(unit, published.read(unit))))

    return [
        Endpoint("GET", "/v1/whoami", Open.AUTHENTICATED, whoami),
        Endpoint("GET", "/v1/roles", Action.VIEW, get_roles, store),
        Endpoint("GET", "/v1/roles/draft", Action.VIEW, get_draft, store),
        Endpoint("PUT", "/v1/roles/draft", Action.EDIT_ROLES, put_draft, store, max_body=_MAX_BODY),
        Endpoint("DELETE", "/v1/roles/draft", Action.EDIT_ROLES, changing(roles.discard_draft, with_actor=True), store),
    ]


def whoami(request: AdminRequest) -> Response:
    """Return the caller, and what it may do to some resource."""
    return Response.json(roles.describe_actor(request.actor))


def get_draft(request: AdminRequest) -> Response:
    """Return the draft of the role policies; the shipped ones if nothing is drafted."""
    return _draft_response(request.read(roles.get_draft))


def put_draft(request: AdminRequest) -> Response:
    """Save a draft of the role policies, which must be publishable."""
    text = request.decode(_Draft).text

    def work(unit: WriteUnit) -> Response:
        return _draft_response(roles.save_draft(request.actor, unit, text, expected_version(request)))

    return request.change(work)


def _draft_response(draft: RolesDraft) -> Response:
    data = {"text": draft.text, "etag": etag_text(draft.etag), "shipped": draft.is_shipped}
    return Response.json(data, etag=draft.etag)
