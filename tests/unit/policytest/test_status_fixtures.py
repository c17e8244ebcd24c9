from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.policytest.coverage.measured import coverage
from tests.unit.policytest.test_cedar_export import entries_of, exported, round_trip
from tests.unit.policytest.test_entitlement_tests import asked
from tests.unit.policytest.written import HEAD, cases, expect_problems, results, suite
from tiergate.model import Status as FeatureStatus
from tiergate.policytest.coverage import Mark
from tiergate.policytest.results import Status

if TYPE_CHECKING:
    from pathlib import Path

RULE = """\
@id("closed")
forbid (principal, action, resource == Feature::"reports")
when { ["down", "maintenance"].contains(context.status) };
"""
TESTS = """\
  - name: closed
    status: {reports: down, seats: degraded}
    subjects: [ada]
    requests:
      as in the test: {feature: reports}
      maintained: {feature: reports, status: maintenance}
      again: {feature: reports, status: operational}
      others: {feature: seats}
    expected:
      - {request: [as in the test, maintained], reason: rule_denied}
      - {request: [again, others], allowed: true, valid_until: null}
"""
RULED = HEAD.replace("features:", "rules: rules\nstatus: {reports: partial, storage: down}\nfeatures:", 1)


def ruled(folder: Path) -> Path:
    """A folder with the rule."""
    (folder / "rules").mkdir()
    (folder / "rules" / "house.cedar").write_text(RULE, encoding="utf-8")
    return folder


def test_the_nearest_status_counts(tmp_path: Path) -> None:
    """Of the request, of the test, of the suite; of all other features it is operational."""
    text = TESTS.replace("reports: down, ", "") + "    features: [storage, support]\n"
    found = {case.name: asked(case).status for case in cases(ruled(tmp_path), suite(text, RULED))}
    assert found == {
        "ada · reports · as in the test": FeatureStatus.PARTIAL,
        "ada · reports · maintained": FeatureStatus.MAINTENANCE,
        "ada · reports · again": FeatureStatus.OPERATIONAL,
        "ada · seats · others": FeatureStatus.DEGRADED,
        "ada · storage": FeatureStatus.DOWN,
        "ada · support": FeatureStatus.OPERATIONAL,
    }


def test_rules_read_the_status_of_a_case(tmp_path: Path) -> None:
    """Here, and in Cedar's own form."""
    found = results(ruled(tmp_path), suite(TESTS, RULED))
    assert {case.status for case in found.values()} == {Status.PASSED}
    written = exported(tmp_path, suite(TESTS, RULED))
    contexts = [entry["request"]["context"]["status"] for entry in entries_of(written).values()]
    assert contexts == ["down", "maintenance", "operational", "degraded"]
    assert round_trip(tmp_path, written) == []


def test_what_is_no_feature_or_no_status_is_refused(tmp_path: Path) -> None:
    """With its place."""
    marked = suite(
        """\
  - name: wrong
    status: {^report: down, seats: ^broken}
    subjects: [ada]
    requests: {one: {feature: seats, status: ^Down}}
"""
    )
    expect_problems(tmp_path, marked, "unknown-feature", "unknown-word", "unknown-word")


def test_coverage_counts_the_tests_of_a_status(tmp_path: Path) -> None:
    """Each member of a set, and that it is tested at all."""
    head = "apiVersion: tiergate/v1\nnow: 2026-11-21T12:00:00Z\ncatalog: catalog.yaml\nrules: rules\n"

    def gaps(tests: str) -> str:
        found = coverage(tmp_path, tests, f"{head}holders: {{ada: [basic]}}\n", {"rules/house.cedar": RULE})
        rule = [it for it in found.measured if it.target.id == "rule/house/closed" and it.mark is not Mark.COVERED]
        return " ".join(it.target.part for it in rule)

    some = TESTS.replace("maintained: {feature: reports, status: maintenance}", "maintained: {feature: reports}")
    assert 'contains(context.status) → ["down"]' in gaps(some)
    assert gaps(TESTS) == 'resource == Feature::"reports" → any'
