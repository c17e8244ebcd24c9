"""The control plane's settings: one typed table, from which flags, environment, file and reference page are made.

The field `tls_cert` is the flag `--tls-cert`, the variable `TIERGATE_CP_TLS_CERT` and the key `tls-cert` of the
settings file: see `tiergate.process.settings`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - the table is made from the annotations
from typing import TYPE_CHECKING, Annotated, Final

from tiergate.errors import SettingsError
from tiergate.process.setting_types import BOOLEAN, COUNT, HOST, PATH, PORT, SECONDS, TEXT, choice
from tiergate.process.settings import Row, is_loopback, table_of

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX: Final = "TIERGATE_CP_"
"""What the name of every variable begins with."""

_STORE: Final = "The store"
_LISTENS: Final = "Where it listens"
_MAY_ASK: Final = "Who may ask"
_SIDECARS: Final = "What sidecars follow"
_EVENTS: Final = "Events"
_BOUNDS: Final = "Bounds"
_LOGS: Final = "Logs"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Everything that the control plane can be told. Made by `resolve`; durations in seconds or days."""

    database: Annotated[
        str,
        Row(
            _STORE,
            TEXT,
            "The database: `sqlite:////var/lib/tiergate/store.sqlite`, `postgresql://user@host/name`. Required.",
        ),
    ] = ""
    signing_key_file: Annotated[
        tuple[Path, ...],
        Row(
            _STORE,
            PATH,
            "A file with a private key (Ed25519, PEM). The first one signs; the others are known, "
            "so that keys can be exchanged. Required, but on loopback with SQLite, where one is made.",
        ),
    ] = ()
    migrate: Annotated[
        bool,
        Row(
            _STORE,
            BOOLEAN,
            "Bring PostgreSQL's schema up to this release at the start. SQLite's always is.",
        ),
    ] = False

    bootstrap_admin_key_file: Annotated[
        Path | None,
        Row(
            _STORE,
            PATH,
            "A file with an API key that somebody made up: a store whose first admin has no key yet takes it for "
            "that. Once in the life of a store; afterwards the file changes nothing.",
        ),
    ] = None

    host: Annotated[
        str, Row(_LISTENS, HOST, "The address. Beyond loopback it needs `tls-cert` and `tls-key`, or `insecure`.")
    ] = "127.0.0.1"
    port: Annotated[int, Row(_LISTENS, PORT, "The port; 0 takes any free one.")] = 8440
    tls_cert: Annotated[
        Path | None, Row(_LISTENS, PATH, "A file with the chain of certificates, in PEM; read again when it changes.")
    ] = None
    tls_key: Annotated[Path | None, Row(_LISTENS, PATH, "A file with the certificate's private key, in PEM.")] = None
    insecure: Annotated[
        bool, Row(_LISTENS, BOOLEAN, "Speak plain HTTP beyond loopback, where something in front speaks HTTPS.")
    ] = False

    issuers_file: Annotated[
        Path | None,
        Row(
            _MAY_ASK,
            PATH,
            "A file that says which issuers' tokens are trusted (OpenID Connect, Kubernetes), and for what.",
        ),
    ] = None

    snapshot_every: Annotated[
        int, Row(_SIDECARS, COUNT, "After how many lines of the feed a new snapshot of all subjects is made.")
    ] = 50_000
    feed_retention: Annotated[
        int,
        Row(
            _SIDECARS,
            COUNT,
            "For how many days sidecars can follow the feed from where they were; later they begin with a snapshot.",
        ),
    ] = 30
    history_retention: Annotated[
        int | None,
        Row(_SIDECARS, COUNT, "For how many days it is known what a customer had in the past. Unless set, for good."),
    ] = None
    object_store: Annotated[
        str | None,
        Row(
            _SIDECARS,
            TEXT,
            "Where bundles and snapshots are put for sidecars: `s3://bucket/prefix`, `gs://…`, `az://…`, `file:///…`.",
        ),
    ] = None
    object_store_every: Annotated[
        float, Row(_SIDECARS, SECONDS, "How often it is looked whether something must be put there.")
    ] = 60.0
    object_store_snapshots_every: Annotated[
        float,
        Row(
            _SIDECARS,
            SECONDS,
            "How old the snapshot there may become before a new one is made, if anything has changed since. A sidecar "
            "that is new while no control plane can be asked begins with it.",
        ),
    ] = 300.0
    max_waiting: Annotated[
        int, Row(_SIDECARS, COUNT, "How many requests may wait for news at once; further ones are answered with 503.")
    ] = 5_000

    webhook_network: Annotated[
        tuple[str, ...],
        Row(_EVENTS, TEXT, "A network that webhooks may be in beside the public ones, such as `10.0.0.0/8`."),
    ] = ()

    threads: Annotated[int, Row(_BOUNDS, COUNT, "How many requests are worked on at once.")] = 16
    keep_alive: Annotated[float, Row(_BOUNDS, SECONDS, "How long a connection may be idle before it is closed.")] = 75.0
    max_connection_age: Annotated[
        float,
        Row(
            _BOUNDS,
            SECONDS,
            "How old a connection may become, give or take a tenth; its next answer closes it, so that a load balancer "
            "sends the client to whichever control plane there is by then.",
        ),
    ] = 1800.0
    shutdown_timeout: Annotated[
        float, Row(_BOUNDS, SECONDS, "How long requests that are under way may hold up the end after SIGTERM.")
    ] = 30.0

    log_format: Annotated[
        str, Row(_LOGS, choice("auto", "console", "json"), "`auto` is `console` at a terminal, else `json`.")
    ] = "auto"
    log_level: Annotated[
        str, Row(_LOGS, choice("debug", "info", "warning", "error"), "The least level that is logged.")
    ] = "info"
    log_requests: Annotated[
        str,
        Row(
            _LOGS,
            choice("all", "changes", "none"),
            "Which requests are logged: `changes` leaves out those that only read, and succeed.",
        ),
    ] = "changes"


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
    _fit(settings)
    return settings


def _fit(settings: Settings) -> None:
    if not settings.database:
        raise SettingsError("database", f"is required: give `--database`, `{PREFIX}DATABASE` or a settings file")
    if (settings.tls_cert is None) != (settings.tls_key is None):
        missing = "tls-key" if settings.tls_key is None else "tls-cert"
        raise SettingsError(missing, "`tls-cert` and `tls-key` belong together")
    if not (is_loopback(settings.host) or settings.tls_cert or settings.insecure):
        detail = f"`{settings.host}` is beyond loopback: give `tls-cert` and `tls-key`, or `insecure`"
        raise SettingsError("host", detail)
    if settings.history_retention is not None and settings.history_retention < settings.feed_retention:
        raise SettingsError("history-retention", "is less than `feed-retention`")
