"""`tiergate test`: run files of entitlement tests, once or at every change."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tiergate.cli.shared_options import AsJson
from tiergate.errors import SettingsError, TiergateError

app = typer.Typer()


class Output(StrEnum):
    """What the result is written as."""

    TREE = "tree"
    JSON = "json"
    JUNIT = "junit"


_PATTERN = "a part of the name, or a pattern with `*`, `?`, for all of it; may be given several times."


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
    suite: Annotated[list[str] | None, typer.Option(metavar="NAME", help=f"Run these suites only: {_PATTERN}")] = None,
    test: Annotated[list[str] | None, typer.Option(metavar="NAME", help=f"Run these tests only: {_PATTERN}")] = None,
    subject: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help=f"Run the cases of these subjects, or callers, only: {_PATTERN}"),
    ] = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help=f"Run the cases of these features, or actions, only: {_PATTERN}"),
    ] = None,
    output: Annotated[
        Output | None,
        typer.Option(
            metavar="FORM",
            help="What to write to standard output: `tree` (default), `json` or `junit`.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write JUnit's XML to this file as well, for build servers.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tell of cases that passed too; in JSON: with what was decided.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Run again whenever a file changes that a run was made of, until Ctrl-C.")
    ] = False,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Tell what the tests cover of catalogs, rules and roles, and what not.")
    ] = False,
    coverage_html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the coverage to this file, as one HTML page.")
    ] = None,
    coverage_json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the coverage to this file, as JSON, with every unit.")
    ] = None,
    fail_under: Annotated[
        float | None,
        typer.Option(metavar="PERCENT", min=0, max=100, help="End with 1 if less than this is covered, as 87.5."),
    ] = None,
    shipped: Annotated[
        bool,
        typer.Option(
            "--shipped", help="Count Tiergate's own guards, overrides, reasons and roles in the coverage as well."
        ),
    ] = False,
    export_cedar: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the tests in the form of `cedar run-tests` as well, with policies."),
    ] = None,
) -> None:
    """Run entitlement tests: 0 is that all passed, 1 that a case failed, 3 that a file is broken.

    Nothing is run while any of the files is broken: each problem is named with its file, line and column.
    """
    from tiergate.cli.test_runner import Wanted
    from tiergate.cli.test_runner import run as run_once
    from tiergate.cli.test_runner import watch as run_at_changes
    from tiergate.policytest.runner import Runner
    from tiergate.policytest.selection import Selection

    form = _form(output, as_json=as_json)
    if watch and form is not Output.TREE:
        raise SettingsError("watch", "tells people what came of each run: leave out `--output` and `--json`")
    wanted = Wanted(
        tuple(paths or [Path()]),
        Selection(*(tuple(patterns or ()) for patterns in (suite, test, subject, feature))),
        form,
        verbose=verbose,
        junit=junit,
        coverage=coverage,
        coverage_html=coverage_html,
        coverage_json=coverage_json,
        fail_under=None if fail_under is None else Decimal(str(fail_under)),
        shipped=shipped,
        export_cedar=export_cedar,
    )
    if shipped and not wanted.measures:
        raise SettingsError("shipped", "says what counts in the coverage: ask for that, too, by `--coverage`")
    if watch:
        run_at_changes(wanted, Runner())
    try:
        code = run_once(wanted, Runner())
    except (TiergateError, OSError) as error:
        if form is not Output.JSON or as_json:
            raise
        from tiergate.cli.output.errors import report

        code = report(error, as_json=True)
    raise typer.Exit(code)


def _form(output: Output | None, *, as_json: bool) -> Output:
    """The form of the result.

    Raises:
        SettingsError: two are asked for.
    """
    if as_json and output not in {None, Output.JSON}:
        raise SettingsError("output", f"`{output}` and `--json` are two forms of one result: choose one")
    return Output.JSON if as_json else output or Output.TREE
