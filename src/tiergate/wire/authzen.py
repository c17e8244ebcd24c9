"""The bodies of AuthZEN's Authorization API 1.0, as the OpenAPI document shows them, and its metadata."""

from __future__ import annotations

from typing import Annotated, Any, Self

import msgspec

from tiergate.wire.authzen_reader import MAX_PAGE, SEMANTICS
from tiergate.wire.check import MAX_CHECKS
from tiergate.wire.decision import UNSET, Absent

_Properties = Annotated[dict[str, Any], msgspec.Meta(description="Anything; known members count.")]
_Url = Annotated[str, msgspec.Meta(extra_json_schema={"format": "uri"})]


class AccessEntity(msgspec.Struct):
    """A subject (`customer`, `subscription`, `user`) or a resource (`feature`)."""

    type: str
    id: str
    properties: _Properties | Absent = UNSET


class SearchedEntity(msgspec.Struct):
    """What a search looks for; an `id` is ignored."""

    type: str
    id: str | Absent = UNSET
    properties: _Properties | Absent = UNSET


class AccessAction(msgspec.Struct):
    """What is done: `use`, `consume`, `set` or `choose`, as the feature's type, or `access` for any."""

    name: str
    properties: (
        Annotated[
            dict[str, Any],
            msgspec.Meta(description="`amount`, `used`, `user_used`, `value` and `level` count for features they fit."),
        ]
        | Absent
    ) = UNSET


class AccessEvaluation(msgspec.Struct):
    """One question."""

    subject: AccessEntity
    action: AccessAction
    resource: AccessEntity
    context: _Properties | Absent = UNSET


class PartialEvaluation(msgspec.Struct):
    """One question of several; what it lacks is that of the request."""

    subject: AccessEntity | Absent = UNSET
    action: AccessAction | Absent = UNSET
    resource: AccessEntity | Absent = UNSET
    context: _Properties | Absent = UNSET


class EvaluationOptions(msgspec.Struct):
    """When to stop: never, at the first denial, at the first permit."""

    evaluations_semantic: Annotated[str, msgspec.Meta(extra_json_schema={"enum": [*SEMANTICS]})] | Absent = UNSET


class AccessEvaluations(msgspec.Struct):
    """Several questions, with defaults for what they lack; without `evaluations`, one question."""

    subject: AccessEntity | Absent = UNSET
    action: AccessAction | Absent = UNSET
    resource: AccessEntity | Absent = UNSET
    context: _Properties | Absent = UNSET
    evaluations: Annotated[list[PartialEvaluation], msgspec.Meta(max_length=MAX_CHECKS)] | Absent = UNSET
    options: EvaluationOptions | Absent = UNSET


class PageRequest(msgspec.Struct):
    """Which page of a search."""

    limit: Annotated[int, msgspec.Meta(ge=0, description=f"At most {MAX_PAGE}, which is the default.")] | Absent = UNSET
    token: str | Absent = UNSET


class SubjectSearch(msgspec.Struct):
    """Which subjects may do this?"""

    subject: SearchedEntity
    action: AccessAction
    resource: AccessEntity
    context: _Properties | Absent = UNSET
    page: PageRequest | Absent = UNSET


class ResourceSearch(msgspec.Struct):
    """With which resources may it be done?"""

    subject: AccessEntity
    action: AccessAction
    resource: SearchedEntity
    context: _Properties | Absent = UNSET
    page: PageRequest | Absent = UNSET


class ActionSearch(msgspec.Struct):
    """What may be done?"""

    subject: AccessEntity
    resource: AccessEntity
    context: _Properties | Absent = UNSET
    page: PageRequest | Absent = UNSET


class AccessDecision(msgspec.Struct, frozen=True):
    """The decision. Its context is a decision of our own API without `allowed`, or a `reason` with a `detail`."""

    decision: bool
    context: _Properties | Absent = UNSET


class AccessDecisions(msgspec.Struct, frozen=True):
    """The decisions in the order of the questions, up to the one that stopped."""

    evaluations: list[AccessDecision]


class FoundEntity(msgspec.Struct, frozen=True):
    """A subject or resource."""

    type: str
    id: str


class FoundAction(msgspec.Struct, frozen=True):
    """An action."""

    name: str


class PageResponse(msgspec.Struct, frozen=True):
    """Where the next page begins; empty: there is none."""

    next_token: str
    count: int


class FoundEntities(msgspec.Struct, frozen=True):
    """Subjects or resources, in the order of their ids."""

    results: list[FoundEntity]
    page: PageResponse


class FoundActions(msgspec.Struct, frozen=True):
    """Actions, in the order of their names."""

    results: list[FoundAction]
    page: PageResponse


class AuthzenConfiguration(msgspec.Struct, frozen=True):
    """Where everything is."""

    policy_decision_point: _Url
    access_evaluation_endpoint: _Url
    access_evaluations_endpoint: _Url
    search_subject_endpoint: _Url
    search_resource_endpoint: _Url
    search_action_endpoint: _Url

    @classmethod
    def at(cls, url: str) -> Self:
        """Return the metadata of a decision point at a URL without a slash at its end."""
        paths = ("evaluation", "evaluations", "search/subject", "search/resource", "search/action")
        return cls(url, *(f"{url}/access/v1/{path}" for path in paths))
