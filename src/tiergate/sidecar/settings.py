"""The sidecar's settings. See `tiergate.process.settings` for flags, variables and the settings file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tiergate.process.server_settings import (
    ACCESS,
    LIMITS,
    LISTENING,
    every_address_setting,
    keep_alive_setting,
    log_format_setting,
    log_level_setting,
    port_setting,
    shutdown_timeout_setting,
)
from tiergate.process.setting_types import (
    BOOLEAN,
    BYTES,
    CERTIFICATES,
    COUNT,
    HOST,
    MODE,
    PATH,
    PEM,
    SECONDS,
    SHARE,
    TEXT,
    WHOLE,
    choice,
)
from tiergate.process.settings import build_table, setting

if TYPE_CHECKING:
    from pathlib import Path

# `model.Reason`, written out: the command line reads this table before it needs the model. A test compares them.
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
"""Reasons that the decision log can be filtered by."""

PREFIX: Final = "TIERGATE_"
"""Prefix of every variable."""

_DATA: Final = "Data files"
_EVALUATION: Final = "Evaluation"
_STALE: Final = "Stale data"
_STARTUP: Final = "Startup without data"
_CONTROL_PLANE: Final = "Control plane"
_USAGE: Final = "Usage"
_OUTCOMES: Final = "Outcomes"
_DECISION_LOG: Final = "Decision log"

_REDACTION: Final = choice("keep", "hash", "drop")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The settings of the sidecar, made by `resolve`. Durations in seconds, sizes in bytes."""

    catalog: tuple[Path, ...] = setting(
        _DATA, PATH, (), "Catalog file, or a folder of them; several are merged. Required without `control-plane`."
    )
    subjects: tuple[Path, ...] = setting(
        _DATA,
        PATH,
        (),
        "Subjects file (YAML, JSON, or NDJSON for many subjects), or a folder of them. Required without `control-"
        "plane`.",
    )
    rules: Path | None = setting(_DATA, PATH, None, "Folder of your own rules, as `.cedar` files.")
    data: Path | None = setting(
        _DATA,
        PATH,
        None,
        "Folder that keeps loaded data, so that a restart is ready at once and survives broken files. Without it, a "
        "private temporary folder is used and removed at exit.",
    )
    data_limit: int | None = setting(
        _DATA,
        BYTES,
        None,
        "How many bytes the data folder may take, such as the size limit of its volume. A new replica that would not "
        "fit beside the present data is not built, and `/status` reports it. By default without limit.",
    )
    strict_subjects: bool = setting(
        _DATA,
        BOOLEAN,
        False,
        "Reject subjects files as a whole if a record has problems. By default a customer whose records have problems"
        " keeps its previous records and is reported, and all others are loaded.",
    )
    load_timeout: float = setting(
        _DATA,
        SECONDS,
        1800.0,
        "How long loading the files may take before it fails, so that a file system that hangs is noticed. A failed "
        "load is retried.",
    )
    control_plane: str | None = setting(
        _CONTROL_PLANE,
        TEXT,
        None,
        "URL of a control plane to follow instead of files, such as `https://tiergate.example:8440`. A `key-file` can"
        " name it too.",
    )
    control_plane_ca_pem: str | None = setting(
        _CONTROL_PLANE,
        CERTIFICATES,
        None,
        "CA certificates that verify the control plane, in PEM. By default those of the system.",
    )
    key_file: Path | None = setting(
        _CONTROL_PLANE,
        PATH,
        None,
        "File with the API key, or the token of a Kubernetes service account, for requests to the control plane; or "
        "with all that `tiergate keys create --role sidecar` prints. Read again for every request.",
    )
    public_key: tuple[Path, ...] = setting(
        _CONTROL_PLANE,
        PATH,
        (),
        "File with a public key, in PEM, that verifies the store's signatures; several can be valid at the same time."
        " Required unless the `key-file` has them.",
    )
    public_key_pem: tuple[str, ...] = setting(
        _CONTROL_PLANE,
        PEM,
        (),
        "The public key itself, in PEM, if there is no file; all keys of this and of `public-key` are valid.",
    )
    store_id: str | None = setting(
        _CONTROL_PLANE,
        TEXT,
        None,
        "Id of the store; data of another store is rejected. By default the id that is seen first.",
    )
    object_store: str | None = setting(
        _CONTROL_PLANE,
        TEXT,
        None,
        "Where to download bundles and snapshots first: `s3://…`, `gs://…`, `az://…` or `file:///…`. All but `file:` "
        "need `tiergate[object-store]`.",
    )
    on_demand: bool = setting(
        _CONTROL_PLANE,
        BOOLEAN,
        False,
        "Fetch a subject when it is checked for the first time, instead of all subjects at the start.",
    )
    on_demand_timeout: float = setting(
        _CONTROL_PLANE, SECONDS, 0.5, "How long a check waits for its subject to be fetched."
    )
    on_demand_keep: int = setting(
        _CONTROL_PLANE,
        COUNT,
        100_000,
        "How many customers are kept at most; the least recently checked are removed first.",
    )
    max_staleness: float = setting(_STALE, SECONDS, 300.0, "Age at which data from a control plane becomes stale.")
    stale_deny: tuple[str, ...] = setting(
        _STALE,
        TEXT,
        (),
        "Deny checks of these features with the reason `stale_data` while the data is stale: a feature id, `tag:` and"
        " a tag of features, or `*` for all. Other checks are decided with the stale data.",
    )
    startup_deadline: float | None = setting(
        _STARTUP,
        SECONDS,
        None,
        "How long the sidecar waits after its start for data. After that `/startupz` succeeds, and until it has data, "
        "it denies every check with the reason `stale_data`; `/readyz` fails until then, unless `startup-allow` is "
        "set. By default it waits without limit.",
    )
    startup_allow: tuple[str, ...] = setting(
        _STARTUP,
        TEXT,
        (),
        "Allow checks of these features instead: a feature id, or `*` for all. Needs `startup-deadline`.",
    )
    usage_disk: int = setting(
        _USAGE,
        BYTES,
        2**30,
        "How many bytes the usage that is counted here may take in the data folder. When they are used up, nothing is "
        "counted, and callers get an error.",
    )
    usage_keys: int = setting(
        _USAGE,
        COUNT,
        250_000,
        "How many idempotency keys are kept at most, each for 24 hours; the oldest are forgotten first. Each takes "
        "about a kilobyte of memory.",
    )
    outcomes_disk: int = setting(
        _OUTCOMES,
        BYTES,
        64 * 1024**2,
        "How many bytes the outcomes that services report may take in the data folder, and a sum by feature and minute "
        "for each 64 of them in memory. When they are used up, nothing is counted, and callers get an error.",
    )
    outcomes_keep: float = setting(
        _OUTCOMES,
        SECONDS,
        86_400.0,
        "How long outcomes can be read here: without a control plane at all, with one after it has them.",
    )
    outcomes_ids: int = setting(
        _OUTCOMES,
        COUNT,
        100_000,
        "How many ids of outcomes are kept at most, each for at least an hour; the oldest are forgotten first. Each "
        "takes about 100 bytes of memory.",
    )
    recheck_one_in: int = setting(
        _EVALUATION,
        WHOLE,
        1_000,
        "Of the decisions made with a kept answer of Cedar, ask Cedar again for one in this many, chosen at random: 1 "
        "for every one, 0 for none. At a difference the sidecar logs an error, decides by Cedar, and keeps no answers "
        "until the next bundle.",
    )
    always_ask_cedar: bool = setting(
        _EVALUATION,
        BOOLEAN,
        False,
        "Keep no answers of Cedar: it evaluates every decision that is not cached. Decides the same, more slowly.",
    )
    workers: int = setting(
        LISTENING,
        COUNT,
        1,
        "How many processes answer checks, for as many processor cores. With more than 1, another process keeps the "
        "data current for all, and counts usage. Must be 1 with `on-demand`.",
    )
    host: str = setting(
        LISTENING, HOST, "127.0.0.1", "Address of the API. Beyond loopback it needs `token-file` or `insecure`."
    )
    port: int = port_setting(8437, "the API")
    uds: Path | None = setting(LISTENING, PATH, None, "Unix socket that also serves the API.")
    uds_mode: int = setting(LISTENING, MODE, 0o600, "File permissions of the Unix socket.")
    uds_group: str | None = setting(LISTENING, TEXT, None, "Group that owns the Unix socket, as a name or a number.")
    authzen_url: str | None = setting(
        LISTENING,
        TEXT,
        None,
        "URL under which callers reach the API for AuthZEN, such as `https://pdp.example`; its metadata names it. By "
        "default that of each request.",
    )
    probe_host: str = every_address_setting("probes, status and metrics")
    probe_port: int = port_setting(8438, "probes, status and metrics")
    token_file: Path | None = setting(
        ACCESS,
        PATH,
        None,
        "File with the token that every request must have, as `Authorization: Bearer …`; or with several tokens, one "
        "on each line. Read again when it changes.",
    )
    insecure: bool = setting(
        ACCESS,
        BOOLEAN,
        False,
        "Listen beyond loopback without a token, and connect to a control plane or object store there without TLS.",
    )
    allowed_host: tuple[str, ...] = setting(
        ACCESS, TEXT, (), "Name that requests may have in `Host`, besides the names of loopback."
    )
    allowed_origin: tuple[str, ...] = setting(
        ACCESS, TEXT, (), "Origin of web pages that may send requests, such as `https://console.example`."
    )
    max_body: int = setting(LIMITS, BYTES, 1024**2, "Maximum size of a request body.")
    max_connections: int = setting(
        LIMITS, COUNT, 4096, "Maximum number of connections; requests on further ones get 503."
    )
    request_timeout: float = setting(LIMITS, SECONDS, 10.0, "How long a client may take to send one request.")
    keep_alive: float = keep_alive_setting()
    shutdown_timeout: float = shutdown_timeout_setting(10.0)
    cache_size: int = setting(LIMITS, BYTES, 168 * 1024**2, "Approximate memory of all caches.")
    log_format: str = log_format_setting()
    log_level: str = log_level_setting()
    decision_log: str | None = setting(
        _DECISION_LOG,
        TEXT,
        None,
        "Where decisions are logged, one JSON object a line: a file, or `-` for standard output.",
    )
    decision_log_sample: float = setting(_DECISION_LOG, SHARE, 1.0, "Share of the decisions that is logged.")
    decision_log_outcome: str = setting(
        _DECISION_LOG, choice("all", "allowed", "denied"), "all", "Which decisions are logged."
    )
    decision_log_reason: tuple[str, ...] = setting(
        _DECISION_LOG, choice(*REASONS, word="reason"), (), "Log only decisions with this reason."
    )
    decision_log_feature: tuple[str, ...] = setting(_DECISION_LOG, TEXT, (), "Log only decisions about this feature.")
    decision_log_subject: str = setting(
        _DECISION_LOG,
        _REDACTION,
        "keep",
        "What is logged of customers and subscriptions: their ids, a keyed hash of each, or nothing.",
    )
    decision_log_user: str = setting(_DECISION_LOG, _REDACTION, "keep", "What is logged of users.")
    decision_log_record: bool = setting(
        _DECISION_LOG,
        BOOLEAN,
        False,
        "Also log the subject's record, so that a decision can be replayed without the history.",
    )
    decision_log_key_file: Path | None = setting(
        _DECISION_LOG,
        PATH,
        None,
        "File with the key of these hashes, so that they are the same in every process. Without it, each process "
        "makes its own key.",
    )
    decision_log_queue: int = setting(
        _DECISION_LOG, COUNT, 50_000, "How many decisions may wait to be written; further ones are dropped and counted."
    )


TABLE: Final = build_table(Settings, PREFIX, foreign=(PREFIX + "CP_", PREFIX + "INJECTOR_"))
"""The table; variables with `TIERGATE_CP_` belong to the control plane, with `TIERGATE_INJECTOR_` to the injector."""

SETTINGS: Final = TABLE.settings
"""The settings, in the order of the reference page."""
