from __future__ import annotations

import random

import pytest

from tiergate.cedar import CedarResult, authorize_caller, builtin_text
from tiergate.compiler.role_table import read_roles, role_actions
from tiergate.errors import RulesError
from tiergate.permissions import (
    Action,
    Caller,
    CallerKind,
    Resource,
    RolePolicies,
    Scope,
    shipped_roles,
)

# Spelt out by hand from the roles that were asked for, not from the policies.
SALES = {
    "editCustomer",
    "editSubscription",
    "pinVersion",
    "override",
    "editEntitlement",
    "sellCustom",
    "ownPlan",
    "view",
}
MAY = {
    "sales-agent": SALES,
    "sales-manager": SALES,
    "customer-support": {"override", "view"},
    "tech-support": {"view"},
    "analyst": {"view"},
    "finance-executive": {"view"},
    "product-manager": {
        *("createFeature", "editFeature", "editItem", "editDraft", "suspendFeature"),
        *("apply", "preview", "publish", "rollback", "editRollout", "view"),
    },
    "publisher": {"apply", "preview", "publish", "rollback", "editRollout", "view"},
    "operations": {"reportStatus", "view"},
    "sidecar": {"sync", "reportUsage"},
    "nobody": set(),
}
ON = {
    "createFeature": "Feature",
    "editFeature": "Feature",
    "suspendFeature": "Feature",
    "editItem": "Item",
    "editDraft": "Item",
    "publish": "Item Catalog",
    "editRollout": "Item Catalog",
    "rollback": "Catalog",
    "editRules": "Store",
    "apply": "Catalog",
    "preview": "Catalog",
    "editRoles": "Store",
    "manageKeys": "Store",
    "manageWebhooks": "Store",
    "viewAudit": "Store",
    "sync": "Store",
    "reportUsage": "Customer Store",
    "reportStatus": "Feature Store",
    "editCustomer": "Customer",
    "eraseCustomer": "Customer",
    "editSubscription": "Subscription",
    "pinVersion": "Subscription",
    "override": "Customer Subscription",
    "editEntitlement": "Customer Subscription",
    "sellCustom": "Customer Subscription Item",
    "ownPlan": "Customer",
    "view": "Feature Item Catalog Customer Subscription Store",
}
RESOURCES = {
    "Feature": Resource.feature("movies"),
    "Item": Resource.item("gold"),
    "Catalog": Resource.catalog(),
    "Customer": Resource.customer_of("acme"),
    "Subscription": Resource.subscription("sub_1", "acme"),
    "Store": Resource.store(),
}
CASES = [(action, type_) for action, types in ON.items() for type_ in types.split()]
ROLES = shipped_roles()


def caller(*roles: str, scope: Scope | None = None, kind: CallerKind = CallerKind.KEY) -> Caller:
    """Somebody with these roles."""
    return Caller("key/k1", kind, frozenset(roles), "a key", scope or Scope())


def may(action: str, resource: Resource, *roles: str, scope: Scope | None = None) -> bool:
    """Whether somebody with these roles may, under the table as shipped."""
    return ROLES.allows(caller(*roles, scope=scope), Action(action), resource).allowed


@pytest.mark.parametrize("role", MAY)
@pytest.mark.parametrize(("action", "type_"), CASES)
def test_each_role_may_do_what_its_row_says(role: str, action: str, type_: str) -> None:
    """And nothing else: the whole matrix."""
    expected = action in MAY[role]
    if role == "publisher" and action == "view":
        expected = type_ in {"Feature", "Item", "Catalog"}
    assert may(action, RESOURCES[type_], role) is expected


@pytest.mark.parametrize(("action", "type_"), CASES)
def test_an_admin_may_do_everything(action: str, type_: str) -> None:
    """By one row, which the answer names."""
    found = ROLES.allows(caller("admin"), Action(action), RESOURCES[type_])
    assert found == (True, ("admin",), ())


def test_the_words_of_code_schema_and_test_are_the_same() -> None:
    """No action can be asked for that no table can name, and the other way round."""
    groups = {"catalog", "publishing", "subjects", "governance", "machines", "operations"}
    assert set(ON) == {*Action} == role_actions() - groups


def test_roles_combine() -> None:
    """Who has two roles may do what either allows."""
    assert may("sync", RESOURCES["Store"], "customer-support", "sidecar")
    assert may("override", RESOURCES["Customer"], "customer-support", "sidecar")
    assert not may("publish", RESOURCES["Catalog"], "customer-support", "sidecar")


def test_nobody_may_anything_without_a_role() -> None:
    """What no policy permits is denied."""
    assert ROLES.allows(caller(), Action.VIEW, RESOURCES["Feature"]) == (False, (), ())


@pytest.mark.parametrize(
    ("action", "resource", "expected"),
    [
        ("override", Resource.customer_of("acme"), True),
        ("override", Resource.customer_of("other"), False),
        ("override", Resource.subscription("s", "acme"), True),
        ("override", Resource.subscription("s", "other"), False),
        ("override", Resource.subscription("s", None), False),
        ("view", Resource.item("private", "acme"), True),
        ("view", Resource.item("private", "other"), False),
        ("view", Resource.item("gold"), True),
        ("view", Resource.feature("movies"), True),
        ("view", Resource.catalog(), False),
        ("view", Resource.store(), False),
        ("editItem", Resource.item("gold"), False),
        ("editItem", Resource.item("private", "acme"), True),
        ("editFeature", Resource.feature("movies"), False),
        ("publish", Resource.catalog(), False),
        ("manageKeys", Resource.store(), False),
    ],
)
def test_a_key_for_one_customer_reaches_that_customer_alone(action: str, resource: Resource, *, expected: bool) -> None:
    """Not even with the role that may do everything."""
    assert may(action, resource, "admin", scope=Scope(customers=frozenset({"acme"}))) is expected


def test_a_scope_names_the_guard_that_denied() -> None:
    """So that whoever reads the log sees why an admin's key could not."""
    found = ROLES.allows(caller("admin", scope=Scope(customers=frozenset())), Action.VIEW, RESOURCES["Customer"])
    assert found == (False, ("scope/customers",), ())


def test_a_key_for_some_actions_can_do_these_alone() -> None:
    """A group stands for all of its actions."""
    scope = Scope(actions=frozenset({"view", "publishing"}))
    assert may("view", RESOURCES["Customer"], "admin", scope=scope)
    assert may("rollback", RESOURCES["Catalog"], "admin", scope=scope)
    assert not may("editRoles", RESOURCES["Store"], "admin", scope=scope)


def test_a_scope_never_widens() -> None:
    """What the roles do not allow is not allowed by being in scope."""
    scope = Scope(frozenset({"publish"}), frozenset({"acme"}))
    assert not may("publish", RESOURCES["Catalog"], "analyst", scope=scope)


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        (Scope(), Scope(), True),
        (Scope(), Scope(frozenset({"view"})), True),
        (Scope(frozenset({"view"})), Scope(), False),
        (Scope(frozenset({"view"})), Scope(frozenset({"view", "sync"})), False),
        (Scope(frozenset({"view", "sync"})), Scope(frozenset({"view"})), True),
        (Scope(customers=frozenset({"a"})), Scope(frozenset({"view"})), False),
        (Scope(customers=frozenset({"a"})), Scope(customers=frozenset({"a"})), True),
    ],
)
def test_a_scope_holds_narrower_ones(outer: Scope, inner: Scope, *, expected: bool) -> None:
    """In both dimensions; one that is not narrowed at all is the widest."""
    assert outer.holds(inner) is expected


ADMIN = '@id("admin") permit (principal in Role::"admin", action, resource);\n'


def test_an_organization_can_edit_the_table() -> None:
    """With roles, kinds and customers of its own."""
    text = ADMIN + (
        '@id("reseller") permit (principal in Role::"reseller", action in Action::"subjects", resource is Customer)\n'
        'when { resource.customer like "eu-*" && principal.kind == "person" };\n'
    )
    roles = RolePolicies.parse(text)
    person = caller("reseller", kind=CallerKind.PERSON)
    assert roles.allows(person, Action.OVERRIDE, Resource.customer_of("eu-1")) == (True, ("reseller",), ())
    assert not roles.allows(person, Action.OVERRIDE, Resource.customer_of("us-1")).allowed
    assert not roles.allows(caller("reseller"), Action.OVERRIDE, Resource.customer_of("eu-1")).allowed
    assert roles.roles == {"admin", "reseller"}


def test_a_table_cannot_leave_scopes_out() -> None:
    """They hold beside every table."""
    roles = RolePolicies.parse('@id("all") permit (principal, action, resource);')
    narrowed = caller("admin", scope=Scope(customers=frozenset({"acme"})))
    assert not roles.allows(narrowed, Action.VIEW, Resource.customer_of("other")).allowed


@pytest.mark.parametrize("type_", RESOURCES)
@pytest.mark.parametrize("action", ON)
def test_an_action_on_what_it_is_not_for_is_denied(action: str, type_: str) -> None:
    """Even to an admin: nobody has said what that would be."""
    found = ROLES.allows(caller("admin"), Action(action), RESOURCES[type_])
    assert found.allowed is (type_ in ON[action].split())
    assert bool(found.errors) is not found.allowed


def test_an_error_in_a_policy_denies() -> None:
    """Whatever other policies permit."""
    text = ADMIN + '@id("sum") permit (principal, action, resource) when { 9223372036854775807 + 1 > 0 };'
    text += (
        '\n@id("guard") forbid (principal, action == Action::"sync", resource) when { 9223372036854775807 + 1 > 0 };'
    )
    with pytest.raises(RulesError, match="lock-out"):
        RolePolicies.parse(text)
    fine = ADMIN + text.splitlines()[-1]
    found = RolePolicies.parse(fine).allows(caller("admin"), Action.SYNC, Resource.store())
    assert not found.allowed
    assert found.errors


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("", "lock-out", (1, 1)),
        (ADMIN.replace("admin", "boss"), "lock-out", (1, 1)),
        (ADMIN + '@id("x") forbid (principal, action == Action::"editRoles", resource);', "lock-out", (1, 1)),
        (ADMIN + '@id("x") forbid (principal, action, resource) when { resource is Store };', "lock-out", (1, 1)),
        (ADMIN.replace("action, resource)", 'action == Action::"view", resource)'), "lock-out", (1, 1)),
        (ADMIN + 'permit (principal, action == Action::"view", resource);', "rule-without-id", (2, 1)),
        (ADMIN + ADMIN, "duplicate-id", (2, 1)),
        (ADMIN + '@id("scope/actions") permit (principal, action, resource);', "bad-id", (2, 1)),
        (ADMIN + '@id("a") permit (principal, action == Action::"veiw", resource);', "unknown-action", (2, 39)),
        (ADMIN + '@id("a") permit (principal in Role::"a b", action, resource);', "bad-id", (2, 31)),
        (ADMIN + '@id("a") permit (principal in Rol::"x", action, resource);', "invalid-rule", (2, 1)),
        (
            ADMIN + '@id("a") permit (principal, action, resource) when { resource.customer == "x" };',
            "invalid-rule",
            (2, 63),
        ),
        (ADMIN + '@id("a") permit (principal == ?principal, action, resource);', "rule-template", (2, 1)),
        (ADMIN + '@id("a") permit (principal, action, resource', "bad-syntax", (2, 1)),
        (
            ADMIN + '@id("a") permit (principal, action, resource) when { ' + "(" * 60 + "true" + ")" * 60 + " };",
            "too-complex",
            (2, 1),
        ),
    ],
)
def test_a_table_with_a_problem_is_refused_at_its_place(text: str, code: str, place: tuple[int, int]) -> None:
    """With the line, the column and a word for it."""
    with pytest.raises(RulesError) as caught:
        RolePolicies.parse(text)
    first = caught.value.problems[0]
    assert (first.file, first.code, (first.line, first.column)) == ("roles.cedar", code, place)


def test_a_near_miss_is_named() -> None:
    """The action that was probably meant."""
    with pytest.raises(RulesError, match="did you mean `view`"):
        RolePolicies.parse(ADMIN + '@id("a") permit (principal, action == Action::"veiw", resource);')


def test_the_table_as_shipped_is_the_one_in_force() -> None:
    """Word by word."""
    assert shipped_roles().text == builtin_text("roles")
    assert shipped_roles().roles == {*MAY, "admin"} - {"nobody"}


LINES = (
    '@id("{}") permit (principal in Role::"a", action, resource);',
    '@id("{}") permit (principal in Role::"b", action, resource is Customer);',
    '@id("{}") forbid (principal in Role::"b", action, resource == Customer::"c1");',
    '@id("{}") permit (principal in Role::"c", action, resource) when {{ resource is Subscription }};',
    '@id("{}") forbid (principal, action, resource is Subscription) when {{ !(resource has customer) }};',
    '@id("{}") forbid (principal, action, resource is Customer) when {{ resource.customer like "c2*" }};',
    '@id("{}") forbid (principal, action, resource) when {{ principal has customers && resource is Item }};',
    '@id("{}") permit (principal in Role::"c", action, resource) when {{ principal.kind == "person" }};',
)


@pytest.mark.parametrize("seed", range(40))
def test_a_permission_by_type_is_the_one_of_the_resource(seed: int) -> None:
    """Whatever the table, the caller and the resources, and in whatever order they are asked for."""
    chosen = random.Random(seed)
    lines = chosen.sample(LINES, chosen.randint(0, 4))
    table = read_roles(ADMIN + "\n".join(line.format(f"row{n}") for n, line in enumerate(lines)))
    by_type, exact = RolePolicies(table), RolePolicies(table._replace(sources=None))
    for _ in range(40):
        customers = frozenset(chosen.sample(("c1", "c2"), 1)) if chosen.random() < 0.3 else None
        who = caller(*chosen.sample(("a", "b", "c", "admin"), 2), scope=Scope(customers=customers))
        id_, owner = chosen.choice(("c1", "c2", "c3", "\ud800")), chosen.choice(("c1", "c2", None))
        resource = chosen.choice(
            [Resource.customer_of(id_), Resource.subscription(id_, owner), Resource.item(id_, owner)]
        )
        action = chosen.choice([Action.VIEW, Action.OVERRIDE, Action.EDIT_CUSTOMER])
        assert by_type.allows(who, action, resource) == exact.allows(who, action, resource)


def test_cedar_is_asked_once_for_all_resources_of_a_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million subjects are one question, unless the key is for some customers only."""
    asked: list[str] = []

    def ask(*args: object) -> CedarResult:
        asked.append(str(args[-1]))
        return authorize_caller(*args)  # type: ignore[arg-type]

    monkeypatch.setattr("tiergate.permissions.authorize_caller", ask)
    roles = RolePolicies.parse(builtin_text("roles"))
    for n in range(10):
        assert roles.allows(caller("admin"), Action.EDIT_CUSTOMER, Resource.customer_of(f"c{n}")).allowed
    assert len(asked) == 1
    narrowed = caller("admin", scope=Scope(customers=frozenset({"c1"})))
    for n in range(10):
        assert roles.allows(narrowed, Action.EDIT_CUSTOMER, Resource.customer_of(f"c{n}")).allowed is (n == 1)
    assert len(asked) == 11
