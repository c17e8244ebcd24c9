"""The control plane's settings. See `tiergate.process.settings` for flags, variables and the settings file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tiergate.errors import SettingsError
from tiergate.http.loopback import is_loopback
from tiergate.process.server_settings import (
    ACCESS,
    LIMITS,
    LISTENING,
    LOGS,
    certificate_key_setting,
    certificate_setting,
    every_address_setting,
    keep_alive_setting,
    log_format_setting,
    log_level_setting,
    port_setting,
    shutdown_timeout_setting,
)
from tiergate.process.setting_types import BOOLEAN, COUNT, HOST, PATH, PORT, SECONDS, TEXT, choice
from tiergate.process.settings import build_table, setting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PREFIX: Final = "TIERGATE_CP_"
"""Prefix of every variable."""

_STORE: Final = "Store"
_SIDECARS: Final = "Sync"
_USAGE: Final = "Usage"
_OUTCOMES: Final = "Outcomes"
_EVENTS: Final = "Events"
_STATUS: Final = "Status"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The settings of the control plane, made by `resolve`. Durations in seconds or days."""

    database: str = setting(
        _STORE,
        TEXT,
        "",
        "Database: `sqlite:////var/lib/tiergate/store.sqlite`, `postgresql://user@host/name`. Required.",
    )
    signing_key_file: tuple[Path, ...] = setting(
        _STORE,
        PATH,
        (),
        "File with a private key (Ed25519, PEM). The first one signs; the others stay trusted, so that keys can be "
        "exchanged. Required, except on loopback with SQLite, where a key is created.",
    )
    migrate: bool = setting(
        _STORE,
        BOOLEAN,
        False,
        "Migrate the schema of PostgreSQL to this release at the start. SQLite is always migrated.",
    )
    bootstrap_admin_key_file: Path | None = setting(
        _STORE,
        PATH,
        None,
        "File with an API key that you chose for the first admin of a new store. Registered once in the life of a "
        "store; afterwards the file has no effect.",
    )
    host: str = setting(
        LISTENING, HOST, "127.0.0.1", "Address. Beyond loopback it needs `tls-cert` and `tls-key`, or `insecure`."
    )
    port: int = port_setting(8440)
    probe_host: str = every_address_setting("probes and metrics, if `probe-port` is set")
    probe_port: int | None = setting(
        LISTENING,
        PORT,
        None,
        "Port of probes and metrics alone, over plain HTTP. They are then not on `port`, which the public may reach. "
        "By default they are on `port`.",
    )
    tls_cert: Path | None = certificate_setting(LISTENING, "; read again when it changes.")
    tls_key: Path | None = certificate_key_setting(LISTENING)
    insecure: bool = setting(
        LISTENING, BOOLEAN, False, "Serve plain HTTP beyond loopback, behind a proxy that serves HTTPS."
    )
    issuers_file: Path | None = setting(
        ACCESS,
        PATH,
        None,
        "File that lists the issuers whose tokens are trusted (OpenID Connect, Kubernetes), and the roles that they "
        "give.",
    )
    snapshot_every: int = setting(
        _SIDECARS, COUNT, 50_000, "After how many lines of the feed a new snapshot of all subjects is made."
    )
    feed_retention: int = setting(
        _SIDECARS,
        COUNT,
        30,
        "For how many days sidecars can continue the feed from their position; later they start from a snapshot.",
    )
    history_retention: int | None = setting(
        _SIDECARS, COUNT, None, "For how many days the history of customers is kept. By default without limit."
    )
    object_store: str | None = setting(
        _SIDECARS,
        TEXT,
        None,
        "Where to upload bundles and snapshots for sidecars: `s3://bucket/prefix`, `gs://…`, `az://…`, `file:///…`.",
    )
    object_store_every: float = setting(
        _SIDECARS, SECONDS, 60.0, "How often the object store is checked for missing objects."
    )
    object_store_snapshots_every: float = setting(
        _SIDECARS,
        SECONDS,
        300.0,
        "Maximum age of the snapshot in the object store before a new one is made, if data changed. A new sidecar "
        "starts from it while no control plane is reachable.",
    )
    max_waiting: int = setting(
        _SIDECARS, COUNT, 5_000, "How many requests may wait for news at once; further ones get 503."
    )
    usage_retention: int = setting(
        _USAGE,
        COUNT,
        1100,
        "For how many days closed windows, ended grants and daily series of usage are kept.",
    )
    usage_hours_retention: int = setting(
        _USAGE, COUNT, 35, "For how many days hourly series of usage are kept; daily ones stay."
    )
    usage_export: str | None = setting(
        _USAGE,
        TEXT,
        None,
        "Where to write the usage of each day as Parquet files: `s3://bucket/prefix`, `gs://…`, `az://…`, `file:///…`. "
        "Credentials come from the environment, as for the cloud's own tools.",
    )
    usage_export_every: float = setting(
        _USAGE, SECONDS, 3600.0, "How often it is checked which days are to be written."
    )
    outcomes_retention: int = setting(
        _OUTCOMES, COUNT, 400, "For how many days the outcomes that services report are kept, by minute."
    )
    events_retention: int = setting(_EVENTS, COUNT, 30, "For how many days the list of events is kept.")
    window_events: bool = setting(
        _EVENTS,
        BOOLEAN,
        True,
        "Record an event when a window of a customer's usage ends, and when the next one starts. With millions of "
        "customers, all windows of a month end at one instant.",
    )
    webhook_network: tuple[str, ...] = setting(
        _EVENTS, TEXT, (), "Network that webhooks may be in besides public ones, such as `10.0.0.0/8`."
    )
    webhook_proxy: str | None = setting(
        _EVENTS,
        TEXT,
        None,
        "HTTP proxy that events are sent through, such as `http://proxy:3128`. It resolves the names of webhooks, and "
        "decides which addresses may be reached; URLs with the address of an internal network are still rejected.",
    )
    status_retention: int = setting(
        _STATUS, COUNT, 1100, "For how many days reports on the status of features are kept after their end."
    )
    public_status: bool = setting(
        _STATUS,
        BOOLEAN,
        False,
        "Serve a public page of the status of features at `/status`, `/status.json` and `/status.atom`, without "
        "credentials.",
    )
    public_status_tag: str | None = setting(
        _STATUS, TEXT, None, "Only features with this tag are on the public page. By default all active ones are."
    )
    public_status_title: str = setting(_STATUS, TEXT, "Status", "Title of the public page.")
    threads: int = setting(LIMITS, COUNT, 16, "How many requests are processed at once.")
    keep_alive: float = keep_alive_setting()
    max_connection_age: float = setting(
        LIMITS,
        SECONDS,
        1800.0,
        "Maximum age of a connection, plus or minus a tenth; the next response closes it, so that a load balancer can"
        " select another control plane.",
    )
    shutdown_timeout: float = shutdown_timeout_setting(30.0)
    log_format: str = log_format_setting()
    log_level: str = log_level_setting()
    log_requests: str = setting(
        LOGS,
        choice("all", "changes", "none"),
        "changes",
        "Which requests are logged: `changes` omits those that only read, and succeed.",
    )


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
    if settings.usage_retention < settings.usage_hours_retention:
        raise SettingsError("usage-retention", "is less than `usage-hours-retention`")
