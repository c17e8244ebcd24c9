from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.unit.policytest.reporters.reports import BAD, FAILED, GOOD, one_test, report
from tiergate.model import Decision, Entitlement
from tiergate.policytest.reporters import json_text, report_json


def read(text: str) -> Any:  # noqa: ANN401 - JSON
    """Read JSON with its numbers as they are written."""
    return json.loads(text, parse_float=Decimal)


def test_the_counts_stand_at_the_top() -> None:
    """A program learns from two members whether all passed, and how many of what there were."""
    document = read(json_text(report_json(BAD)))
    assert document["passed"] is False
    assert document["summary"] == {
        "passed": 1,
        "failed": 3,
        "error": 1,
        "skipped": 1,
        "cases": 6,
        "tests": 3,
        "suites": 1,
        "seconds": Decimal("0.04"),
    }
    assert read(json_text(report_json(GOOD)))["passed"] is True


def test_a_failed_case_says_all_that_people_are_told() -> None:
    """Names, place, mismatches, why, and the decision as the sidecar would answer it."""
    document = read(json_text(report_json(BAD)))
    case = document["suites"][0]["tests"][0]["cases"][1]
    actual = case.pop("actual")
    assert case == {
        "name": "ada · movies · one too many",
        "status": "failed",
        "subject": "ada",
        "feature": "movies",
        "request": "one too many",
        "stated": True,
        "file": "plans/gold_test.yaml",
        "line": 14,
        "column": 5,
        "nanoseconds": 3000,
        "mismatches": [
            {"field": "allowed", "expected": "true", "actual": "false"},
            {"field": "value", "expected": "80", "actual": "70"},
        ],
        "why": ["plan/gold@1 gives 50 movies/month", "70 are used"],
    }
    assert actual["allowed"] is False
    assert actual["reason"] == "limit_reached"
    assert actual["policies"] == ["plan/gold@1/movies"]


def test_errors_of_policies_are_not_lost() -> None:
    """What went wrong in a policy stands with the answer."""
    document = read(json_text(report_json(BAD)))
    assert document["suites"][0]["tests"][1]["cases"][1]["actual"] == {
        "allowed": False,
        "policies": ["scope"],
        "errors": ["it errs"],
    }


def test_numbers_are_exact() -> None:
    """A limit with more digits than a binary float holds is written digit by digit."""
    exact = Decimal("123456789.123457")
    assert isinstance(FAILED.actual, Decision)
    actual = msgspec.structs.replace(FAILED.actual, entitlement=Entitlement(value=exact))
    changed = type(FAILED)(FAILED.case, FAILED.status, FAILED.mismatches, (), actual)
    document = read(json_text(report_json(report(one_test("exact", changed)))))
    assert document["suites"][0]["tests"][0]["cases"][0]["actual"]["entitlement"]["value"] == exact


@pytest.mark.parametrize("verbose", [False, True])
def test_what_was_decided_in_a_passed_case_is_told_on_request(verbose: bool) -> None:
    """Thousands of cases that passed stay short, unless everything is asked for."""
    document = read(json_text(report_json(GOOD, verbose=verbose)))
    assert ("actual" in document["suites"][0]["tests"][0]["cases"][0]) is verbose


def test_a_skipped_test_says_why() -> None:
    """The reason of a skip is in the document."""
    test = read(json_text(report_json(BAD)))["suites"][0]["tests"][2]
    assert (test["status"], test["skip"]) == ("skipped", "waits for the new levels")
