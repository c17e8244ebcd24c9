"""Bodies and answers about outcomes: how requests to features went (design, section 11)."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from tiergate.wire.decision import UNSET, Absent, InstantText

MAX_OUTCOMES: Final = 1_000
"""The most outcomes of one `POST /v1/outcomes`."""

MAX_OUTCOME_ID: Final = 256
"""The most characters of an outcome's id."""

MAX_DURATION_MS: Final = 1_000_000_000
"""The longest duration, in milliseconds: 11 days."""

_Name = Annotated[str, msgspec.Meta(extra_json_schema={"minLength": 1})]
_Duration = Annotated[
    float,
    msgspec.Meta(
        ge=0,
        le=MAX_DURATION_MS,
        description="Milliseconds that it took. Where a service level promises a latency, a longer one is slow.",
    ),
]
_At = Annotated[InstantText, msgspec.Meta(description="When it ended; by default now. At most 24 hours ago.")]
_Id = Annotated[
    str,
    msgspec.Meta(
        description="With the same id an outcome of a feature counts once; the header `Idempotency-Key` can have it.",
        extra_json_schema={"minLength": 1, "maxLength": MAX_OUTCOME_ID},
    ),
]


class OutcomeBody(msgspec.Struct, forbid_unknown_fields=True):
    """How one request to a feature went. `ok`: false if the feature failed, not if the request was wrong or denied."""

    feature: _Name
    ok: bool
    duration_ms: _Duration | Absent = UNSET
    at: _At | Absent = UNSET
    id: _Id | Absent = UNSET


class OutcomesBody(msgspec.Struct, forbid_unknown_fields=True):
    """Several outcomes, answered in their order."""

    outcomes: Annotated[list[OutcomeBody], msgspec.Meta(max_length=MAX_OUTCOMES)]


class RecordedOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """An outcome that was counted."""

    replayed: Annotated[bool, msgspec.Meta(description="Whether an outcome with this id was counted before this one.")]


class OutcomeMinute(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted in one minute. `slow`: latency in milliseconds → how many took longer and did not fail."""

    minute: InstantText
    requests: int
    failed: int
    slow: dict[str, int] | Absent = UNSET


class OutcomeMinutes(msgspec.Struct, frozen=True, kw_only=True):
    """The minutes of a feature, in their order; minutes without a request are left out."""

    feature: str
    minutes: tuple[OutcomeMinute, ...]
