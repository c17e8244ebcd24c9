"""Runs of entitlement tests: read, run, told and written as the command line asks, once or at every change."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from tiergate.cli.commands.test import Output
from tiergate.cli.exit_codes import ExitCode
from tiergate.cli.output.console import print_line, show_activity, warn
from tiergate.cli.output.errors import report as report_error
from tiergate.errors import AuthorError, SettingsError, TiergateError
from tiergate.policytest.coverage import Recorder, coverage_html, coverage_json, coverage_text
from tiergate.policytest.reporters import json_text, junit_of_problems, junit_xml, report_json, tree

if TYPE_CHECKING:
    from decimal import Decimal
    from pathlib import Path

    from tiergate.policytest.coverage import Coverage
    from tiergate.policytest.results import RunReport
    from tiergate.policytest.runner import LoadedSuites, Runner
    from tiergate.policytest.selection import Selection

_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for. `fail_under`: percent of coverage. `shipped`: Tiergate's own policies count in it."""

    paths: tuple[Path, ...]
    selection: Selection
    output: Output
    verbose: bool = False
    junit: Path | None = None
    coverage: bool = False
    coverage_html: Path | None = None
    coverage_json: Path | None = None
    fail_under: Decimal | None = None
    shipped: bool = False
    export_cedar: Path | None = None

    @property
    def measures(self) -> bool:
        """Say whether coverage is to be measured at all."""
        files = (self.coverage_html, self.coverage_json)
        return self.coverage or self.fail_under is not None or any(path is not None for path in files)

    @property
    def written(self) -> list[Path]:
        """The files and folders that a run writes."""
        paths = (self.junit, self.coverage_html, self.coverage_json, self.export_cedar)
        return [path for path in paths if path is not None]


def run(wanted: Wanted, runner: Runner) -> ExitCode:
    """Read, run and tell once.

    Raises:
        SuiteError: files are broken; nothing was run.
        SettingsError: no case is selected.
        OSError: an output cannot be written.
    """
    try:
        with show_activity("reading the tests"):
            loaded = runner.read_suites(wanted.paths)
    except AuthorError as error:
        document = junit_of_problems(error.problems)
        if wanted.junit is not None:
            wanted.junit.write_text(document, encoding="utf-8")
        if wanted.output is Output.JUNIT:
            print_line(document.rstrip())
        raise
    with show_activity("running the tests"):
        recorder = Recorder(loaded.environments.values()) if wanted.measures else None
        report = runner.run(loaded, wanted.selection, [] if recorder is None else [recorder])
        coverage = None if recorder is None else recorder.coverage(shipped=wanted.shipped)
    if not any(True for _ in report.cases()):
        raise _selects_nothing(wanted.selection)
    is_short = coverage is not None and wanted.fail_under is not None and not coverage.reaches(wanted.fail_under)
    code = ExitCode.OK if report.has_passed and not is_short else ExitCode.NO
    _tell(report, coverage, wanted, code)
    if coverage is not None:
        _write_coverage(coverage, wanted)
        if is_short:
            warn(_shortage(coverage, wanted), "bold red")
    if wanted.export_cedar is not None:
        _export(loaded, wanted.export_cedar, wanted.selection)
    return code


def watch(wanted: Wanted, runner: Runner) -> NoReturn:
    """Run at every change of a file that a run was made of, until an interrupt, which is raised."""
    from tiergate.policytest.file_watch import FileWatch

    read: frozenset[Path] = frozenset()
    while True:
        watched = FileWatch({*wanted.paths, *read}, wanted.written)
        try:
            run(wanted, runner)
        except (TiergateError, OSError) as error:
            report_error(error, as_json=False)
        read = runner.inputs
        watched.include(read)
        warn("waiting for changes; Ctrl-C ends it", "dim")
        changed = sorted(map(_shown, watched.wait()))
        rest = f" and {len(changed) - _MOST_NAMED} more" if len(changed) > _MOST_NAMED else ""
        warn(f"changed: {', '.join(changed[:_MOST_NAMED])}{rest}", "bold")


def _tell(report: RunReport, coverage: Coverage | None, wanted: Wanted, code: ExitCode) -> None:
    """Write the result to standard output, and JUnit's file."""
    if wanted.junit is not None:
        wanted.junit.write_text(junit_xml(report), encoding="utf-8")
    match wanted.output:
        case Output.TREE:
            for line in tree(report, verbose=wanted.verbose):
                print_line(line.text, line.style)
            if coverage is not None:
                text = coverage_text(coverage).rstrip().splitlines()
                for row in text if wanted.coverage or wanted.fail_under is not None else text[:1]:
                    print_line(row)
        case Output.JSON:
            document = report_json(report, verbose=wanted.verbose)
            measured = {} if coverage is None else {"coverage": coverage_json(coverage)}
            print_line(json_text(document | measured | {"exit_code": code.value}))
        case Output.JUNIT:
            print_line(junit_xml(report).rstrip())


def _shortage(coverage: Coverage, wanted: Wanted) -> str:
    if coverage.total:
        return f"coverage of {coverage.percent} % is less than the {wanted.fail_under} % of `--fail-under`"
    rest = "; what is shipped counts with `--shipped`" if coverage.uncounted else ""
    return f"there is nothing to cover, which is less than the {wanted.fail_under} % of `--fail-under`{rest}"


def _write_coverage(coverage: Coverage, wanted: Wanted) -> None:
    if wanted.coverage_html is not None:
        wanted.coverage_html.write_text(coverage_html(coverage), encoding="utf-8")
    if wanted.coverage_json is not None:
        wanted.coverage_json.write_text(json_text(coverage_json(coverage)) + "\n", encoding="utf-8")


def _export(loaded: LoadedSuites, folder: Path, selection: Selection) -> None:
    """Write the tests in Cedar's own form, and say what is not among them."""
    from tiergate.policytest.cedar_export import export_cedar

    for suite in export_cedar(loaded, folder, selection):
        left = f", {suite.left_out} cases left out" if suite.left_out else ""
        warn(f"exported `{suite.name}` to {folder / suite.folder}: {suite.tests} tests{left}")


def _shown(path: str) -> str:
    """A path from here, where it is below here."""
    return path.removeprefix(os.path.realpath(".") + os.sep)


def _selects_nothing(selection: Selection) -> SettingsError:
    given = (selection.suites, selection.tests, selection.subjects, selection.features)
    named = zip(("suite", "test", "subject", "feature"), given, strict=True)
    first, *rest = [option for option, patterns in named if patterns] or ["path"]
    with_rest = f", together with {', '.join(f'`--{option}`' for option in rest)}," if rest else ""
    return SettingsError(first, f"selects{with_rest} no case of these files")
