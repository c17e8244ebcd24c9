"""The sidecar's settings: one typed table, from which flags, environment, file and reference page are made.

Every field of :class:`Settings` is one setting. The field `probe_port` is the flag `--probe-port`, the variable
`TIERGATE_PROBE_PORT` and the key `probe-port` of the settings file. Where they come from: `setting_sources`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - the table is made from the annotations
from typing import Annotated, Final

from tiergate.process.setting_types import (
    BOOLEAN,
    BYTES,
    CERTIFICATES,
    COUNT,
    HOST,
    MODE,
    PATH,
    PEM,
    PORT,
    SECONDS,
    SHARE,
    TEXT,
    choice,
)
from tiergate.process.settings import Row, table_of

# `model.Reason`, written out, because the command line reads this table before it needs the model. A test compares.
REASONS: Final = (
    "unknown_subject",
    "evaluation_error",
    "stale_data",
    "feature_inactive",
    "feature_suspended",
    "subscription_inactive",
    "override_denied",
    "rule_denied",
    "amount_invalid",
    "cap_reached",
    "not_entitled",
    "limit_reached",
    "out_of_range",
    "level_too_low",
    "granted",
)
"""The reasons that the decision log can be filtered by."""

PREFIX: Final = "TIERGATE_"
"""What the name of every variable begins with."""

_DECIDED_ON: Final = "What is decided on"
_STALE: Final = "Stale data"
_STARTUP: Final = "A start without data"
_FOLLOWED: Final = "Which control plane is followed"
_LISTENS: Final = "Where it listens"
_MAY_ASK: Final = "Who may ask"
_BOUNDS: Final = "Bounds"
_LOGS: Final = "Logs"
_DECISION_LOG: Final = "The decision log"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Everything that the sidecar can be told. Made by `resolve`; durations in seconds, sizes in bytes."""

    catalog: Annotated[
        tuple[Path, ...],
        Row(
            _DECIDED_ON,
            PATH,
            "A catalog file, or a folder of them; several are read as one. Required without `control-plane`.",
        ),
    ] = ()
    subjects: Annotated[
        tuple[Path, ...],
        Row(
            _DECIDED_ON,
            PATH,
            "A subjects file (YAML, JSON, or NDJSON where there are many), or a folder. Required without "
            "`control-plane`.",
        ),
    ] = ()
    rules: Annotated[Path | None, Row(_DECIDED_ON, PATH, "A folder of your own rules, as `.cedar` files.")] = None
    data: Annotated[
        Path | None,
        Row(
            _DECIDED_ON,
            PATH,
            "A folder that keeps what was loaded, so that a restart is ready at once and outlives broken files. "
            "Without it, a private temporary folder is used and removed at the end.",
        ),
    ] = None

    strict_subjects: Annotated[
        bool,
        Row(
            _DECIDED_ON,
            BOOLEAN,
            "Take subjects files as a whole or not at all. By default a customer whose records have problems keeps its "
            "earlier ones, is reported, and all others are followed.",
        ),
    ] = False
    load_timeout: Annotated[
        float,
        Row(
            _DECIDED_ON,
            SECONDS,
            "How long a load of the files may take before it has failed, so that a file system that does not answer "
            "shows. It is tried again.",
        ),
    ] = 1800.0

    control_plane: Annotated[
        str | None,
        Row(
            _FOLLOWED,
            TEXT,
            "The URL of a control plane to follow instead of files, such as `https://tiergate.example:8440`. A "
            "`key-file` may name it too.",
        ),
    ] = None
    control_plane_ca_pem: Annotated[
        str | None,
        Row(
            _FOLLOWED,
            CERTIFICATES,
            "The certificates of who may vouch for the control plane, in PEM, instead of those that the system trusts.",
        ),
    ] = None
    key_file: Annotated[
        Path | None,
        Row(
            _FOLLOWED,
            PATH,
            "A file with the key, or a Kubernetes service account's token, to ask the control plane with; or with all "
            "that `tiergate keys create --role sidecar` writes. Read again at every request.",
        ),
    ] = None
    public_key: Annotated[
        tuple[Path, ...],
        Row(
            _FOLLOWED,
            PATH,
            "A file with a public key, in PEM, by which the store may sign; several are valid at the same time. Needed "
            "unless the `key-file` holds them.",
        ),
    ] = ()
    public_key_pem: Annotated[
        tuple[str, ...],
        Row(
            _FOLLOWED,
            PEM,
            "The same as the key itself, in PEM, where a file is not at hand; all keys of this and of `public-key` are "
            "valid.",
        ),
    ] = ()
    store_id: Annotated[
        str | None,
        Row(_FOLLOWED, TEXT, "The id of the store; another one's data is refused. By default, the first that is seen."),
    ] = None
    object_store: Annotated[
        str | None,
        Row(
            _FOLLOWED,
            TEXT,
            "Where bundles and snapshots are fetched from first: `s3://…`, `gs://…`, `az://…` or `file:///…`. All but "
            "the last need `tiergate[object-store]`.",
        ),
    ] = None
    on_demand: Annotated[
        bool,
        Row(_FOLLOWED, BOOLEAN, "Hold only the subjects that are asked for, and fetch each when that happens first."),
    ] = False
    on_demand_timeout: Annotated[
        float, Row(_FOLLOWED, SECONDS, "How long a check waits for its subject to be fetched.")
    ] = 0.5
    on_demand_keep: Annotated[
        int, Row(_FOLLOWED, COUNT, "How many customers are held at most; those longest unasked for go first.")
    ] = 100_000

    max_staleness: Annotated[
        float,
        Row(_STALE, SECONDS, "The age from which data that follows a control plane counts as stale."),
    ] = 300.0
    stale_deny: Annotated[
        tuple[str, ...],
        Row(
            _STALE,
            TEXT,
            "What is denied, with the reason `stale_data`, once the data is stale: a feature's id, `tag:` and a tag of "
            "features, or `*` for all. Everything else is decided by the data that there is.",
        ),
    ] = ()

    startup_deadline: Annotated[
        float | None,
        Row(
            _STARTUP,
            SECONDS,
            "How long after its start the sidecar waits for something to decide by. From then on it is ready, and "
            "until there is something, it denies every check with the reason `stale_data`. By default it waits.",
        ),
    ] = None
    startup_allow: Annotated[
        tuple[str, ...],
        Row(
            _STARTUP,
            TEXT,
            "What is allowed instead, then: a feature's id, or `*` for all. Needs `startup-deadline`.",
        ),
    ] = ()

    host: Annotated[
        str, Row(_LISTENS, HOST, "The address of the API. Beyond loopback it needs `token-file` or `insecure`.")
    ] = "127.0.0.1"
    port: Annotated[int, Row(_LISTENS, PORT, "The port of the API; 0 takes any free one.")] = 8437
    uds: Annotated[Path | None, Row(_LISTENS, PATH, "A Unix socket that serves the API as well.")] = None
    uds_mode: Annotated[int, Row(_LISTENS, MODE, "Who may connect to the Unix socket, as file permissions.")] = 0o600
    uds_group: Annotated[
        str | None, Row(_LISTENS, TEXT, "The group, by name or number, that owns the Unix socket.")
    ] = None
    probe_host: Annotated[str, Row(_LISTENS, HOST, "The address of probes, status and metrics.")] = "0.0.0.0"  # noqa: S104 - whoever probes is outside
    probe_port: Annotated[int, Row(_LISTENS, PORT, "The port of probes, status and metrics; 0 takes any free one.")] = (
        8438
    )

    token_file: Annotated[
        Path | None,
        Row(
            _MAY_ASK,
            PATH,
            "A file with the token that every request must then carry, as `Authorization: Bearer …`; or with several, "
            "one a line, of which any will do. Read again when it changes.",
        ),
    ] = None
    insecure: Annotated[
        bool,
        Row(
            _MAY_ASK,
            BOOLEAN,
            "Listen beyond loopback without a token, and speak to a control plane or object store there without TLS.",
        ),
    ] = False
    allowed_host: Annotated[
        tuple[str, ...],
        Row(_MAY_ASK, TEXT, "A name that requests may have in `Host`, beside loopback's own names."),
    ] = ()
    allowed_origin: Annotated[
        tuple[str, ...],
        Row(_MAY_ASK, TEXT, "An origin whose web pages may ask, such as `https://console.example`."),
    ] = ()

    max_body: Annotated[int, Row(_BOUNDS, BYTES, "The largest body of a request.")] = 1024**2
    max_connections: Annotated[
        int, Row(_BOUNDS, COUNT, "The most connections at once; requests on further ones are answered with 503.")
    ] = 4096
    request_timeout: Annotated[
        float, Row(_BOUNDS, SECONDS, "How long a client may take to send one whole request.")
    ] = 10.0
    keep_alive: Annotated[float, Row(_BOUNDS, SECONDS, "How long a connection may be idle before it is closed.")] = 75.0
    shutdown_timeout: Annotated[
        float, Row(_BOUNDS, SECONDS, "How long requests that are under way may hold up the end after SIGTERM.")
    ] = 10.0

    cache_size: Annotated[
        int, Row(_BOUNDS, BYTES, "The memory for everything that is remembered to answer faster, about.")
    ] = 168 * 1024**2

    log_format: Annotated[
        str, Row(_LOGS, choice("auto", "console", "json"), "`auto` is `console` at a terminal, else `json`.")
    ] = "auto"
    log_level: Annotated[
        str, Row(_LOGS, choice("debug", "info", "warning", "error"), "The least level that is logged.")
    ] = "info"
    decision_log: Annotated[
        str | None,
        Row(
            _DECISION_LOG,
            TEXT,
            "Where decisions are logged, one JSON object a line: a file, or `-` for standard output.",
        ),
    ] = None
    decision_log_sample: Annotated[float, Row(_DECISION_LOG, SHARE, "The share of the decisions that is logged.")] = 1.0
    decision_log_outcome: Annotated[
        str, Row(_DECISION_LOG, choice("all", "allowed", "denied"), "Which decisions are logged.")
    ] = "all"
    decision_log_reason: Annotated[
        tuple[str, ...],
        Row(_DECISION_LOG, choice(*REASONS, word="reason"), "Log only decisions with this reason."),
    ] = ()
    decision_log_feature: Annotated[
        tuple[str, ...], Row(_DECISION_LOG, TEXT, "Log only decisions about this feature.")
    ] = ()
    decision_log_subject: Annotated[
        str,
        Row(
            _DECISION_LOG,
            choice("keep", "hash", "drop"),
            "What is written of customers and subscriptions: their ids, a keyed hash of each, or nothing.",
        ),
    ] = "keep"
    decision_log_user: Annotated[str, Row(_DECISION_LOG, choice("keep", "hash", "drop"), "The same for users.")] = (
        "keep"
    )
    decision_log_record: Annotated[
        bool,
        Row(
            _DECISION_LOG,
            BOOLEAN,
            "Write the subject's record into each line too, so that a decision can be replayed without its history.",
        ),
    ] = False
    decision_log_key_file: Annotated[
        Path | None,
        Row(
            _DECISION_LOG,
            PATH,
            "A file with the key of these hashes, so that they are the same in every process. Without it, each process "
            "makes one of its own.",
        ),
    ] = None
    decision_log_queue: Annotated[
        int, Row(_DECISION_LOG, COUNT, "How many decisions may wait to be written; further ones are dropped, counted.")
    ] = 50_000


TABLE: Final = table_of(Settings, PREFIX, foreign=(PREFIX + "CP_", PREFIX + "INJECTOR_"))
"""The table; variables that begin with `TIERGATE_CP_` are the control plane's, `TIERGATE_INJECTOR_` the injector's."""

SETTINGS: Final = TABLE.settings
"""The table, in the order of the reference page."""
