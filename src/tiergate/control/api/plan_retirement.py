"""The endpoint that retires a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.admin.loss_gate import AcceptLoss, parse_loss_token
from tiergate.admin.plan_retirement import PlanMove, retire_plan
from tiergate.control.api.items import the_item
from tiergate.control.api.request import Response
from tiergate.control.api.router import Endpoint
from tiergate.control.api.subject_requests import read_instant
from tiergate.impact.preview.subject_effects import impact_data
from tiergate.model import format_instant
from tiergate.permissions import Action

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest

_MOST_LISTED: Final = 100


def endpoints() -> list[Endpoint]:
    """Return the routes."""
    return [Endpoint("POST", "/v1/items/{id}/retire", Action.EDIT_ITEM, retire, the_item)]


class _Retirement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    to: str
    at: str = "now"
    dry_run: bool = False
    accept_loss: AcceptLoss = False


def retire(request: AdminRequest) -> Response:
    """Retire a plan: archive it, and move its subscriptions to another plan, now or at an instant; or `dry_run`."""
    body = request.decode(_Retirement)
    at = 0 if body.at == "now" else read_instant(body.at, "/at")
    wanted = PlanMove(request.params["id"], body.to, at)
    result = retire_plan(request.actor, request.store, wanted, parse_loss_token(body.accept_loss), dry_run=body.dry_run)
    data = {
        "item": wanted.item,
        "to": wanted.to,
        "at": format_instant(result.at),
        "subscriptions": result.subscriptions,
        "impact": impact_data(result.impact),
        "moved": result.moved,
        "left_count": len(result.kept),
        "left": [it._asdict() for it in result.kept[:_MOST_LISTED]],
    }
    if body.dry_run and result.token:
        data["accept_loss"] = result.token
    return Response.json(data)
