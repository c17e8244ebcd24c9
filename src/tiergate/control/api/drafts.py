"""The endpoints of the drafts of items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.admin import discards, drafts
from tiergate.control.api.bodies import MERGE_PATCH
from tiergate.control.api.items import the_item
from tiergate.control.api.request import Response
from tiergate.control.api.responses import changing, reading
from tiergate.control.api.router import Endpoint
from tiergate.permissions import Action

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest

_PATH: Final = "/v1/items/{id}/draft"
_ENTITLEMENT: Final = f"{_PATH}/entitlements/{{feature}}"
_MAX_BODY: Final = 4 * 2**20  # the entitlements of 10,000 features


def endpoints() -> list[Endpoint]:
    """Return the routes."""
    edit, patch = Action.EDIT_DRAFT, changing(drafts.patch_draft)
    return [
        Endpoint("GET", _PATH, Action.VIEW, reading(drafts.get_draft), the_item),
        Endpoint("PUT", _PATH, edit, changing(drafts.put_draft), the_item, max_body=_MAX_BODY),
        Endpoint("PATCH", _PATH, edit, patch, the_item, max_body=_MAX_BODY, media_types=MERGE_PATCH),
        Endpoint("DELETE", _PATH, edit, changing(discards.discard_item, with_actor=True), the_item),
        Endpoint("PUT", _ENTITLEMENT, edit, changing(drafts.put_entitlement), the_item),
        Endpoint("DELETE", _ENTITLEMENT, edit, changing(drafts.delete_entitlement), the_item),
        Endpoint("GET", f"{_PATH}/diff", Action.VIEW, compare_draft, the_item, query=("against",)),
    ]


def compare_draft(request: AdminRequest) -> Response:
    """Compare the draft of an item with the version that new customers get, or with the version `against`."""
    id_, version = request.params["id"], request.number("against", 0, least=1, most=999_999_999)
    return Response.json(request.read(lambda unit: drafts.compare_draft(unit, id_, version)))
