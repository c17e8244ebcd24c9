"""Reads settings from flags, environment, settings file and defaults, in this order, and checks them together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.errors import SettingsError
from tiergate.http.loopback import is_loopback
from tiergate.naming import is_id
from tiergate.sidecar.settings import PREFIX, TABLE, Settings
from tiergate.sidecar.staleness import EVERY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_WORKERS: Final = 256
"""The most workers: more than any machine has use for."""


def resolve(flags: Mapping[str, object], environ: Mapping[str, str]) -> Settings:
    """Make the settings from flags, the environment, and the settings file that these name.

    See :meth:`tiergate.process.settings.Table.read`. Raises `SettingsError` if a setting is unknown, malformed or
    missing, or two contradict each other.
    """
    settings = Settings(**TABLE.read(flags, environ))
    _fit(settings)
    return settings


def unknown_variables(environ: Mapping[str, str], others: Iterable[str] = ()) -> tuple[str, ...]:
    """Return variables with the sidecar's prefix that are not settings; `others` belong to other programs."""
    return TABLE.unknown_variables(environ, others)


def _fit(settings: Settings) -> None:
    files = {"catalog": settings.catalog, "subjects": settings.subjects, "rules": settings.rules}
    if settings.control_plane or settings.key_file:
        _fit_sync(settings, [name for name, given in files.items() if given])
    else:
        _fit_files(settings)
    if not (is_loopback(settings.host) or settings.token_file or settings.insecure):
        raise SettingsError("host", f"`{settings.host}` is beyond loopback: give `token-file`, or `insecure`")
    _fit_startup(settings)
    _fit_workers(settings)
    if settings.uds is None and settings.uds_group is not None:
        raise SettingsError("uds-group", "needs `uds`")
    if settings.port and settings.port == settings.probe_port:
        raise SettingsError("probe-port", f"{settings.probe_port} is the port of the API already")
    if settings.decision_log_record and settings.decision_log_subject != "keep":
        raise SettingsError(
            "decision-log-record", "a record identifies its subject: set `decision-log-subject` to `keep`"
        )


def _fit_workers(settings: Settings) -> None:
    if settings.workers > MAX_WORKERS:
        raise SettingsError("workers", f"must be at most {MAX_WORKERS}")
    if settings.workers > 1 and settings.on_demand:
        raise SettingsError("workers", "must be 1 with `on-demand`: a worker cannot fetch subjects")


def _fit_startup(settings: Settings) -> None:
    if settings.startup_allow and settings.startup_deadline is None:
        raise SettingsError("startup-allow", "needs `startup-deadline`")
    for word in settings.startup_allow:
        if word != EVERY and not is_id(word):
            detail = f"`{word[:100]}` must be `{EVERY}` or a feature's id: tags are unknown before a catalog is loaded"
            raise SettingsError("startup-allow", detail)


def _fit_files(settings: Settings) -> None:
    for name, given in (("catalog", settings.catalog), ("subjects", settings.subjects)):
        if not given:
            where = f"give `--{name}`, `{PREFIX}{name.upper()}` or a settings file"
            raise SettingsError(name, f"is required: {where}; or follow a `control-plane`")
    only_sync = {
        "public-key": settings.public_key,
        "control-plane-ca-pem": settings.control_plane_ca_pem,
        "public-key-pem": settings.public_key_pem,
        "store-id": settings.store_id,
        "object-store": settings.object_store,
        "on-demand": settings.on_demand,
    }
    for name, value in only_sync.items():
        if value:
            raise SettingsError(name, "needs `control-plane`, or a `key-file` that names one")


def _fit_sync(settings: Settings, files: list[str]) -> None:
    if files:
        also = "a control plane is followed: what is decided on comes from there or from files; `control-plane` or "
        raise SettingsError(files[0], f"{also}`key-file` is set, by a flag, a `{PREFIX}` variable or the settings file")
    if settings.key_file is None:
        raise SettingsError("key-file", "is required with `control-plane`: `tiergate keys create --role sidecar`")
