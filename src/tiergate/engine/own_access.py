"""Decisions on users' own actions and resources: rules of their own, evaluated by Cedar, with the caller's properties.

A principal is an entity of the rules' own types, or a subject of ours with its items, tags and attributes. Properties
of the request add to the attributes of its principal and resource, and replace them; the request's context and the
properties of its action are the context. What an own action does not apply to is denied. No caches, no clock.

INVARIANT (errors close): whatever fails is a denial with `evaluation_error`.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from tiergate.cedar import EntitySet, PolicyGroup, Uid, authorize_entities, parse_policies, parsed_entities
from tiergate.errors import BundleError
from tiergate.model import Reason
from tiergate.naming import ACCESS_INDEX, rule_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.cedar import Policy
    from tiergate.engine.sources import BundleSource

_FOLDER: Final = "policies/access/"
_MOST_NESTING: Final = 20

Entity = dict[str, Any]


class OwnAction(msgspec.Struct, frozen=True):
    """An action: the types of its principals and resources, and the actions that it is in."""

    principals: tuple[str, ...]
    resources: tuple[str, ...]
    groups: tuple[str, ...] = msgspec.field(name="in")


class AccessQuestion(NamedTuple):
    """Who, what, with which resource. `subject`: the entities of a principal of ours, as JSON without brackets."""

    principal: Uid
    principal_properties: Mapping[str, object]
    action: str
    resource: Uid
    resource_properties: Mapping[str, object]
    context: Mapping[str, object]
    subject: str = ""


class AccessDecision(msgspec.Struct, frozen=True):
    """The decision, its reason, and the rules that decided."""

    allowed: bool
    reason: Reason
    policies: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


class OwnAccess:
    """The own actions of one bundle, the rules on them, and their entities. Read when it is first needed."""

    def __init__(self, bundle: BundleSource) -> None:
        self._bundle = bundle

    @cached_property
    def actions(self) -> dict[str, OwnAction]:
        """The actions by name. Raises `BundleError`."""
        if not self._bundle.paths(ACCESS_INDEX):
            return {}
        try:
            return msgspec.json.decode(self._bundle.text(ACCESS_INDEX), type=dict[str, OwnAction])
        except msgspec.MsgspecError as error:
            raise BundleError(ACCESS_INDEX, f"is not an index of actions: {error}") from None

    @cached_property
    def resource_types(self) -> frozenset[str]:
        """The types of resources that some action applies to."""
        return frozenset(kind for action in self.actions.values() for kind in action.resources)

    def ids(self, kind: str) -> list[str]:
        """Return the ids of the entities of an own type, sorted."""
        return sorted(uid.id for uid in self._entities if uid.type == kind)

    def decide(self, question: AccessQuestion) -> AccessDecision:
        """Decide a question. Raises `BundleError` if the bundle cannot be read."""
        action = self.actions.get(question.action)
        if (
            action is None
            or question.principal.type not in action.principals
            or question.resource.type not in action.resources
        ):
            return AccessDecision(allowed=False, reason=Reason.NOT_ENTITLED)
        group = self._group
        try:
            entities = self._entities_of(question)
            context = json.dumps(_plain(question.context))
            result = authorize_entities(
                group, entities, question.principal, question.action, question.resource, context
            )
        except (ValueError, RecursionError) as error:
            return AccessDecision(allowed=False, reason=Reason.EVALUATION_ERROR, errors=(str(error),))
        if result.errors:
            return AccessDecision(allowed=False, reason=Reason.EVALUATION_ERROR, errors=result.errors)
        if result.allowed:
            return AccessDecision(True, Reason.GRANTED, result.policies)
        reason = Reason.RULE_DENIED if result.policies else Reason.NOT_ENTITLED
        return AccessDecision(allowed=False, reason=reason, policies=result.policies)

    @cached_property
    def _group(self) -> PolicyGroup:
        found: list[tuple[str, Policy]] = []
        for path in self._bundle.paths(_FOLDER):
            file = path.removeprefix(_FOLDER).removesuffix(".cedar")
            try:
                found += [(rule_id(file, it.id), it) for it in parse_policies(self._bundle.text(path))]
            except ValueError as error:
                raise BundleError(path, str(error)) from None
        return PolicyGroup.of(found)

    @cached_property
    def _entities(self) -> dict[Uid, Entity]:
        """The rules' own entities, and the actions, which may be in each other."""
        found: dict[Uid, Entity] = {}
        for path in self._bundle.paths("entities/rules/"):
            for entity in json.loads(self._bundle.text(path)):
                found[Uid(entity["uid"]["type"], entity["uid"]["id"])] = entity
        for name, action in self.actions.items():
            uid = Uid("Action", name)
            parents = [{"type": "Action", "id": group} for group in action.groups]
            found[uid] = {"uid": uid._asdict(), "attrs": {}, "parents": parents}
        return found

    @cached_property
    def _base(self) -> EntitySet:
        return parsed_entities(json.dumps(list(self._entities.values())))

    def _entities_of(self, question: AccessQuestion) -> EntitySet:
        """Return the entities of a question: the rules' own, the principal's, and what properties change."""
        changed: dict[Uid, Entity] = {}
        for uid, properties in (
            (question.principal, question.principal_properties if not question.subject else {}),
            (question.resource, question.resource_properties),
        ):
            if properties:
                before = changed.get(uid) or self._entities.get(uid, {})
                attributes = {**before.get("attrs", {}), **_plain(properties)}
                changed[uid] = {**before, "uid": uid._asdict(), "attrs": attributes}
                changed[uid].setdefault("parents", [])
        if not changed and not question.subject:
            return self._base
        listed = [json.dumps(entity) for entity in ({**self._entities, **changed}).values()]
        if question.subject:
            listed.append(question.subject)
        return parsed_entities(f"[{','.join(listed)}]")


def _plain(value: Mapping[str, object]) -> dict[str, object]:
    """Return properties as attributes: what Cedar has no value for is left out, and nothing names an entity."""
    found = _value(value, 0)
    return found if isinstance(found, dict) else {}


def _value(value: object, depth: int) -> object:
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else None
    if depth >= _MOST_NESTING:
        return None
    if isinstance(value, list):
        return [it for entry in value if (it := _value(entry, depth + 1)) is not None]
    if isinstance(value, dict):
        members = {name: _value(it, depth + 1) for name, it in value.items() if not name.startswith("__")}
        return {name: it for name, it in members.items() if it is not None}
    return None
