"""Whether a caller may do something to something: the question put to the table of roles, and its answer.

Pure: who the caller is was found out before (`authentication`), and what a denial leads to is decided after (`access`).

INVARIANT (errors close): where a policy errs, the answer is no, whatever others permit.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.cedar import BaseEntities, Uid, authorize_caller, builtin_text
from tiergate.compiler.role_table import read_roles, roles_schema

if TYPE_CHECKING:
    from tiergate.cedar import EntitySet
    from tiergate.compiler.role_table import RoleTable


class Action(StrEnum):
    """One kind of operation; the words of `policies/roles.cedarschema`."""

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


class CallerKind(StrEnum):
    """What a caller is."""

    KEY = "key"
    PERSON = "person"
    WORKLOAD = "workload"


class Scope(NamedTuple):
    """What a caller is narrowed to: some actions, some customers; none is everything that its roles allow."""

    actions: frozenset[str] | None = None
    customers: frozenset[str] | None = None

    def holds(self, other: Scope) -> bool:
        """Say whether `other` is at least as narrow as this."""
        return _narrower(other.actions, self.actions) and _narrower(other.customers, self.customers)


@dataclass(frozen=True)
class Caller:
    """Who asks. `id` is unique among all callers, and is what the audit log names."""

    id: str
    kind: CallerKind
    roles: frozenset[str]
    name: str = ""
    scope: Scope = field(default_factory=Scope)

    @cached_property
    def base(self) -> BaseEntities:
        """The caller as entities, parsed once."""
        return BaseEntities(json.dumps(self.entities()), roles_schema())

    def entities(self) -> list[dict[str, object]]:
        """The caller and its roles, in Cedar's JSON."""
        roles = [{"type": "Role", "id": role} for role in sorted(self.roles)]
        attrs: dict[str, object] = {"kind": self.kind}
        if self.scope.actions is not None:
            attrs["actions"] = [{"__entity": {"type": "Action", "id": it}} for it in sorted(self.scope.actions)]
        if self.scope.customers is not None:
            attrs["customers"] = sorted(self.scope.customers)
        found: list[dict[str, object]] = [{"uid": {"type": "Caller", "id": self.id}, "attrs": attrs, "parents": roles}]
        found += [{"uid": role, "attrs": {}, "parents": []} for role in roles]
        return found


@dataclass(frozen=True, slots=True)
class Resource:
    """What an action is on. `customer` is whose it is, none where it is nobody's in particular."""

    type: str
    id: str
    customer: str | None = None

    def entity(self) -> dict[str, object]:
        """The resource, in Cedar's JSON."""
        attrs = {"customer": self.customer} if self.customer is not None else {}
        return {"uid": {"type": self.type, "id": self.id}, "attrs": attrs, "parents": []}

    @staticmethod
    def feature(id_: str = "*") -> Resource:
        """A feature; without an id, features as such."""
        return Resource("Feature", id_)

    @staticmethod
    def item(id_: str, private_to: str | None = None) -> Resource:
        """An item, and the customer that it is private to."""
        return Resource("Item", id_, private_to)

    @staticmethod
    def customer_of(id_: str) -> Resource:
        """A customer."""
        return Resource("Customer", id_, id_)

    @staticmethod
    def subscription(id_: str, customer: str | None) -> Resource:
        """A subscription, and whose it is; none where there is no such subscription."""
        return Resource("Subscription", id_, customer)

    @staticmethod
    def catalog() -> Resource:
        """All features, items and versions together."""
        return _CATALOG

    @staticmethod
    def store() -> Resource:
        """The store itself, and all customers and subscriptions together."""
        return _STORE


_MOST_ANSWERS: Final = 16_384
_CATALOG: Final = Resource("Catalog", "catalog")
_STORE: Final = Resource("Store", "store")


class Permission(NamedTuple):
    """The answer: whether it is allowed, the ids of the deciding policies, sorted, and what went wrong in any."""

    allowed: bool
    policies: tuple[str, ...]
    errors: tuple[str, ...] = ()


class RolePolicies:
    """A table of roles in force. Immutable, and safe to ask from several threads."""

    def __init__(self, table: RoleTable) -> None:
        self._table = table
        # The same question has the same answer: nothing but its own words enters into it.
        self._answer = lru_cache(_MOST_ANSWERS)(self._evaluate)

    @staticmethod
    def parse(text: str, file: str = "roles.cedar") -> RolePolicies:
        """Read a table.

        Raises:
            RulesError: it has problems, or would leave no admin able to edit it; all of them, with their places.
        """
        return RolePolicies(read_roles(text, file))

    @property
    def text(self) -> str:
        """The table as it was written."""
        return self._table.text

    @property
    def roles(self) -> frozenset[str]:
        """The roles that the table names."""
        return self._table.roles

    def allows(self, caller: Caller, action: Action, resource: Resource) -> Permission:
        """Ask whether `caller` may do `action` to `resource`."""
        return self._answer(caller, action, resource)

    def _evaluate(self, caller: Caller, action: Action, resource: Resource) -> Permission:
        try:
            entities = _with_resource(caller.base, resource)
        except ValueError as error:  # a name that Cedar refuses: nothing is known of it, so nothing is allowed
            return Permission(allowed=False, policies=(), errors=(str(error),))
        outcome = authorize_caller(
            self._table.policies, entities, roles_schema(), caller.id, action.value, Uid(resource.type, resource.id)
        )
        return Permission(outcome.allowed and not outcome.errors, outcome.policies, outcome.errors)


def shipped_roles() -> RolePolicies:
    """The table of roles as shipped, in force until another one is published."""
    return RolePolicies.parse(builtin_text("roles"))


def _with_resource(base: BaseEntities, resource: Resource) -> EntitySet:
    return base.with_entities(json.dumps([resource.entity()]))


def _narrower(inner: frozenset[str] | None, outer: frozenset[str] | None) -> bool:
    return outer is None or (inner is not None and inner <= outer)
