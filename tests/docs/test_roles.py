"""The reference of roles: its table is what the policies say."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import ROOT
from tiergate.cedar import builtin_schema, builtin_text
from tiergate.compiler.schema_fragments import find_declarations
from tiergate.permissions import Action, Caller, CallerKind, Resource, RolePolicies, shipped_roles

PAGE = (ROOT / "docs" / "reference" / "roles.md").read_text(encoding="utf-8")
RESOURCES = {
    "Feature": Resource.feature("movies"),
    "Item": Resource.item("gold"),
    "Catalog": Resource.catalog(),
    "Customer": Resource.customer_of("acme"),
    "Subscription": Resource.subscription("sub_1", "acme"),
    "Store": Resource.store(),
}
CATALOG = {"Feature", "Item", "Catalog"}


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, its head first."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|") and not line.startswith("|---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


TABLE = rows("The table as shipped")
ACTIONS = {row[0].strip("`"): row for row in rows("The actions")[1:]}
CELLS = [(row[0].strip("`"), role, cell) for row in TABLE[1:] for role, cell in zip(TABLE[0][1:], row[1:], strict=True)]


@pytest.mark.parametrize(("action", "role", "cell"), CELLS)
def test_each_cell_is_what_the_policies_decide(action: str, role: str, cell: str) -> None:
    """On every kind of resource that the action is on."""
    on = ACTIONS[action][2].replace("`", "")
    types = {*RESOURCES} if on == "all" else {*on.split(", ")}
    caller = Caller("key/k", CallerKind.KEY, frozenset({role}))
    allowed = {type_ for type_ in types if shipped_roles().allows(caller, Action(action), RESOURCES[type_]).allowed}
    assert allowed == {"yes": types, "catalog": CATALOG, "": set()}[cell]


def test_every_action_and_role_has_its_place() -> None:
    """In both tables, and no other has."""
    assert {row[0].strip("`") for row in TABLE[1:]} == {*ACTIONS} == {*Action}
    assert {*TABLE[0][1:]} == shipped_roles().roles


def test_the_groups_and_types_are_those_of_the_schema() -> None:
    """Word by word."""
    schema = builtin_schema("roles")
    written = re.findall(
        r"action ([\w, ]+?)(?: in \[(\w+)\])? appliesTo \{\s*principal: \[Caller\],\s*resource: \[([\w, ]+)\]", schema
    )
    found = {name: (group, {*types.split(", ")}) for names, group, types in written for name in names.split(", ")}
    said = {
        action: (row[1].strip("`"), {*RESOURCES} if row[2] == "all" else {*row[2].replace("`", "").split(", ")})
        for action, row in ACTIONS.items()
    }
    assert said == found
    assert {it.name for it in find_declarations(schema) if it.kind == "action"} == {*found} | {
        g for g, _ in found.values() if g
    }


def test_the_rows_that_the_page_proposes_can_be_added() -> None:
    """To the table as shipped."""
    proposed = PAGE.split("```cedar\n")[1].split("```")[0]
    roles = RolePolicies.parse(builtin_text("roles") + proposed)
    assert {"auditor", "reseller"} <= roles.roles
