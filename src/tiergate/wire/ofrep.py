"""The bodies of OFREP, the OpenFeature Remote Evaluation Protocol, as the sidecar writes them.

A flag is a feature of the catalog, or `<feature>:allowed`. Metadata is flat, and has scalars only.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from tiergate.wire.decision import UNSET, Absent, ReasonText, ResetsAt

MAX_SAFE_INTEGER: Final = 2**53 - 1
"""The value of a flag without limit: the largest integer that every client reads exactly. No value is above it."""

ALLOWED: Final = ":allowed"
"""The end of the keys whose values are decisions. No id of a feature has a colon."""

PARSE_ERROR: Final = "PARSE_ERROR"
TARGETING_KEY_MISSING: Final = "TARGETING_KEY_MISSING"
INVALID_CONTEXT: Final = "INVALID_CONTEXT"
FLAG_NOT_FOUND: Final = "FLAG_NOT_FOUND"
GENERAL: Final = "GENERAL"
ERROR_CODES: Final = (PARSE_ERROR, TARGETING_KEY_MISSING, INVALID_CONTEXT, FLAG_NOT_FOUND, GENERAL)

TARGETING_MATCH: Final = "TARGETING_MATCH"
DISABLED: Final = "DISABLED"
UNKNOWN: Final = "UNKNOWN"
REASONS: Final = (TARGETING_MATCH, DISABLED, UNKNOWN)
"""Those of the protocol's reasons that occur."""

_Number = Annotated[object, msgspec.Meta(extra_json_schema={"type": "number"})]
_Value = Annotated[object, msgspec.Meta(extra_json_schema={"type": ["boolean", "number", "string"]})]
_Key = Annotated[str, msgspec.Meta(description="A feature, or `<feature>:allowed`.")]
_ErrorCode = Annotated[str, msgspec.Meta(extra_json_schema={"enum": [*ERROR_CODES]})]


class FlagMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision says beside its value.

    `unlimited` is of quantities and ranges, `used` and `remaining` of quantities. `remaining` is absent if unlimited.
    """

    allowed: bool
    reason: ReasonText
    unlimited: bool | Absent = UNSET
    unit: str | Absent = UNSET
    used: _Number | Absent = UNSET
    remaining: _Number | Absent = UNSET
    resets_at: ResetsAt | Absent = UNSET
    revision: str
    stale: bool


class FlagEvaluation(msgspec.Struct, frozen=True):
    """The value of one flag, and why."""

    key: _Key
    value: _Value
    variant: Annotated[
        str,
        msgspec.Meta(
            description="The value as a word: `on`, `off`, `allowed`, `denied`, a number, `unlimited`, a level, `none`."
        ),
    ]
    reason: Annotated[str, msgspec.Meta(extra_json_schema={"enum": [*REASONS]})]
    metadata: FlagMetadata


class FlagFailure(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no value. `key`: absent if the failure concerns all flags."""

    key: _Key | Absent = UNSET
    error_code: _ErrorCode = msgspec.field(name="errorCode")
    error_details: str = msgspec.field(name="errorDetails")


class StreamEndpoint(msgspec.Struct, frozen=True):
    """Where the events are, at the origin of the request."""

    request_uri: str = msgspec.field(name="requestUri")


class EventStream(msgspec.Struct, frozen=True):
    """A stream of events that say when flags may have changed."""

    type: Annotated[str, msgspec.Meta(extra_json_schema={"const": "sse"})]
    endpoint: StreamEndpoint


class FlagSetMetadata(msgspec.Struct, frozen=True):
    """What all flags of an answer were decided by."""

    publication: int
    revision: str
    stale: bool


class BulkEvaluation(msgspec.Struct, frozen=True):
    """Every flag for one context: for each feature by id, its key and `<feature>:allowed`.

    In the place of a flag whose part of the context is invalid there is a `FlagFailure`.
    """

    flags: list[FlagEvaluation]
    event_streams: list[EventStream] = msgspec.field(name="eventStreams")
    metadata: FlagSetMetadata


class EvaluationContext(msgspec.Struct):
    """Who is asked about, and what the check says; other members are ignored."""

    targeting_key: Annotated[
        str, msgspec.Meta(description="The id of a customer, or `subscription:` and the id of one.")
    ] = msgspec.field(name="targetingKey")
    user: Annotated[str, msgspec.Meta(description="A user of the customer or subscription.")] | Absent = UNSET
    amount: Annotated[_Number, msgspec.Meta(description="Quantity: how many more. For `:allowed`.")] | Absent = UNSET
    used: Annotated[_Number, msgspec.Meta(description="Quantity: how many were used before.")] | Absent = UNSET
    user_used: Annotated[_Number, msgspec.Meta(description="Quantity: how many of them by the user.")] | Absent = UNSET
    value: Annotated[_Number, msgspec.Meta(description="Range: the value. For `:allowed`.")] | Absent = UNSET
    level: Annotated[str, msgspec.Meta(description="Custom: the level. For `:allowed`.")] | Absent = UNSET


class EvaluationRequest(msgspec.Struct):
    """A request for one flag, or for all."""

    context: EvaluationContext


class Polling(msgspec.Struct, frozen=True):
    """Whether clients may poll, and the least milliseconds between two requests."""

    enabled: bool
    min_polling_interval_ms: int = msgspec.field(name="minPollingIntervalMs")


class CacheInvalidation(msgspec.Struct, frozen=True):
    """How clients learn that flags may have changed."""

    polling: Polling


class SupportedTypes(msgspec.Struct, frozen=True):
    """The types of flags that there are."""

    supported_types: list[
        Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["int", "float", "string", "boolean"]})]
    ] = msgspec.field(name="supportedTypes")


class Caching(msgspec.Struct, frozen=True):
    """Whether server-side clients should cache."""

    enabled: bool


class Capabilities(msgspec.Struct, frozen=True):
    """What this server can do, and how clients should be set up."""

    cache_invalidation: CacheInvalidation = msgspec.field(name="cacheInvalidation")
    flag_evaluation: SupportedTypes = msgspec.field(name="flagEvaluation")
    caching: Caching


class Configuration(msgspec.Struct, frozen=True):
    """The name and the capabilities of this server."""

    name: str
    capabilities: Capabilities


CONFIGURATION: Final = Configuration(
    "tiergate",
    Capabilities(
        CacheInvalidation(Polling(enabled=True, min_polling_interval_ms=1_000)),
        SupportedTypes(["int", "float", "string", "boolean"]),
        Caching(enabled=False),
    ),
)
"""The configuration of every sidecar. Without caches in clients, answers are always those of now."""
