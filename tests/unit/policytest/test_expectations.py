from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tests.unit.policytest.written import HEAD, cases, expect_problems, suite
from tiergate.model import FOREVER, Reason, parse_instant
from tiergate.policytest.suites import UNSTATED, Case, Expectation

if TYPE_CHECKING:
    from pathlib import Path

TEST = """\
  - name: rows
    subjects: [ada, bob]
    features: [seats, calls]
    requests: {last: {used: 4}, next: {used: 5}}
    expected:
"""


def rows(*written: str, test: str = TEST) -> str:
    """A suite whose one test has these rows."""
    return suite(test + "".join(f"      - {row}\n" for row in written))


def stated(cases: tuple[Case, ...]) -> set[str]:
    """The names of the cases of which a row speaks."""
    return {case.name for case in cases if case.stated}


def test_what_no_row_says_is_denied(tmp_path: Path) -> None:
    """A case without a row is expected to be denied, whatever the reason, and stands where its test does."""
    found = cases(tmp_path, suite(TEST.replace("    expected:\n", "")))
    assert {case.expected for case in found} == {UNSTATED}
    assert UNSTATED.allowed is False
    assert UNSTATED.reason is None
    assert not stated(found)
    assert {case.place[1:] for case in found} == {(HEAD.count("\n") + 2, 5)}


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ("{subject: ada, feature: seats, request: last, allowed: true}", {"ada · seats · last"}),
        ("{subject: ada, feature: seats, allowed: true}", {"ada · seats · last", "ada · seats · next"}),
        (
            "{request: [last], feature: [seats, calls], allowed: true}",
            {"ada · seats · last", "ada · calls · last", "bob · seats · last", "bob · calls · last"},
        ),
        (
            "{subject: [bob, ada], feature: calls, request: next, allowed: true}",
            {"ada · calls · next", "bob · calls · next"},
        ),
    ],
)
def test_a_row_speaks_of_the_cases_that_it_names(tmp_path: Path, row: str, names: set[str]) -> None:
    """What it leaves out is everything."""
    assert stated(cases(tmp_path, rows(row))) == names


def test_a_row_without_names_speaks_of_everything(tmp_path: Path) -> None:
    """One row is enough for a test about one thing."""
    assert len(stated(cases(tmp_path, rows("{reason: limit_reached}")))) == 8


def test_a_row_states_every_field(tmp_path: Path) -> None:
    """Each is kept as written; lists are sorted."""
    found = cases(
        tmp_path,
        rows(
            "{subject: bob, feature: seats, request: last, reason: granted, value: 11, remaining: 7, errors: 0,"
            " valid_until: 2027-01-01, sources: [plan/basic@1, addon/extra@1], policies: [plan/basic@1/seats]}"
        ),
    )
    assert next(case.expected for case in found if case.stated) == Expectation(
        allowed=True,
        reason=Reason.GRANTED,
        has_value=True,
        value=11,
        remaining=7,
        sources=("addon/extra@1", "plan/basic@1"),
        policies=("plan/basic@1/seats",),
        valid_until=parse_instant("2027-01-01"),
        errors=0,
    )


def test_rows_add_to_each_other(tmp_path: Path) -> None:
    """A row may say once for several cases what others do not."""
    found = cases(
        tmp_path,
        rows("{feature: seats, value: 5}", "{request: last, allowed: true}", "{request: next, reason: limit_reached}",
             "{subject: ada, sources: []}"),
    )  # fmt: skip
    expected = {case.name: case.expected for case in found}
    assert expected["ada · seats · last"] == Expectation(allowed=True, has_value=True, value=5, sources=())
    assert expected["bob · seats · next"] == Expectation(reason=Reason.LIMIT_REACHED, has_value=True, value=5)
    assert expected["bob · calls · next"] == Expectation(reason=Reason.LIMIT_REACHED)
    assert {case.place[1] - HEAD.count("\n") for case in found if case.name == "bob · calls · next"} == {9}


def test_values_are_as_the_feature_has_them(tmp_path: Path) -> None:
    """True and false, exact numbers, `unlimited`, a level, and none held; `null` is never for the answer to end."""
    found = cases(
        tmp_path,
        suite("""\
  - name: values
    subjects: [ada]
    features: [reports, storage, seats, support, rate]
    expected:
      - {feature: reports, allowed: true, value: true, valid_until: null}
      - {feature: storage, allowed: true, value: 2.50}
      - {feature: seats, allowed: true, value: unlimited}
      - {feature: support, allowed: false, value: null}
      - {feature: rate, allowed: true, value: 0}
"""),
    )
    assert [case.expected.value for case in found] == [True, Decimal("2.50"), "unlimited", None, 0]
    assert all(case.expected.has_value for case in found)
    assert found[0].expected.valid_until == FOREVER


@pytest.mark.parametrize(
    ("row", "codes"),
    [
        ("{^subjct: ada, allowed: true}", ["unknown-key"]),
        ("{subject: ^adda, allowed: true}", ["unknown-subject"]),
        ("{feature: [seats, ^seat], allowed: true}", ["unknown-feature"]),
        ("{request: ^lst, allowed: true}", ["unknown-request"]),
        ("{request: [last, ^last], allowed: true}", ["duplicate-entry"]),
        ("{request: ^7, allowed: true}", ["wrong-type"]),
        ("{allowed: ^yes}", ["wrong-type"]),
        ("{reason: ^limit-reached}", ["unknown-word"]),
        ("{allowed: true, reason: ^limit_reached}", ["contradiction"]),
        ("{allowed: false, reason: ^granted}", ["contradiction"]),
        ("^{value: 5}", ["missing-key"]),
        ("^{}", ["missing-key"]),
        ("{allowed: true, value: ^many}", ["unfit-value"]),
        ("{allowed: true, value: ^true}", ["unfit-value"]),
        ("{allowed: true, value: ^1.5}", ["bad-number"]),
        ("{allowed: true, value: ^null}", ["unfit-value"]),
        ("{allowed: true, remaining: ^unlimited}", ["wrong-type"]),
        ("{allowed: true, remaining: ^0.5}", ["bad-number"]),
        ("{allowed: true, sources: [^plan/basic]}", ["unknown-source"]),
        ("{allowed: true, sources: [plan/basic@1, ^plan/basic@1]}", ["duplicate-entry"]),
        ("{allowed: true, sources: [^override/none]}", ["unknown-source"]),
        ("{allowed: true, policies: [^plan/free@1/seats]}", ["unknown-policy"]),
        ("{allowed: true, policies: ^guard/feature-inactive}", ["wrong-type"]),
        ("{allowed: true, valid_until: ^never}", ["bad-instant"]),
        ("{allowed: true, errors: ^-1}", ["bad-number"]),
        ("^[]", ["wrong-type"]),
    ],
)
def test_a_mistake_in_a_row_is_named_at_its_place(tmp_path: Path, row: str, codes: list[str]) -> None:
    """No row is passed over, and none can fail to be met for being misspelt."""
    expect_problems(tmp_path, rows(row, test=TEST.replace(", calls", "")), *codes)


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("{feature: support, allowed: true, value: ^email}", None),
        ("{feature: support, allowed: true, value: ^fax}", "unknown-level"),
        ("{feature: reports, allowed: true, value: ^1}", "unfit-value"),
        ("{feature: reports, allowed: true, value: ^null}", "unfit-value"),
        ("{feature: [reports, support], allowed: true, value: ^email}", "unfit-value"),
        ("{feature: support, allowed: true, remaining: ^3}", "unfit-value"),
    ],
)
def test_a_value_must_be_one_that_the_feature_can_have(tmp_path: Path, row: str, code: str | None) -> None:
    """A row that speaks of several features must fit each."""
    test = "  - name: t\n    subjects: [ada]\n    features: [reports, support]\n    expected:\n"
    if code is None:
        cases(tmp_path, rows(row.replace("^", ""), test=test))
    else:
        expect_problems(tmp_path, rows(row, test=test), code)


def test_a_row_that_speaks_of_nothing_is_a_mistake(tmp_path: Path) -> None:
    """Each name is known, but together they are no case."""
    marked = suite("""\
  - name: own
    subjects: [ada]
    features: [reports]
    requests: {five: {feature: seats, amount: 5}}
    expected:
      - ^{feature: reports, request: five, allowed: true}
""")
    expect_problems(tmp_path, marked, "selects-nothing")


@pytest.mark.parametrize(
    ("second", "code"),
    [
        ("{request: last, reason: ^limit_reached}", "contradiction"),
        ("{request: last, allowed: ^false}", "contradiction"),
        ("{request: last, value: ^6}", "contradiction"),
    ],
)
def test_rows_that_contradict_each_other_are_a_mistake(tmp_path: Path, second: str, code: str) -> None:
    """The later one is named, with the line of the one before."""
    (problem,) = expect_problems(
        tmp_path,
        rows("{feature: seats, request: last, allowed: true, value: 5}", "{request: next, allowed: true}", second)
        .replace("[seats, calls]", "[seats]"),
        code,
    )  # fmt: skip
    assert f"line {HEAD.count(chr(10)) + 7}" in problem.message


def test_a_reason_may_be_added_to_a_denial(tmp_path: Path) -> None:
    """Rows that say the same in other words do not contradict each other."""
    found = cases(tmp_path, rows("{allowed: false}", "{request: next, reason: limit_reached}"))
    assert {case.expected.reason for case in found} == {None, Reason.LIMIT_REACHED}


def test_a_number_is_the_same_with_zeros_behind_its_point(tmp_path: Path) -> None:
    """Two rows that write it differently say the same."""
    found = cases(tmp_path, rows("{feature: seats, allowed: true, value: 5}", "{feature: seats, value: 5.0}"))
    assert {case.expected.value for case in found if case.stated} == {5}


def test_policies_of_every_kind_are_known(tmp_path: Path) -> None:
    """Those of items, guards, permits for overrides, and reasons."""
    cases(
        tmp_path,
        rows(
            "{request: last, allowed: true, policies: [plan/basic@1/seats, override/consume]}",
            "{request: next, allowed: false, policies: [guard/feature-inactive, reason/limit-reached]}",
        ),
    )
