"""Publishing over HTTP: what is pending, publish, publications, roll back; and what acts at once (`acting_at_once`).

Publishing answers with what changed. With `dry_run` it has no effect, and also says what stands against it and what it
would do to customers. Where customers would lose something, it is refused unless exactly this loss is accepted; a
rollback, which is for emergencies, only where it accepts another one. With `If-Match`, what is published is what was
reviewed, or nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.admin.loss_acceptance import AcceptLoss, accepted_loss
from tiergate.admin.rollout_requests import RolloutTargetBody, check_note
from tiergate.control.api import immediate_changes
from tiergate.control.api.publish_responses import carried_out, dry_run, preview_data, previewed, reviewed_by
from tiergate.control.api.request import Answer
from tiergate.control.api.router import Endpoint
from tiergate.errors import NotFoundError, RequestError
from tiergate.model import format_instant
from tiergate.permissions import Action, Resource
from tiergate.publish.change_list import list_changes
from tiergate.publish.changeset import ALL_EDITS, EditSelection
from tiergate.publish.publish_plans import plan_pending_edits
from tiergate.publish.published_state import PublishedState
from tiergate.publish.rollback import plan_rollback
from tiergate.store.publications import publication, publications, published_policies

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest
    from tiergate.publish.change_list import Change
    from tiergate.publish.publication_plan import Planner, PublicationPlan
    from tiergate.publish.publisher import Publisher
    from tiergate.store import ReadUnit
    from tiergate.store.publications import PublicationRecord

_NOTHING: Final[frozenset[str]] = frozenset()


class PublishBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be published, to whom, and whether what it takes from customers is meant."""

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


def endpoints(publisher: Publisher) -> list[Endpoint]:
    """What there is about publishing."""
    catalog = Resource.catalog()
    handlers = _Handlers(publisher)
    return [
        Endpoint("GET", "/v1/pending", Action.VIEW, handlers.pending, catalog),
        Endpoint("POST", "/v1/publish", Action.PREVIEW, handlers.publish, catalog),
        Endpoint("GET", "/v1/publications", Action.VIEW, handlers.list_publications, catalog, paged=True),
        Endpoint("GET", "/v1/publications/{sequence}", Action.VIEW, handlers.show_publication, catalog),
        Endpoint("POST", "/v1/publications/{sequence}/rollback", Action.PREVIEW, handlers.roll_back, catalog),
        *immediate_changes.endpoints(publisher),
    ]


class _Handlers:
    """The handlers, with the publisher that they share."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def pending(self, request: AdminRequest) -> Answer:
        """Show what publishing everything would change."""
        choice = ALL_EDITS if _sees_rules(request) else EditSelection(rules=_NOTHING, roles=False)
        return previewed(preview_data(request, self._publisher.preview(plan_pending_edits(choice))))

    def publish(self, request: AdminRequest) -> Answer:
        """Publish what is pending, or what is chosen of it."""
        body = request.decode(PublishBody) if request.body else PublishBody()
        planner = publish_planner(request, body)
        accepted, reviewed = accepted_loss(body.accept_loss), reviewed_by(request)
        if body.dry_run:
            return dry_run(self._publisher, request, planner)
        request.require(Action.PUBLISH, Resource.catalog())
        return carried_out(self._publisher, request, planner, weigh=True, accept_loss=accepted, reviewed=reviewed)

    def roll_back(self, request: AdminRequest) -> Answer:
        """Put the catalog and the rules of a past publication in force again."""
        body = request.decode(_RollbackBody) if request.body else _RollbackBody()
        check_note(body.note)
        sequence = _sequence(request)
        accepted, reviewed = accepted_loss(body.accept_loss), reviewed_by(request)
        store = Resource.store()
        if body.roles:
            request.require(Action.EDIT_ROLES, store)

        def planner(unit: ReadUnit, current: PublishedState) -> PublicationPlan:
            if not request.may(Action.EDIT_RULES, store) and 1 <= sequence <= current.sequence:
                rules, _ = published_policies(unit, sequence)
                if rules != current.rules:
                    request.require(Action.EDIT_RULES, store)
            return plan_rollback(sequence, roles=body.roles, note=body.note)(unit, current)

        if body.dry_run:
            return dry_run(self._publisher, request, planner)
        request.require(Action.ROLLBACK, Resource.catalog())
        return carried_out(self._publisher, request, planner, accept_loss=accepted, reviewed=reviewed)

    # ── publications ─────────────────────────────────────────────────────────────────────────────────────────────────

    def list_publications(self, request: AdminRequest) -> Answer:
        """List the publications, the latest first."""
        cursor = request.cursor
        if cursor is not None and not cursor.isdecimal():
            raise RequestError(400, "invalid request", "`cursor` is not one that this list gave out")
        before = None if cursor is None else int(cursor)
        rows = request.read(lambda unit: publications(unit.session, before, request.limit + 1))
        page = rows[: request.limit]
        return Answer.page(
            [_publication_data(row) for row in page], str(page[-1].sequence) if len(rows) > len(page) else None
        )

    def show_publication(self, request: AdminRequest) -> Answer:
        """Show a publication, and what it changed."""
        sequence = _sequence(request)

        def work(unit: ReadUnit) -> tuple[PublicationRecord, list[Change]]:
            found = publication(unit.session, sequence)
            return found, list_changes(_standing(unit, sequence - 1), _standing(unit, sequence))

        found, changes = request.read(work)
        if not _sees_rules(request):
            changes = [change for change in changes if change.kind not in {"rule", "roles"}]
        return Answer.json({**_publication_data(found), "changes": changes})


# ── what is asked ────────────────────────────────────────────────────────────────────────────────────────────────────


def publish_planner(request: AdminRequest, body: PublishBody, at: str = "") -> Planner:
    """What publishing as a body says is planned as; `at`: where that stands in the request's body.

    Raises:
        BodyError: it says what cannot be.
        ForbiddenError: it chooses what the caller may not edit.
    """
    check_note(body.note, f"{at}/note")
    choice = _choice(request, body)
    launch = None if body.rollout is None else body.rollout.launch(f"{at}/rollout")
    launches = {id_: it.launch(f"{at}/rollouts/{id_}") for id_, it in body.rollouts.items()}
    return plan_pending_edits(choice, launch=launch, launches=launches, note=body.note)


def _choice(request: AdminRequest, body: PublishBody) -> EditSelection:
    """What is to be published. Rules and roles only for those who may edit them; unasked, they are left out else."""
    store = Resource.store()
    named = (body.features, body.items, body.rules, body.roles)
    if all(it is None for it in named):
        return EditSelection(
            rules=None if request.may(Action.EDIT_RULES, store) else _NOTHING,
            roles=request.may(Action.EDIT_ROLES, store),
        )
    if body.rules:
        request.require(Action.EDIT_RULES, store)
    if body.roles:
        request.require(Action.EDIT_ROLES, store)
    return EditSelection(
        frozenset(body.features or ()), frozenset(body.items or ()), frozenset(body.rules or ()), bool(body.roles)
    )


def _sees_rules(request: AdminRequest) -> bool:
    """Say whether the caller may see rules and roles, whose texts stand in what changes."""
    return request.may(Action.VIEW, Resource.store())


def _sequence(request: AdminRequest) -> int:
    text = request.params["sequence"]
    if not text.isdecimal() or len(text) > 18:
        raise NotFoundError("publication", text)
    return int(text)


# ── what is answered ─────────────────────────────────────────────────────────────────────────────────────────────────


def _publication_data(found: PublicationRecord) -> dict[str, object]:
    said: dict[str, object] = {
        "publication": found.sequence,
        "revision": found.revision,
        "position": found.position,
        "issued_at": format_instant(found.issued_at),
        "author": found.author,
        "note": found.note,
    }
    return said if found.rolled_back_to is None else {**said, "rolled_back_to": found.rolled_back_to}


def _standing(unit: ReadUnit, sequence: int) -> PublishedState:
    state = unit.published_at(sequence)
    return PublishedState(sequence, state.revision, state.catalog, *published_policies(unit, sequence))
