"""`docs/reference/test-file.md` against the reader, the runner and the schema."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.docs.pages import ROOT, Example, examples, spans
from tests.unit.catalog.codes import codes_in
from tests.unit.catalog.samples import PyYaml
from tests.unit.policytest.written import run, write
from tiergate.policytest.entitlement_tests import CHECK_TEST_KEYS, REQUEST_KEYS, ROW_KEYS, SUBJECT_KEYS
from tiergate.policytest.expectations import TEST_KEYS
from tiergate.policytest.role_tests import CALLER_KEYS, RESOURCE_KEYS, ROLE_ROW_KEYS, ROLE_TEST_KEYS
from tiergate.policytest.subject_fixtures import USAGE_KEYS
from tiergate.policytest.suite_reader import KINDS
from tiergate.policytest.test_file_schema import suite_schema

if TYPE_CHECKING:
    from pathlib import Path

PAGE = ROOT / "docs" / "reference" / "test-file.md"
EXAMPLES = examples(PAGE)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"line-{example.line}")
def test_each_example_passes(tmp_path: Path, example: Example) -> None:
    """It is read and run as it stands, and an editor underlines nothing in it."""
    if "cedar:" in example.text:
        write(tmp_path, "[]", "none.json")
        write(tmp_path, "permit (principal, action, resource);\n", "policies.cedar")
        write(
            tmp_path,
            "entity User; action view appliesTo { principal: [User], resource: [User] };\n",
            "schema.cedarschema",
        )
        entry = (
            '{"request": {"principal": "User::\\"a\\"", "action": "Action::\\"view\\"", "resource": "User::\\"a\\""},'
            ' "entities": [], "decision": "allow", "reason": [], "num_errors": 0}'
        )
        write(tmp_path, f"[{entry}]", "tests.json")
    report = run(tmp_path, example.text)
    assert [(it.case.name, it.mismatches) for it in report.cases() if it.mismatches] == []
    assert report.has_passed
    assert any(report.cases())
    Draft202012Validator(suite_schema()).validate(yaml.load(example.text, Loader=PyYaml))


def test_every_key_of_the_format_is_on_the_page() -> None:
    """What the reader knows, the page names in backticks."""
    words = set(re.findall(r"[A-Za-z_]+", " ".join(spans(PAGE))))
    known = frozenset[str]().union(
        *KINDS.values(), TEST_KEYS, CHECK_TEST_KEYS, SUBJECT_KEYS, REQUEST_KEYS, ROW_KEYS, USAGE_KEYS,
        ROLE_TEST_KEYS, CALLER_KEYS, RESOURCE_KEYS, ROLE_ROW_KEYS, ["tests", "policies", "schema"],
    )  # fmt: skip
    assert known - words == set()


def test_every_code_of_a_problem_is_on_a_page() -> None:
    """On this one, or among those of the catalog's files; and this one names no other."""
    here = _table(PAGE.read_text(encoding="utf-8"))
    there = _table((ROOT / "docs" / "reference" / "catalog-file.md").read_text(encoding="utf-8"))
    used = {code for file in (ROOT / "src" / "tiergate" / "policytest").glob("*.py") for code in codes_in(file)}
    # Those of names are made of what they are names of.
    used |= {f"unknown-{what}" for what in ("subject", "request", "caller", "action", "resource", "source", "policy")}
    assert used - there - here == set()
    assert here - used == set()


def _table(text: str) -> set[str]:
    table = text.partition("\n## Problems\n")[2]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    return {code for cell in cells for code in re.findall(r"`([^`]+)`", cell)}
