"""`tiergate test`: run files of entitlement tests, once or at every change."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiergate.cli.option_groups import expand_options
from tiergate.cli.output.errors import report
from tiergate.cli.test_options import Output, TestRunOptions
from tiergate.errors import SettingsError, TiergateError

app = typer.Typer()


@app.command("test")
@expand_options
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
    options: TestRunOptions,
) -> None:
    """Run entitlement tests. Exit code 0: all passed; 1: a case failed; 3: a file has problems.

    If any file has problems, no test runs: each problem is reported with its file, line and column.
    """
    from tiergate.cli.test_runner import run_once, watch
    from tiergate.policytest.runner import Runner

    if options.as_json and options.output not in {None, Output.JSON}:
        raise SettingsError("output", f"`{options.output}` and `--json` are two formats of one result: choose one")
    if options.watch and options.form is not Output.TREE:
        raise SettingsError("watch", "cannot be combined with `--output` and `--json`")
    if options.shipped and not options.has_coverage:
        raise SettingsError("shipped", "needs coverage: add `--coverage`")
    files = tuple(paths or [Path()])
    if options.watch:
        watch(files, options, Runner())
    try:
        code = run_once(files, options, Runner())
    except (TiergateError, OSError) as error:
        if options.form is not Output.JSON or options.as_json:
            raise
        code = report(error, as_json=True)
    raise typer.Exit(code)
