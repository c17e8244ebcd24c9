"""Decisions and entitlement lists as the JSON of the sidecar's own API (design, section 5).

The structs are the only declaration of these bodies: the sidecar writes them, the client reads them, and the OpenAPI
documents describe them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec

from tiergate.model import (
    FOREVER,
    MAX_SCALE,
    Entitlement,
    FeatureType,
    Reason,
    Source,
    Status,
    SubjectType,
    format_instant,
)
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from tiergate.model import Decision, Instant

UNSET = msgspec.UNSET
Absent = msgspec.UnsetType

InstantText = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
"""An instant as RFC 3339."""

FeatureTypeText = Annotated[str, msgspec.Meta(extra_json_schema={"enum": [*FeatureType]})]
SubjectTypeText = Annotated[str, msgspec.Meta(extra_json_schema={"enum": [*SubjectType]})]
ReasonText = Annotated[
    str, msgspec.Meta(description="If you do not know a reason, use `allowed`.", extra_json_schema={"enum": [*Reason]})
]
Scale = Annotated[
    int,
    msgspec.Meta(
        ge=0, le=MAX_SCALE, description="The most decimal digits that numbers may have; of quantities and ranges."
    ),
]
ValidUntil = Annotated[
    str,
    msgspec.Meta(
        description="The next instant at which this may change by itself.", extra_json_schema={"format": "date-time"}
    ),
]

ResetsAt = Annotated[
    str,
    msgspec.Meta(
        description="The end of the window in which usage of a metered feature is counted.",
        extra_json_schema={"format": "date-time"},
    ),
]

StatusText = Annotated[
    str,
    msgspec.Meta(
        description=(
            "How well the feature works for this subject. Absent if it is operational, and while it is a draft or "
            "suspended, as the reason says."
        ),
        extra_json_schema={"enum": [status for status in Status if status is not Status.OPERATIONAL]},
    ),
]
Since = Annotated[
    str,
    msgspec.Meta(
        description="The start of the earliest report of this status that is open.",
        extra_json_schema={"format": "date-time"},
    ),
]

_LAST_INSTANT = 253_402_300_799_999


class DecisionDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The decision on a check. `type` is absent as long as the sidecar has no catalog."""

    allowed: bool
    reason: ReasonText
    feature: str
    type: FeatureTypeText | Absent = UNSET
    entitlement: Entitlement
    sources: tuple[Source, ...]
    policies: tuple[str, ...]
    publication: int
    revision: str
    valid_until: ValidUntil | Absent = UNSET
    resets_at: ResetsAt | Absent = UNSET
    status: StatusText | Absent = UNSET
    since: Since | Absent = UNSET
    stale: bool


class ListedSubject(msgspec.Struct, frozen=True):
    """The subject of an entitlement list."""

    type: SubjectTypeText
    id: str
    user: str | Absent = UNSET


class ListedEntitlement(msgspec.Struct, frozen=True, kw_only=True):
    """One feature of an entitlement list, with the decision on the smallest check of it."""

    feature: str
    type: FeatureTypeText | Absent = UNSET
    scale: Scale | Absent = UNSET
    allowed: bool
    reason: ReasonText
    entitlement: Entitlement
    sources: tuple[Source, ...]
    valid_until: ValidUntil | Absent = UNSET
    resets_at: ResetsAt | Absent = UNSET
    status: StatusText | Absent = UNSET
    since: Since | Absent = UNSET


class EntitlementList(msgspec.Struct, frozen=True, kw_only=True):
    """All features of the catalog for one subject, ordered by id."""

    subject: ListedSubject
    entitlements: list[ListedEntitlement]
    publication: int
    revision: str
    valid_until: ValidUntil | Absent = UNSET
    stale: bool


@lru_cache(maxsize=1_024)
def instant_text(instant: Instant) -> str | Absent:
    """Return the text of `valid_until` or `resets_at`; absent if there is no such instant."""
    return UNSET if instant >= min(FOREVER, _LAST_INSTANT) else format_instant(instant)


def resets_at(decision: Decision) -> str | Absent:
    """Return when the window of usage ends that a decision rests on; absent if it rests on none that ends."""
    return UNSET if decision.usage is None else instant_text(decision.usage.window_end)


class StatusMembers(NamedTuple):
    """The status of a feature as a decision shows it, and since when."""

    status: str | Absent
    since: str | Absent


_NO_STATUS = StatusMembers(UNSET, UNSET)


def status_shown(decision: Decision) -> StatusMembers:
    """Return the members `status` and `since` of a decision."""
    window = decision.shown_status
    return _NO_STATUS if window is None else StatusMembers(window.status.value, instant_text(window.since))


def decision_document(decision: Decision, *, stale: bool = False) -> DecisionDocument:
    """Convert a decision to the API's form. `valid_until` is absent if the decision never changes by itself."""
    shown = status_shown(decision)
    return DecisionDocument(
        allowed=decision.allowed,
        reason=decision.reason.value,
        feature=decision.feature,
        type=msgspec.UNSET if decision.type is None else decision.type.value,
        entitlement=decision.entitlement,
        sources=decision.sources,
        policies=decision.policies,
        publication=decision.publication,
        revision=decision.revision,
        valid_until=instant_text(decision.until),
        resets_at=resets_at(decision),
        status=shown.status,
        since=shown.since,
        stale=stale or decision.stale,
    )


def decision_json(decision: Decision, *, stale: bool = False) -> bytes:
    """Encode a decision as JSON."""
    return encode(decision_document(decision, stale=stale))
