"""`tiergate test`: run files of entitlement tests, once or at every change, and tell what came of it."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, NoReturn

import typer

from tiergate.cli.options import AsJson
from tiergate.errors import AuthorError, SettingsError, TiergateError

if TYPE_CHECKING:
    from tiergate.cli.exits import ExitCode
    from tiergate.policytest.results import Report
    from tiergate.policytest.runner import Runner
    from tiergate.policytest.selection import Selection

__all__ = ["app"]

app = typer.Typer()


_MOST_NAMED = 3


class Output(StrEnum):
    """What the result is written as."""

    TREE = "tree"
    JSON = "json"
    JUNIT = "junit"


_PATTERN = "A part of the name, or a pattern with `*`, `?`; may be given several times."


@app.command("test")
def run_tests(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH",
            help="Test files, or folders that are searched for `*_test.yaml`; default: the current folder.",
            show_default=False,
        ),
    ] = None,
    *,
    suite: Annotated[list[str] | None, typer.Option(metavar="NAME", help=f"Run these suites only. {_PATTERN}")] = None,
    test: Annotated[list[str] | None, typer.Option(metavar="NAME", help=f"Run these tests only. {_PATTERN}")] = None,
    subject: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help=f"Run the cases of these subjects, or callers, only. {_PATTERN}"),
    ] = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help=f"Run the cases of these features, or actions, only. {_PATTERN}"),
    ] = None,
    output: Annotated[Output | None, typer.Option(help="What to write: default: `tree`.", show_default=False)] = None,
    as_json: AsJson = False,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write JUnit's XML to this file as well, for build servers.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tell cases that passed too; in JSON: with what was decided.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Run again whenever a file changes that a run was made of, until Ctrl-C.")
    ] = False,
) -> None:
    """Run entitlement tests. Exit code 0 is that all passed, 1 that a case failed, 3 that a file is broken.

    Nothing is run while any of the files is broken: each problem is named with its file, line and column.
    """
    from tiergate.policytest.runner import Runner
    from tiergate.policytest.selection import Selection

    form = _form(output, as_json=as_json)
    if watch and form is not Output.TREE:
        raise SettingsError("watch", "tells people what came of each run: leave out `--output` and `--json`")
    selection = Selection(*(tuple(patterns or ()) for patterns in (suite, test, subject, feature)))
    wanted = _Wanted(tuple(paths or [Path()]), selection, form, junit, verbose)
    if watch:
        _watch(wanted, Runner())
    try:
        code = _run(wanted, Runner())
    except TiergateError as error:
        if form is not Output.JSON or as_json:
            raise
        from tiergate.cli.reports import report

        code = report(error, as_json=True)
    raise typer.Exit(code)


class _Wanted(NamedTuple):
    """What was asked for."""

    paths: tuple[Path, ...]
    selection: Selection
    form: Output
    junit: Path | None
    verbose: bool

    @property
    def outputs(self) -> list[Path]:
        """The files that a run writes."""
        return [path for path in (self.junit,) if path is not None]


def _form(output: Output | None, *, as_json: bool) -> Output:
    """What to write to standard output.

    Raises:
        SettingsError: two forms are asked for.
    """
    if as_json and output not in {None, Output.JSON}:
        raise SettingsError("output", f"`{output}` and `--json` are two forms of one result: choose one")
    return Output.JSON if as_json else output or Output.TREE


def _run(wanted: _Wanted, runner: Runner) -> ExitCode:
    """Read, run and tell once.

    Raises:
        SuiteError: files are broken; nothing was run.
        SettingsError: no case is selected.
        OSError: an output cannot be written.
    """
    from tiergate.cli.exits import ExitCode
    from tiergate.cli.terminal import say, working
    from tiergate.policytest.reporters import junit_of_problems

    try:
        with working("reading the tests"):
            loaded = runner.read_suites(wanted.paths)
    except AuthorError as error:
        document = junit_of_problems(error.problems)
        if wanted.junit is not None:
            wanted.junit.write_text(document, encoding="utf-8")
        if wanted.form is Output.JUNIT:
            say(document.rstrip())
        raise
    with working("running the tests"):
        report = runner.run(loaded, wanted.selection)
    if not any(True for _ in report.cases()):
        raise SettingsError(_narrowest(wanted.selection), "selects no case of these files")
    code = ExitCode.OK if report.has_passed else ExitCode.NO
    _tell(report, wanted, code)
    return code


def _tell(report: Report, wanted: _Wanted, code: ExitCode) -> None:
    from tiergate.cli.terminal import say
    from tiergate.policytest.reporters import json_text, junit_xml, report_json, tree

    if wanted.junit is not None:
        wanted.junit.write_text(junit_xml(report), encoding="utf-8")
    match wanted.form:
        case Output.TREE:
            for line in tree(report, verbose=wanted.verbose):
                say(line.text, line.style)
        case Output.JSON:
            say(json_text({**report_json(report, verbose=wanted.verbose), "exit_code": code.value}))
        case Output.JUNIT:
            say(junit_xml(report).rstrip())


def _watch(wanted: _Wanted, runner: Runner) -> NoReturn:
    """Run at every change, until an interrupt, which is raised."""
    from tiergate.cli.reports import report
    from tiergate.cli.terminal import warn
    from tiergate.policytest.watching import Watch

    read: frozenset[Path] = frozenset()
    while True:
        watch = Watch({*wanted.paths, *read}, wanted.outputs)
        try:
            _run(wanted, runner)
        except TiergateError as error:
            report(error, as_json=False)
        read = runner.named
        watch.include(read)
        warn("waiting for changes; Ctrl-C ends it", "dim")
        changed = sorted(map(_shown, watch.wait()))
        rest = f" and {len(changed) - _MOST_NAMED} more" if len(changed) > _MOST_NAMED else ""
        warn(f"changed: {', '.join(changed[:_MOST_NAMED])}{rest}", "bold")


def _shown(path: str) -> str:
    """A path from here, where it is below here."""
    here = os.path.realpath(".") + os.sep
    return path.removeprefix(here)


def _narrowest(selection: Selection) -> str:
    """The option to name where nothing is selected."""
    given = {
        "suite": selection.suites,
        "test": selection.tests,
        "subject": selection.subjects,
        "feature": selection.features,
    }
    return next((option for option, patterns in given.items() if patterns), "path")
