"""`tiergate injector`: inject sidecars into pods. Its options are its settings."""

from __future__ import annotations

import os
from typing import Any

import typer

from tiergate.cli.setting_options import add_command, setting_values
from tiergate.cluster.injector.settings import TABLE

app = typer.Typer()


def injector(**flags: Any) -> None:  # noqa: ANN401 - as the settings declare
    """Serve the admission webhook that injects a sidecar into Kubernetes pods with the label `tiergate.dev/inject`.

    Every option can also be set by the variable `TIERGATE_INJECTOR_<OPTION>`, or in the file that `--settings` names.
    """
    from tiergate.cluster.injector import server
    from tiergate.cluster.injector.settings import resolve
    from tiergate.sidecar import setting_sources as sidecar
    from tiergate.sidecar.settings import TABLE as SIDECAR_TABLE

    settings = resolve(setting_values(flags), os.environ)
    server.run(settings, SIDECAR_TABLE, lambda variables: sidecar.resolve({}, variables), os.environ)


add_command(app, injector, TABLE)
