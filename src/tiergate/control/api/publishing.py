"""The endpoints of publishing: pending edits, preview, publish, publications, roll back.

A preview is lines of JSON: `progress`, each single `effect` for callers who may see all customers, and last the
`outcome`: what changes, with the tally. An answer without that last line is incomplete.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.admin import publications
from tiergate.admin.immediate_changes import RolloutTargetBody, check_note, read_instant
from tiergate.admin.loss_gate import AcceptLoss
from tiergate.admin.publishing import stream_preview
from tiergate.control.api.apply_export import ApplyBody, apply_publication
from tiergate.control.api.request import Response
from tiergate.control.api.request_values import decode_parts
from tiergate.control.api.responses import preview_response, publication_response, reviewed_by
from tiergate.control.api.router import Endpoint
from tiergate.errors import BodyError, BodyProblem, NotFoundError
from tiergate.permissions import Action, Resource
from tiergate.publish.changeset import EditSelection
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from tiergate.admin.publishing import PublicationRequest
    from tiergate.control.api.request import AdminRequest
    from tiergate.publish.publisher import Publisher

_PATH: Final = "/v1/publications"
_MAX_BODY: Final = 64 * 2**20
_LINES: Final = "application/x-ndjson"


class PublishBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to publish, the customers who get new versions, and the loss that is accepted."""

    features: list[str] | None = None
    items: list[str] | None = None
    rules: list[str] | None = None
    roles: bool | None = None
    rollout: RolloutTargetBody | None = None
    rollouts: dict[str, RolloutTargetBody] = {}
    note: str = ""
    dry_run: bool = False
    accept_loss: AcceptLoss = False


class _RollbackBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    roles: bool = False
    note: str = ""
    dry_run: bool = False
    accept_loss: AcceptLoss = False


class _PreviewBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    publish: PublishBody | None = None
    apply: ApplyBody | None = None
    at: str | None = None


def endpoints(publisher: Publisher) -> list[Endpoint]:
    """Return the routes."""
    catalog = Resource.catalog()

    def pending(request: AdminRequest) -> Response:
        """Show what publishing everything would change."""
        return preview_response(publications.preview_pending(request.actor, publisher))

    def publish(request: AdminRequest) -> Response:
        """Publish the pending edits, or some of them."""
        body = request.decode(PublishBody) if request.body else PublishBody()
        wanted, reviewed = pending_publication(request, body), reviewed_by(request)
        return publication_response(publisher, request, wanted, reviewed, body)

    def preview(request: AdminRequest) -> Response:
        """Preview what publishing, or applying a file, would change for each customer. Changes nothing."""
        body = decode_parts(request, _PreviewBody) if request.body else _PreviewBody()
        at = read_instant(body.at, "/at")
        lines = stream_preview(request.actor, publisher, _previewed(publisher, request, body), at)
        return Response.stream((encode(line) + b"\n" for line in lines), _LINES)

    def roll_back(request: AdminRequest) -> Response:
        """Publish the catalog and the rules of a past publication again."""
        body = request.decode(_RollbackBody) if request.body else _RollbackBody()
        check_note(body.note)
        wanted = publications.roll_back(request.actor, _sequence(request), roles=body.roles, note=body.note)
        reviewed = reviewed_by(request)
        return publication_response(publisher, request, wanted, reviewed, body)

    return [
        Endpoint("GET", "/v1/pending", Action.VIEW, pending, catalog),
        Endpoint("POST", "/v1/publish", Action.PREVIEW, publish, catalog, purpose=Action.PUBLISH),
        Endpoint("POST", "/v1/preview", Action.PREVIEW, preview, catalog, max_body=_MAX_BODY),
        Endpoint("GET", _PATH, Action.VIEW, list_publications, catalog, paged=True),
        Endpoint("GET", f"{_PATH}/{{sequence}}", Action.VIEW, show_publication, catalog),
        Endpoint("POST", f"{_PATH}/{{sequence}}/rollback", Action.PREVIEW, roll_back, catalog, purpose=Action.ROLLBACK),
    ]


def list_publications(request: AdminRequest) -> Response:
    """List the publications, latest first."""
    before, limit = request.number_cursor, request.limit
    return Response.page(*request.read(lambda unit: publications.list_publications(unit, before, limit)))


def show_publication(request: AdminRequest) -> Response:
    """Show a publication, and what it changed."""
    sequence = _sequence(request)
    return Response.json(request.read(lambda unit: publications.get_publication(request.actor, unit, sequence)))


def pending_publication(request: AdminRequest, body: PublishBody, at: str = "") -> PublicationRequest:
    """Return the request to publish what a body selects; `at`: the body's pointer in the request's body.

    Raises:
        BodyError: the note, or a rollout, is invalid.
        ForbiddenError: it selects what the caller may not edit.
    """
    check_note(body.note, f"{at}/note")
    target = None if body.rollout is None else body.rollout.target(f"{at}/rollout")
    targets = {id_: it.target(f"{at}/rollouts/{id_}") for id_, it in body.rollouts.items()}
    selection = None
    if any(it is not None for it in (body.features, body.items, body.rules, body.roles)):
        features, items, rules = (frozenset(ids or ()) for ids in (body.features, body.items, body.rules))
        selection = EditSelection(features, items, rules, bool(body.roles))
    return publications.pending_publication(request.actor, selection, target, targets, body.note)


def _sequence(request: AdminRequest) -> int:
    text = request.params["sequence"]
    if not text.isdecimal() or len(text) > 18:
        raise NotFoundError("publication", text)
    return int(text)


def _previewed(publisher: Publisher, request: AdminRequest, body: _PreviewBody) -> PublicationRequest:
    if body.apply is not None and body.publish is not None:
        raise BodyError([BodyProblem("/apply", "wrong-value", "give either `publish` or `apply`, not both")])
    if body.apply is not None:
        return apply_publication(request, publisher, body.apply)
    return pending_publication(request, body.publish or PublishBody(), "/publish")
