"""The sidecar's process, as the command line starts it, and the short way to it.

A sidecar stands beside every pod, so what its process loads counts: a call of `tiergate sidecar` that only says
settings is read here, by their table. Everything else (another command, `--help`, a mistake, completion) is Typer's,
which takes 12 MB, all the commands included.

INVARIANT (plain flags): what is read here, Typer would read the same; a test compares them.
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


def serve_plainly(args: Sequence[str]) -> bool:
    """Serve until the end if this is a plain call of the sidecar; else say that it is not.

    Raises:
        SettingsError: a setting is wrong; what else `serve` raises.
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
    """Serve by these flags, the environment and the settings file, until the process is told to end.

    Raises:
        SettingsError: a setting is unknown, malformed or missing, or they do not fit together.
        ListenError: an address cannot be listened on.
    """
    with block_imports("rich"):  # for tracebacks in colour: 4 MB and 0.1 s
        import structlog  # noqa: F401
    from tiergate.sidecar import server
    from tiergate.sidecar.setting_sources import resolve

    server.run(resolve(flags, os.environ))


def plain_flags(args: Sequence[str], table: SettingsTable) -> dict[str, object] | None:
    """Read `--name value`, `--name=value`, `--switch` and `--settings PATH`, as `SettingsTable.read` takes them.

    None for whatever is not plainly that: an argument, an unknown flag, one without its value, or a value that looks
    like a flag.
    """
    known = {setting.flag: setting for setting in table.settings}
    switches: set[str] = set()
    texts: dict[str, list[str]] = {}
    rest = iter(args)
    for arg in rest:
        flag, given, value = arg.partition("=")
        setting = known.get(flag)
        if setting is None and flag != "--settings":
            return None
        if setting is not None and setting.kind.word == "boolean":
            if given:
                return None
            switches.add(setting.name)
            continue
        if not given:
            value = next(rest, "-")
            if value.startswith("-"):
                return None
        texts.setdefault(flag.removeprefix("--"), []).append(value)
    many = {setting.name for setting in table.settings if setting.many}
    return {name: found if name in many else found[-1] for name, found in texts.items()} | dict.fromkeys(switches, True)
