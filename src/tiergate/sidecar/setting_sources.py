"""Where the settings come from: flags over environment over settings file over defaults (see `settings`)."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tiergate.errors import SettingsError
from tiergate.sidecar.settings import PREFIX, SETTINGS, Setting, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["FILE_VARIABLE", "is_loopback", "resolve", "unknown_variables"]

FILE_VARIABLE: Final = PREFIX + "SETTINGS"
"""The variable that names a settings file."""

_SERVICE_LINK: Final = re.compile(
    r"(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
_SERVICE_VALUE: Final = re.compile(r"(tcp|udp|sctp)://.*", re.DOTALL)
_NEAR: Final = 0.8


def resolve(flags: Mapping[str, object], environ: Mapping[str, str]) -> Settings:
    """Make the settings from what the command line and the environment say, and the settings file that they name.

    `flags`: name of a setting (or `settings`, for the file) to a text, a boolean or a sequence of texts; `None` and an
    empty sequence mean that the flag was not given. A variable that is empty counts as not set. Relative paths in the
    settings file start at its folder.

    Raises:
        SettingsError: a setting is unknown, malformed or missing, or they do not fit together.
    """
    values: dict[str, object] = {}
    file = flags.get("settings") or environ.get(FILE_VARIABLE)
    if file:
        values |= _from_file(Path(str(file)))
    values |= _from_environment(environ)
    values |= _from_flags(flags)
    settings = Settings(**values)  # type: ignore[arg-type] # each value was read by its setting's kind
    _fit(settings)
    return settings


def unknown_variables(environ: Mapping[str, str], others: Iterable[str] = ()) -> tuple[str, ...]:
    """Name the variables that look like the sidecar's but are no setting; `others` are known to somebody else."""
    known = {setting.variable for setting in SETTINGS} | {FILE_VARIABLE, *others}
    return tuple(
        sorted(
            name
            for name in environ
            if name.startswith(PREFIX) and name not in known and not _SERVICE_LINK.fullmatch(name.removeprefix(PREFIX))
        )
    )


def is_loopback(host: str) -> bool:
    """Say whether an address is this machine's own alone. Names other than `localhost` count as not."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _from_flags(flags: Mapping[str, object]) -> dict[str, object]:
    values: dict[str, object] = {}
    for setting in SETTINGS:
        given = flags.get(setting.name)
        if given is None or given in ((), []):
            continue
        texts = [str(one) for one in given] if isinstance(given, list | tuple) else [str(given)]
        values[setting.field] = _read(setting, texts, setting.flag)
    return values


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for setting in SETTINGS:
        text = environ.get(setting.variable, "")
        if not text or (setting.name.endswith("port") and _SERVICE_VALUE.fullmatch(text)):
            continue  # Kubernetes sets TIERGATE_PORT=tcp://… where a Service is called `tiergate`
        values[setting.field] = _read(setting, text.split(",") if setting.many else [text], setting.variable)
    for name in unknown_variables(environ):
        near = get_close_matches(name, [setting.variable for setting in SETTINGS], 1, _NEAR)
        if near:
            raise SettingsError(name, f"no such variable, did you mean `{near[0]}`?")
    return values


def _from_file(path: Path) -> dict[str, object]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError("settings", f"file `{path}` cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError("settings", f"file `{path}` is not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError("settings", f"file `{path}` is not TOML: {error}") from error
    table = {setting.name: setting for setting in SETTINGS}
    values: dict[str, object] = {}
    for key, value in content.items():
        setting = table.get(key)
        if setting is None:
            near = get_close_matches(key, table, 1)
            hint = f", did you mean `{near[0]}`?" if near else ""
            raise SettingsError(key, f"no such setting in `{path}`{hint}")
        values[setting.field] = _from_key(setting, value, path)
    return values


def _from_key(setting: Setting, value: object, path: Path) -> object:
    single = value if setting.many and isinstance(value, list) else [value]
    try:
        read = tuple(setting.kind.from_file(one) for one in single)
    except ValueError as error:
        raise SettingsError(setting.name, f"{error}, in `{path}`") from None
    read = tuple(path.parent / one if isinstance(one, Path) else one for one in read)
    return read if setting.many else read[0]


def _read(setting: Setting, texts: list[str], source: str) -> object:
    try:
        read = tuple(setting.kind.read(text) for text in texts)
    except ValueError as error:
        raise SettingsError(setting.name, f"{error}, in `{source}`") from None
    return read if setting.many else read[0]


def _fit(settings: Settings) -> None:
    for name, given in (("catalog", settings.catalog), ("subjects", settings.subjects)):
        if not given:
            raise SettingsError(name, f"is required: give `--{name}`, `{PREFIX}{name.upper()}` or a settings file")
    if not (is_loopback(settings.host) or settings.token_file or settings.insecure):
        raise SettingsError("host", f"`{settings.host}` is beyond loopback: give `token-file`, or `insecure`")
    if settings.uds is None and settings.uds_group is not None:
        raise SettingsError("uds-group", "needs `uds`")
    if settings.port and settings.port == settings.probe_port:
        raise SettingsError("probe-port", f"{settings.probe_port} is the port of the API already")
