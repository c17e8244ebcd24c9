"""Show results and previews of publications to an actor.

Examples name customers: only an actor who may view the whole store sees them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.model import format_instant
from tiergate.permissions import Action, Resource

if TYPE_CHECKING:
    from tiergate.admin.actor import Actor
    from tiergate.model import Problem
    from tiergate.publish.loss_estimate import ImpactLine
    from tiergate.publish.publication_stages import PublishPreview, PublishResult
    from tiergate.store.publications import PublicationRecord

Members = dict[str, object]
"""The members of a JSON object."""


def sees_store(actor: Actor) -> bool:
    """Return whether an actor sees all customers, the rules and the roles."""
    return actor.may(Action.VIEW, Resource.store())


def result_data(actor: Actor, result: PublishResult) -> Members:
    """Return the result of a publication."""
    data: Members = {
        "publication": result.sequence,
        "revision": result.revision,
        "published": result.is_new,
        "changes": result.changes,
    }
    if result.impact is not None:
        data["impact"] = visible_impact(actor, result.impact)
    return data | _extras(actor, result)


def preview_data(actor: Actor, preview: PublishPreview) -> Members:
    """Return the preview of a publication, without its impact."""
    data: Members = {
        "publication": preview.sequence,
        "revision": preview.revision,
        "published": False,
        "changes": preview.changes,
        "problems": [problem_data(problem) for problem in preview.problems],
        "etag": f'"{preview.tag}"',
    }
    return data | _extras(actor, preview)


def impact_data(actor: Actor, impact: ImpactLine, loss: str) -> Members:
    """Return a tally; `loss`: the token to accept the loss, '' if there is none or it cannot be accepted."""
    data: Members = {"impact": visible_impact(actor, impact)}
    return data | ({"accept_loss": loss} if loss else {})


def visible_impact(actor: Actor, impact: ImpactLine) -> ImpactLine:
    """Return a tally without its loss token, and without examples unless the actor sees them."""
    impact = {key: value for key, value in impact.items() if key != "loss"}
    if sees_store(actor):
        return impact
    features = [{key: value for key, value in it.items() if key != "examples"} for it in impact["features"]]
    return {**impact, "features": features}


def problem_data(problem: Problem) -> Members:
    """Return a problem."""
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "code": problem.code,
        "detail": problem.message,
    }


def publication_data(record: PublicationRecord) -> Members:
    """Return a publication of the past, without what it changed."""
    data: Members = {
        "publication": record.sequence,
        "revision": record.revision,
        "position": record.position,
        "issued_at": format_instant(record.issued_at),
        "author": record.author,
        "note": record.note,
    }
    return data if record.rolled_back_to is None else {**data, "rolled_back_to": record.rolled_back_to}


def _extras(actor: Actor, result: PublishResult | PublishPreview) -> Members:
    data: Members = {}
    if result.discarded:
        data["discarded"] = result.discarded
    if result.conflicts:
        shows_examples = sees_store(actor)
        data["combinations"] = [it if shows_examples else replace(it, examples=()) for it in result.conflicts]
    return data
