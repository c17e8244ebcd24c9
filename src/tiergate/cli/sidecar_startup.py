"""Starts the sidecar's process from the command line, without Typer where possible.

A sidecar runs beside every pod, so the memory of its process matters: a call of `tiergate sidecar` with settings only
is read here. Typer reads everything else (another command, `--help`, a mistake, completion), and needs 12 MB with all
commands.

INVARIANT (plain flags): Typer reads the same from these arguments; a test compares them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tiergate.process.import_guard import block_imports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tiergate.process.settings import SettingsTable

_COMMAND = "sidecar"
_COMPLETION = "_TIERGATE_COMPLETE"


def run_plain_sidecar(args: Sequence[str]) -> bool:
    """Serve until the end and return true if this is a plain call of the sidecar, else return false.

    Raises:
        SettingsError, ListenError: as `serve`.
    """
    if not args or args[0] != _COMMAND or _COMPLETION in os.environ:
        return False
    from tiergate.sidecar.settings import TABLE

    flags = plain_flags(args[1:], TABLE)
    if flags is None:
        return False
    serve(flags)
    return True


def serve(flags: Mapping[str, object]) -> None:
    """Serve with the settings of these flags, the environment and the settings file, until a signal ends the process.

    Raises:
        SettingsError: if a setting is unknown, malformed or missing, or settings contradict each other.
        ListenError: if an address cannot be listened on.
    """
    with block_imports("rich"):  # structlog imports it for tracebacks in colour: 4 MB and 0.1 s
        import structlog  # noqa: F401
    from tiergate.sidecar import server
    from tiergate.sidecar.setting_sources import resolve

    server.run(resolve(flags, os.environ))


def plain_flags(args: Sequence[str], table: SettingsTable) -> dict[str, object] | None:
    """Read `--name value`, `--name=value`, `--switch` and `--settings PATH`, as `SettingsTable.read` takes them.

    Return none for anything else: an argument, an unknown flag, a missing value, or a value that looks like a flag.
    """
    known = {setting.flag: setting for setting in table.settings}
    switches: set[str] = set()
    texts: dict[str, list[str]] = {}
    rest = iter(args)
    for arg in rest:
        flag, equals, value = arg.partition("=")
        setting = known.get(flag)
        if setting is None and flag != "--settings":
            return None
        if setting is not None and setting.kind.word == "boolean":
            if equals:
                return None
            switches.add(setting.name)
            continue
        if not equals:
            value = next(rest, "-")
            if value.startswith("-"):
                return None
        texts.setdefault(flag.removeprefix("--"), []).append(value)
    many = {setting.name for setting in table.settings if setting.many}
    return {name: values if name in many else values[-1] for name, values in texts.items()} | dict.fromkeys(
        switches, True
    )
