from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.engine.small import GOLD, bundle
from tests.unit.policytest.coverage.measured import HEAD, coverage, covered, marks
from tiergate.model import Amount
from tiergate.policytest.coverage import Mark, Recorder
from tiergate.policytest.coverage.mutated_engines import MutatedBundle
from tiergate.policytest.runner import Runner

if TYPE_CHECKING:
    from pathlib import Path

BASIC = "plan/basic@1"
GOLD_3 = "plan/gold@3"


def case(subject: str, feature: str, request: str, expected: str) -> str:
    """A test of one case."""
    return (
        f'  - {{name: "{subject} {feature} {request}", subjects: [{subject}], '
        f"requests: {{it: {{feature: {feature}, {request}}}}}, expected: [{{{expected}}}]}}\n"
    )


@pytest.mark.parametrize(
    ("test", "about", "aspects"),
    [
        (case("ada", "seats", "used: 4", "allowed: true"), "seats", ["decides", "limit"]),
        (case("ada", "seats", "used: 3", "allowed: true"), "seats", ["decides"]),
        (case("ada", "seats", "used: 5", "allowed: false"), "seats", ["beyond"]),
        (case("ada", "seats", "used: 5", "reason: limit_reached"), "seats", ["decides", "beyond"]),
        (case("ada", "seats", "used: 6", "allowed: false"), "seats", []),
        (case("ada", "seats", "used: 1", "allowed: true, value: 5"), "seats", ["decides", "limit", "beyond"]),
        (case("ada", "seats", "used: 1", "allowed: true, remaining: 4"), "seats", ["decides", "limit", "beyond"]),
        (case("ada", "storage", "amount: 0.1, used: 2.4", "allowed: true"), "storage", ["decides", "limit"]),
        (case("ada", "storage", "amount: 0.1, used: 2.5", "allowed: false"), "storage", ["beyond"]),
        (case("ada", "storage", "amount: 1, used: 2.5", "allowed: false"), "storage", []),
        (case("ada", "rate", "value: 50", "allowed: true"), "rate", ["decides", "limit"]),
        (case("ada", "rate", "value: 51", "allowed: false"), "rate", ["beyond"]),
        (case("ada", "support", "level: chat", "allowed: true"), "support", ["decides", "limit"]),
        (case("ada", "support", "level: email", "allowed: true"), "support", ["decides"]),
        (case("ada", "support", "level: phone", "allowed: false"), "support", ["beyond"]),
        (case("ada", "reports", "", "allowed: true"), "reports", ["decides"]),
    ],
)
def test_a_boundary_is_covered_by_what_would_come_out_otherwise(
    tmp_path: Path, test: str, about: str, aspects: list[str]
) -> None:
    """The last thing allowed, the first denied, or the value itself; anything else is short of it, or too far."""
    assert covered(coverage(tmp_path, test), f"{BASIC}/{about}") == aspects


def test_what_gives_nothing_is_covered_by_a_denial(tmp_path: Path) -> None:
    """That it is there at all changes nothing."""
    found = coverage(tmp_path, case("fay", "reports", "", "allowed: false"))
    assert [name for name in marks(found) if name.startswith("plan/free@1/reports")] == ["plan/free@1/reports beyond"]
    assert covered(found, "plan/free@1/reports") == ["beyond"]


def test_unlimited_is_covered_by_more_than_anything_else_gives(tmp_path: Path) -> None:
    """An amount that some number would do for shows only that there is something."""
    some = coverage(tmp_path, case("eve", "seats", "amount: 5", "allowed: true"))
    more = coverage(tmp_path, case("eve", "seats", "amount: 6", "allowed: true"))
    assert covered(some, "plan/top@1/seats") == ["decides"]
    assert covered(more, "plan/top@1/seats") == ["decides", "unlimited"]


def test_a_value_that_another_one_hides_is_not_covered(tmp_path: Path) -> None:
    """Of a maximum, the smaller part could be anything smaller."""
    found = coverage(tmp_path, case("bob", "storage", "used: 1", "allowed: true, value: 2.5"))
    assert covered(found, f"{BASIC}/storage") == ["decides", "limit", "beyond"]
    assert covered(found, "addon/extra@1/storage") == []
    assert marks(found)["addon/extra@1/storage limit"] is Mark.REACHED


def test_each_part_of_a_sum_is_covered(tmp_path: Path) -> None:
    """Any of them one less is one too few."""
    found = coverage(tmp_path, case("bob", "seats", "used: 10", "allowed: true"))
    assert covered(found, f"{BASIC}/seats") == ["decides", "limit"]
    assert covered(found, "addon/extra@1/seats") == ["decides", "limit", "per"]  # of which bob has two


def test_the_maximum_of_a_range_has_nothing_beyond(tmp_path: Path) -> None:
    """Where every total ends at the maximum, one more would be the same."""
    found = marks(coverage(tmp_path, case("eve", "rate", "value: 100", "allowed: true")))
    assert [name for name in found if name.startswith("plan/top@1/rate")] == [
        "plan/top@1/rate decides",
        "plan/top@1/rate limit",
    ]


def test_an_entitlement_to_a_draft_is_no_unit(tmp_path: Path) -> None:
    """It is not in effect."""
    found = marks(coverage(tmp_path, case("ada", "soon", "", "reason: feature_inactive")))
    assert [name for name in found if "soon" in name] == ["soon other"]  # its status, and nothing of its values
    assert found["guard/feature-inactive decides"] is Mark.COVERED


def test_a_level_is_covered_by_whatever_gives_it(tmp_path: Path) -> None:
    """Labels, and the numbers that a quantity lists, as far as anything gives them."""
    found = coverage(tmp_path, case("ada", "support", "level: chat", "allowed: true"))
    levels = {name: mark for name, mark in marks(found).items() if name.endswith("held")}
    assert levels == {
        "seats=5 held": Mark.MISSED,
        "seats=unlimited held": Mark.MISSED,
        "support=chat held": Mark.COVERED,
        "support=email held": Mark.MISSED,
        "support=phone held": Mark.MISSED,
    }


def test_a_case_that_fails_covers_nothing(tmp_path: Path) -> None:
    """What it expects is not so."""
    found = coverage(tmp_path, case("ada", "seats", "used: 4", "reason: limit_reached"))
    assert found.covered == 0


def test_a_test_that_is_skipped_covers_nothing(tmp_path: Path) -> None:
    """But what it is about is there to be covered."""
    test = case("ada", "seats", "used: 4", "allowed: true").replace("{name", "{skip: later, name", 1)
    found = coverage(tmp_path, test)
    assert found.covered == 0
    assert found.total > 0


def test_a_guard_is_covered_where_its_reason_is_stated(tmp_path: Path) -> None:
    """Where something else would deny it too, a mere denial tells nothing of it."""
    mere = coverage(tmp_path, "  - {name: nobody, subjects: [hal], features: [reports]}\n", HEAD + "  - {id: hal}\n")
    told = "  - {name: nobody, subjects: [hal], features: [reports], expected: [{reason: subscription_inactive}]}\n"
    stated = coverage(tmp_path, told, HEAD + "  - {id: hal}\n")
    assert marks(mere)["guard/subscription-inactive decides"] is Mark.REACHED
    assert marks(stated)["guard/subscription-inactive decides"] is Mark.COVERED


def test_a_guard_needs_a_case_that_it_spares(tmp_path: Path) -> None:
    """Else it might forbid everything."""
    denied = coverage(tmp_path, case("fay", "seats", "", "allowed: false"))
    allowed = coverage(tmp_path, case("ada", "seats", "", "allowed: true"))
    assert marks(denied)["guard/feature-suspended condition"] is Mark.MISSED
    assert marks(allowed)["guard/feature-suspended condition"] is Mark.COVERED


def test_a_guard_that_no_feature_can_bring_about_need_not_decide(tmp_path: Path) -> None:
    """Nothing here has a cap or a batch."""
    found = marks(coverage(tmp_path, case("ada", "seats", "", "allowed: true")))
    assert "guard/total-cap-reached decides" not in found
    assert "guard/amount-invalid decides" not in found
    assert found["guard/total-cap-reached condition"] is Mark.COVERED


RULES = """\
@id("fewer") forbid (principal, action == Action::"consume", resource == Feature::"seats")
when { context.amount > 2 }
unless { principal.customer == "bob" };
"""


def test_a_rule_has_a_unit_for_each_condition(tmp_path: Path) -> None:
    """That it decides, that `when` holds it back, that `unless` does."""
    tests = case("ada", "seats", "amount: 3", "reason: rule_denied") + case(
        "bob", "seats", "amount: 3", "allowed: true"
    )
    found = coverage(tmp_path, tests, HEAD.replace("holders", "rules: rules\nholders"), {"rules/house.cedar": RULES})
    units = [it for it in found.measured if it.target.id == "rule/house/fewer" and not it.target.part]
    assert [(it.target.aspect.value, it.target.clause, it.mark) for it in units] == [
        ("decides", 0, Mark.COVERED),
        ("condition", 0, Mark.MISSED),
        ("condition", 1, Mark.COVERED),
    ]


def test_an_override_is_covered_where_nothing_else_permits(tmp_path: Path) -> None:
    """Its permit by its removal, its condition by a denial that it leaves."""
    tests = case("gil", "reports", "", "allowed: true") + case("fay", "reports", "", "allowed: false")
    assert covered(coverage(tmp_path, tests), "override/use") == ["decides", "condition"]


ROLES = """\
apiVersion: tiergate/v1
roles: shipped
callers:
  anna: {roles: [analyst]}
  both: {roles: [analyst, tech-support]}
  narrow: {roles: [admin], kind: key, customers: [acme]}
resources: {acme: {type: Customer, id: acme}, globex: {type: Customer, id: globex}}
"""


def test_a_row_of_roles_is_covered_where_it_alone_permits(tmp_path: Path) -> None:
    """Of two that permit the same, neither is."""
    tests = """\
  - {name: t, callers: [%s], actions: [view], resources: [acme], expected: [{allowed: true}]}
"""
    alone = coverage(tmp_path / "alone", tests % "anna", ROLES)
    both = coverage(tmp_path / "both", tests % "both", ROLES)
    assert (marks(alone)["analyst decides"], marks(both)["analyst decides"]) == (Mark.COVERED, Mark.REACHED)


def test_what_narrows_a_key_is_covered_where_it_forbids_and_where_it_spares(tmp_path: Path) -> None:
    """Somebody else's customer, and its own."""
    tests = """\
  - name: t
    callers: [narrow]
    actions: [override]
    resources: [acme, globex]
    expected: [{resource: acme, allowed: true}]
"""
    found = [it for it in coverage(tmp_path, tests, ROLES).measured if it.target.id == "scope/customers"]
    assert [(it.target.clause, it.mark) for it in found] == [(0, Mark.COVERED), (0, Mark.MISSED), (1, Mark.COVERED)]


def test_what_is_written_in_a_test_file_is_no_unit(tmp_path: Path) -> None:
    """It is there for the tests; the guards are covered all the same."""
    head = HEAD.replace(
        "catalog: catalog.yaml",
        "features: [{id: reports, type: switch}]\nitems: [{id: basic, kind: plan, entitlements: {reports: true}}]",
    )
    head = head[: head.index("  bob")]
    found = coverage(tmp_path, case("ada", "reports", "", "allowed: true"), head)
    assert {it.target.kind.value for it in found.measured} == {"guard", "override", "reason"}
    assert found.covered > 0


def test_suites_on_one_catalog_share_what_they_cover(tmp_path: Path) -> None:
    """What one covers need not be covered by the other."""
    other = f"{HEAD}tests:\n{case('ada', 'seats', 'used: 5', 'allowed: false')}"
    found = coverage(tmp_path, case("ada", "seats", "used: 4", "allowed: true"), files={"other_test.yaml": other})
    assert covered(found, f"{BASIC}/seats") == ["decides", "limit", "beyond"]
    assert len({it.target for it in found.measured}) == found.total


def test_what_is_not_run_is_there_to_be_covered(tmp_path: Path) -> None:
    """The worlds of all suites count, whatever is selected."""
    coverage(tmp_path, case("ada", "seats", "used: 4", "allowed: true"))
    loaded = Runner().read_suites([tmp_path])
    found = Recorder(loaded.environments.values()).coverage()
    assert (found.covered, found.total > 30) == (0, True)


def test_a_rule_and_a_row_have_their_places(tmp_path: Path) -> None:
    """The file and the line in which they begin; what is shipped has none."""
    head = HEAD.replace("holders", "rules: rules\nholders")
    ruled = coverage(
        tmp_path / "a", case("ada", "seats", "", "allowed: true"), head, {"rules/house.cedar": f"// Why.\n{RULES}"}
    )
    table = """\
@id("admin") permit (principal in Role::"admin", action, resource);

@id("b") permit (principal in Role::"b", action == Action::"view", resource);
"""
    tests = "  - {name: t, callers: [anna], actions: [view], resources: [acme]}\n"
    rows = coverage(tmp_path / "b", tests, ROLES.replace("shipped", "roles.cedar"), {"roles.cedar": table})
    places = {it.target.id: it.subject.place for it in (*ruled.measured, *rows.measured)}
    assert places["rule/house/fewer"] == (str(tmp_path / "a" / "rules" / "house.cedar"), 2, 1)
    assert places["b"] == (str(tmp_path / "b" / "roles.cedar"), 3, 1)
    assert places["guard/override-denied"] is None
    assert places["scope/actions"] is None


def test_metered_usage_that_a_case_knows_reaches_the_limit(tmp_path: Path) -> None:
    """What is tried otherwise is tried on the usage of the case, not on that of another one."""
    tests = """\
  - name: t
    subjects: [ada, bob]
    features: [calls]
    usage: {ada: {calls: 19}, bob: {calls: 20}}
    expected: [{subject: ada, allowed: true}]
"""
    assert covered(coverage(tmp_path, tests), f"{BASIC}/calls") == ["decides", "limit", "beyond"]
    assert covered(coverage(tmp_path, tests.replace("bob: {calls: 20}", "bob: {calls: 21}")), f"{BASIC}/calls") == [
        "decides",
        "limit",
    ]


def test_one_value_is_another() -> None:
    """All others stay."""
    found = MutatedBundle(bundle(), GOLD_3, "movies", Amount(7)).definition(GOLD_3)
    assert dict(found) == GOLD | {"movies": Amount(7)}
    assert len(found) == len(GOLD)


def test_one_value_is_not_there() -> None:
    """However one looks for it."""
    found = MutatedBundle(bundle(), GOLD_3, "movies", None).definition(GOLD_3)
    assert (found.get("movies"), "movies" in found, len(found)) == (None, False, len(GOLD) - 1)
    assert "movies" not in list(found)


def test_everything_else_is_the_bundle() -> None:
    """Other versions, the index, the files."""
    base = bundle()
    other = MutatedBundle(base, GOLD_3, "movies", None)
    assert other.definition("addon/extra@1") == base.definition("addon/extra@1")
    assert (other.index, other.revision) == (base.index, base.revision)
    assert other.text("policies/guards.cedar") == base.text("policies/guards.cedar")
    assert other.paths("policies/") == base.paths("policies/")
