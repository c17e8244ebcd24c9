"""Permissions: whether role policies allow a caller to do an action to a resource. Pure.

Where the policies cannot tell two resources of a type apart, Cedar is asked once for all of them
(`compiler.resource_dependence`).

INVARIANT (errors close): if a policy fails to evaluate, the action is denied, whatever other policies permit.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.cedar import BaseEntities, Uid, authorize_caller, builtin_text
from tiergate.compiler.resource_dependence import tells_resources_apart
from tiergate.compiler.role_table import read_roles, roles_schema

if TYPE_CHECKING:
    from tiergate.cedar import EntitySet
    from tiergate.compiler.role_table import RoleTable


class Action(StrEnum):
    """A kind of operation, as in `policies/roles.cedarschema`."""

    CREATE_FEATURE = "createFeature"
    EDIT_FEATURE = "editFeature"
    SUSPEND_FEATURE = "suspendFeature"
    EDIT_ITEM = "editItem"
    EDIT_DRAFT = "editDraft"
    PUBLISH = "publish"
    ROLLBACK = "rollback"
    EDIT_ROLLOUT = "editRollout"
    EDIT_RULES = "editRules"
    EDIT_ROLES = "editRoles"
    APPLY = "apply"
    PREVIEW = "preview"
    EDIT_CUSTOMER = "editCustomer"
    ERASE_CUSTOMER = "eraseCustomer"
    EDIT_SUBSCRIPTION = "editSubscription"
    PIN_VERSION = "pinVersion"
    OVERRIDE = "override"
    EDIT_ENTITLEMENT = "editEntitlement"
    SELL_CUSTOM = "sellCustom"
    OWN_PLAN = "ownPlan"
    VIEW = "view"
    VIEW_AUDIT = "viewAudit"
    MANAGE_KEYS = "manageKeys"
    MANAGE_WEBHOOKS = "manageWebhooks"
    SYNC = "sync"
    REPORT_USAGE = "reportUsage"
    REPORT_STATUS = "reportStatus"


class CallerKind(StrEnum):
    """A kind of caller."""

    KEY = "key"
    PERSON = "person"
    WORKLOAD = "workload"


class Scope(NamedTuple):
    """Limits of a caller to actions and customers; `None`: everything that its roles allow."""

    actions: frozenset[str] | None = None
    customers: frozenset[str] | None = None

    def holds(self, other: Scope) -> bool:
        """Return whether `other` is limited at least as much."""
        return _narrower(other.actions, self.actions) and _narrower(other.customers, self.customers)


@dataclass(frozen=True)
class Caller:
    """A caller. `id` is unique among all callers; the audit log names it."""

    id: str
    kind: CallerKind
    roles: frozenset[str]
    name: str = ""
    scope: Scope = field(default_factory=Scope)

    @cached_property
    def _hash(self) -> int:
        return hash((self.id, self.kind, self.roles, self.name, self.scope))

    def __hash__(self) -> int:
        """Return the hash of all fields, computed once: every permission is looked up by its caller."""
        return self._hash

    @cached_property
    def base(self) -> BaseEntities:
        """Return the caller as parsed entities, cached."""
        return BaseEntities(json.dumps(self.entities()), roles_schema())

    @property
    def attributes(self) -> dict[str, object]:
        """The caller's attributes in Cedar's JSON."""
        attrs: dict[str, object] = {"kind": self.kind}
        if self.scope.actions is not None:
            attrs["actions"] = [{"__entity": {"type": "Action", "id": it}} for it in sorted(self.scope.actions)]
        if self.scope.customers is not None:
            attrs["customers"] = sorted(self.scope.customers)
        return attrs

    def entities(self) -> list[dict[str, object]]:
        """Return the caller and its roles in Cedar's JSON."""
        roles = [{"type": "Role", "id": role} for role in sorted(self.roles)]
        attrs = self.attributes
        entities: list[dict[str, object]] = [
            {"uid": {"type": "Caller", "id": self.id}, "attrs": attrs, "parents": roles}
        ]
        entities += [{"uid": role, "attrs": {}, "parents": []} for role in roles]
        return entities


@dataclass(frozen=True, slots=True)
class Resource:
    """The target of an action. `customer`: its owner, if it has one."""

    type: str
    id: str
    customer: str | None = None

    @property
    def is_text(self) -> bool:
        """Whether its id and its customer are Unicode text; Cedar rejects other strings."""
        try:
            f"{self.id}{self.customer}".encode()
        except UnicodeEncodeError:
            return False
        return True

    def entity(self) -> dict[str, object]:
        """Return the resource in Cedar's JSON."""
        attrs = {"customer": self.customer} if self.customer is not None else {}
        return {"uid": {"type": self.type, "id": self.id}, "attrs": attrs, "parents": []}

    @staticmethod
    def feature(id_: str = "*") -> Resource:
        """Return a feature; without an id, features in general."""
        return Resource("Feature", id_)

    @staticmethod
    def item(id_: str, private_to: str | None = None) -> Resource:
        """Return an item, with the customer that it is private to."""
        return Resource("Item", id_, private_to)

    @staticmethod
    def customer_of(id_: str) -> Resource:
        """Return a customer."""
        return Resource("Customer", id_, id_)

    @staticmethod
    def subscription(id_: str, customer: str | None) -> Resource:
        """Return a subscription with its customer; `None` if it does not exist."""
        return Resource("Subscription", id_, customer)

    @staticmethod
    def catalog() -> Resource:
        """Return the whole catalog."""
        return _CATALOG

    @staticmethod
    def store() -> Resource:
        """Return the store itself, with all customers and subscriptions."""
        return _STORE


_CACHED_PERMISSIONS: Final = 16_384
_OWNED: Final = frozenset({"Customer", "Subscription", "Item"})
_CATALOG: Final = Resource("Catalog", "catalog")
_STORE: Final = Resource("Store", "store")


class Permission(NamedTuple):
    """Whether an action is allowed, the sorted ids of the deciding policies, and errors of evaluation."""

    allowed: bool
    policies: tuple[str, ...]
    errors: tuple[str, ...] = ()


class RolePolicies:
    """Role policies. Immutable, and safe to use from several threads."""

    def __init__(self, table: RoleTable) -> None:
        self._table = table
        # The result depends on nothing but the arguments.
        self._cached = lru_cache(_CACHED_PERMISSIONS)(self._evaluate)
        self._cached_by_type = lru_cache(_CACHED_PERMISSIONS)(self._evaluate_type)

    @staticmethod
    def parse(text: str, file: str = "roles.cedar") -> RolePolicies:
        """Parse role policies.

        Raises:
            RulesError: with all problems and their places; also if no admin could edit them any more.
        """
        return RolePolicies(read_roles(text, file))

    @property
    def text(self) -> str:
        """Return the text of the policies."""
        return self._table.text

    @property
    def roles(self) -> frozenset[str]:
        """Return the roles that the policies name."""
        return self._table.roles

    def allows(self, caller: Caller, action: Action, resource: Resource) -> Permission:
        """Return whether `caller` may do `action` to `resource`."""
        if resource.is_text:
            permission = self._cached_by_type(caller, action, resource.type)
            if permission is not None:
                return permission
        return self._cached(caller, action, resource)

    def _evaluate_type(self, caller: Caller, action: Action, type_: str) -> Permission | None:
        """Return the permission for every resource of a type; `None` if it depends on the resource, or has errors."""
        sources = self._table.sources
        if sources is None or tells_resources_apart(sources, caller.roles, caller.attributes):
            return None
        permission = self._evaluate(caller, action, Resource(type_, "*", "*" if type_ in _OWNED else None))
        return None if permission.errors else permission

    def _evaluate(self, caller: Caller, action: Action, resource: Resource) -> Permission:
        try:
            entities = _with_resource(caller.base, resource)
        except ValueError as error:  # Cedar rejects the name: nothing is allowed
            return Permission(allowed=False, policies=(), errors=(str(error),))
        result = authorize_caller(
            self._table.policies, entities, roles_schema(), caller.id, action.value, Uid(resource.type, resource.id)
        )
        return Permission(result.allowed and not result.errors, result.policies, result.errors)


@cache
def shipped_roles() -> RolePolicies:
    """Return the shipped role policies, active until others are published."""
    return RolePolicies.parse(builtin_text("roles"))


def _with_resource(base: BaseEntities, resource: Resource) -> EntitySet:
    return base.with_entities(json.dumps([resource.entity()]))


def _narrower(inner: frozenset[str] | None, outer: frozenset[str] | None) -> bool:
    return outer is None or (inner is not None and inner <= outer)
