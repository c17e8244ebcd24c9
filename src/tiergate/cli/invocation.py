"""One call of the command line: errors become exit codes here."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

from tiergate.cli.sidecar_startup import run_plain_sidecar
from tiergate.process.termination import mark_arrived

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typer._click.core import Command

_OPTIONAL = "--accept-loss"


def run(args: Sequence[str]) -> int:
    """Run one command line and return its exit code. Never raises."""
    try:
        if not run_plain_sidecar(args):
            _dispatch(args)
        code = 0
    except SystemExit as end:
        mark_arrived(end)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:  # noqa: BLE001 - the edge of the process
        from tiergate.cli.output.errors import report

        raised = mark_arrived(error)
        if isinstance(raised, SystemExit):
            code = raised.code if isinstance(raised.code, int) else 1
        else:
            code = report(raised or error, as_json="--json" in args)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        from tiergate.cli.output.console import discard_output

        discard_output(sys.stdout)
    return code


def _dispatch(args: Sequence[str]) -> None:
    _commands()(args=_with_optional_values(args), prog_name="tiergate")


@cache
def _commands() -> Command:
    """Make all commands, once in a process: that takes longer than most of them run."""
    from typer.main import get_command

    from tiergate.cli.application import app

    return get_command(app)


def _with_optional_values(args: Sequence[str]) -> list[str]:
    """Add an empty value to the option that may have none: Typer does not support such options."""
    arguments = []
    for index, arg in enumerate(args):
        following = args[index + 1] if index + 1 < len(args) else "-"
        is_bare = arg == _OPTIONAL and (following.startswith("-") or following.isdecimal())
        arguments.append(f"{arg}=" if is_bare else arg)
    return arguments
