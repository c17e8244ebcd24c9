from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tests.unit.policytest.written import HEAD, cases, expect_problems, read, suite
from tiergate.model import Check, MeteredUsage, Subject, SubjectType, parse_instant
from tiergate.policytest.suites import Case, EntitlementQuery

if TYPE_CHECKING:
    from pathlib import Path

NOON = parse_instant("2026-11-21T12:00:00Z")


def asked(case: Case) -> EntitlementQuery:
    """The check of a case."""
    assert isinstance(case.query, EntitlementQuery)
    return case.query


def test_a_matrix_has_a_case_for_each_cell(tmp_path: Path) -> None:
    """Subjects × features × requests, subjects first, in the order in which they are written."""
    found = cases(
        tmp_path,
        suite("""\
  - name: a matrix
    subjects: [bob, ada]
    features: [seats, storage]
    requests: {last: {used: 4}, next: {used: 5}}
"""),
    )
    assert [case.name for case in found] == [
        f"{subject} · {feature} · {request}"
        for subject in ("bob", "ada")
        for feature in ("seats", "storage")
        for request in ("last", "next")
    ]
    assert asked(found[0]) == EntitlementQuery(Check(Subject("bob"), "seats", used=4), NOON)


def test_without_requests_the_least_is_asked(tmp_path: Path) -> None:
    """A test of subjects and features alone asks each whether there is anything at all."""
    found = cases(tmp_path, suite("  - {name: least, subjects: [ada], features: [seats, reports]}\n"))
    assert [asked(case).check for case in found] == [Check(Subject("ada"), "seats"), Check(Subject("ada"), "reports")]


def test_a_request_that_names_its_feature_is_not_crossed(tmp_path: Path) -> None:
    """It is asked of its own feature, and the others of the features listed, or the least where there are none."""
    found = cases(
        tmp_path,
        suite("""\
  - name: own
    subjects: [ada]
    features: [reports]
    requests: {five: {feature: seats, amount: 5}}
"""),
    )
    assert [case.name for case in found] == ["ada · reports", "ada · seats · five"]


def test_every_field_of_a_request_is_asked(tmp_path: Path) -> None:
    """Numbers are exact, as written."""
    found = cases(
        tmp_path,
        suite("""\
  - name: fields
    subjects: [{id: ada, user: u1}]
    requests:
      a: {feature: storage, amount: 0.25, used: 1.50, user_used: 3}
      b: {feature: rate, value: 100}
      c: {feature: support, level: phone}
"""),
    )
    user = Subject("ada", SubjectType.CUSTOMER, "u1")
    assert [asked(case).check for case in found] == [
        Check(user, "storage", amount=Decimal("0.25"), used=Decimal("1.50"), user_used=3),
        Check(user, "rate", value=100),
        Check(user, "support", level="phone"),
    ]


def test_subjects_can_be_anybody(tmp_path: Path) -> None:
    """A customer by its id, a subscription, a user, and somebody who is not there; under a name, or the id."""
    found = cases(
        tmp_path,
        suite("""\
  - name: whom
    subjects:
      - ada
      - {name: ada's own, type: subscription, id: sub-ada}
      - {type: subscription, id: sub-bob, user: u2}
      - somebody-else
    features: [seats]
    expected: [{subject: somebody-else, reason: unknown_subject}]
"""),
    )
    assert {case.subject: asked(case).check.subject for case in found} == {
        "ada": Subject("ada"),
        "ada's own": Subject("sub-ada", SubjectType.SUBSCRIPTION),
        "sub-bob": Subject("sub-bob", SubjectType.SUBSCRIPTION, "u2"),
        "somebody-else": Subject("somebody-else"),
    }


def test_the_nearest_instant_counts(tmp_path: Path) -> None:
    """That of the request before that of the test before that of the suite."""
    found = read(
        tmp_path,
        suite("""\
  - {name: suite's, subjects: [ada], features: [seats]}
  - name: nearer
    now: 2026-12-01
    subjects: [ada]
    features: [seats]
    requests: {then: {}, later: {now: 2027-01-01T00:00:00.123Z}}
"""),
    )
    assert [asked(case).now for test in found.tests for case in test.cases] == [
        NOON,
        parse_instant("2026-12-01"),
        parse_instant("2027-01-01T00:00:00.123Z"),
    ]


def test_usage_goes_by_the_nearest_name(tmp_path: Path) -> None:
    """What a test writes goes before the suite's, a subject's name before its id; numbers are in units."""
    head = HEAD + "usage: {ada: {calls: 4}, bob: {calls: {used: 1, user_used: 2, total_used: 30}}}\n"
    found = read(
        tmp_path,
        suite(
            """\
  - {name: suite's, subjects: [ada, bob, eve, {name: u1, id: bob, user: u1}], features: [calls, seats]}
  - name: own
    subjects: [ada, bob, {name: u1, id: bob, user: u1}]
    features: [calls]
    usage: {u1: {calls: 7}, ada: {calls: 9}}
""",
            head,
        ),
    )
    bob = MeteredUsage(1, 2, 30)
    usage = [{case.name: asked(case).usage for case in test.cases} for test in found.tests]
    assert usage[0] == {
        "ada · calls": MeteredUsage(4),
        "ada · seats": None,
        "bob · calls": bob,
        "bob · seats": None,
        "eve · calls": None,
        "eve · seats": None,
        "u1 · calls": bob,
        "u1 · seats": None,
    }
    assert usage[1] == {"ada · calls": MeteredUsage(9), "bob · calls": bob, "u1 · calls": MeteredUsage(7)}


@pytest.mark.parametrize(
    ("test", "codes"),
    [
        ("  - ^{subjects: [ada], features: [seats]}", ["missing-key"]),
        ("  - {name: a, ^subject: [ada], features: [seats], subjects: [ada]}", ["unknown-key"]),
        ("  - ^{name: a, features: [seats]}", ["missing-key"]),
        ("  - ^{name: a, subjects: [], features: [seats]}", ["no-cases"]),
        ("  - ^{name: a, subjects: [ada]}", ["no-cases"]),
        ("  - {name: a, subjects: [ada, ^ada], features: [seats]}", ["duplicate-name"]),
        ("  - {name: a, subjects: [ada, ^{name: ada, id: bob}], features: [seats]}", ["duplicate-name"]),
        ("  - {name: a, subjects: [^ad], features: [seats]}", ["unknown-subject"]),
        ("  - {name: a, subjects: [^{type: subscription, id: sub-ad}], features: [seats]}", ["unknown-subject"]),
        ("  - {name: a, subjects: [^enterprise-customer], features: [seats]}", ["unknown-subject"]),
        ("  - {name: a, subjects: [^{id: ada, type: subscription}], features: [seats]}", ["unknown-subject"]),
        ("  - {name: a, subjects: [^{id: nobody, user: u1}], features: [seats]}", ["unknown-subject"]),
        ("  - {name: a, subjects: [^nobody], features: [seats], expected: [{allowed: false}]}", ["unknown-subject"]),
        ("  - {name: a, subjects: [^7], features: [seats]}", ["wrong-type"]),
        ("  - {name: a, subjects: [{id: ada, type: ^user}], features: [seats]}", ["unknown-word"]),
        ("  - {name: a, subjects: [ada], features: [^seat]}", ["unknown-feature"]),
        ("  - {name: a, subjects: [ada], features: [seats, ^seats]}", ["duplicate-entry"]),
        ("  - {name: a, subjects: [ada], requests: {b: {feature: ^seat}}}", ["unknown-feature"]),
        ("  - {name: a, subjects: [ada], requests: {^b: {used: 3}}}", ["missing-key"]),
        ("  - {name: a, subjects: [ada], features: [reports], requests: {b: {used: ^3}}}", ["unfit-request"]),
        ("  - {name: a, subjects: [ada], features: [seats], requests: {b: {value: ^3}}}", ["unfit-request"]),
        ("  - {name: a, subjects: [ada], features: [seats], requests: {b: {used: ^0.5}}}", ["unfit-request"]),
        ("  - {name: a, subjects: [ada], features: [seats], requests: {b: {amount: ^0}}}", ["unfit-request"]),
        ("  - {name: a, subjects: [ada], features: [seats], requests: {b: {used: ^-1}}}", ["unfit-request"]),
        ("  - {name: a, subjects: [ada], features: [seats], requests: {b: {used: ^few}}}", ["wrong-type"]),
        ("  - {name: a, subjects: [ada], features: [support], requests: {b: {level: ^fax}}}", ["unfit-request"]),
        ("  - {name: a, subjects: [ada], features: [seats], requests: {b: {^use: 3}}}", ["unknown-key"]),
        ("  - {name: a, subjects: [ada], features: [seats], requests: ^[3]}", ["wrong-type"]),
        ("  - {name: a, subjects: [ada], features: [seats], now: ^noon}", ["bad-instant"]),
        ("  - {name: a, subjects: [ada], features: [seats], skip: ^''}", ["empty-text"]),
        ("  - {name: a, subjects: [ada], features: [calls], usage: {^bob: {calls: 3}}}", ["unknown-subject"]),
        ("  - {name: a, subjects: [ada], features: [calls], usage: {ada: {^call: 3}}}", ["unknown-feature"]),
        ("  - {name: a, subjects: [ada], features: [calls], usage: {ada: {^seats: 3}}}", ["not-metered"]),
        ("  - {name: a, subjects: [ada], features: [calls], usage: {ada: {calls: {^use: 3}}}}", ["unknown-key"]),
        ("  - {name: a, subjects: [ada], features: [calls], usage: {ada: {calls: ^1.5}}}", ["bad-number"]),
        ("  - {name: a, subjects: [ada], features: [seats]}\n  - {name: ^a, subjects: [ada], features: [seats]}",
         ["duplicate-name"]),
        ("  []", ["no-tests"]),
        ("  ^{name: a}", ["wrong-type"]),
    ],
)  # fmt: skip
def test_a_mistake_in_a_test_is_named_at_its_place(tmp_path: Path, test: str, codes: list[str]) -> None:
    """Nothing that was written is passed over, and nothing is run that is not what was meant."""
    marked = suite(test.replace("  []", "  ^[]") + "\n")
    expect_problems(tmp_path, marked, *codes)


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    """Those of one test do not hide those of another, nor those of the head."""
    marked = suite(
        """\
  - {name: a, subjects: [ada], features: [^seat]}
  - {name: b, subjects: [^adda], features: [seats], ^nwo: 2026-01-01}
""",
        HEAD.replace("now: 2026", "now: ^2026-13").replace("ada: [basic]", "ada: [^basics]"),
    )
    expect_problems(
        tmp_path, marked, "bad-instant", "unknown-item", "unknown-feature", "unknown-subject", "unknown-key"
    )


def test_a_test_without_an_instant_is_refused(tmp_path: Path) -> None:
    """What the clock says is no fixture. A request of its own may say it; then each must."""
    head = HEAD.replace("now: 2026-11-21T12:00:00Z\n", "")
    good = "  - {name: a, subjects: [ada], requests: {b: {feature: seats, now: 2026-01-01}}}\n"
    assert asked(cases(tmp_path, suite(good, head))[0]).now == parse_instant("2026-01-01")
    expect_problems(tmp_path, suite("  - ^{name: a, subjects: [ada], features: [seats]}\n", head), "missing-now")


def test_a_request_that_does_not_fit_names_itself_and_the_feature(tmp_path: Path) -> None:
    """Crossed with several features, it is said with which of them it went wrong."""
    (problem,) = expect_problems(
        tmp_path,
        suite("  - {name: a, subjects: [ada], features: [seats, reports], requests: {the last: {used: ^4}}}\n"),
        "unfit-request",
    )
    assert "`the last`" in problem.message
    assert "`reports`" in problem.message
    assert "`used`" in problem.message


def test_a_row_may_speak_of_a_request_that_does_not_fit(tmp_path: Path) -> None:
    """The mistake is the request: it is not also said that the test has no such feature."""
    rows = "[{feature: seats, allowed: true}, {feature: reports, allowed: true}]"
    test = f"{{name: a, subjects: [ada], features: [seats, reports], requests: {{b: {{used: ^1}}}}, expected: {rows}}}"
    expect_problems(tmp_path, suite(f"  - {test}\n"), "unfit-request")


def test_an_unknown_subject_may_be_meant(tmp_path: Path) -> None:
    """It is denied everything, which tests nothing, unless a row says that it is unknown."""
    row = "    expected: [{reason: unknown_subject}]\n"
    found = cases(tmp_path, suite("  - name: a\n    subjects: [ad]\n    features: [seats]\n" + row))
    assert [case.subject for case in found] == ["ad"]
