"""The application: its commands, and the edge of the process where errors become exit codes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer
from typer.main import get_command

from tiergate.cli import (
    apply,
    check,
    cluster,
    control_plane,
    demo,
    diff,
    explain,
    export,
    imports,
    injector,
    keys,
    lint,
    migrate,
    preview,
    publications,
    publish,
    replay,
    rollback,
    schema,
    sidecar,
    up,
    version,
)
from tiergate.cli import compile as compile_command
from tiergate.cli import test as test_command
from tiergate.cli.reports import report
from tiergate.cli.terminal import let_go

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["app", "run"]

app = typer.Typer(
    name="tiergate",
    help="Product entitlements, decided by Cedar, answered on localhost.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["--help", "-h"]},
)

for command in (
    compile_command,
    lint,
    test_command,
    diff,
    sidecar,
    control_plane,
    injector,
    cluster,
    check,
    explain,
    replay,
    imports,
    schema,
    migrate,
    apply,
    export,
    preview,
    publish,
    rollback,
    publications,
    keys,
    demo,
    up,
    version,
):
    app.add_typer(command.app)


def run(args: Sequence[str]) -> int:
    """Run one command line and return its exit code. Nothing is raised."""
    try:
        get_command(app)(args=list(args), prog_name="tiergate")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:  # noqa: BLE001 - the edge of the process
        code = report(error, as_json="--json" in args)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        let_go(sys.stdout)
    return code
