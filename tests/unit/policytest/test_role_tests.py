from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.unit.policytest.written import cases, expect_problems, one, problems, results, run, suite, write
from tiergate.cedar import builtin_schema, builtin_text
from tiergate.permissions import Action, Caller, CallerKind, Resource, Scope
from tiergate.policytest.results import Status
from tiergate.policytest.role_tests import ResourceType, applies
from tiergate.policytest.suites import PermissionQuery

if TYPE_CHECKING:
    from pathlib import Path

HEAD = """\
apiVersion: tiergate/v1
suite: Roles
roles: shipped
callers:
  anna: {roles: [sales-agent]}
  narrow: {roles: [admin], kind: key, actions: [view, subjects], customers: [acme]}
  robot: {id: r1, roles: [], kind: workload}
resources:
  acme: {type: Customer, id: acme}
  sub: {type: Subscription, id: s1, customer: acme}
  own: {type: Item, id: special, customer: acme}
  items: {type: Item}
  seats: {type: Feature, id: seats}
  the catalog: {type: Catalog}
  the store: {type: Store}
"""


def test_a_matrix_has_a_case_for_each_cell(tmp_path: Path) -> None:
    """Callers × actions × resources; one name may stand without a list. Pairs that the schema has not are left out."""
    found = cases(
        tmp_path,
        suite(
            "  - {name: m, callers: [anna, robot], actions: [override, publish], resources: [acme, the catalog]}\n",
            HEAD,
        ),
    )
    assert [case.name for case in found] == [
        "anna · override · acme",
        "anna · publish · the catalog",
        "robot · override · acme",
        "robot · publish · the catalog",
    ]
    assert found[0].query == PermissionQuery(
        Caller("anna", CallerKind.PERSON, frozenset({"sales-agent"}), "anna"),
        Action.OVERRIDE,
        Resource.customer_of("acme"),
    )


def test_callers_and_resources_are_as_written(tmp_path: Path) -> None:
    """With their ids, kinds and scopes; a customer is its own, the catalog and the store have their ids."""
    everything = "[acme, sub, own, items, seats, the catalog, the store]"
    found = cases(tmp_path, suite(f"  - {{name: m, callers: narrow, actions: view, resources: {everything}}}\n", HEAD))
    scope = Scope(frozenset({"view", "subjects"}), frozenset({"acme"}))
    caller = Caller("narrow", CallerKind.KEY, frozenset({"admin"}), "narrow", scope)
    assert [case.query for case in found] == [
        PermissionQuery(caller, Action.VIEW, resource)
        for resource in (
            Resource.customer_of("acme"),
            Resource.subscription("s1", "acme"),
            Resource.item("special", "acme"),
            Resource.item("*"),
            Resource.feature("seats"),
            Resource.catalog(),
            Resource.store(),
        )
    ]


def test_the_table_decides(tmp_path: Path) -> None:
    """What no row says is denied; what is stated is compared, with the rows of the table that decided."""
    found = results(
        tmp_path,
        suite(
            """\
  - name: m
    callers: [anna, narrow, robot]
    actions: [override, publish, view]
    resources: [acme, the catalog]
    expected:
      - {caller: anna, action: [override, view], allowed: true, policies: [sales-agent]}
      - {caller: narrow, action: [override, view], resource: acme, allowed: true, policies: [admin]}
      - {caller: narrow, resource: the catalog, allowed: false, policies: [scope/customers], errors: 0}
      - {caller: narrow, action: publish, allowed: false}
""",
            HEAD,
        ),
    )
    failed = {name: it for name, it in found.items() if it.status is not Status.PASSED}
    assert failed.keys() == {"narrow · publish · the catalog"}
    (told,) = failed.values()
    assert [it.actual for it in told.mismatches] == ["[scope/actions, scope/customers]"]
    assert "`scope/actions`" in told.why[0]
    assert "a key with `admin`" in told.why[0]


def test_a_table_of_ones_own_is_tested_too(tmp_path: Path) -> None:
    """It is a path, relative to the suite."""
    table = (
        builtin_text("roles")
        + '\n@id("guest")\npermit (principal in Role::"guest", action == Action::"view", resource);\n'
    )
    write(tmp_path, table, "tables/roles.cedar")
    head = HEAD.replace("shipped", "tables/roles.cedar").replace("[sales-agent]", "[guest]")
    row = "{allowed: true, policies: [guest]}"
    test = f"  - {{name: m, callers: anna, actions: view, resources: acme, expected: [{row}]}}\n"
    assert one(tmp_path, suite(test, head)).status is Status.PASSED


def test_a_broken_table_is_named(tmp_path: Path) -> None:
    """Its problems are those of its file."""
    table = write(tmp_path, 'permit (principal in Role::"guest", action == Action::"vew", resource);\n', "roles.cedar")
    head = HEAD.replace("shipped", "roles.cedar")
    found = problems(tmp_path, suite("  - {name: m, callers: anna, actions: view, resources: acme}\n", head))
    assert {(it.file, it.code) for it in found} >= {(str(table), "rule-without-id"), (str(table), "unknown-action")}


TEST = "  - {name: m, callers: [anna], actions: [view], resources: [acme], expected: [%s]}\n"


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ("anna: {roles", "anna: {^role: x, roles", "unknown-key"),
        ("anna: {roles: [sales-agent]}", "anna: ^{}", "missing-key"),
        ("[sales-agent]", "[^sales-agnt]", "unknown-role"),
        ("kind: key", "kind: ^robot", "unknown-word"),
        ("actions: [view, subjects]", "actions: [^vew, subjects]", "unknown-action"),
        ("customers: [acme]", "customers: [^' a']", "bad-id"),
        ("{type: Customer, id: acme}", "{type: ^Custmer, id: acme}", "unknown-word"),
        ("{type: Customer, id: acme}", "^{type: Customer}", "missing-key"),
        ("{type: Customer, id: acme}", "{type: Customer, id: acme, customer: ^globex}", "contradiction"),
        ("{type: Catalog}", "{type: Catalog, customer: ^acme}", "key-conflict"),
        ("id: seats", "id: ^'a b'", "bad-id"),
        ("roles: shipped", "roles: ^[shipped]", "wrong-type"),
        ("suite: Roles", "^now: 2026-01-01", "unknown-key"),
    ],
)
def test_a_mistake_in_the_head_is_named_at_its_place(tmp_path: Path, before: str, after: str, code: str) -> None:
    """Nothing that was written is passed over."""
    assert before in HEAD
    tests = TEST % "{allowed: true}"
    if code == "unknown-word" and "Custmer" in after:
        tests = tests.replace("[acme]", "[sub]")
    expect_problems(tmp_path, suite(tests, HEAD.replace(before, after)), code)


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("{^subject: anna, allowed: true}", "unknown-key"),
        ("{caller: ^robot, allowed: true}", "unknown-caller"),
        ("{action: ^publish, allowed: true}", "unknown-action"),
        ("{resource: ^the store, allowed: true}", "unknown-resource"),
        ("{allowed: true, ^reason: granted}", "unknown-key"),
        ("{allowed: true, policies: [^admn]}", "unknown-policy"),
        ("^{policies: [admin]}", "missing-key"),
    ],
)
def test_a_mistake_in_a_row_is_named_at_its_place(tmp_path: Path, row: str, code: str) -> None:
    """A row names only what the test lists."""
    expect_problems(tmp_path, suite(TEST % row, HEAD), code)


@pytest.mark.parametrize(
    ("test", "code"),
    [
        ("^{name: m, actions: [view], resources: [acme]}", "missing-key"),
        ("{name: m, callers: [^ana], actions: [view], resources: [acme]}", "unknown-caller"),
        ("{name: m, callers: [anna], actions: [^vew], resources: [acme]}", "unknown-action"),
        ("{name: m, callers: [anna], actions: [^subjects], resources: [acme]}", "unknown-action"),
        ("{name: m, callers: [anna], actions: [view], resources: [^acm]}", "unknown-resource"),
        ("^{name: m, callers: [anna], actions: [publish], resources: [acme]}", "no-cases"),
    ],
)
def test_a_mistake_in_a_test_is_named_at_its_place(tmp_path: Path, test: str, code: str) -> None:
    """Names are those of the suite; a test of pairs that nobody can ask has no cases."""
    expect_problems(tmp_path, suite(f"  - {test}\n", HEAD), code)


def test_a_row_of_a_pair_that_nobody_can_ask_is_a_mistake(tmp_path: Path) -> None:
    """It would never be looked at."""
    marked = suite(
        "  - {name: m, callers: [anna], actions: [publish, view], resources: [acme],"
        " expected: [{action: ^publish, allowed: false}]}\n",
        HEAD,
    )
    expect_problems(tmp_path, marked, "unknown-action")


def test_the_pairs_are_those_of_the_schema() -> None:
    """Against the schema's text, read by a pattern: what each action applies to."""
    text = re.sub(r"//[^\n]*", "", builtin_schema("roles"))
    written = {
        (Action(name.strip()), ResourceType(type_.strip()))
        for names, types in re.findall(
            r"action ([\w, ]+?)(?: in \[\w+\])? appliesTo \{[^}]*?resource: \[([^\]]*)\]", text
        )
        for name in names.split(",")
        for type_ in types.split(",")
    }
    assert {(action, type_) for action in Action for type_ in ResourceType if applies(action, type_)} == written


def test_a_caller_of_a_role_that_nobody_named_may_do_nothing(tmp_path: Path) -> None:
    """That is worth a test, and no mistake."""
    head = HEAD.replace("[sales-agent]", "[astronaut]")
    assert run(tmp_path, suite(TEST % "", head)).has_passed
