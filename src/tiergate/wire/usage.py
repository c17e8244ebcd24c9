"""Bodies and answers about usage: consume, reserve, commit, release, report, read (design, section 10).

A consumption is a check and a debit in one step, so that its answer is the check's, and what was counted besides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from tiergate.model import FOREVER, Number, format_instant
from tiergate.model.instants import BEGINNING
from tiergate.wire.check import SubjectBody, SubjectId
from tiergate.wire.decision import UNSET, Absent, DecisionDocument, InstantText, ListedSubject, Scale

if TYPE_CHECKING:
    from tiergate.model import Instant, Interval

MAX_RECORDS: Final = 1_000
"""The most records of one `POST /v1/usage`."""

MAX_KEY: Final = 256
"""The most characters of an idempotency key."""

TOO_LATE: Final = "usage too late"
"""The title of the problem that usage of a closed window gets: see docs/reference/errors.md."""

MADE_KEY_PREFIX: Final = "tg:"
"""What the keys begin with that a sidecar makes; callers' keys do not."""

DEFAULT_EXPIRY: Final = 600
"""The default seconds until a reservation expires."""

MAX_EXPIRY: Final = 86_400
"""The most seconds until a reservation expires: one day."""

KEY_SCHEMA: Final = {"type": "string", "minLength": 1, "maxLength": MAX_KEY, "not": {"pattern": f"^{MADE_KEY_PREFIX}"}}

CLOUD_EVENT: Final = "application/cloudevents+json"
"""The media type of one CloudEvent (CloudEvents 1.0, JSON format, section 3)."""

CLOUD_EVENTS: Final = "application/cloudevents-batch+json"
"""The media type of several CloudEvents (section 4)."""

_Name = Annotated[str, msgspec.Meta(extra_json_schema={"minLength": 1})]
_Amount = Annotated[
    msgspec.Raw,
    msgspec.Meta(
        description="How many; by default one unit, or the smallest amount.",
        extra_json_schema={"type": "number", "exclusiveMinimum": 0},
    ),
]
_Part = Annotated[
    msgspec.Raw,
    msgspec.Meta(
        description="How many of the reserved units; by default all.",
        extra_json_schema={"type": "number", "minimum": 0},
    ),
]
_Key = Annotated[
    str,
    msgspec.Meta(
        description="The idempotency key: with the same content it counts once. The header `Idempotency-Key` can have "
        "it instead.",
        extra_json_schema=KEY_SCHEMA,
    ),
]
_Seconds = Annotated[
    int, msgspec.Meta(ge=1, le=MAX_EXPIRY, description=f"Seconds until it expires; by default {DEFAULT_EXPIRY}.")
]
_Replayed = Annotated[
    bool, msgspec.Meta(description="Whether this is the answer to an earlier request with the same key; counted once.")
]


class ConsumeBody(msgspec.Struct, forbid_unknown_fields=True):
    """A check of a metered quantity, and the debit of its amount if it is allowed."""

    subject: SubjectId | SubjectBody
    feature: _Name
    amount: _Amount | Absent = UNSET
    key: _Key | Absent = UNSET


class ReserveBody(ConsumeBody, forbid_unknown_fields=True):
    """A consumption that is decided now, and committed or released later."""

    expires_in: _Seconds | Absent = UNSET


class CommitBody(msgspec.Struct, forbid_unknown_fields=True):
    """How much of a reservation was consumed; the rest is released."""

    amount: _Part | Absent = UNSET


class UsageRecordBody(ConsumeBody, forbid_unknown_fields=True):
    """Usage that has happened, at an instant; by default now. It counts even if it exceeds the limit."""

    at: InstantText | Absent = UNSET


class UsageRecordsBody(msgspec.Struct, forbid_unknown_fields=True):
    """Several records, answered in their order."""

    usage: Annotated[list[UsageRecordBody], msgspec.Meta(max_length=MAX_RECORDS)]


class UsageEventData(msgspec.Struct, forbid_unknown_fields=True):
    """The data of an event about usage."""

    subject: SubjectId | SubjectBody | Absent = UNSET
    feature: _Name | Absent = UNSET
    amount: _Amount | Absent = UNSET


class UsageEvent(msgspec.Struct):
    """An event about usage (CloudEvents 1.0). `source` and `id` together are its idempotency key.

    The subject is the attribute `subject`, or in the data; the feature is in the data, or the `type`. Other attributes
    are ignored.
    """

    specversion: Literal["1.0"]
    id: _Name
    source: _Name
    type: _Name
    subject: SubjectId | Absent = UNSET
    time: InstantText | Absent = UNSET
    data: UsageEventData | Absent = UNSET


class ConsumptionDocument(DecisionDocument, frozen=True, kw_only=True):
    """The decision on a consumption, and what was counted: all of the amount, or nothing if it is denied."""

    consumed: Number
    key: Annotated[str, msgspec.Meta(description="The idempotency key; the request's, or one that was made.")]
    replayed: _Replayed


class ReservationDecision(DecisionDocument, frozen=True, kw_only=True):
    """The decision on a reservation, and what is reserved: all of the amount, or nothing if it is denied."""

    reserved: Number
    reservation: Annotated[str, msgspec.Meta(description="Its id; absent if it is denied.")] | Absent = UNSET
    expires_at: InstantText | Absent = UNSET
    key: str
    replayed: _Replayed


class ReservationDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A reservation that was committed or released."""

    reservation: str
    feature: str
    state: Literal["committed", "released"]
    consumed: Number
    released: Number
    replayed: Annotated[bool, msgspec.Meta(description="Whether it had ended in the same way before.")]


class UsageWindowDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The window in which usage is counted; an end that does not exist is absent."""

    start: InstantText | Absent = msgspec.field(default=UNSET, name="from")
    until: InstantText | Absent = UNSET


class RecordedUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Usage that was counted after the fact."""

    feature: str
    amount: Number
    window: UsageWindowDocument
    key: str
    replayed: _Replayed


class FeatureUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The usage of one metered feature in the current window.

    `limit` (the allowance and grants) and `remaining` are absent if it is unlimited. `overage`: units above the limit.
    `reserved`: units of open reservations, which `used` contains.
    """

    feature: str
    scale: Scale
    unit: str | Absent = UNSET
    used: Number
    reserved: Number
    user_used: Annotated[Number, msgspec.Meta(description="By the user, if the subject names one.")] | Absent = UNSET
    limit: Number | Absent = UNSET
    granted: Annotated[Number, msgspec.Meta(description="How much of the limit is granted units.")] | Absent = UNSET
    unlimited: bool
    soft: Annotated[bool, msgspec.Meta(description="Whether usage above the limit is allowed.")]
    remaining: Number | Absent = UNSET
    overage: Number | Absent = UNSET
    window: UsageWindowDocument
    resets_at: InstantText | Absent = UNSET


class UsageList(msgspec.Struct, frozen=True, kw_only=True):
    """The usage of the metered features of a subject, ordered by id."""

    subject: ListedSubject
    usage: list[FeatureUsage]


def window_document(window: Interval) -> UsageWindowDocument:
    """Convert a window to the API's form."""
    return UsageWindowDocument(
        start=UNSET if window.start <= BEGINNING else format_instant(window.start),
        until=UNSET if window.until >= FOREVER else format_instant(window.until),
    )


def instant_or_absent(instant: Instant) -> str | Absent:
    """Return an instant as text; absent if it never comes."""
    return UNSET if instant >= FOREVER else format_instant(instant)
