"""The operator's configuration of sidecars, in files: read at the start, and again when they change.

An invalid file makes the start fail. Later, the previous configuration stays active, and the error is logged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import structlog

from tiergate import __version__
from tiergate.bundle import VerifyKey
from tiergate.cluster.injector.mutation import InjectionConfig
from tiergate.cluster.injector.pod_template import read_sidecar, sidecar_variables
from tiergate.errors import SettingsError
from tiergate.process.certificates import read_certificates

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tiergate.cluster.injector.pod_template import Sidecar
    from tiergate.cluster.injector.settings import Settings
    from tiergate.process.settings import SettingsTable

_log = structlog.get_logger(__name__)


class OperatorConfig:
    """The operator's files and their current content, `injection`. `failing`: the files are invalid now."""

    def __init__(
        self, settings: Settings, sidecar_settings: SettingsTable, check: Callable[[Mapping[str, str]], object]
    ) -> None:
        """Read the files. `sidecar_settings` validates single settings of the sidecar, `check` all together.

        Raises:
            SettingsError: a file cannot be read or is invalid.
        """
        self._settings = settings
        self._check_all = check
        self._known = {it.name: it for it in sidecar_settings.settings}
        self.failing = False
        self.injection = self._read()

    def refresh(self) -> None:
        """Read the files again."""
        try:
            injection = self._read()
        except SettingsError as error:
            if not self.failing:
                _log.error("cannot read the sidecar template; keeping the previous one", error=str(error))
            self.failing = True
            return
        if injection != self.injection:
            _log.info("sidecar template changed", image=injection.sidecar.image)
        self.injection, self.failing = injection, False

    def _read(self) -> InjectionConfig:
        settings = self._settings
        if settings.sidecar_file is None:
            raise SettingsError("sidecar-file", "is required")
        sidecar = read_sidecar(_content("sidecar-file", settings.sidecar_file))
        self._check(sidecar)
        given = [(f"`{path}`", _text("public-key", path)) for path in settings.public_key]
        given += [("the `sidecar-file`", pem) for pem in sidecar.public_keys]
        keys = dict.fromkeys(_public_key(place, pem) for place, pem in given)
        if not keys:
            raise SettingsError("public-key", "is required: sidecars accept only signed data")
        authorities = sidecar.control_plane_ca
        if settings.control_plane_ca is not None:
            authorities = _text("control-plane-ca", settings.control_plane_ca)
        sidecar = msgspec.structs.replace(sidecar, public_keys=tuple(keys), control_plane_ca=_authorities(authorities))
        try:
            self._check_all(sidecar_variables(sidecar))
        except SettingsError as error:
            raise SettingsError("sidecar-file", f"no sidecar would start with it: {error}") from None
        return InjectionConfig(sidecar, frozenset(settings.allow_annotation), self._known, self._check_all, __version__)

    def _check(self, sidecar: Sidecar) -> None:
        """Validate the settings of the sidecar, so that no pod gets a sidecar that cannot start."""
        for name, value in sidecar.settings.items():
            setting = self._known.get(name)
            if setting is None:
                raise SettingsError("sidecar-file", f"`settings` has `{name}`, which is not a setting of the sidecar")
            try:
                for one in value.split(",") if setting.many else [value]:
                    setting.kind.read(one)
            except ValueError as error:
                raise SettingsError("sidecar-file", f"`settings.{name}` {error}") from None


def _content(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(setting, f"`{path}` cannot be read: {error.strerror}") from None


def _text(setting: str, path: Path) -> str:
    return _content(setting, path).decode("utf-8", "replace")


def _public_key(place: str, pem: str) -> str:
    try:
        return VerifyKey.from_pem(pem).to_pem()
    except ValueError as error:
        raise SettingsError("public-key", f"the key in {place} {error}") from None


def _authorities(pem: str | None) -> str | None:
    if pem is None:
        return None
    try:
        found = read_certificates(pem)
    except ValueError as error:
        raise SettingsError("control-plane-ca", str(error)) from None
    if not found:
        raise SettingsError("control-plane-ca", "has no certificate in PEM")
    return "".join(it.to_pem() for it in found)
