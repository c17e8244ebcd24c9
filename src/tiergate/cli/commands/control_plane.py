"""`tiergate control-plane`: serve the store. Its options are the table of the control plane's settings."""

from __future__ import annotations

import os
from typing import Any

import typer

from tiergate.cli.setting_options import add_command, given
from tiergate.control.settings import TABLE

app = typer.Typer()


def control_plane(**flags: Any) -> None:  # noqa: ANN401 - what each flag takes, its setting says
    """Serve the administration API, publishing, and what sidecars follow, from a store on SQLite or PostgreSQL.

    Every option can also be set by the variable `TIERGATE_CP_<OPTION>`, or in the file that `--settings` names.
    """
    from tiergate.cli.optional_dependencies import need_control_plane

    need_control_plane()
    from tiergate.control import server
    from tiergate.control.settings import resolve

    server.run(resolve(given(flags), os.environ))


add_command(app, control_plane, TABLE, "control-plane")
