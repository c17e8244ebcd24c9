"""One call of the command line: the edge of the process, where errors become exit codes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tiergate.cli.sidecar_startup import serve_plainly

if TYPE_CHECKING:
    from collections.abc import Sequence

_OPTIONAL = "--accept-loss"


def run(args: Sequence[str]) -> int:
    """Run one command line and return its exit code. Nothing is raised."""
    try:
        if not serve_plainly(args):
            _dispatch(args)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:  # noqa: BLE001 - the edge of the process
        from tiergate.cli.output.errors import report

        code = report(error, as_json="--json" in args)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        from tiergate.cli.output.console import discard_output

        discard_output(sys.stdout)
    return code


def _dispatch(args: Sequence[str]) -> None:
    from typer.main import get_command

    from tiergate.cli.application import app

    get_command(app)(args=_spelled_out(args), prog_name="tiergate")


def _spelled_out(args: Sequence[str]) -> list[str]:
    """The arguments, with an empty value for the option that may stand without one: Typer knows no such options."""
    found = []
    for place, arg in enumerate(args):
        after = args[place + 1] if place + 1 < len(args) else "-"
        is_bare = arg == _OPTIONAL and (after.startswith("-") or after.isdecimal())
        found.append(f"{arg}=" if is_bare else arg)
    return found
