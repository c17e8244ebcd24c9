from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.policytest.written import HEAD, suite, write
from tiergate.policytest.cedar_export import export_cedar
from tiergate.policytest.results import Status
from tiergate.policytest.runner import Runner
from tiergate.policytest.selection import Selection

if TYPE_CHECKING:
    from pathlib import Path

    from tiergate.policytest.cedar_export import CedarSuite

SEATS = """\
  - name: seats
    subjects: [ada, stranger]
    features: [seats]
    requests: {fifth: {used: 4}, sixth: {used: 5}}
    expected:
      - {subject: ada, request: fifth, allowed: true, value: 5, policies: [plan/basic@1/seats]}
      - {subject: ada, request: sixth, reason: limit_reached}
      - {subject: stranger, reason: unknown_subject}
"""


def exported(folder: Path, text: str, selection: Selection | None = None) -> CedarSuite:
    """Write a test file, and the one suite in it in Cedar's form."""
    loaded = Runner().read_suites([write(folder, text)])
    (found,) = export_cedar(loaded, folder / "cedar", selection or Selection())
    for name, content in found.files.items():
        assert (folder / "cedar" / found.folder / name).read_text(encoding="utf-8") == content
    return found


def entries_of(found: CedarSuite, file: str = "tests.json") -> dict[str, dict[str, Any]]:
    """The tests of a file by their names."""
    return {it["name"]: it for it in json.loads(found.files[file])}


def round_trip(folder: Path, found: CedarSuite) -> list[str]:
    """Run what was written as suites in Cedar's form; the names of what did not pass."""
    below = folder / "cedar" / found.folder
    sets = {"tests": "policies"} | ({"reasons": "reasons"} if found.reasons else {})
    for tests, policies in sets.items():
        text = (
            "apiVersion: tiergate/v1\n"
            f"cedar: {{tests: {tests}.json, policies: {policies}.cedar, schema: schema.cedarschema}}\n"
        )
        (below / f"{tests}_test.yaml").write_text(text, encoding="utf-8")
    runner = Runner()
    report = runner.run(runner.read_suites([below]))
    assert sum(1 for _ in report.cases()) == found.tests + found.reasons
    return [test.test.name for it in report.suites for test in it.tests if test.status is not Status.PASSED]


def test_a_case_becomes_a_test_with_the_facts_as_context(tmp_path: Path) -> None:
    """The request, the decision, and the policies that are stated."""
    fifth = entries_of(exported(tmp_path, suite(SEATS)))["seats: ada · seats · fifth"]
    assert fifth["request"]["principal"] == 'Customer::"ada"'
    assert fifth["request"]["action"] == 'Action::"consume"'
    assert (fifth["request"]["context"]["limit"], fifth["request"]["context"]["used"]) == (5, 4)
    assert (fifth["decision"], fifth["reason"], fifth["num_errors"]) == ("allow", ["plan/basic@1/seats"], 0)


def test_the_reason_of_a_denial_is_a_test_of_its_own(tmp_path: Path) -> None:
    """Of the set that is asked where nothing forbade: it permits to say so."""
    found = exported(tmp_path, suite(SEATS))
    sixth = entries_of(found)["seats: ada · seats · sixth"]
    assert (sixth["decision"], sixth["reason"]) == ("deny", [])
    (reason,) = entries_of(found, "reasons.json").values()
    assert (reason["decision"], reason["reason"]) == ("allow", ["reason/limit-reached"])


def test_what_cedar_is_not_asked_is_counted(tmp_path: Path) -> None:
    """Of a subject that nobody knows there is nothing to ask."""
    found = exported(tmp_path, suite(SEATS))
    assert (found.tests, found.reasons, found.left_out) == (2, 1, 2)
    assert "2 tests, 2 cases left out" in (tmp_path / "cedar" / "README.md").read_text(encoding="utf-8")


def test_what_is_written_can_be_read_and_passes(tmp_path: Path) -> None:
    """Tests in Cedar's form are suites too."""
    assert round_trip(tmp_path, exported(tmp_path, suite(SEATS))) == []


def test_a_test_that_fails_here_fails_there(tmp_path: Path) -> None:
    """What is expected is written, not what came of it."""
    found = exported(tmp_path, suite(SEATS.replace("request: fifth, allowed: true", "request: fifth, allowed: false")))
    assert round_trip(tmp_path, found) == ["seats: ada · seats · fifth"]


def test_a_policy_that_cannot_be_evaluated_counts_as_an_error(tmp_path: Path) -> None:
    """To Tiergate it is a denial; Cedar goes on without it, and says how many there were."""
    (tmp_path / "rules").mkdir()
    rule = '@id("house") forbid (principal, action, resource) when { (resource.scale + 9223372036854775806) < 0 };'
    (tmp_path / "rules" / "house.cedar").write_text(rule, encoding="utf-8")
    tests = """\
  - name: storage
    subjects: [ada]
    features: [storage]
    expected: [{reason: evaluation_error}]
"""
    found = exported(tmp_path, suite(tests, HEAD.replace("features:", "rules: rules\nfeatures:", 1)))
    (test,) = entries_of(found).values()
    assert (test["decision"], test["num_errors"]) == ("allow", 1)
    assert round_trip(tmp_path, found) == []


def test_rules_go_by_their_whole_ids(tmp_path: Path) -> None:
    """As decisions name them."""
    (tmp_path / "rules").mkdir()
    rules = '// Why.\n@id("never") forbid (principal, action, resource) when { context.held };\n'
    (tmp_path / "rules" / "house.cedar").write_text(rules, encoding="utf-8")
    tests = """\
  - name: seats
    subjects: [ada]
    features: [seats]
    expected: [{reason: rule_denied, policies: [rule/house/never]}]
"""
    found = exported(tmp_path, suite(tests, HEAD.replace("features:", "rules: rules\nfeatures:", 1)))
    assert '@id("rule/house/never")' in found.files["policies.cedar"]
    assert round_trip(tmp_path, found) == []


def test_only_what_is_selected_is_written(tmp_path: Path) -> None:
    """By the same patterns as what is run."""
    found = exported(tmp_path, suite(SEATS), Selection(subjects=("ada",)))
    assert (found.tests, found.left_out) == (2, 0)


def test_what_is_skipped_is_left_out(tmp_path: Path) -> None:
    """Cedar's form has no such thing."""
    found = exported(tmp_path, suite(SEATS.replace("name: seats", "name: seats\n    skip: later")))
    assert (found.tests, found.left_out) == (0, 4)


def test_a_table_of_roles_is_written_with_the_guards_of_keys(tmp_path: Path) -> None:
    """Its callers are entities."""
    text = """\
apiVersion: tiergate/v1
suite: Who may
roles: shipped
callers: {anna: {roles: [admin], kind: key, customers: [acme]}}
resources: {acme: {type: Customer, id: acme}, globex: {type: Customer, id: globex}}
tests:
  - name: exceptions
    callers: [anna]
    actions: [override]
    resources: [acme, globex]
    expected:
      - {resource: acme, allowed: true, policies: [admin]}
      - {resource: globex, allowed: false, policies: [scope/customers]}
"""
    found = exported(tmp_path, text)
    assert found.folder == "who-may"
    assert round_trip(tmp_path, found) == []


@pytest.mark.parametrize("name", ["Plans", "plans!", "../plans", "/plans"])
def test_suites_of_one_name_have_folders_of_their_own(tmp_path: Path, name: str) -> None:
    """Whose names are plain, whatever the suites are called."""
    for file in ("a_test.yaml", "b_test.yaml"):
        write(tmp_path, suite(SEATS).replace("apiVersion", f'suite: "{name}"\napiVersion', 1), file)
    found = export_cedar(Runner().read_suites([tmp_path]), tmp_path / "cedar")
    assert [it.folder for it in found] == ["plans", "plans-2"]
