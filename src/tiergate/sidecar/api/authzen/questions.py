"""From AuthZEN's question to a check of a feature, or to access to a resource of the rules' own types.

What names nothing that can be checked is a refusal: the decision is `false`, and nobody has to be asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.model import Check, Subject, SubjectType
from tiergate.model.features import ACTIONS
from tiergate.naming import normalize_subject_id
from tiergate.sidecar.access_decisions import AskedEntity
from tiergate.wire.check_reader import SUBJECT_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.model import Feature, Instant
    from tiergate.sidecar.access_decisions import ServedAccess
    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.state import StateView
    from tiergate.wire.authzen_reader import Entity, Question

FEATURE: Final = "feature"
"""The type of resources that are features."""

ANY_ACTION: Final = "access"
"""The action that fits every type of feature; each type has one of its own, too."""

USER: Final = "user"
UNKNOWN_SUBJECT: Final = "unknown_subject"
UNKNOWN_ACTION: Final = "unknown_action"
UNKNOWN_RESOURCE: Final = "unknown_resource"


class AccessRequest(NamedTuple):
    """A question about a resource of the rules' own types."""

    principal: AskedEntity | Subject
    action: str
    resource: AskedEntity
    context: dict[str, object]


class Refusal(NamedTuple):
    """Why a question is none about a feature: a reason, and details for people."""

    reason: str
    detail: str


def translate(service: CheckService, view: StateView, question: Question) -> Check | AccessRequest | Refusal:
    """Return what a question asks for. Raises `CheckError` if a member is invalid."""
    resource = question.resource
    if resource.type != FEATURE:
        return _access(service, view, question)
    subject = subject_of(question.subject)
    if isinstance(subject, Refusal):
        return subject
    generation = view.generation
    if generation is None:
        return question.check(subject, None)
    feature = generation.engine.evaluator.index.features.get(resource.id)
    if feature is None:
        error = service.unknown_feature(Check(subject, resource.id))
        return Refusal(UNKNOWN_RESOURCE, str(error))
    if question.action not in actions_of(feature):
        return Refusal(UNKNOWN_ACTION, f"a {feature.type} has the actions {' and '.join(actions_of(feature))}")
    return question.check(subject, feature.type)


def _access(service: CheckService, view: StateView, question: Question) -> AccessRequest | Refusal:
    """Return what a question about a resource of another type asks for."""
    own, resource = service.access.own(view), question.resource
    if own is None or resource.type not in own.resource_types:
        return Refusal(UNKNOWN_RESOURCE, f"there are no resources of the type `{resource.type[:100]}`")
    action = own.actions.get(question.action)
    if action is None:
        return Refusal(UNKNOWN_ACTION, f"there is no action `{question.action[:100]}`")
    principal: AskedEntity | Subject | Refusal
    if question.subject.type in action.principals:
        principal = AskedEntity(question.subject.type, question.subject.id, question.subject.properties)
    else:
        principal = subject_of(question.subject)
    if isinstance(principal, Refusal):
        return principal
    asked = AskedEntity(resource.type, resource.id, resource.properties)
    return AccessRequest(principal, question.action, asked, {**question.context, **question.action_properties})


def decide_access(service: CheckService, view: StateView, asked: AccessRequest, now: Instant) -> ServedAccess:
    """Let the check service decide access."""
    return service.access.decide(view, asked.principal, asked.action, asked.resource, asked.context, now)


def actions_of(feature: Feature) -> tuple[str, ...]:
    """Return the actions on a feature, sorted."""
    return ANY_ACTION, ACTIONS[feature.type]


def features_for(action: str, features: Iterable[Feature]) -> list[Feature]:
    """Return the features that have an action."""
    return [feature for feature in features if action in actions_of(feature)]


def subject_of(entity: Entity) -> Subject | Refusal:
    """Return the subject that an entity is: a customer, a subscription, or a user whose properties name one."""
    kind = SUBJECT_TYPES.get(entity.type)
    name = normalize_subject_id(entity.id)
    if kind is not None:
        return Subject(name, kind)
    if entity.type != USER:
        return Refusal(UNKNOWN_SUBJECT, f"there are no subjects of the type `{entity.type[:100]}`")
    for of in SubjectType:
        holder = entity.properties.get(of.value)
        if isinstance(holder, str) and holder:
            return Subject(normalize_subject_id(holder), of, name)
    return Refusal(UNKNOWN_SUBJECT, "the properties of a user must name the `customer` or `subscription`")
