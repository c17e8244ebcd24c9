"""Runs of entitlement tests for the command line: read, run, print and write, once or at every change."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

from tiergate.cli.exit_codes import ExitCode
from tiergate.cli.output.console import print_line, show_activity, warn
from tiergate.cli.output.errors import report as report_error
from tiergate.cli.test_options import Output
from tiergate.errors import AuthorError, SettingsError, TiergateError
from tiergate.policytest.coverage import Recorder, coverage_html, coverage_json, coverage_text
from tiergate.policytest.reporters import json_text, junit_of_problems, junit_xml, report_json, tree
from tiergate.policytest.unread_files import unread_files

if TYPE_CHECKING:
    from pathlib import Path

    from tiergate.cli.test_options import TestRunOptions
    from tiergate.policytest.coverage import Coverage
    from tiergate.policytest.results import RunReport
    from tiergate.policytest.runner import LoadedSuites, Runner
    from tiergate.policytest.selection import Selection

_MOST_NAMES = 3


def run_once(paths: tuple[Path, ...], options: TestRunOptions, runner: Runner) -> ExitCode:
    """Read and run the tests, and print the result.

    Raises:
        SuiteError: if files have problems; nothing was run.
        SettingsError: if no case is selected.
        OSError: if an output cannot be written.
    """
    try:
        with show_activity("reading the tests"):
            loaded = runner.read_suites(paths, options.published)
    except AuthorError as error:
        document = junit_of_problems(error.problems)
        if options.junit is not None:
            options.junit.write_text(document, encoding="utf-8")
        if options.form is Output.JUNIT:
            print_line(document.rstrip())
        raise
    selection = options.selection
    with show_activity("running the tests"):
        recorder = Recorder(loaded.environments.values()) if options.has_coverage else None
        report = runner.run(loaded, selection, [] if recorder is None else [recorder])
        coverage = None if recorder is None else recorder.coverage(shipped=options.shipped)
    if not any(True for _ in report.cases()):
        raise _empty_selection_error(selection)
    least = options.least_coverage
    unread = unread_files(paths, runner.inputs)
    is_short = coverage is not None and least is not None and (not coverage.reaches(least) or bool(unread))
    code = ExitCode.OK if report.has_passed and not is_short else ExitCode.NO
    _print_report(report, coverage, options, code)
    if coverage is not None:
        _write_coverage(coverage, options)
        if is_short and not coverage.reaches(options.least_coverage or 0):
            warn(_shortage(coverage, options), "bold red")
    if unread:
        warn(_unread(unread), "bold red" if is_short else "")
    if options.export_cedar is not None:
        _export(loaded, options.export_cedar, selection)
    return code


def watch(paths: tuple[Path, ...], options: TestRunOptions, runner: Runner) -> NoReturn:
    """Run at every change of an input file of a run, until an interrupt, which is raised."""
    from tiergate.policytest.file_watch import FileWatch

    inputs: frozenset[Path] = frozenset()
    while True:
        watched = FileWatch({*paths, *inputs}, options.written_paths)
        try:
            run_once(paths, options, runner)
        except (TiergateError, OSError) as error:
            report_error(error, as_json=False)
        inputs = runner.inputs
        watched.include(inputs)
        warn("waiting for changes; Ctrl-C stops", "dim")
        top = os.path.realpath(".") + os.sep
        changed = sorted(path.removeprefix(top) for path in watched.wait())
        rest = f" and {len(changed) - _MOST_NAMES} more" if len(changed) > _MOST_NAMES else ""
        warn(f"changed: {', '.join(changed[:_MOST_NAMES])}{rest}", "bold")


def _print_report(report: RunReport, coverage: Coverage | None, options: TestRunOptions, code: ExitCode) -> None:
    """Write the result to standard output, and JUnit's file."""
    if options.junit is not None:
        options.junit.write_text(junit_xml(report), encoding="utf-8")
    match options.form:
        case Output.TREE:
            for line in tree(report, verbose=options.verbose):
                print_line(line.text, line.style)
            if coverage is not None:
                rows = coverage_text(coverage).rstrip().splitlines()
                for row in rows if options.coverage or options.fail_under is not None else rows[:1]:
                    print_line(row)
        case Output.JSON:
            document = report_json(report, verbose=options.verbose)
            measured = {} if coverage is None else {"coverage": coverage_json(coverage)}
            print_line(json_text(document | measured | {"exit_code": code.value}))
        case Output.JUNIT:
            print_line(junit_xml(report).rstrip())


def _unread(files: list[Path]) -> str:
    """Return what no suite reads, and how to test it."""
    named = ", ".join(map(str, files[:_MOST_NAMES]))
    rest = f" and {len(files) - _MOST_NAMES} more" if len(files) > _MOST_NAMES else ""
    return f"no suite reads {named}{rest}: test what you publish with `--catalog` and `--rules`"


def _shortage(coverage: Coverage, options: TestRunOptions) -> str:
    least = f"less than the {options.least_coverage} % of `--fail-under`"
    if coverage.total:
        return f"coverage of {coverage.percent} % is {least}"
    rest = "; `--shipped` includes Tiergate's own policies" if coverage.uncounted else ""
    return f"there is nothing to cover, which is {least}{rest}"


def _write_coverage(coverage: Coverage, options: TestRunOptions) -> None:
    if options.coverage_html is not None:
        options.coverage_html.write_text(coverage_html(coverage), encoding="utf-8")
    if options.coverage_json is not None:
        options.coverage_json.write_text(json_text(coverage_json(coverage)) + "\n", encoding="utf-8")


def _export(loaded: LoadedSuites, folder: Path, selection: Selection) -> None:
    """Write the tests in Cedar's format, and print how many cases have none."""
    from tiergate.policytest.cedar_export import export_cedar

    for suite in export_cedar(loaded, folder, selection):
        left_out = f", {suite.left_out} cases left out" if suite.left_out else ""
        warn(f"exported `{suite.name}` to {folder / suite.folder}: {suite.tests} tests{left_out}")


def _empty_selection_error(selection: Selection) -> SettingsError:
    patterns = (selection.suites, selection.tests, selection.subjects, selection.features)
    named = zip(("suite", "test", "subject", "feature"), patterns, strict=True)
    first, *rest = [option for option, given in named if given] or ["path"]
    together = f", together with {', '.join(f'`--{option}`' for option in rest)}," if rest else ""
    return SettingsError(first, f"selects{together} no case of these files")
