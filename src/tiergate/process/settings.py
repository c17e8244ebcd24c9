"""A table of settings made from a dataclass: every field is one setting, said by flag, variable, file or default.

A field is annotated with a `Row`. The field `probe_port` of a table with the prefix `TIERGATE_` is the flag
`--probe-port`, the variable `TIERGATE_PROBE_PORT` and the key `probe-port` of the settings file. Which settings there
are, and which fit together, is each process's own business.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import tomllib
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tiergate.errors import SettingsError
from tiergate.naming import nearest
from tiergate.process.regular_files import read_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tiergate.process.setting_types import Kind

_SERVICE_LINK: Final = re.compile(
    r"(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
_SERVICE_VALUE: Final = re.compile(r"(tcp|udp|sctp)://.*", re.DOTALL)
_NEAR: Final = 0.8
_MOST_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True)
class Row:
    """What a field's annotation says of its setting."""

    group: str
    kind: Kind[Any]
    help: str


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. `many`: it may be given several times; `group`: the part of the page where it stands."""

    name: str
    kind: Kind[Any]
    group: str
    help: str
    many: bool
    default: Any
    prefix: str

    @property
    def field(self) -> str:
        """The field of the dataclass."""
        return self.name.replace("-", "_")

    @property
    def flag(self) -> str:
        """The flag of the command line."""
        return f"--{self.name}"

    @property
    def shown_default(self) -> str:
        """The default as one would write it; empty where there is none."""
        return "" if self.default is None or self.many else self.kind.show(self.default)

    @property
    def variable(self) -> str:
        """The environment variable."""
        return self.prefix + self.field.upper()


@dataclass(frozen=True, slots=True)
class Table:
    """All settings of one process. `foreign`: prefixes of variables that are another process's."""

    settings: tuple[Setting, ...]
    prefix: str
    foreign: tuple[str, ...] = ()

    @property
    def file_variable(self) -> str:
        """The variable that names a settings file."""
        return self.prefix + "SETTINGS"

    def read(self, flags: Mapping[str, object], environ: Mapping[str, str]) -> dict[str, Any]:
        """Read what the command line, the environment and the settings file that they name say; field → value.

        `flags`: name of a setting (or `settings`, for the file) to a text, a boolean or a sequence of texts; `None` and
        an empty sequence mean that the flag was not given. A variable that is empty counts as not set. Relative paths
        in the settings file start at its folder.

        Raises:
            SettingsError: a setting is unknown or malformed.
        """
        values: dict[str, Any] = {}
        file = flags.get("settings") or environ.get(self.file_variable)
        if file:
            values |= self._from_file(Path(str(file)))
        values |= self._from_environment(environ)
        values |= self._from_flags(flags)
        return values

    def unknown_variables(self, environ: Mapping[str, str], others: Iterable[str] = ()) -> tuple[str, ...]:
        """Name the variables that look like this process's but are no setting; `others` are known to somebody else."""
        known = {setting.variable for setting in self.settings} | {self.file_variable, *others}
        return tuple(
            sorted(
                name
                for name in environ
                if name.startswith(self.prefix)
                and name not in known
                and not name.startswith(self.foreign)
                and not _SERVICE_LINK.fullmatch(name.removeprefix(self.prefix))
            )
        )

    def _from_flags(self, flags: Mapping[str, object]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for setting in self.settings:
            given = flags.get(setting.name)
            if given is None or given in ((), []):
                continue
            texts = [str(one) for one in given] if isinstance(given, list | tuple) else [str(given)]
            values[setting.field] = _read(setting, texts, setting.flag)
        return values

    def _from_environment(self, environ: Mapping[str, str]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for setting in self.settings:
            text = environ.get(setting.variable, "")
            if not text or (setting.name.endswith("port") and _SERVICE_VALUE.fullmatch(text)):
                continue  # Kubernetes sets TIERGATE_PORT=tcp://… where a Service is called `tiergate`
            values[setting.field] = _read(setting, text.split(",") if setting.many else [text], setting.variable)
        for name in self.unknown_variables(environ):
            near = nearest(name, [setting.variable for setting in self.settings], cutoff=_NEAR)
            if near:
                raise SettingsError(name, "no such variable", near)
        return values

    def _from_file(self, path: Path) -> dict[str, Any]:
        try:
            content = tomllib.loads(read_regular(path, _MOST_BYTES).decode())
        except OSError as error:
            raise SettingsError("settings", f"file `{path}` cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise SettingsError("settings", f"file `{path}` is not UTF-8") from error
        except tomllib.TOMLDecodeError as error:
            raise SettingsError("settings", f"file `{path}` is not TOML: {error}") from error
        table = {setting.name: setting for setting in self.settings}
        values: dict[str, Any] = {}
        for key, value in content.items():
            setting = table.get(key)
            if setting is None:
                raise SettingsError(key, f"no such setting in `{path}`", nearest(key, table))
            values[setting.field] = _from_key(setting, value, path)
        return values


def table_of(cls: type, prefix: str, foreign: tuple[str, ...] = ()) -> Table:
    """Make the table of a dataclass whose fields are annotated with rows, in the order of the fields."""
    hints = typing.get_type_hints(cls, include_extras=True)
    found = []
    for field in dataclasses.fields(cls):
        row: Row = hints[field.name].__metadata__[0]
        name = field.name.replace("_", "-")
        many = isinstance(field.default, tuple)
        found.append(Setting(name, row.kind, row.group, row.help, many, field.default, prefix))
    return Table(tuple(found), prefix, foreign)


def is_loopback(host: str) -> bool:
    """Say whether an address is this machine's own alone. Names other than `localhost` count as not."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


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
