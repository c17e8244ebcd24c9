"""Publish pending edits, or compile the bundle that this would make; list and show publications; roll back to one.

Functions raise `NotFoundError` if there is no such publication, `ForbiddenError` if rules or roles are selected or
would change and the actor may not edit them, and `PublishError` if the pending edits have problems.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.admin.publication_views import Members, preview_data, problem_data, publication_data, sees_store
from tiergate.admin.publishing import PublicationRequest
from tiergate.compiler import compile_catalog
from tiergate.errors import AuthorError, PublishError
from tiergate.permissions import Action, Resource
from tiergate.publish.change_list import list_changes
from tiergate.publish.changeset import ALL_EDITS, EditSelection
from tiergate.publish.pending_planner import plan_pending_edits
from tiergate.publish.published_state import PublishedState
from tiergate.publish.rollback_planner import plan_rollback
from tiergate.store.publications import publication, publications, published_policies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.admin.actor import Actor
    from tiergate.publish.publication_plan import PublicationPlan
    from tiergate.publish.publisher import Publisher
    from tiergate.publish.rollouts import RolloutTarget
    from tiergate.store import ReadUnit

_NONE: Final[frozenset[str]] = frozenset()


def pending_publication(
    actor: Actor,
    selection: EditSelection | None,
    target: RolloutTarget | None,
    targets: Mapping[str, RolloutTarget],
    note: str,
) -> PublicationRequest:
    """Request to publish selected edits; `None`: all that the actor may publish.

    `target`: the customers who get new versions; `targets`: the same for single items, by id.
    """
    store = Resource.store()
    if selection is None:
        rules = None if actor.may(Action.EDIT_RULES, store) else _NONE
        selection = EditSelection(rules=rules, roles=actor.may(Action.EDIT_ROLES, store))
    else:
        if selection.rules:
            actor.require(Action.EDIT_RULES, store)
        if selection.roles:
            actor.require(Action.EDIT_ROLES, store)
    planner = plan_pending_edits(selection, target=target, targets=targets, note=note)
    return PublicationRequest(planner, lambda _: actor.require(Action.PUBLISH, Resource.catalog()))


def preview_pending(actor: Actor, publisher: Publisher) -> Members:
    """Return what publishing everything would change, as far as the actor sees it; without its impact."""
    selection = ALL_EDITS if sees_store(actor) else EditSelection(rules=_NONE, roles=False)
    return preview_data(actor, publisher.preview(plan_pending_edits(selection)))


def check_pending_rules(publisher: Publisher) -> list[Members]:
    """Return the problems that prevent publishing everything but the roles."""
    preview = publisher.preview(plan_pending_edits(EditSelection(roles=False)))
    return [problem_data(problem) for problem in preview.problems]


def compile_pending(publisher: Publisher) -> dict[str, bytes]:
    """Return the files of the bundle that publishing everything would make, without its manifest."""
    planner = plan_pending_edits(ALL_EDITS)
    plan = publisher.store.read(lambda unit: planner(unit, publisher.published_state(unit)))
    changeset = plan.changeset
    if changeset.problems:
        raise PublishError(sorted(changeset.problems))
    try:
        return compile_catalog(changeset.catalog, changeset.rules, positions=plan.positions)
    except AuthorError as error:
        raise PublishError(error.problems) from None


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
