"""The injector's settings. See `tiergate.process.settings` for flags, variables and the settings file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tiergate.cluster.injector.annotations import ANNOTATIONS, DEFAULT_ANNOTATIONS
from tiergate.errors import SettingsError
from tiergate.process.server_settings import (
    LISTENING,
    certificate_key_setting,
    certificate_setting,
    every_address_setting,
    log_format_setting,
    log_level_setting,
    port_setting,
    shutdown_timeout_setting,
)
from tiergate.process.setting_types import PATH, TEXT, choice
from tiergate.process.settings import build_table, setting

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX: Final = "TIERGATE_INJECTOR_"
"""Prefix of every variable."""

_INJECTED: Final = "Injected sidecars"
_CERTIFICATE: Final = "Certificate"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The settings of the injector, made by `resolve`. Durations in seconds."""

    sidecar_file: Path | None = setting(
        _INJECTED,
        PATH,
        None,
        "File, in YAML or JSON, that configures every sidecar: its image, its control plane, its settings. Followed "
        "when it changes. Required.",
    )
    public_key: tuple[Path, ...] = setting(
        _INJECTED,
        PATH,
        (),
        "File with a public key, in PEM, that verifies the store's signatures; every sidecar gets all of them. "
        "Followed when it changes. Required unless the `sidecar-file` has them.",
    )
    control_plane_ca: Path | None = setting(
        _INJECTED,
        PATH,
        None,
        "File with the CA certificates, in PEM, that verify the control plane for sidecars. By default those of the "
        "system. Followed when it changes.",
    )
    allow_annotation: tuple[str, ...] = setting(
        _INJECTED,
        choice(*(it.name for it in ANNOTATIONS), word="annotation"),
        DEFAULT_ANNOTATIONS,
        "Annotation that pods may have, without `tiergate.dev/`; by default those that are marked as usual.",
    )
    host: str = every_address_setting("the webhook, which serves HTTPS only")
    port: int = port_setting(8443, "the webhook")
    probe_host: str = every_address_setting("probes and metrics")
    probe_port: int = port_setting(8444, "probes and metrics")
    shutdown_timeout: float = shutdown_timeout_setting(10.0, LISTENING)
    tls_cert: Path | None = certificate_setting(
        _CERTIFICATE, ", if something else creates it, such as cert-manager. Followed when it changes."
    )
    tls_key: Path | None = certificate_key_setting(_CERTIFICATE)
    service: str | None = setting(
        _CERTIFICATE,
        TEXT,
        None,
        "Service, in this pod's namespace, through which the API server calls the webhook. Required without `tls-"
        "cert`, as are the next two: the injector then creates its certificate itself.",
    )
    webhook: str | None = setting(
        _CERTIFICATE, TEXT, None, "MutatingWebhookConfiguration whose `caBundle` the injector sets."
    )
    certificate_secret: str | None = setting(
        _CERTIFICATE, TEXT, None, "Secret, in this pod's namespace, through which all replicas share one certificate."
    )
    certificate_name: tuple[str, ...] = setting(_CERTIFICATE, TEXT, (), "Further DNS name of the certificate.")
    service_account: Path = setting(
        _CERTIFICATE,
        PATH,
        Path("/var/run/secrets/kubernetes.io/serviceaccount"),
        "Folder with this pod's `token`, `ca.crt` and `namespace`.",
    )
    log_format: str = log_format_setting()
    log_level: str = log_level_setting()


TABLE: Final = build_table(Settings, PREFIX)
"""The table."""

SETTINGS: Final = TABLE.settings
"""The settings, in the order of the reference page."""


def resolve(flags: Mapping[str, object], environ: Mapping[str, str]) -> Settings:
    """Make the settings from the command line, the environment and the settings file; see `SettingsTable.read`.

    Raises:
        SettingsError: a setting is unknown, malformed or missing, or they do not fit together.
    """
    settings = Settings(**TABLE.read(flags, environ))
    if settings.sidecar_file is None:
        where = f"give `--sidecar-file`, `{PREFIX}SIDECAR_FILE` or a settings file"
        raise SettingsError("sidecar-file", f"is required: {where}")
    if (settings.tls_cert is None) != (settings.tls_key is None):
        missing = "tls-key" if settings.tls_key is None else "tls-cert"
        raise SettingsError(missing, "`tls-cert` and `tls-key` belong together")
    own = {
        "service": settings.service,
        "webhook": settings.webhook,
        "certificate-secret": settings.certificate_secret,
    }
    for name, value in own.items():
        if settings.tls_cert is None and value is None:
            raise SettingsError(name, "is required where the injector makes its certificate itself: without `tls-cert`")
        if settings.tls_cert is not None and value is not None:
            raise SettingsError(name, "is for a certificate that the injector makes itself, and `tls-cert` names one")
    if settings.port and settings.port == settings.probe_port:
        raise SettingsError("probe-port", f"{settings.probe_port} is the port of the webhook already")
    return settings
