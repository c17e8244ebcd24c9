from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tiergate.policytest.runner import Runner
from tiergate.policytest.suite_reader import PublishedFiles
from tiergate.policytest.unread_files import unread_files

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "a_test.yaml": "apiVersion: tiergate/v1\ncatalog: catalog.yaml\nnow: 2026-12-01\nholders: {a: [team]}\n"
    "tests: [{name: r, subjects: [a], features: [reports], expected: [{allowed: true}]}]\n",
    "catalog.yaml": "apiVersion: tiergate/v1\nfeatures: [{id: reports, type: switch}]\n"
    "items: [{id: team, kind: plan, entitlements: {reports: true}}]\n",
    "more/enterprise.yaml": "apiVersion: tiergate/v1\nfeatures: [{id: sso, type: switch}]\n"
    "items: [{id: ent, kind: plan, entitlements: {reports: true, sso: true}}]\n",
    "rules/ban.cedar": '@id("ban")\nforbid (principal, action, resource == Feature::"reports");\n',
    # What nobody publishes as a catalog.
    "subjects.yaml": "apiVersion: tiergate/v1\ncustomers: []\n",
    "values.yaml": "items: []\n",
    ".hidden/other.yaml": "apiVersion: tiergate/v1\nfeatures: []\n",
    "README.md": "features:\n",
}


@pytest.fixture
def plans(tmp_path: Path) -> Path:
    """A folder of plans, of which one suite reads one file."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def unread(folder: Path, published: PublishedFiles | None = None) -> list[str]:
    """The names of the files that no suite reads."""
    runner = Runner()
    runner.read_suites([folder], published)
    return [str(path.relative_to(folder)) for path in unread_files([folder], runner.inputs)]


def test_catalogs_and_rules_that_no_suite_reads_are_found(plans: Path) -> None:
    """And nothing else: subjects, values of charts, hidden files, pages."""
    assert unread(plans) == ["more/enterprise.yaml", "rules/ban.cedar"]


def test_a_folder_that_a_suite_names_is_read(plans: Path) -> None:
    """All that is in it."""
    test = plans / "a_test.yaml"
    test.write_text(test.read_text().replace("catalog.yaml", "[catalog.yaml, more]\nrules: rules"), encoding="utf-8")
    assert unread(plans) == []


def test_files_that_are_given_are_not_looked_beside(plans: Path) -> None:
    """Only folders are searched."""
    assert unread_files([plans / "a_test.yaml"], []) == []


def test_policies_without_a_catalog_are_no_rules(plans: Path) -> None:
    """As in a folder of tables of roles."""
    assert unread_files([plans / "rules"], []) == []


def test_suites_test_what_is_published_in_place_of_what_they_name(plans: Path) -> None:
    """Then its rules decide, and nothing of it is unread."""
    runner = Runner()
    published = PublishedFiles((plans / "catalog.yaml", plans / "more"), plans / "rules")
    report = runner.run(runner.read_suites([plans], published))
    assert not report.has_passed
    assert unread(plans, published) == []
    assert runner.run(runner.read_suites([plans], PublishedFiles(published.catalog))).has_passed


def test_a_catalog_inside_a_test_file_stays(plans: Path) -> None:
    """It is a fixture, and nobody publishes it."""
    (plans / "b_test.yaml").write_text(
        "apiVersion: tiergate/v1\nnow: 2026-12-01\nfeatures: [{id: x, type: switch}]\n"
        "items: [{id: p, kind: plan, entitlements: {x: true}}]\nholders: {a: [p]}\n"
        "tests: [{name: x, subjects: [a], features: [x], expected: [{allowed: true}]}]\n",
        encoding="utf-8",
    )
    runner = Runner()
    assert runner.run(runner.read_suites([plans], PublishedFiles((plans / "catalog.yaml",)))).has_passed
