from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.policytest.written import expect_problems, problems, run, write
from tiergate.policytest.results import Status
from tiergate.policytest.runner import Runner
from tiergate.policytest.suites import Expectation

if TYPE_CHECKING:
    from tiergate.policytest.results import CaseResult

SUITE = """\
apiVersion: tiergate/v1
suite: In Cedar's form
cedar: {tests: tests.json, policies: policies.cedar, schema: schema.cedarschema}
"""

POLICIES = """\
@id("own")
permit (principal, action == Action::"view", resource) when { resource.owner == principal };
@id("public")
permit (principal, action, resource) when { resource.public };
forbid (principal, action, resource) when { context.limit > 100 && context.limit + 1 > 0 };
"""

SCHEMA = """\
entity User;
entity Photo { owner: User, public: Bool };
action view appliesTo { principal: [User], resource: [Photo], context: { limit: Long } };
"""

ENTITIES = [
    {"uid": {"type": "User", "id": "ann"}, "attrs": {}, "parents": []},
    {
        "uid": {"type": "Photo", "id": "p"},
        "attrs": {"owner": {"__entity": {"type": "User", "id": "ann"}}, "public": True},
        "parents": [],
    },
]


def entry(
    name: str, decision: str, reason: list[str], user: str = "ann", limit: int = 1, errors: int = 0
) -> dict[str, Any]:
    """One test in Cedar's form."""
    return {
        "name": name,
        "request": {
            "principal": f'User::"{user}"',
            "action": 'Action::"view"',
            "resource": 'Photo::"p"',
            "context": {"limit": limit},
        },
        "entities": ENTITIES,
        "decision": decision,
        "reason": reason,
        "num_errors": errors,
    }


TESTS = [
    entry("both reasons", "allow", ["own", "public"]),
    entry("one of the reasons", "allow", ["public"]),
    entry("no reason stated", "allow", []),
    entry("somebody else", "allow", ["public"], user="bob"),
    entry("a missing reason", "allow", ["own"], user="bob"),
    entry("the wrong decision", "deny", []),
    entry("an error that is expected", "allow", [], limit=2**63 - 1, errors=1),
    entry("an error that is not", "allow", [], limit=2**63 - 1),
    entry("a policy by its place", "deny", ["policy2"], limit=101),
]


def files(folder: Path, tests: object = TESTS, policies: str = POLICIES, schema: str = SCHEMA) -> Path:
    """Write the files that the suite names."""
    write(folder, json.dumps(tests, indent=2), "tests.json")
    write(folder, policies, "policies.cedar")
    write(folder, schema, "schema.cedarschema")
    return folder


def told(folder: Path) -> dict[str, CaseResult]:
    """What came of each test, by its name."""
    report = run(folder, SUITE)
    return {test.test.name: test.cases[0] for suite in report.suites for test in suite.tests}


def test_each_entry_is_a_test_with_one_case(tmp_path: Path) -> None:
    """It goes by its name, at its place in the JSON; the case by principal, action and resource."""
    files(tmp_path)
    write(tmp_path, SUITE)
    (suite,) = Runner().read_suites([tmp_path]).suites
    assert [test.name for test in suite.tests] == [test["name"] for test in TESTS]
    (case,) = suite.tests[0].cases
    assert case.name == 'User::"ann" · Action::"view" · Photo::"p"'
    assert case.expected == Expectation(allowed=True, policies=("own", "public"), errors=0)
    assert case.place == (str(tmp_path / "tests.json"), 2, 3)


def test_what_cedar_answers_is_compared(tmp_path: Path) -> None:
    """The decision, the reasons that must be among the deciding ones, and the number of errors."""
    files(tmp_path)
    found = told(tmp_path)
    failed = {name: [it.field for it in case.mismatches] for name, case in found.items() if case.mismatches}
    assert failed == {
        "a missing reason": ["reason"],
        "the wrong decision": ["decision"],
        "an error that is not": ["num_errors"],
    }
    assert "`public`" in found["a missing reason"].why[0]


def _cedar() -> str | None:
    kept = Path.home() / ".cache" / "tiergate-ci" / "cedar-4.12" / "bin" / "cedar"
    return str(kept) if kept.is_file() else shutil.which("cedar")


@pytest.mark.skipif(_cedar() is None, reason="needs Cedar's own command line")
def test_cedars_own_command_says_the_same(tmp_path: Path) -> None:
    """Of each test, whether it passes."""
    files(tmp_path)
    mine = {name: not case.mismatches for name, case in told(tmp_path).items()}
    command = [
        str(_cedar()),
        "run-tests",
        *("--policies", str(tmp_path / "policies.cedar")),
        *("--tests", str(tmp_path / "tests.json")),
        *("--schema", str(tmp_path / "schema.cedarschema")),
    ]
    out = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    theirs = {}
    for line in out.splitlines():
        name, dots, verdict = line.strip().removeprefix("test ").partition(" ... ")
        if dots:
            theirs[name] = verdict == "ok"
    assert theirs == mine


def test_a_request_that_the_schema_does_not_have_cannot_be_decided(tmp_path: Path) -> None:
    """That is an error of the case, with what Cedar says of it."""
    wrong = [entry("action", "deny", [], errors=1), entry("uid", "deny", []), entry("entities", "deny", [])]
    wrong[0]["request"]["action"] = 'Action::"edit"'
    wrong[1]["request"]["principal"] = "ann"
    wrong[2]["entities"] = [{"uid": {"type": "Foto", "id": "p"}, "attrs": {}, "parents": []}]
    files(tmp_path, wrong)
    found = told(tmp_path)
    assert {name: case.status for name, case in found.items()} == dict.fromkeys(
        ("action", "uid", "entities"), Status.ERROR
    )
    assert "edit" in found["action"].why[0]
    assert "Foto" in found["entities"].why[0]


def test_without_a_schema_nothing_is_validated(tmp_path: Path) -> None:
    """Policies in several files are one set."""
    files(tmp_path, [entry("a", "allow", ["own", "public"])], policies="")
    own, public, _ = POLICIES.split(";\n", 2)
    write(tmp_path, own + ";\n", "p/own.cedar")
    write(tmp_path, public + ";\n", "p/public.cedar")
    suite = SUITE.replace("policies.cedar, schema: schema.cedarschema", "[p/own.cedar, p/public.cedar]")
    assert run(tmp_path, suite).has_passed


@pytest.mark.parametrize(
    ("head", "code"),
    [
        ("cedar: ^{tests: tests.json}\n", "missing-key"),
        ("cedar: {tests: tests.json, policies: policies.cedar, ^polices: x}\n", "unknown-key"),
        ("cedar: {tests: ^7, policies: policies.cedar}\n", "wrong-type"),
        ("cedar: {tests: tests.json, policies: policies.cedar}\n^tests: []\n", "unknown-key"),
    ],
)
def test_a_mistake_in_the_suite_is_named_at_its_place(tmp_path: Path, head: str, code: str) -> None:
    """The keys are those of this kind of suite."""
    files(tmp_path)
    expect_problems(tmp_path, f"apiVersion: tiergate/v1\n{head}", code)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"decision": "permit"}, "unknown-word"),
        ({"decision": True}, "unknown-word"),
        ({"reason": "own"}, "wrong-type"),
        ({"num_errors": -1}, "bad-number"),
        ({"entities": {}}, "wrong-type"),
        ({"reasons": []}, "unknown-key"),
        ({"request": {"principal": "x", "action": "y"}}, "missing-key"),
        ({"request": {"principal": 1, "action": "y", "resource": "z"}}, "wrong-type"),
        ({"request": {"principal": "x", "action": "y", "resource": "z", "context": []}}, "wrong-type"),
        ({"name": ""}, "empty-text"),
    ],
)
def test_a_mistake_in_a_test_is_named_in_its_file(tmp_path: Path, change: dict[str, Any], code: str) -> None:
    """What Cedar's command would refuse is refused."""
    files(tmp_path, [entry("a", "allow", []) | change])
    (problem,) = problems(tmp_path, SUITE)
    assert (problem.file, problem.code) == (str(tmp_path / "tests.json"), code)


@pytest.mark.parametrize("key", ["request", "entities", "decision", "reason", "num_errors"])
def test_what_a_test_must_say(tmp_path: Path, key: str) -> None:
    """Everything but the name is required, as it is there."""
    written = entry("a", "allow", [])
    del written[key]
    files(tmp_path, [written])
    (problem,) = problems(tmp_path, SUITE)
    assert (problem.code, f"`{key}`" in problem.message) == ("missing-key", True)


@pytest.mark.parametrize(
    ("part", "text", "code"),
    [
        ("policies", "permit (principal", "bad-policy"),
        ("policies", POLICIES + POLICIES, "duplicate-id"),
        ("policies", 'permit (principal, action == Action::"edit", resource);', "invalid-policy"),
        ("schema", "entity User", "bad-schema"),
        ("tests", "[", "bad-json"),
        ("tests", "{}", "wrong-type"),
        ("tests", "[]", "no-tests"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, part: str, text: str, code: str) -> None:
    """With what is wrong in it."""
    files(tmp_path)
    name = {"policies": "policies.cedar", "schema": "schema.cedarschema", "tests": "tests.json"}[part]
    write(tmp_path, text, name)
    found = problems(tmp_path, SUITE)
    assert code in {problem.code for problem in found}, found
    if code != "no-tests":
        assert {problem.file for problem in found} == {str(tmp_path / name)}


def test_two_tests_of_one_name_are_a_mistake(tmp_path: Path) -> None:
    """One could not tell which failed."""
    files(tmp_path, [entry("a", "allow", []), entry("a", "deny", [])])
    assert [problem.code for problem in problems(tmp_path, SUITE)] == ["duplicate-name"]
