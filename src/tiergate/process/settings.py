"""Settings of a process: read from flags, environment variables, a settings file and defaults into a dataclass.

Each field of the dataclass is declared by `setting`. The field `probe_port` of a table with the prefix `TIERGATE_` is
the flag `--probe-port`, the variable `TIERGATE_PROBE_PORT` and the key `probe-port` of the settings file. Each process
declares its settings, and checks whether they fit together.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tiergate.errors import SettingsError
from tiergate.naming import nearest
from tiergate.process.regular_files import read_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tiergate.process.setting_types import SettingType

_SERVICE_LINK: Final = re.compile(
    r"(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
_SERVICE_VALUE: Final = re.compile(r"(tcp|udp|sctp)://.*", re.DOTALL)
_NEAR: Final = 0.8
_MAX_FILE_BYTES: Final = 2**20
_METADATA: Final = "setting"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting. `many`: it can be given several times; `group`: the section of the reference page."""

    name: str
    kind: SettingType[Any]
    group: str
    help: str
    many: bool
    default: Any
    prefix: str

    @property
    def field(self) -> str:
        """Return the name of the field in the dataclass."""
        return self.name.replace("-", "_")

    @property
    def flag(self) -> str:
        """Return the flag of the command line."""
        return f"--{self.name}"

    @property
    def shown_default(self) -> str:
        """Return the default as a user writes it; empty if there is none."""
        return "" if self.default is None or self.many else self.kind.show(self.default)

    @property
    def variable(self) -> str:
        """Return the name of the environment variable."""
        return self.prefix + self.field.upper()


@dataclass(frozen=True, slots=True)
class SettingsTable:
    """The settings of one process. `foreign`: prefixes of the variables of other processes."""

    settings: tuple[Setting, ...]
    prefix: str
    foreign: tuple[str, ...] = ()

    @property
    def file_variable(self) -> str:
        """Return the variable that names a settings file."""
        return self.prefix + "SETTINGS"

    def read(self, flags: Mapping[str, object], environ: Mapping[str, str]) -> dict[str, Any]:
        """Read the command line, the environment and the settings file that they name; return values by field.

        `flags`: the name of a setting (or `settings`, for the file) to a text, a boolean or a sequence of texts. `None`
        and an empty sequence count as not given, an empty variable as not set. Relative paths in the settings file are
        relative to its directory.

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

    def write(self, settings: object) -> dict[str, list[str]]:
        """Write an instance of the dataclass as flags, for another process; `read` returns the same values."""
        flags: dict[str, list[str]] = {}
        for setting in self.settings:
            value = getattr(settings, setting.field)
            if value is not None and value != setting.default:
                flags[setting.name] = [setting.kind.show(item) for item in (value if setting.many else (value,))]
        return flags

    def unknown_variables(self, environ: Mapping[str, str], others: Iterable[str] = ()) -> tuple[str, ...]:
        """Return the variables that have the prefix of this process and are no setting, nor one of `others`."""
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
            texts = [str(item) for item in given] if isinstance(given, list | tuple) else [str(given)]
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
            content = tomllib.loads(read_regular(path, _MAX_FILE_BYTES).decode())
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


def setting(group: str, kind: SettingType[Any], default: T, help_: str) -> T:
    """Declare a field of a dataclass of settings. A default that is a tuple: it can be given several times."""
    field: T = dataclasses.field(default=default, metadata={_METADATA: (group, kind, help_)})
    return field


def build_table(cls: type, prefix: str, foreign: tuple[str, ...] = ()) -> SettingsTable:
    """Build the table of a dataclass whose fields are declared by `setting`, in their order."""
    settings = []
    for field in dataclasses.fields(cls):
        group, kind, help_ = field.metadata[_METADATA]
        name, many = field.name.replace("_", "-"), isinstance(field.default, tuple)
        settings.append(Setting(name, kind, group, help_, many, field.default, prefix))
    return SettingsTable(tuple(settings), prefix, foreign)


def _from_key(setting: Setting, value: object, path: Path) -> object:
    values = value if setting.many and isinstance(value, list) else [value]
    try:
        read = tuple(setting.kind.from_file(item) for item in values)
    except ValueError as error:
        raise SettingsError(setting.name, f"{error}, in `{path}`") from None
    read = tuple(path.parent / item if isinstance(item, Path) else item for item in read)
    return read if setting.many else read[0]


def _read(setting: Setting, texts: list[str], source: str) -> object:
    try:
        read = tuple(setting.kind.read(text) for text in texts)
    except ValueError as error:
        raise SettingsError(setting.name, f"{error}, in `{source}`") from None
    return read if setting.many else read[0]
