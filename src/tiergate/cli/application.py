"""The application: its commands."""

from __future__ import annotations

import typer

from tiergate.cli.commands import (
    apply,
    check,
    cluster,
    codegen,
    control_plane,
    demo,
    diff,
    explain,
    export,
    import_catalog,
    injector,
    keys,
    lint,
    migrate,
    outcomes,
    preview,
    publications,
    publish,
    replay,
    rollback,
    schema,
    sidecar,
    status,
    up,
    usage,
    version,
)
from tiergate.cli.commands import compile as compile_command
from tiergate.cli.commands import test as test_command

app = typer.Typer(
    name="tiergate",
    help="Product entitlements, decided by Cedar, answered on localhost.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["--help", "-h"]},
)

for commands in (
    (compile_command, lint, test_command, diff),
    (sidecar, control_plane, injector, cluster),
    (check, explain, replay, usage, outcomes, status),
    (import_catalog, schema, codegen, migrate),
    (apply, export, preview, publish, rollback, publications, keys),
    (demo, up, version),
):
    for command in commands:
        app.add_typer(command.app)
