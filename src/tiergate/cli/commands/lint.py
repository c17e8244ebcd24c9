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
    from tiergate.impact.rule_lint.near_misses import KnownNames
    from tiergate.model import Customer, Problem, Subscription

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
    from tiergate.impact.rule_lint.near_misses import KnownNames

    with show_activity("reading"):
        loaded = load_catalog(catalog)
        names = KnownNames()
        problems = [*lint_catalog(loaded), *_problems_of_subjects(loaded, subjects or [], names)]
        problems = sorted([*problems, *_problems_of_rules(loaded, rules, names)])
    has_errors = any(problem.severity == "error" for problem in problems)
    code = ExitCode.INPUT if has_errors else ExitCode.NO if strict and problems else ExitCode.OK
    if as_json:
        print_json({"problems": problems_json(problems), "exit_code": code.value})
    elif problems:
        warn_problems(problems)
    else:
        print_line("no problems")
    raise typer.Exit(code)


def _problems_of_rules(loaded: LoadedCatalog, rules: Path | None, names: KnownNames) -> list[Problem]:
    """Find problems in rules, which need a valid catalog, or likely mistakes if there are none."""
    from tiergate.bundle import Bundle
    from tiergate.catalog import read_rules
    from tiergate.compiler import compile_catalog
    from tiergate.errors import AuthorError
    from tiergate.impact.rule_lint.analysis import lint_rules
    from tiergate.impact.rule_lint.positions import locate_findings

    if rules is None:
        return []
    try:
        read = read_rules(rules)
        files = compile_catalog(loaded.catalog, read, positions=loaded.positions, rules_folder=str(rules))
    except AuthorError as error:
        return list(error.problems)
    findings = lint_rules(Bundle.from_files(files), names, read_instant(None))
    return list(locate_findings(findings, read, str(rules)))


def _problems_of_subjects(loaded: LoadedCatalog, subjects: list[Path], names: KnownNames) -> list[Problem]:
    """Find problems in subjects of a valid catalog, and collect their names."""
    from tiergate.errors import AuthorError

    try:
        return _subject_findings(loaded, subjects, names) if subjects else []
    except AuthorError as error:
        return list(error.problems)


def _subject_findings(loaded: LoadedCatalog, subjects: list[Path], names: KnownNames) -> list[Problem]:
    """Find likely mistakes in subjects, which must be valid."""
    from tiergate.catalog import TotalBounds, read_placed_records
    from tiergate.impact.subject_change.change_effects import CatalogDefinitions
    from tiergate.impact.subject_change.subject_lint import can_have_findings, lint_record
    from tiergate.model import Problem, Severity

    index = loaded.catalog.index()
    source, now = CatalogDefinitions(loaded.catalog, index), read_instant(None)
    findings: list[Problem] = []

    def is_wanted(entry: Customer | Subscription) -> bool:
        names.add(entry)
        return can_have_findings(entry, index)

    placed = read_placed_records(subjects, index, TotalBounds.of(loaded.catalog), is_wanted)
    for record, places in placed:
        for finding in lint_record(record, source, now):
            place = places.get((finding.part, finding.owner, finding.number), (str(subjects[0]), 0, 0))
            findings.append(Problem(*place, finding.code, finding.message, Severity.WARNING))
    if len(findings) > _MOST_FINDINGS:
        more = f"{len(findings) - _MOST_FINDINGS:,} more findings about subjects are not shown"
        last = Problem(str(subjects[0]), 0, 0, "more-problems", more, Severity.WARNING)
        return [*sorted(findings)[:_MOST_FINDINGS], last]
    return findings
