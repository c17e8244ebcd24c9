"""Publications of the past: list and show them, and roll back to one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.admin.publication_views import Members, publication_data, sees_store
from tiergate.admin.publishing import PublicationRequest
from tiergate.permissions import Action, Resource
from tiergate.publish.change_list import list_changes
from tiergate.publish.published_state import PublishedState
from tiergate.publish.rollback_planner import plan_rollback
from tiergate.store.publications import publication, publications, published_policies

if TYPE_CHECKING:
    from tiergate.admin.actor import Actor
    from tiergate.publish.publication_plan import PublicationPlan
    from tiergate.store import ReadUnit


def list_publications(unit: ReadUnit, before: int | None, limit: int) -> tuple[list[Members], str | None]:
    """List publications, latest first, from the one before `before` on, and what the next page is before."""
    rows = publications(unit.session, before, limit + 1)
    page = rows[:limit]
    return [publication_data(row) for row in page], str(page[-1].sequence) if len(rows) > limit else None


def get_publication(actor: Actor, unit: ReadUnit, sequence: int) -> Members:
    """Read a publication and what it changed, as far as the actor sees it."""
    record = publication(unit.session, sequence)
    changes = list_changes(_state_of(unit, sequence - 1), _state_of(unit, sequence))
    if not sees_store(actor):
        changes = [change for change in changes if change.kind not in {"rule", "roles"}]
    return {**publication_data(record), "changes": changes}


def roll_back(actor: Actor, sequence: int, *, roles: bool, note: str) -> PublicationRequest:
    """Request to publish the catalog and the rules of a past publication again, and with `roles` its roles.

    A rollback is for emergencies: it does not check the loss, unless the actor accepts one.

    Raises:
        ForbiddenError: the actor may not edit the roles. The planner raises it if the rules change, and the actor may
            not edit them.
    """
    store = Resource.store()
    if roles:
        actor.require(Action.EDIT_ROLES, store)

    def plan(unit: ReadUnit, current: PublishedState) -> PublicationPlan:
        if not actor.may(Action.EDIT_RULES, store) and 1 <= sequence <= current.sequence:
            rules, _ = published_policies(unit, sequence)
            if rules != current.rules:
                actor.require(Action.EDIT_RULES, store)
        return plan_rollback(sequence, roles=roles, note=note)(unit, current)

    return PublicationRequest(plan, lambda _: actor.require(Action.ROLLBACK, Resource.catalog()), checks_loss=False)


def _state_of(unit: ReadUnit, sequence: int) -> PublishedState:
    state = unit.published_at(sequence)
    return PublishedState(sequence, state.revision, state.catalog, *published_policies(unit, sequence))
