from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tests.unit.policytest.written import HEAD, one, results, suite
from tiergate.cedar import CedarResult
from tiergate.permissions import Permission
from tiergate.policytest.expectation_comparison import compare_outcome, compare_permission
from tiergate.policytest.results import Mismatch, Status
from tiergate.policytest.suites import Expectation

if TYPE_CHECKING:
    from pathlib import Path

BOB = "  - name: t\n    subjects: [bob]\n    requests: {r: {feature: seats, used: 4}}\n    expected: [{%s}]\n"


@pytest.mark.parametrize(
    "row",
    [
        "allowed: true",
        "reason: granted",
        "allowed: true, value: 11",
        "allowed: true, value: 11.0",
        "allowed: true, remaining: 7",
        "allowed: true, sources: [plan/basic@1, addon/extra@1]",
        "allowed: true, policies: [addon/extra@1/seats, plan/basic@1/seats]",
        "allowed: true, valid_until: null",
        "allowed: true, errors: 0",
    ],
)
def test_what_is_as_stated_passes(tmp_path: Path, row: str) -> None:
    """Bob holds 5 seats and twice 3 more; no field but those stated counts."""
    assert one(tmp_path, suite(BOB % row)).status is Status.PASSED


@pytest.mark.parametrize(
    ("row", "mismatches"),
    [
        ("allowed: false", [("allowed", "false", "true")]),
        ("reason: limit_reached", [("allowed", "false", "true"), ("reason", "limit_reached", "granted")]),
        ("allowed: true, value: 8", [("value", "8", "11")]),
        ("allowed: true, value: unlimited", [("value", "unlimited", "11")]),
        ("allowed: true, remaining: 6", [("remaining", "6", "7")]),
        ("allowed: true, sources: [plan/basic@1]", [("sources", "[plan/basic@1]", "[addon/extra@1, plan/basic@1]")]),
        ("allowed: true, policies: []", [("policies", "[]", "[addon/extra@1/seats, plan/basic@1/seats]")]),
        ("allowed: true, valid_until: 2027-01-01", [("valid_until", "2027-01-01T00:00:00.000Z", "null")]),
        ("allowed: true, errors: 2", [("errors", "2", "0")]),
    ],
)
def test_what_differs_is_told_field_by_field(tmp_path: Path, row: str, mismatches: list[tuple[str, str, str]]) -> None:
    """Each field with what was expected and what came out, both as the file writes them."""
    result = one(tmp_path, suite(BOB % row))
    assert result.status is Status.FAILED
    assert result.mismatches == tuple(Mismatch(*it) for it in mismatches)


@pytest.mark.parametrize(
    ("subject", "feature", "value"),
    [
        ("ada", "reports", "true"),
        ("fay", "reports", "false"),
        ("ada", "storage", "2.5"),
        ("ada", "rate", "100"),
        ("fay", "rate", "0"),
        ("ada", "support", "chat"),
        ("fay", "support", "null"),
        ("eve", "seats", "unlimited"),
    ],
)
def test_a_value_of_every_type_is_compared(tmp_path: Path, subject: str, feature: str, value: str) -> None:
    """The right one passes; another one does not, and is told beside it."""
    test = f"  - name: t\n    subjects: [{subject}]\n    features: [{feature}]\n    expected:\n"
    allowed = str(subject != "fay").lower()
    other = {"reports": "false" if value == "true" else "true", "support": "email"}.get(feature, "7")
    right = one(tmp_path, suite(f"{test}      - {{allowed: {allowed}, value: {value}}}\n"))
    wrong = one(tmp_path, suite(f"{test}      - {{allowed: {allowed}, value: {other}}}\n"))
    assert right.status is Status.PASSED, right.mismatches
    assert wrong.mismatches == (Mismatch("value", other, value),)


def test_nothing_remains_to_be_stated_of_what_is_unlimited(tmp_path: Path) -> None:
    """A number that remains is never what is left of an unlimited quantity."""
    test = "  - {name: t, subjects: [eve], features: [seats], expected: [{allowed: true, remaining: 3}]}\n"
    assert one(tmp_path, suite(test)).mismatches == (Mismatch("remaining", "3", "unlimited"),)


def test_the_end_of_an_answer_is_compared_to_the_millisecond(tmp_path: Path) -> None:
    """An answer that ends is not one that never does."""
    head = HEAD + "  gus: [{item: basic, until: 2026-12-01}]\n"
    rows = {"2026-12-01": (), "null": (("null", "2026-12-01T00:00:00.000Z"),)}
    for stated, told in rows.items():
        row = f"{{allowed: true, valid_until: {stated}}}"
        test = f"  - {{name: t, subjects: [gus], features: [seats], expected: [{row}]}}\n"
        found = one(tmp_path, suite(test, head)).mismatches
        assert found == tuple(Mismatch("valid_until", *it) for it in told)


def test_an_override_is_a_source(tmp_path: Path) -> None:
    """It goes by its id; of one without, by the feature's and a number."""
    head = HEAD + "customers: [{id: gus, overrides: [{feature: seats, value: 3}]}]\n"
    test = (
        "  - {name: t, subjects: [gus], features: [seats], expected: [{allowed: true, sources: [override/seats-1]}]}\n"
    )
    assert one(tmp_path, suite(test, head)).status is Status.PASSED


def test_numbers_are_told_as_they_are(tmp_path: Path) -> None:
    """Without exponents or binary fractions."""
    test = "  - {name: t, subjects: [ada], features: [storage], expected: [{allowed: true, value: 2.55}]}\n"
    (mismatch,) = results(tmp_path, suite(test))["ada · storage"].mismatches
    assert (Decimal(mismatch.expected), mismatch.actual) == (Decimal("2.55"), "2.5")


def test_a_permission_is_compared() -> None:
    """Allowed, the deciding rows, and how many erred."""
    permission = Permission(allowed=True, policies=("admin", "publisher"), errors=("no",))
    assert compare_permission(Expectation(allowed=True), permission) == ()
    assert compare_permission(Expectation(policies=("admin",), errors=0), permission) == (
        Mismatch("allowed", "false", "true"),
        Mismatch("policies", "[admin]", "[admin, publisher]"),
        Mismatch("errors", "0", "1"),
    )


def test_cedars_own_answer_may_have_more_reasons() -> None:
    """As with Cedar's own command, what is stated must be among the deciding policies."""
    outcome = CedarResult(allowed=True, policies=("a", "b"), errors=())
    assert compare_outcome(Expectation(allowed=True, policies=("b",), errors=0), outcome) == ()
    assert compare_outcome(Expectation(policies=("c",), errors=1), outcome) == (
        Mismatch("decision", "deny", "allow"),
        Mismatch("reason", "[c]", "[a, b]"),
        Mismatch("num_errors", "1", "0"),
    )
