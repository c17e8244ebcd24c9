"""A report in memory, with a case of every status."""

from __future__ import annotations

from tiergate.model import Check, Decision, Entitlement, FeatureType, Reason, Subject
from tiergate.permissions import Permission
from tiergate.policytest.results import CaseResult, Mismatch, RunReport, Status, SuiteResult, TestResult
from tiergate.policytest.suites import UNSTATED, Case, EntitlementQuery, Expectation, Suite, SuiteKind, Test

NOW = 1_700_000_000_000
FILE = "plans/gold_test.yaml"


def case(subject: str, feature: str, request: str = "", line: int = 9, *, stated: bool = True) -> Case:
    """A case that stands in a line."""
    expected = Expectation(allowed=True) if stated else UNSTATED
    asked = EntitlementQuery(Check(Subject(subject), feature), NOW)
    return Case(subject, feature, request, asked, expected, (FILE, line, 5), stated)


def decision(*, allowed: bool, reason: Reason) -> Decision:
    """A decision about movies, of which there are half ones."""
    entitlement = Entitlement(value=70, unit="movies/month", used=69, remaining=1)
    policies = ("plan/gold@1/movies",)
    return Decision(allowed, reason, "movies", FeatureType.QUANTITY, entitlement, (), policies, 0, "sha256:0", NOW)


PASSED = CaseResult(
    case("ada", "movies"), Status.PASSED, actual=decision(allowed=True, reason=Reason.GRANTED), nanoseconds=2_000
)
FAILED = CaseResult(
    case("ada", "movies", "one too many", 14),
    Status.FAILED,
    (Mismatch("allowed", "true", "false"), Mismatch("value", "80", "70")),
    ("plan/gold@1 gives 50 movies/month", "70 are used"),
    decision(allowed=False, reason=Reason.LIMIT_REACHED),
    3_000,
)
SURPRISE = CaseResult(
    case("bob", "movies", "", 6, stated=False),
    Status.FAILED,
    (Mismatch("allowed", "false", "true"), Mismatch("reason", "a denial", "granted")),
    (),
    decision(allowed=True, reason=Reason.GRANTED),
)
ERROR = CaseResult(case("ada", "moovies"), Status.ERROR, (), ("no feature `moovies`, did you mean `movies`?",))
SKIPPED = CaseResult(case("ada", "support"), Status.SKIPPED)
ROLE = CaseResult(
    case("anna", "override", "acme"),
    Status.FAILED,
    (Mismatch("allowed", "true", "false"),),
    (),
    Permission(allowed=False, policies=("scope",), errors=("it errs",)),
)


def report(*tests: TestResult, name: str = "Gold", file: str = FILE) -> RunReport:
    """A run of one suite."""
    suite = Suite(name, file, SuiteKind.ENTITLEMENTS, "world", tuple(test.test for test in tests), "what Gold gives")
    return RunReport((SuiteResult(suite, tests),), nanoseconds=40_000_000)


def one_test(name: str, *cases: CaseResult, skip: str = "") -> TestResult:
    """A test of these cases."""
    return TestResult(Test(name, (FILE, 4, 5), tuple(one.case for one in cases), skip=skip), cases, skip)


GOOD = report(one_test("what Gold gives", PASSED, PASSED))
"""Nothing failed."""

BAD = report(
    one_test("what Gold gives", PASSED, FAILED, SURPRISE),
    one_test("a slip", ERROR, ROLE),
    one_test("support", SKIPPED, skip="waits for the new levels"),
)
"""A case of every status."""
