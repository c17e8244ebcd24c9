"""Evaluating Cedar: groups of parsed policies, links of templates, entities, and the outcome of a request.

INVARIANT (errors close): an error in the diagnostics is never left out of an :class:`CedarResult`, and a result without
a decision is an error; what to make of them is the engine's.

What Cedar rejects is a `ValueError` with Cedar's message: a `PolicySyntaxError` for policies.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import cedarpy

from tiergate.cedar.policies import Policy, PolicySyntaxError, Uid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tiergate.cedar.validation import Schema


class TemplateLink(NamedTuple):
    """A template with its slots filled: the policy `id` for principals in `principal` on `resource`."""

    template: str
    id: str
    principal: str
    resource: str


class CedarResult(NamedTuple):
    """What Cedar decided: `policies` are the ids of the deciding ones, sorted; any error makes `errors` true."""

    allowed: bool
    policies: tuple[str, ...]
    errors: tuple[str, ...]


class PolicyGroup:
    """A parsed set of policies and templates that goes by Tiergate's ids. Immutable."""

    __slots__ = ("handle",)

    def __init__(self, handle: cedarpy.PolicySet) -> None:
        self.handle = handle

    @staticmethod
    def of(policies: Iterable[tuple[str, Policy]]) -> PolicyGroup:
        """Build a group of policies under the given ids."""
        static: dict[str, object] = {}
        templates: dict[str, object] = {}
        for name, policy in policies:
            side = templates if policy.template else static
            if name in static or name in templates:
                raise PolicySyntaxError(f"two policies have the id `{name}`")
            side[name] = policy.json
        document = {"staticPolicies": static, "templates": templates, "templateLinks": []}
        try:
            return PolicyGroup(cedarpy.PolicySet.from_json_str(json.dumps(document)))
        except ValueError as error:
            raise PolicySyntaxError(str(error)) from None

    def linked(self, links: Sequence[TemplateLink]) -> PolicyGroup:
        """Return the group with templates linked; `principal` fills an `Item`, `resource` a `Feature`."""
        if not links:
            return self
        return PolicyGroup(
            self.handle.with_linked_batch(
                [
                    {
                        "template_id": link.template,
                        "new_id": link.id,
                        "values": {
                            "?principal": {"type": "Item", "id": link.principal},
                            "?resource": {"type": "Feature", "id": link.resource},
                        },
                    }
                    for link in links
                ]
            )
        )

    def __len__(self) -> int:
        return len(self.handle)


class EntitySet:
    """Parsed entities. Immutable."""

    __slots__ = ("handle",)

    def __init__(self, handle: cedarpy.Entities) -> None:
        self.handle = handle


class BaseEntities:
    """Entities that many checks share, parsed with the schema, so that the groups of actions are among them."""

    __slots__ = ("handle",)

    def __init__(self, entities: str, schema: Schema) -> None:
        self.handle = cedarpy.Entities.from_json_str(entities, schema.handle)

    def with_entities(self, entities: str) -> EntitySet:
        """Add the entities of one check, a JSON list; an entity that is also in the base must be equal."""
        return EntitySet(self.handle.with_added_json_str(entities))


def parsed_entities(text: str) -> EntitySet:
    """Parse entities, a JSON list, without a schema: groups of actions are among them only if they are listed."""
    return EntitySet(cedarpy.Entities.from_json_str(text))


def authorize_entities(
    group: PolicyGroup, entities: EntitySet, principal: Uid, action: str, resource: Uid, context: str
) -> CedarResult:
    """Evaluate one request about a resource of any type; `context` is a JSON record."""
    request = {
        "principal": principal._asdict(),
        "action": {"type": "Action", "id": action},
        "resource": resource._asdict(),
        "context": context,
    }
    return _outcome(cedarpy.is_authorized(request, group.handle, entities.handle), named=False)


def authorize(
    group: PolicyGroup, entities: EntitySet, principal: Uid, action: str, resource: str, context: str
) -> CedarResult:
    """Evaluate one request: `action` and `resource` are ids of `Action` and `Feature`, `context` a JSON record."""
    result = cedarpy.is_authorized(
        {
            "principal": {"type": principal.type, "id": principal.id},
            "action": {"type": "Action", "id": action},
            "resource": {"type": "Feature", "id": resource},
            "context": context,
        },
        group.handle,
        entities.handle,
    )
    return _outcome(result, named=False)


def authorize_caller(
    group: PolicyGroup, entities: EntitySet, schema: Schema, caller: str, action: str, resource: Uid
) -> CedarResult:
    """Evaluate one request of a caller of the control plane; an action that the schema has not on that is an error."""
    request = {
        "principal": {"type": "Caller", "id": caller},
        "action": {"type": "Action", "id": action},
        "resource": {"type": resource.type, "id": resource.id},
        "context": {},
    }
    return _outcome(cedarpy.is_authorized(request, group.handle, entities.handle, schema.handle), named=False)


def authorize_request(
    group: PolicyGroup, entities: str, schema: Schema | None, principal: str, action: str, resource: str, context: str
) -> CedarResult:
    """Evaluate one request in Cedar's own words: UIDs as text, entities and context as JSON.

    Raises:
        ValueError: Cedar refuses the request, its entities or its context, or the schema does; the message is Cedar's.
    """
    request = {"principal": principal, "action": action, "resource": resource, "context": context}
    if schema is None:
        result = cedarpy.is_authorized(request, group.handle, entities)
    else:
        result = cedarpy.is_authorized(request, group.handle, entities, schema.handle)
    outcome = _outcome(result, named=False)
    if result.decision is cedarpy.Decision.NoDecision:
        raise ValueError("; ".join(outcome.errors))
    return outcome


def authorize_text(policies: str, entities: str, schema: str, request: dict[str, object]) -> CedarResult:
    """Evaluate one request from plain text alone, validating it; ids are the policies' `@id`. The slow, open way."""
    return _outcome(cedarpy.is_authorized(request, policies, entities, schema), named=True)


def _outcome(result: cedarpy.AuthzResult, *, named: bool) -> CedarResult:
    diagnostics = result.diagnostics
    decision = result.decision
    errors = tuple(diagnostics.errors)
    if decision is cedarpy.Decision.NoDecision and not errors:
        errors = ("cedar reached no decision",)
    reasons = diagnostics.reasons
    if named:
        names = diagnostics.id_annotations_by_reason
        reasons = [names.get(reason, reason) for reason in reasons]
    return CedarResult(decision is cedarpy.Decision.Allow, tuple(sorted(reasons)), errors)
