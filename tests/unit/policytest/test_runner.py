from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.policytest.projects import CATALOG, SUITE
from tests.unit.policytest.projects import SUBJECTS as PROJECT_SUBJECTS
from tests.unit.policytest.written import HEAD, expect_problems, one, problems, results, run, suite, write
from tiergate.errors import SuiteError
from tiergate.policytest.environments import EntitlementEnvironment
from tiergate.policytest.results import Status
from tiergate.policytest.runner import Runner
from tiergate.policytest.selection import Selection

if TYPE_CHECKING:
    from pathlib import Path

    from tiergate.engine import Evaluation
    from tiergate.permissions import Permission
    from tiergate.policytest.environments import RoleEnvironment
    from tiergate.policytest.suites import Case

SEATS = """\
  - name: seats
    subjects: [ada, bob]
    features: [seats]
    requests: {fifth: {used: 4}, sixth: {used: 5}}
    expected: [{request: fifth, allowed: true}]
"""


def test_an_unstated_grant_fails(tmp_path: Path) -> None:
    """What a test lists and does not state is expected to be denied; that it is allowed is a failure."""
    found = results(tmp_path, suite(SEATS))
    assert {name: it.status for name, it in found.items()} == {
        "ada · seats · fifth": Status.PASSED,
        "ada · seats · sixth": Status.PASSED,
        "bob · seats · fifth": Status.PASSED,
        "bob · seats · sixth": Status.FAILED,
    }
    assert not run(tmp_path, suite(SEATS)).has_passed


def test_a_failure_says_why_and_where(tmp_path: Path) -> None:
    """The numbers, what gave them, and the deciding policies; and the row, or the test where no row speaks of it."""
    failed = results(tmp_path, suite(SEATS))["bob · seats · sixth"]
    told = " ".join(failed.why)
    assert "11" in told
    assert failed.why[-1] == "Decided by `addon/extra@1/seats`, `plan/basic@1/seats`."
    line = HEAD.count("\n") + 2
    assert failed.case.place == (str(tmp_path / "written_test.yaml"), line, 5)
    assert all(not it.why for it in results(tmp_path, suite(SEATS)).values() if it.status is Status.PASSED)


def test_usage_of_a_case_does_not_reach_the_next(tmp_path: Path) -> None:
    """Each case is decided on the usage that is known in it, and on none where none is."""
    found = results(
        tmp_path,
        suite("""\
  - name: much
    subjects: [ada]
    features: [calls]
    usage: {ada: {calls: 20}}
    expected: [{reason: limit_reached, value: 20, remaining: 0}]
  - {name: none, subjects: [ada], features: [calls], requests: {a: {}}, expected: [{allowed: true, remaining: 20}]}
  - name: capped
    subjects: [{name: u, id: ada, user: u1}]
    features: [calls]
    requests: {b: {}}
    usage: {u: {calls: {user_used: 5}}}
    expected: [{reason: cap_reached}]
  - name: total
    subjects: [ada]
    features: [calls]
    requests: {c: {}}
    usage: {ada: {calls: {total_used: 50}}}
    expected: [{reason: cap_reached}]
"""),
    )
    assert {name: it.mismatches for name, it in found.items()} == dict.fromkeys(found, ())
    assert len(found) == 4


def test_time_is_each_cases_own(tmp_path: Path) -> None:
    """Cases may go back and forth in time."""
    head = HEAD + "  gus: [{item: basic, from: 2026-12-01, until: 2026-12-02}]\n"
    test = """\
  - name: a day
    subjects: [gus]
    features: [reports]
    requests:
      before: {now: 2026-11-30T23:59:59.999Z}
      at its end: {now: 2026-12-02}
      at its begin: {now: 2026-12-01}
      at its last moment: {now: 2026-12-01T23:59:59.999Z}
    expected: [{request: [at its begin, at its last moment], allowed: true}]
"""
    assert {it.status for it in results(tmp_path, suite(test, head)).values()} == {Status.PASSED}


def test_what_is_skipped_is_not_run(tmp_path: Path) -> None:
    """Each of its cases counts as skipped, with the reason; it is read all the same, and may be run by itself."""
    text = suite(SEATS.replace("    subjects", "    skip: until Monday\n    subjects"))
    report = run(tmp_path, text)
    assert report.count(Status.SKIPPED) == 4
    assert report.suites[0].tests[0].skip == "until Monday"
    assert report.has_passed
    broken = text.replace("fifth: {used: 4}", "fifth: {use: 4}")
    assert [it.code for it in problems(tmp_path, broken)] == ["unknown-key"]
    report = run(tmp_path, suite(SEATS, HEAD + "skip: not yet\n"))
    assert [test.skip for test in report.suites[0].tests] == ["not yet"]
    runner = Runner()
    loaded = runner.read_suites([tmp_path])
    case = loaded.suites[0].tests[0].cases[3]
    assert runner.run_case(loaded, loaded.suites[0], case).status is Status.FAILED


def test_rules_decide_too(tmp_path: Path) -> None:
    """A suite is decided with the rules that it names."""
    write(tmp_path, '@id("no")\nforbid (principal, action, resource == Feature::"seats");\n', "rules/house.cedar")
    row = "{reason: rule_denied, policies: [rule/house/no]}"
    test = f"  - {{name: t, subjects: [ada], features: [seats], expected: [{row}]}}\n"
    assert one(tmp_path, suite(test, HEAD + "rules: rules\n")).status is Status.PASSED


def test_a_broken_rule_is_named_in_its_file(tmp_path: Path) -> None:
    """Rules are held to the catalog that they stand beside, as when it is published."""
    rule = write(tmp_path, '@id("no")\nforbid (principal, action, resource == Feature::"seat");\n', "rules/house.cedar")
    test = "  - {name: t, subjects: [ada], features: [seats]}\n"
    (problem,) = problems(tmp_path, suite(test, HEAD + "rules: rules\n"))
    assert (problem.file, problem.line) == (str(rule), 2)
    assert "`seats`" in problem.sentence


@pytest.mark.parametrize(
    ("head", "code"),
    [
        ("catalog: ^none.yaml", "unreadable-file"),
        ("catalog: [written_test.yaml, ^none.yaml]", "unreadable-file"),
        ("features: []\nitems: []\nrules: ^none", "unreadable-file"),
        ("features: []\nitems: []\nrules: ^file", "unreadable-folder"),
        ("features: []\nitems: []\nsubjects: [^none.yaml]", "unreadable-file"),
        ("roles: ^shiped", "unreadable-file"),
    ],
)
def test_a_file_that_is_not_there_is_named_where_a_suite_names_it(tmp_path: Path, head: str, code: str) -> None:
    """Where many suites are read, its path alone would not say which of them is wrong; what rests on it is not told."""
    write(tmp_path, "", "file")
    expect_problems(tmp_path, f"apiVersion: tiergate/v1\n{head}\ntests: [{{name: t}}]\n", code)


def test_a_table_of_roles_that_is_nearly_the_shipped_one_is_a_slip(tmp_path: Path) -> None:
    """The message says what to write."""
    (problem,) = problems(tmp_path, "apiVersion: tiergate/v1\nroles: shiped\ntests: [{name: t}]\n")
    assert problem.sentence == "`shiped` cannot be read: no such file or directory, did you mean `shipped`?"


def test_a_broken_inline_catalog_is_named_at_its_place(tmp_path: Path) -> None:
    """Its problems are those of a catalog's file, in the suite, and stand beside those of what else is wrong."""
    test = "  - {name: t, subjects: [ada], features: [seats]}\n"
    head = HEAD.replace("type: switch", "type: ^swich").replace("now: 2026", "^nwo: 2026")
    expect_problems(tmp_path, suite(test, head), "unknown-key", "unknown-word")


def test_folders_are_searched(tmp_path: Path) -> None:
    """All test files below, sorted, each once; hidden ones, and other files, are left out."""
    test = suite("  - {name: t, subjects: [fay], features: [seats]}\n")
    for name in (
        "b_test.yaml",
        "a/x_test.yml",
        ".hidden/c_test.yaml",
        ".d_test.yaml",
        "a/b/y_test.yaml",
    ):
        write(tmp_path, test, name)
    (tmp_path / "a" / "notes.yaml").write_text("tests: none yet\n", encoding="utf-8")
    found = Runner().read_suites([tmp_path, tmp_path / "b_test.yaml", tmp_path / "a"]).suites
    assert [suite.file.removeprefix(f"{tmp_path}/") for suite in found] == [
        "a/b/y_test.yaml",
        "a/x_test.yml",
        "b_test.yaml",
    ]
    assert [suite.name for suite in found] == ["y", "x", "b"]


def test_a_file_is_read_whatever_its_name(tmp_path: Path) -> None:
    """One that is named by itself is meant."""
    path = write(tmp_path, suite("  - {name: t, subjects: [fay], features: [seats]}\n"), "mine.yaml")
    assert [suite.name for suite in Runner().read_suites([path]).suites] == ["mine"]


@pytest.mark.parametrize(
    ("name", "code"),
    [("none_test.yaml", "unreadable-file"), ("empty", "empty-folder"), ("void_test.yaml", "empty-file")],
)
def test_nothing_to_read_is_a_mistake(tmp_path: Path, name: str, code: str) -> None:
    """A path that does not exist, a folder without tests and an empty file do not pass for tests that succeed."""
    (tmp_path / "empty").mkdir()
    write(tmp_path, "", "void_test.yaml")
    with pytest.raises(SuiteError) as caught:
        Runner().read_suites([tmp_path / name])
    assert [problem.code for problem in caught.value.problems] == [code]


def test_problems_of_all_files_are_told_together(tmp_path: Path) -> None:
    """Each file's own, and those of a catalog that two of them name once."""
    catalog = write(
        tmp_path, "apiVersion: tiergate/v1\nfeatures: []\nitems: [{id: x, kind: plane, entitlements: {}}]\n", "c.yaml"
    )
    suites = [
        write(
            tmp_path,
            f"apiVersion: tiergate/v1\ncatalog: c.yaml\nnow: 2026-01-01\n{more}tests: []\n",
            f"{name}_test.yaml",
        )
        for name, more in (("a", "suit: A\n"), ("b", ""))
    ]
    with pytest.raises(SuiteError) as caught:
        Runner().read_suites([tmp_path])
    assert [(it.file, it.code) for it in caught.value.problems] == [
        (str(suites[0]), "unknown-key"),
        (str(catalog), "unknown-word"),
    ]


class Noted:
    """An observer that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def entitlement(self, world: EntitlementEnvironment, case: Case, evaluation: Evaluation) -> None:
        """Note the reason."""
        assert isinstance(world, EntitlementEnvironment)
        self.told.append((case.name, evaluation.decision.reason))

    def permission(self, world: RoleEnvironment, case: Case, permission: Permission) -> None:
        """Note the policies."""
        assert permission == world.roles.allows(*_asked(case))
        self.told.append((case.name, ",".join(permission.policies)))


def _asked(case: Case) -> tuple:  # type: ignore[type-arg]
    return (case.query.caller, case.query.action, case.query.resource)  # type: ignore[union-attr]


def test_observers_are_told_of_what_is_run(tmp_path: Path) -> None:
    """Of every selected case, as it was decided, failed or not."""
    noted = Noted()
    runner = Runner()
    path = write(tmp_path, suite(SEATS))
    runner.run(runner.read_suites([path]), Selection(subjects=("bob",)), [noted])
    assert noted.told == [("bob · seats · fifth", "granted"), ("bob · seats · sixth", "granted")]


SHARED = """\
apiVersion: tiergate/v1
features: [{id: f, type: switch}]
items: [{id: p, kind: plan, entitlements: {f: true}}]
"""

SHARING = """\
apiVersion: tiergate/v1
catalog: ../c
now: 2026-01-01
holders: {a: [p]}
tests: [{name: t, subjects: [a], features: [f]}]
"""


def test_what_was_compiled_is_kept_while_it_is_the_same(tmp_path: Path) -> None:
    """Suites of one catalog share one compilation, and so do readings, until its content is another."""
    write(tmp_path, SHARED, "c/catalog.yaml")
    for name in ("x", "y"):
        write(tmp_path, SHARING, f"s/{name}_test.yaml")
    runner = Runner()

    def bundles() -> list[object]:
        worlds = runner.read_suites([tmp_path]).environments.values()
        return [world.bundle for world in worlds if isinstance(world, EntitlementEnvironment)]

    first, second = bundles()
    assert first is second
    assert bundles() == [first, first]
    write(tmp_path, SHARED.replace("f: true", "f: false"), "c/catalog.yaml")
    assert first not in bundles()


def test_a_runner_names_what_it_read(tmp_path: Path) -> None:
    """Whoever watches files knows which, be it that the last reading failed."""
    write(tmp_path, "apiVersion: tiergate/v1\nfeatures: []\nitems: []\n", "c/catalog.yaml")
    path = write(tmp_path, "apiVersion: tiergate/v1\ncatalog: c/catalog.yaml\nrules: r\ntests: []\n", "s_test.yaml")
    runner = Runner()
    with pytest.raises(SuiteError):
        runner.read_suites([path])
    assert runner.inputs == {path, tmp_path / "c" / "catalog.yaml", tmp_path / "r"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("plans_tests.yaml", "plans_test.yaml"),
        ("plans-test.yaml", "plans_test.yaml"),
        ("plans_tset.yaml", "plans_test.yaml"),
        ("test_plans.yaml", "plans_test.yaml"),
        ("plans_test.yalm", "plans_test.yaml"),
        ("plans.yaml", "plans_test.yaml"),
    ],
)
def test_a_test_file_with_another_name_is_a_problem(tmp_path: Path, name: str, meant: str) -> None:
    """Otherwise nobody would notice that it is not run."""
    (tmp_path / "other_test.yaml").write_text(SUITE, encoding="utf-8")
    (tmp_path / "catalog.yaml").write_text(CATALOG, encoding="utf-8")
    (tmp_path / "subjects.yaml").write_text(PROJECT_SUBJECTS, encoding="utf-8")
    (tmp_path / name).write_text(SUITE, encoding="utf-8")
    with pytest.raises(SuiteError) as caught:
        Runner().read_suites([tmp_path])
    problems = {(it.file.rpartition("/")[2], it.code, it.suggestion) for it in caught.value.problems}
    assert (name, "misnamed-file", meant) in problems


@pytest.mark.parametrize("name", ["values.yaml", "plans_test.yaml~", "tests.json", "README.md"])
def test_other_files_beside_tests_are_no_problem(tmp_path: Path, name: str) -> None:
    """Whatever they say."""
    (tmp_path / "other_test.yaml").write_text(SUITE, encoding="utf-8")
    (tmp_path / "catalog.yaml").write_text(CATALOG, encoding="utf-8")
    (tmp_path / "subjects.yaml").write_text(PROJECT_SUBJECTS, encoding="utf-8")
    (tmp_path / name).write_text("tests:\n  enabled: true\n", encoding="utf-8")
    Runner().read_suites([tmp_path])
