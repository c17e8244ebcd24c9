"""Read the tests of a suite about roles: callers × actions × resources, each cell a query to the role table.

Pairs of an action and a resource type that the roles' schema does not have are no cells.
"""

from __future__ import annotations

import json
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Final

from tiergate.catalog import Fields
from tiergate.catalog.reading.document import shorten
from tiergate.catalog.reading.fields import find_suggestion, read_line, read_subject_id
from tiergate.cedar import BaseEntities, PolicyGroup, Uid, authorize_caller, builtin_text, parse_policies
from tiergate.compiler.role_table import role_actions, roles_schema
from tiergate.naming import ID_RULE, is_id
from tiergate.permissions import Action, Caller, CallerKind, Resource, Scope
from tiergate.policytest.expectations import MOST_ERRORS, StatedFields, make_cases, names_of, read_expected
from tiergate.policytest.suites import Case, PermissionQuery

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from tiergate.catalog import TextReport
    from tiergate.policytest.environments import RoleEnvironment
    from tiergate.policytest.expectations import Cell
    from tiergate.policytest.suites import Query


class ResourceType(StrEnum):
    """The types of resources; the entities of `policies/roles.cedarschema`."""

    FEATURE = "Feature"
    ITEM = "Item"
    CUSTOMER = "Customer"
    SUBSCRIPTION = "Subscription"
    CATALOG = "Catalog"
    STORE = "Store"


ROLE_TEST_KEYS: Final = frozenset({"callers", "actions", "resources"})
"""The keys of a role test beside those of every test; the first and the last are keys of its suite too."""

CALLER_KEYS: Final = frozenset({"id", "roles", "kind", "actions", "customers"})
"""The keys of a caller."""

RESOURCE_KEYS: Final = frozenset({"type", "id", "customer"})
"""The keys of a resource."""

ROLE_ROW_KEYS: Final = frozenset({"allowed", "policies", "errors"})
"""The keys of a row."""

_AXES: Final = ("caller", "action", "resource")
_ACTIONS: Final = frozenset(action.value for action in Action)
_DEFAULT_IDS: Final = {ResourceType.CATALOG: "catalog", ResourceType.STORE: "store"}
_OF_SOMEBODY: Final = frozenset({ResourceType.ITEM, ResourceType.CUSTOMER, ResourceType.SUBSCRIPTION})


@cache
def applies(action: Action, type_: ResourceType) -> bool:
    """Return whether the roles' schema has an action on a type of resource."""
    schema = roles_schema()
    attrs = {"customer": "x"} if type_ is ResourceType.CUSTOMER else {}
    entities = [
        {"uid": {"type": "Caller", "id": "x"}, "attrs": {"kind": CallerKind.KEY}, "parents": []},
        {"uid": {"type": type_, "id": "x"}, "attrs": attrs, "parents": []},
    ]
    known = BaseEntities("[]", schema).with_entities(json.dumps(entities))
    return not authorize_caller(PolicyGroup.of([]), known, schema, "x", action, Uid(type_, "x")).errors


class RoleTests:
    """Reads the tests of one suite."""

    def __init__(self, environment: RoleEnvironment, suite: Fields, report: TextReport) -> None:
        """Read the callers and the resources of a suite."""
        self._roles = environment.roles
        self._report = report
        self._callers = self._read_callers(suite)
        self._resources = self._read_resources(suite)
        texts = (environment.roles.text, builtin_text("scopes"))
        self._policies = frozenset(policy.id for text in texts for policy in parse_policies(text))

    def cases(self, test: Fields) -> list[Case]:
        """Read the cases of a test."""
        callers = self._names(test, "callers", self._callers)
        actions = self._names(test, "actions", _ACTIONS)
        resources = self._names(test, "resources", self._resources)
        cells = [
            (caller, action, resource)
            for caller in callers
            for action in actions
            for resource in resources
            if applies(Action(action), ResourceType(self._resources[resource].type))
        ]
        expected = read_expected(test, _AXES, cells, ROLE_ROW_KEYS, self._row, self._report) if cells else {}
        queries: dict[Cell, Query] = {
            (caller, action, resource): PermissionQuery(
                self._callers[caller], Action(action), self._resources[resource]
            )
            for caller, action, resource in cells
        }
        return make_cases(queries, expected, test, self._report)

    def _names(self, test: Fields, key: str, known: Collection[str]) -> list[str]:
        if key not in test:
            self._report.add(test.place, "missing-key", f"the key `{key}` is missing")
            return []
        return names_of(test.entries[key], test.at(key), known, key.removesuffix("s"), self._report)

    def _row(self, row: Fields, cells: Sequence[Cell]) -> StatedFields:  # noqa: ARG002 - a row says the same of all its cells
        stated: StatedFields = {}
        allowed, errors = row.flag("allowed"), row.integer("errors", 0, MOST_ERRORS)
        if allowed is not None:
            stated["allowed"] = allowed
        if errors is not None:
            stated["errors"] = errors
        if "policies" in row:
            named = names_of(row.entries["policies"], row.at("policies"), self._policies, "policy", self._report)
            stated["policies"] = tuple(sorted(named))
        return stated

    def _read_callers(self, suite: Fields) -> dict[str, Caller]:
        return {
            name: self._caller(name, fields) for name, fields in self._named(suite, "callers", CALLER_KEYS, "roles")
        }

    def _named(self, suite: Fields, key: str, known: frozenset[str], required: str) -> Iterator[tuple[str, Fields]]:
        """Yield the mappings inside a mapping, by their names."""
        mapping = suite.mapping(key)
        if mapping is None:
            return
        for name, node in mapping.entries.items():
            fields = Fields.of(node, mapping.at(name), self._report, known, (required,))
            if read_line(name, mapping.key_place(name), self._report) is not None and fields is not None:
                yield name, fields

    def _caller(self, name: str, fields: Fields) -> Caller:
        roles = []
        for role, place in fields.ids("roles"):
            roles.append(role)
            near = None if role in self._roles.roles else find_suggestion(role, self._roles.roles, self._report)
            if near:  # one that no row is about gives nothing, which may be the point
                self._report.add(place, "unknown-role", f"no row names the role `{role}`", near)
        kind = fields.choice("kind", CallerKind) or CallerKind.PERSON
        actions = None
        if "actions" in fields:
            actions = frozenset(
                names_of(fields.entries["actions"], fields.at("actions"), role_actions(), "action", self._report)
            )
        customers = (
            frozenset(id_ for id_, _ in fields.ids("customers", read_subject_id)) if "customers" in fields else None
        )
        id_ = fields.line("id") if "id" in fields else name
        return Caller(id_, kind, frozenset(roles), name, Scope(actions, customers))

    def _read_resources(self, suite: Fields) -> dict[str, Resource]:
        written = self._named(suite, "resources", RESOURCE_KEYS, "type")
        return {name: resource for name, fields in written if (resource := self._resource(fields)) is not None}

    def _resource(self, fields: Fields) -> Resource | None:
        type_ = fields.choice("type", ResourceType)
        if type_ is None:
            return None
        id_ = self._resource_id(fields, type_)
        customer = fields.subject_id("customer")
        if type_ is ResourceType.CUSTOMER:
            if customer is not None and customer != id_:
                fields.problem("customer", "contradiction", f"the customer of `{id_}` is itself")
            customer = id_
        elif "customer" in fields and type_ not in _OF_SOMEBODY:
            fields.problem("customer", "key-conflict", f"a {type_.value} has no customer: leave it out")
        return Resource(type_.value, id_, customer)

    def _resource_id(self, fields: Fields, type_: ResourceType) -> str:
        """Return the id of a resource; `*` stands for features and items as such."""
        if "id" not in fields:
            if type_ in (ResourceType.CUSTOMER, ResourceType.SUBSCRIPTION):
                self._report.add(fields.place, "missing-key", "the key `id` is missing")
            return _DEFAULT_IDS.get(type_, "*")
        if type_ in (ResourceType.CUSTOMER, ResourceType.SUBSCRIPTION):
            return fields.subject_id("id") or ""
        id_ = fields.line("id")
        if id_ and id_ != "*" and not is_id(id_):
            fields.problem("id", "bad-id", f"the id `{shorten(id_)}` {ID_RULE}")
        return id_
