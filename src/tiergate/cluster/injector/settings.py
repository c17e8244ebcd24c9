"""The injector's settings: one typed table, from which flags, environment, file and reference page are made.

The field `probe_port` is the flag `--probe-port`, the variable `TIERGATE_INJECTOR_PROBE_PORT` and the key `probe-port`
of the settings file: see `tiergate.process.settings`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from tiergate.cluster.injector.annotations import ANNOTATIONS, USUAL
from tiergate.errors import SettingsError
from tiergate.process.setting_types import HOST, PATH, PORT, SECONDS, TEXT, choice
from tiergate.process.settings import Row, table_of

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX: Final = "TIERGATE_INJECTOR_"
"""What the name of every variable begins with."""

_INJECTED: Final = "What is injected"
_LISTENS: Final = "Where it listens"
_CERTIFICATE: Final = "Its certificate"
_LOGS: Final = "Logs"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Everything that the injector can be told. Made by `resolve`; durations in seconds."""

    sidecar_file: Annotated[
        Path | None,
        Row(
            _INJECTED,
            PATH,
            "A file, in YAML or JSON, that says what every sidecar is: its image, its control plane, its settings. "
            "Followed when it changes. Required.",
        ),
    ] = None
    public_key: Annotated[
        tuple[Path, ...],
        Row(
            _INJECTED,
            PATH,
            "A file with a public key, in PEM, by which the store may sign; every sidecar is given all of them. "
            "Followed when it changes. Needed unless the `sidecar-file` holds them.",
        ),
    ] = ()
    control_plane_ca: Annotated[
        Path | None,
        Row(
            _INJECTED,
            PATH,
            "A file with the certificates, in PEM, that sidecars believe the control plane by, instead of the "
            "system's. Followed when it changes.",
        ),
    ] = None
    allow_annotation: Annotated[
        tuple[str, ...],
        Row(
            _INJECTED,
            choice(*(one.name for one in ANNOTATIONS), word="annotation"),
            "An annotation that pods may have, without `tiergate.dev/`; by default, those that are marked as usual.",
        ),
    ] = USUAL

    host: Annotated[str, Row(_LISTENS, HOST, "The address of the webhook, which is served by HTTPS alone.")] = "0.0.0.0"  # noqa: S104 - the API server is outside
    port: Annotated[int, Row(_LISTENS, PORT, "The port of the webhook; 0 takes any free one.")] = 8443
    probe_host: Annotated[str, Row(_LISTENS, HOST, "The address of probes and metrics.")] = "0.0.0.0"  # noqa: S104 - whoever probes is outside
    probe_port: Annotated[int, Row(_LISTENS, PORT, "The port of probes and metrics; 0 takes any free one.")] = 8444
    shutdown_timeout: Annotated[
        float, Row(_LISTENS, SECONDS, "How long requests that are under way may hold up the end after SIGTERM.")
    ] = 10.0

    tls_cert: Annotated[
        Path | None,
        Row(
            _CERTIFICATE,
            PATH,
            "A file with the chain of certificates, in PEM, where somebody else makes them, such as cert-manager. "
            "Followed when it changes.",
        ),
    ] = None
    tls_key: Annotated[Path | None, Row(_CERTIFICATE, PATH, "A file with the certificate's private key, in PEM.")] = (
        None
    )
    service: Annotated[
        str | None,
        Row(
            _CERTIFICATE,
            TEXT,
            "The Service, in this pod's namespace, by which the API server reaches the webhook. Required without "
            "`tls-cert`, as are the next two: the injector then makes its certificate itself.",
        ),
    ] = None
    webhook: Annotated[
        str | None,
        Row(_CERTIFICATE, TEXT, "The MutatingWebhookConfiguration that is told whom to believe: its `caBundle`."),
    ] = None
    certificate_secret: Annotated[
        str | None,
        Row(_CERTIFICATE, TEXT, "The Secret, in this pod's namespace, by which all replicas have one certificate."),
    ] = None
    certificate_name: Annotated[
        tuple[str, ...], Row(_CERTIFICATE, TEXT, "A further DNS name that the certificate is for.")
    ] = ()
    service_account: Annotated[
        Path, Row(_CERTIFICATE, PATH, "The folder with this pod's `token`, `ca.crt` and `namespace`.")
    ] = Path("/var/run/secrets/kubernetes.io/serviceaccount")

    log_format: Annotated[
        str, Row(_LOGS, choice("auto", "console", "json"), "`auto` is `console` at a terminal, else `json`.")
    ] = "auto"
    log_level: Annotated[
        str, Row(_LOGS, choice("debug", "info", "warning", "error"), "The least level that is logged.")
    ] = "info"


TABLE: Final = table_of(Settings, PREFIX)
"""The table."""

SETTINGS: Final = TABLE.settings
"""Its rows, in the order of the reference page."""


def resolve(flags: Mapping[str, object], environ: Mapping[str, str]) -> Settings:
    """Make the settings from what the command line and the environment say, and the settings file that they name.

    See :meth:`tiergate.process.settings.Table.read`.

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
