"""`tiergate control-plane`: run a control plane. Its options are its settings."""

from __future__ import annotations

import os
from typing import Any

import typer

from tiergate.cli.optional_dependencies import require_control_plane
from tiergate.cli.setting_options import add_command, setting_values
from tiergate.control.settings import TABLE

app = typer.Typer()


def control_plane(**flags: Any) -> None:  # noqa: ANN401 - as the settings declare
    """Serve the administration API, publishing, and the feed of sidecars, from a store on SQLite or PostgreSQL.

    Every option can also be set by the variable `TIERGATE_CP_<OPTION>`, or in the file that `--settings` names.
    """
    require_control_plane()
    from tiergate.control import server
    from tiergate.control.settings import resolve

    server.run(resolve(setting_values(flags), os.environ))


add_command(app, control_plane, TABLE, "control-plane")
