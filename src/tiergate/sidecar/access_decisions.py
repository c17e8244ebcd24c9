"""Access to resources of users' own types: the part of the check service that decides what is no check of a feature.

It rests on the bundle, and for a principal of ours on its data; never on the time of the request, except that items
begin and end. Such decisions are not in the decision log, which is about checks; what cannot be evaluated is in the log
of the sidecar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.cedar import Uid
from tiergate.engine.evaluator import Denial
from tiergate.engine.own_access import AccessDecision, AccessQuestion
from tiergate.model import BEGINNING, FOREVER, Reason, SubjectType
from tiergate.sidecar.subject_versions import SubjectVersion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.engine.own_access import OwnAccess
    from tiergate.model import Instant, Subject
    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.state import StateView

USER: Final = "User"
SUBJECT_TYPES: Final[Mapping[SubjectType, str]] = {
    SubjectType.CUSTOMER: "Customer",
    SubjectType.SUBSCRIPTION: "Subscription",
}


class AskedEntity(NamedTuple):
    """A principal or resource of a request: its type in Cedar, its id, and its properties."""

    type: str
    id: str
    properties: Mapping[str, object]


class ServedAccess(NamedTuple):
    """A decision to respond with; it may be repeated as a `ServedDecision`."""

    decision: AccessDecision
    revision: str
    stale: bool
    start: Instant
    until: Instant
    version: SubjectVersion
    is_cacheable: bool


class AccessDecisions:
    """Decides by the current generation."""

    def __init__(self, service: CheckService) -> None:
        self._service = service

    def own(self, view: StateView) -> OwnAccess | None:
        """Return the own actions of a view; none without data."""
        return None if view.generation is None else view.generation.engine.evaluator.access

    def decide(
        self,
        view: StateView,
        principal: AskedEntity | Subject,
        action: str,
        resource: AskedEntity,
        context: Mapping[str, object],
        now: Instant,
    ) -> ServedAccess:
        """Decide a request. `principal`: an entity of the rules' own types, or a subject. Raises as the service."""
        service = self._service
        generation, stale_at, epoch = view
        if generation is None:
            denied = AccessDecision(allowed=False, reason=Reason.STALE_DATA)
            return ServedAccess(denied, "", True, now, now, SubjectVersion(), False)
        evaluator = generation.engine.evaluator
        target = Uid(resource.type, resource.id)
        start, until, is_momentary, is_fetched = BEGINNING, FOREVER, False, True
        if isinstance(principal, AskedEntity):
            version = SubjectVersion()
            uid = Uid(principal.type, principal.id)
            question = AccessQuestion(uid, principal.properties, action, target, resource.properties, context)
            decision = evaluator.access.decide(question)
        else:
            version = service.state.subject_versions.of(principal)
            is_fetched = service.is_known(principal)
            active = evaluator.find_subject(principal, now) if is_fetched else None
            if active is None or isinstance(active, Denial):
                reason = Reason.UNKNOWN_SUBJECT if active is None else active.reason
                decision = AccessDecision(allowed=False, reason=reason)
                is_momentary = reason is not Reason.UNKNOWN_SUBJECT or active is None
            else:
                start, until = active.items.start, active.items.until
                items = evaluator.factory.item_texts(active.items.refs)
                entities = ",".join([active.entities(principal, full=True), *items])
                uid = active.principal(principal)
                question = AccessQuestion(uid, {}, action, target, resource.properties, context, entities)
                decision = evaluator.access.decide(question)
        if decision.errors:
            service.log_access_failure(action, now)
        is_stale = now >= stale_at
        return ServedAccess(
            decision,
            generation.revision,
            is_stale or not is_fetched,
            max(start, stale_at) if is_stale else start,
            until if is_stale else min(until, stale_at),
            version,
            not is_momentary and not decision.errors and epoch == service.state.epoch,
        )
