"""The endpoints of changes that take effect immediately: rollouts, and suspensions for all customers.

With `dry_run` they show what they would do. `If-Match` takes the entity tag of that answer, of the item or the feature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.admin import immediate_changes
from tiergate.admin.immediate_changes import RolloutBody, check_note, read_instant
from tiergate.admin.loss_gate import AcceptLoss
from tiergate.admin.precondition import ANY_VERSION
from tiergate.control.api.features import the_feature
from tiergate.control.api.items import the_item
from tiergate.control.api.request import Response
from tiergate.control.api.responses import dry_run_reviewed_by, expected_version, publication_response
from tiergate.control.api.router import Endpoint
from tiergate.errors import BodyError, BodyProblem, NotFoundError
from tiergate.model import BEGINNING, FOREVER, Suspension
from tiergate.permissions import Action

if TYPE_CHECKING:
    from tiergate.admin.precondition import Precondition
    from tiergate.control.api.request import AdminRequest
    from tiergate.publish.publisher import Publisher
    from tiergate.publish.review_tag import ReviewTags

_ROLLOUTS: Final = "/v1/items/{id}/rollouts"
_SUSPENSIONS: Final = "/v1/features/{id}/suspensions"


class _RolloutsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rollouts: list[RolloutBody]
    narrow: bool = False
    accept_loss: AcceptLoss = False
    note: str = ""
    dry_run: bool = False


class _OneRolloutBody(RolloutBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    narrow: bool = False
    accept_loss: AcceptLoss = False
    note: str = ""
    dry_run: bool = False


class _SuspensionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    start: str | None = msgspec.field(default=None, name="from")
    until: str | None = None
    reason: str = ""
    accept_loss: AcceptLoss = False
    dry_run: bool = False

    def suspension(self) -> Suspension:
        """Return the suspension; an invalid instant, reason or period is a `BodyError`."""
        start, until = read_instant(self.start, "/from"), read_instant(self.until, "/until")
        start, until = BEGINNING if start is None else start, FOREVER if until is None else until
        check_note(self.reason, "/reason")
        if until <= start:
            raise BodyError([BodyProblem("/until", "empty-period", "`until` must be later than `from`")])
        return Suspension("", start, until, self.reason)


def endpoints(publisher: Publisher) -> list[Endpoint]:
    """Return the routes."""

    def set_rollouts(request: AdminRequest) -> Response:
        """Replace an item's rollouts. Takes effect immediately."""
        body = request.decode(_RolloutsBody)
        check_note(body.note)
        reviewed, expected = _review_and_version(request, dry_run=body.dry_run)
        wanted = immediate_changes.replace_rollouts(
            request.params["id"], body.rollouts, expected, may_narrow=body.narrow, note=body.note
        )
        return publication_response(publisher, request, wanted, reviewed, body)

    def add_rollout(request: AdminRequest) -> Response:
        """Add a last rollout to an item. Takes effect immediately."""
        body = request.decode(_OneRolloutBody)
        check_note(body.note)
        reviewed, expected = _review_and_version(request, dry_run=body.dry_run)
        wanted = immediate_changes.append_rollout(
            request.params["id"], body, expected, may_narrow=body.narrow, note=body.note
        )
        return publication_response(publisher, request, wanted, reviewed, body)

    def suspend(request: AdminRequest) -> Response:
        """Suspend a feature for all customers, now or from an instant on, forever or until one."""
        body = request.decode(_SuspensionBody) if request.body else _SuspensionBody()
        suspension = body.suspension()
        reviewed, expected = _review_and_version(request, dry_run=body.dry_run)
        wanted = immediate_changes.suspend_feature(request.params["id"], suspension, expected)
        return publication_response(publisher, request, wanted, reviewed, body)

    def resume(request: AdminRequest) -> Response:
        """Remove a suspension of a feature for all customers."""
        id_, number = request.params["id"], request.params["number"]
        if not number.isdecimal() or len(number) > 9:
            raise NotFoundError("suspension", f"{id_}/{number}")
        reviewed, expected = _review_and_version(request)
        wanted = immediate_changes.resume_feature(id_, int(number), request.reason, expected)
        return publication_response(publisher, request, wanted, reviewed)

    return [
        Endpoint("GET", _ROLLOUTS, Action.VIEW, list_rollouts, the_item),
        Endpoint("PUT", _ROLLOUTS, Action.EDIT_ROLLOUT, set_rollouts, the_item),
        Endpoint("POST", _ROLLOUTS, Action.EDIT_ROLLOUT, add_rollout, the_item),
        Endpoint("GET", _SUSPENSIONS, Action.VIEW, list_suspensions, the_feature, paged=True),
        Endpoint("POST", _SUSPENSIONS, Action.SUSPEND_FEATURE, suspend, the_feature),
        Endpoint("DELETE", _SUSPENSIONS + "/{number}", Action.SUSPEND_FEATURE, resume, the_feature),
    ]


def list_rollouts(request: AdminRequest) -> Response:
    """Show an item's rollouts: which customers get which version."""
    data, etag = request.read(lambda unit: immediate_changes.list_rollouts(unit, request.params["id"]))
    return Response.json(data, etag=etag)


def list_suspensions(request: AdminRequest) -> Response:
    """List the suspensions of a feature for all customers, including past ones."""
    found = request.read(lambda unit: immediate_changes.list_suspensions(unit, request.params["id"]))
    return Response.page_of(request, found, lambda it: str(it["number"]))


def _review_and_version(request: AdminRequest, *, dry_run: bool = False) -> tuple[ReviewTags | None, Precondition]:
    reviewed = dry_run_reviewed_by(request)
    return reviewed, ANY_VERSION if dry_run or reviewed is not None else expected_version(request)
