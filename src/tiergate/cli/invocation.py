"""One call of the command line: the edge of the process, where errors become exit codes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tiergate.cli.serving import serve_plainly

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["run"]


def run(args: Sequence[str]) -> int:
    """Run one command line and return its exit code. Nothing is raised."""
    try:
        if not serve_plainly(args):
            _dispatch(args)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:  # noqa: BLE001 - the edge of the process
        from tiergate.cli.reports import report

        code = report(error, as_json="--json" in args)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        from tiergate.cli.terminal import let_go

        let_go(sys.stdout)
    return code


def _dispatch(args: Sequence[str]) -> None:
    from typer.main import get_command

    from tiergate.cli.application import app

    get_command(app)(args=list(args), prog_name="tiergate")
