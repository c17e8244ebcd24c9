"""The table of roles: the permissions on the control plane, as policies that organizations may edit.

Parses the table's text and reports problems with line and column. The result includes the guards of scopes, which no
table can omit.

INVARIANT (no lock-out): a table that does not let the role `admin` read and edit the roles is rejected.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.cedar import (
    BaseEntities,
    PolicyGroup,
    Schema,
    Uid,
    authorize_caller,
    builtin_schema,
    builtin_text,
    parse_policies,
)
from tiergate.compiler.literals import find_entity_literals
from tiergate.compiler.rule_checks import check_types, parse_rules
from tiergate.compiler.schema_fragments import find_declarations
from tiergate.compiler.source_text import AuthorText
from tiergate.errors import RulesError
from tiergate.naming import ID_RULE, is_id, nearest

if TYPE_CHECKING:
    from tiergate.cedar import Policy

CALLER_KINDS: Final = ("key", "person", "workload")
"""The kinds of callers."""

_GOVERNING: Final = ("editRoles", "view")
_ADMIN: Final = Uid("Role", "admin")


class RoleTable(NamedTuple):
    """A valid table: its text, the policies with the guards of scopes, and the roles and rows that it names.

    `sources`: the single policies; `None` if they are not known.
    """

    text: str
    policies: PolicyGroup
    roles: frozenset[str]
    rows: tuple[str, ...]
    sources: tuple[Policy, ...] | None = None


@cache
def roles_schema() -> Schema:
    """Return the parsed schema of the table of roles."""
    return Schema(builtin_schema("roles"))


@cache
def role_actions() -> frozenset[str]:
    """Return the actions, and groups of actions, that a table can name."""
    return frozenset(entry.name for entry in find_declarations(builtin_schema("roles")) if entry.kind == "action")


def read_roles(text: str, file: str = "roles.cedar") -> RoleTable:
    """Read a table of roles.

    Raises:
        RulesError: with all problems, in the order of the text.
    """
    source = AuthorText(file, text)
    rows = parse_rules(source)
    seen: set[str] = set()
    for policy, start, row in rows:
        _check_row(policy, start, seen, source)
        _check_words(start, row, source)
    check_types(source, rows, roles_schema())
    if source.problems:
        raise RulesError(sorted(source.problems))
    guards = parse_policies(builtin_text("scopes"))
    sources = (*(row[0] for row in rows), *guards)
    policies = PolicyGroup.of((policy.id, policy) for policy in sources)
    if not any(_governs(policies, kind) for kind in CALLER_KINDS):
        source.report(0, "lock-out", "the role `admin` could no longer edit the roles, and nobody could repair this")
        raise RulesError(source.problems)
    roles = {entry.uid.id for policy, _, _ in rows for entry in policy.references() if entry.uid.type == "Role"}
    return RoleTable(text, policies, frozenset(roles), tuple(policy.id for policy, _, _ in rows), sources)


def _check_row(policy: Policy, start: int, seen: set[str], source: AuthorText) -> None:
    if "id" not in policy.annotations:
        source.report(start, "rule-without-id", 'a row needs an id: write `@id("…")` above it')
    elif not is_id(policy.id):
        source.report(start, "bad-id", f"the id `{policy.id}` {ID_RULE}")
    elif policy.id in seen:
        source.report(start, "duplicate-id", f"another row of this table has the id `{policy.id}`")
    seen.add(policy.id)
    if policy.template:
        source.report(start, "rule-template", "a row cannot be a template: write its principal and resource")


def _check_words(start: int, row: str, source: AuthorText) -> None:
    for place, uid in find_entity_literals(row):
        if uid.type == "Action" and uid.id not in role_actions():
            near = nearest(uid.id, role_actions())
            source.report(start + place, "unknown-action", f"there is no action `{uid.id}`", near)
        elif uid.type == "Role" and not is_id(uid.id):
            source.report(start + place, "bad-id", f"the role `{uid.id}` {ID_RULE}")


def _governs(policies: PolicyGroup, kind: str) -> bool:
    """Return whether an admin of this kind has all permissions to change the table."""
    store = Uid("Store", "store")
    entities = [
        {"uid": Uid("Caller", "admin")._asdict(), "attrs": {"kind": kind}, "parents": [_ADMIN._asdict()]},
        {"uid": _ADMIN._asdict(), "attrs": {}, "parents": []},
        {"uid": store._asdict(), "attrs": {}, "parents": []},
    ]
    known = BaseEntities("[]", roles_schema()).with_entities(json.dumps(entities))
    outcomes = [authorize_caller(policies, known, roles_schema(), "admin", action, store) for action in _GOVERNING]
    return all(outcome.allowed and not outcome.errors for outcome in outcomes)
