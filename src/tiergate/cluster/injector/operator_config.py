"""What the operator says of sidecars, in files: read at the start, and again when they change.

A file that cannot be read, or does not say a sidecar, ends the start. Later on it changes nothing: what was said before
holds on, and the injector says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import structlog

from tiergate import __version__
from tiergate.bundle import VerifyKey
from tiergate.cluster.injector.mutation import Injection
from tiergate.cluster.injector.pod_template import read_sidecar, variables
from tiergate.errors import SettingsError
from tiergate.process.certificates import read_certificates

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tiergate.cluster.injector.pod_template import Sidecar
    from tiergate.cluster.injector.settings import Settings
    from tiergate.process.settings import SettingsTable

_log = structlog.get_logger(__name__)


class Words:
    """The operator's files, and what they come to: `injection`. `failing` where they cannot be used at present."""

    def __init__(
        self, settings: Settings, sidecar_settings: SettingsTable, check: Callable[[Mapping[str, str]], object]
    ) -> None:
        """Read them. `sidecar_settings`: the table by which the sidecar's settings are checked; `check`: as a whole.

        Raises:
            SettingsError: a file cannot be read or used.
        """
        self._settings = settings
        self._check_all = check
        self._known = {one.name: one for one in sidecar_settings.settings}
        self.failing = False
        self.injection = self._read()

    def refresh(self) -> None:
        """Read them again."""
        try:
            found = self._read()
        except SettingsError as error:
            if not self.failing:
                _log.error("what sidecars are cannot be read, and stays as it was", error=str(error))
            self.failing = True
            return
        if found != self.injection:
            _log.info("what sidecars are has changed", image=found.sidecar.image)
        self.injection, self.failing = found, False

    def _read(self) -> Injection:
        settings = self._settings
        if settings.sidecar_file is None:
            raise SettingsError("sidecar-file", "is required")
        sidecar = read_sidecar(_content("sidecar-file", settings.sidecar_file))
        self._check(sidecar)
        given = [(f"`{path}`", _text("public-key", path)) for path in settings.public_key]
        given += [("the `sidecar-file`", pem) for pem in sidecar.public_keys]
        keys = dict.fromkeys(_public_key(place, pem) for place, pem in given)
        if not keys:
            raise SettingsError("public-key", "is required, for sidecars accept nothing that is unsigned")
        authorities = sidecar.control_plane_ca
        if settings.control_plane_ca is not None:
            authorities = _text("control-plane-ca", settings.control_plane_ca)
        sidecar = msgspec.structs.replace(sidecar, public_keys=tuple(keys), control_plane_ca=_authorities(authorities))
        try:
            self._check_all(variables(sidecar))
        except SettingsError as error:
            raise SettingsError("sidecar-file", f"no sidecar would start with it: {error}") from None
        return Injection(sidecar, frozenset(settings.allow_annotation), self._known, self._check_all, __version__)

    def _check(self, sidecar: Sidecar) -> None:
        """Have the sidecar's own table check its settings, so that no pod gets a sidecar that cannot start."""
        for name, value in sidecar.settings.items():
            setting = self._known.get(name)
            if setting is None:
                raise SettingsError("sidecar-file", f"`settings` has `{name}`, and the sidecar has no such setting")
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
        raise SettingsError("public-key", f"what {place} holds {error}") from None


def _authorities(pem: str | None) -> str | None:
    if pem is None:
        return None
    try:
        found = read_certificates(pem)
    except ValueError as error:
        raise SettingsError("control-plane-ca", str(error)) from None
    if not found:
        raise SettingsError("control-plane-ca", "holds no certificate in PEM")
    return "".join(one.to_pem() for one in found)
