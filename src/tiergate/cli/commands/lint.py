"""`tiergate lint`: find problems and likely mistakes in files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tiergate.cli.exit_codes import ExitCode
from tiergate.cli.output.console import print_line, show_activity
from tiergate.cli.output.errors import print_json, problems_json, warn_problems
from tiergate.cli.shared_options import AsJson, Catalogs, RulesFolder, SubjectsFiles, read_instant

if TYPE_CHECKING:
    from pathlib import Path

    from tiergate.catalog import LoadedCatalog
    from tiergate.model import Problem

app = typer.Typer()

_MOST_FINDINGS = 1_000
"""The most findings about subjects that are shown."""


@app.command()
def lint(
    catalog: Catalogs,
    *,
    rules: RulesFolder = None,
    subjects: SubjectsFiles = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if there are warnings.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check a catalog, its rules and its subjects, and warn of likely mistakes."""
    from tiergate.catalog import lint as lint_catalog
    from tiergate.catalog import load_catalog

    with show_activity("reading"):
        loaded = load_catalog(catalog)
        problems = sorted([*lint_catalog(loaded), *_problems_of_other_files(loaded, rules, subjects or [])])
    has_errors = any(problem.severity == "error" for problem in problems)
    code = ExitCode.INPUT if has_errors else ExitCode.NO if strict and problems else ExitCode.OK
    if as_json:
        print_json({"problems": problems_json(problems), "exit_code": code.value})
    elif problems:
        warn_problems(problems)
    else:
        print_line("no problems")
    raise typer.Exit(code)


def _problems_of_other_files(loaded: LoadedCatalog, rules: Path | None, subjects: list[Path]) -> list[Problem]:
    """Find problems in rules and subjects of a valid catalog."""
    from tiergate.catalog import read_rules
    from tiergate.compiler import compile_catalog
    from tiergate.errors import AuthorError

    problems: list[Problem] = []
    if rules is not None:
        try:
            compile_catalog(loaded.catalog, read_rules(rules), positions=loaded.positions, rules_folder=str(rules))
        except AuthorError as error:
            problems += error.problems
    if subjects:
        try:
            problems += _subject_findings(loaded, subjects)
        except AuthorError as error:
            problems += error.problems
    return problems


def _subject_findings(loaded: LoadedCatalog, subjects: list[Path]) -> list[Problem]:
    """Find likely mistakes in subjects, which must be valid."""
    from tiergate.catalog import TotalBounds, read_placed_records
    from tiergate.impact.subject_change.change_effects import CatalogDefinitions
    from tiergate.impact.subject_change.subject_lint import can_have_findings, lint_record
    from tiergate.model import Problem, Severity

    index = loaded.catalog.index()
    source, now = CatalogDefinitions(loaded.catalog, index), read_instant(None)
    findings: list[Problem] = []
    placed = read_placed_records(
        subjects, index, TotalBounds.of(loaded.catalog), lambda record: can_have_findings(record, index)
    )
    for record, places in placed:
        for finding in lint_record(record, source, now):
            place = places.get((finding.part, finding.owner, finding.number), (str(subjects[0]), 0, 0))
            findings.append(Problem(*place, finding.code, finding.message, Severity.WARNING))
    if len(findings) > _MOST_FINDINGS:
        more = f"{len(findings) - _MOST_FINDINGS:,} more findings about subjects are not shown"
        last = Problem(str(subjects[0]), 0, 0, "more-problems", more, Severity.WARNING)
        return [*sorted(findings)[:_MOST_FINDINGS], last]
    return findings
