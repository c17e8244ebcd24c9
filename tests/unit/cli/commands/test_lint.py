from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.unit.cli.conftest import CATALOG, SAMPLE
from tiergate.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Cli

UNUSED = """\
apiVersion: tiergate/v1
features:
  - {id: movies, type: quantity}
  - {id: unused, type: switch}
items:
  - {id: gold, kind: plan, entitlements: {movies: 5}}
"""


def unused(tmp_path: Path) -> Path:
    """Write a catalog with a warning: nobody gives one of its features."""
    path = tmp_path / "catalog.yaml"
    path.write_text(UNUSED, encoding="utf-8")
    return path


def test_the_sample_has_no_problems(cli: Cli) -> None:
    """The sample, its rules and its subjects."""
    ran = cli("lint", CATALOG, "--rules", SAMPLE / "rules", "--subjects", SAMPLE / "subjects.yaml")
    assert (ran.code, ran.out, ran.err) == (0, "no problems\n", "")


def test_a_catalog_without_problems_is_said_to_have_none(cli: Cli, tmp_path: Path) -> None:
    """With `--strict` too."""
    path = tmp_path / "catalog.yaml"
    path.write_text(UNUSED.replace("  - {id: unused, type: switch}\n", ""), encoding="utf-8")
    ran = cli("lint", path, "--strict")
    assert (ran.code, ran.out, ran.err) == (0, "no problems\n", "")


@pytest.mark.parametrize("name", ["subjects.yaml", "subjects.ndjson"])
def test_findings_about_subjects_stand_at_their_entries(name: str, cli: Cli, tmp_path: Path) -> None:
    """In a file of either form, in the order of the lines."""
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(
        UNUSED.replace("  - {id: unused, type: switch}\n", "")
        + "  - {id: extra, kind: addon, available_for: [next, gold], entitlements: {movies: {add: 1}}}\n"
        + "  - {id: next, kind: plan, status: draft, entitlements: {movies: 9}}\n",
        encoding="utf-8",
    )
    customer = {"id": "acme", "overrides": [{"feature": "movies", "value": 3}, {"feature": "movies", "value": 9}]}
    items = [{"item": "next"}, {"item": "extra"}]
    subscription = {"id": "s", "customer": "acme", "status": "active", "items": items}
    path = tmp_path / name
    if name.endswith("yaml"):
        document = {"apiVersion": "tiergate/v1", "customers": [customer], "subscriptions": [subscription]}
        path.write_text(json.dumps(document), encoding="utf-8")
    else:
        lines = [{"type": "subscription", **subscription}, {"type": "customer", **customer}]
        path.write_text("".join(json.dumps(it) + "\n" for it in lines), encoding="utf-8")
    ran = cli("lint", catalog, "--subjects", path, "--json")
    found = [it for it in json.loads(ran.out)["problems"] if it["file"] == str(path)]
    text = path.read_text(encoding="utf-8").splitlines()
    entries = {(it["code"], text[it["line"] - 1][it["column"] - 1 :].split("}")[0]) for it in found}
    assert entries == {
        ("override-without-effect", '{"feature": "movies", "value": 3'),
        ("draft-item-held", '{"item": "next"'),
        ("item-never-counts", '{"item": "extra"'),
    }


def test_warnings_alone_are_no_failure(cli: Cli, tmp_path: Path) -> None:
    """A warning is told on standard error, with its place."""
    ran = cli("lint", unused(tmp_path))
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith(f"{tmp_path}/catalog.yaml:4:")
    assert ": warning: " in ran.err
    assert ran.err.endswith("1 warning\n")


def test_warnings_fail_where_they_were_asked_to(cli: Cli, tmp_path: Path) -> None:
    """With `--strict` a warning ends with 1."""
    assert cli("lint", unused(tmp_path), "--strict").code == ExitCode.NO


def test_an_error_is_an_error_without_strictness(cli: Cli, broken: Path) -> None:
    """A catalog that does not load ends with the code of files with problems."""
    assert cli("lint", broken).code == ExitCode.INPUT


def test_errors_beside_the_catalog_are_told_with_its_warnings(cli: Cli, tmp_path: Path) -> None:
    """Rules and subjects are checked too, and everything is told at once."""
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "mine.cedar").write_text('@id("x") forbid (principal, action, resource == Feature::"films");\n')
    subjects = tmp_path / "subjects.yaml"
    subjects.write_text("apiVersion: tiergate/v1\nsubscriptions: [{id: s, customer: c, status: active, items: []}]\n")
    ran = cli("lint", unused(tmp_path), "--rules", rules, "--subjects", subjects, "--json")
    document = json.loads(ran.out)
    assert ran.code == document["exit_code"] == ExitCode.INPUT
    assert {(problem["file"], problem["severity"]) for problem in document["problems"]} >= {
        (str(tmp_path / "catalog.yaml"), "warning"),
        (str(rules / "mine.cedar"), "error"),
        (str(subjects), "error"),
    }
