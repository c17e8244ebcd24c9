"""Checks and decisions (design, sections 2 and 5)."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from tiergate.model.amounts import Number
from tiergate.model.features import FeatureType
from tiergate.model.instants import FOREVER, Instant
from tiergate.model.metered_usage import MeteredUsage
from tiergate.model.service_levels import Status, StatusWindow
from tiergate.model.subjects import OverrideMode
from tiergate.model.values import LimitKind, Per


class Reason(StrEnum):
    """The reason of a decision, in order of precedence."""

    __hash__ = str.__hash__  # that of `Enum` is a function in Python

    UNKNOWN_SUBJECT = "unknown_subject"
    EVALUATION_ERROR = "evaluation_error"
    STALE_DATA = "stale_data"
    FEATURE_INACTIVE = "feature_inactive"
    FEATURE_SUSPENDED = "feature_suspended"
    SUBSCRIPTION_INACTIVE = "subscription_inactive"
    OVERRIDE_DENIED = "override_denied"
    RULE_DENIED = "rule_denied"
    AMOUNT_INVALID = "amount_invalid"
    CAP_REACHED = "cap_reached"
    NOT_ENTITLED = "not_entitled"
    LIMIT_REACHED = "limit_reached"
    OUT_OF_RANGE = "out_of_range"
    LEVEL_TOO_LOW = "level_too_low"
    GRANTED = "granted"


REASON_PRECEDENCE: dict[Reason, int] = {reason: place for place, reason in enumerate(Reason)}
"""The rank of each reason; the smallest wins."""


class SubjectType(StrEnum):
    """What a subject's id identifies."""

    __hash__ = str.__hash__  # as that of `Reason`

    CUSTOMER = "customer"
    SUBSCRIPTION = "subscription"


class Subject(msgspec.Struct, frozen=True, gc=False):
    """The subject of a check: a customer or one subscription, and optionally a user in it."""

    id: str
    type: SubjectType = SubjectType.CUSTOMER
    user: str | None = None


class Check(msgspec.Struct, frozen=True, gc=False):
    """A check. Numbers are exact; a field that does not apply to the feature's type must be `None`."""

    subject: Subject
    feature: str
    amount: Number | None = None
    used: Number | None = None
    user_used: Number | None = None
    value: Number | None = None
    level: str | None = None


if TYPE_CHECKING:
    ShownValue = bool | Number | str | None
else:  # a union that msgspec can decode: with `float_hook=Decimal`, numbers stay exact
    ShownValue = Annotated[Any, msgspec.Meta(extra_json_schema={"type": ["boolean", "number", "string", "null"]})]


class ShownCaps(msgspec.Struct, frozen=True):
    """The caps of a quantity, for everybody together and for each user; absent if there is none."""

    total: Number | msgspec.UnsetType = msgspec.UNSET
    per_user: Number | msgspec.UnsetType = msgspec.UNSET


class Entitlement(msgspec.Struct, frozen=True):
    """What the subject has, independent of the decision.

    `value`: true or false for a switch; the level's label or `None` for custom; the exact number for quantity and
    range, absent (`msgspec.UNSET`) if unlimited. `used` and `remaining` (never negative) are for quantities.
    `granted`: how much of `value` is granted units, if there are any in this window. `overage`: how much usage, with
    the amount of an allowed check, exceeds a limit that is soft or metered; absent if it does not. `caps`: those of the
    feature, beside `value`.
    """

    value: ShownValue | msgspec.UnsetType = msgspec.UNSET
    unlimited: bool | msgspec.UnsetType = msgspec.UNSET
    unit: str | msgspec.UnsetType = msgspec.UNSET
    used: Number | msgspec.UnsetType = msgspec.UNSET
    remaining: Number | msgspec.UnsetType = msgspec.UNSET
    granted: Number | msgspec.UnsetType = msgspec.UNSET
    overage: Number | msgspec.UnsetType = msgspec.UNSET
    caps: ShownCaps | msgspec.UnsetType = msgspec.UNSET


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """An item version or override that contributed; `value` as its author wrote it, before multiplication.

    `add`: the value was added to the others. `subscription`: its subscription, absent if it belongs to the customer.
    `limit`: `hard` or `soft`, if it differs from its feature in that; `overage_max`: the most above a soft limit.
    """

    item: str | None = None
    version: int | None = None
    quantity: int | None = None
    override: str | None = None
    mode: Annotated[str, msgspec.Meta(extra_json_schema={"enum": [*OverrideMode]})] | None = None
    subscription: str | None = None
    value: ShownValue = None
    unlimited: bool = False
    add: bool = False
    per: Annotated[str, msgspec.Meta(extra_json_schema={"enum": [*Per]})] | None = None
    limit: Annotated[str, msgspec.Meta(extra_json_schema={"enum": [*LimitKind]})] | None = None
    overage_max: Number | None = None


class Decision(msgspec.Struct, frozen=True):
    """The decision. It may be reused from `start` until `until`, unless `volatile` is set.

    `usage`: the metered usage that it rests on; it may be reused only until that moves. `None` if it rests on none.
    `status`: of the feature for the subject; `None` if no report concerns it. Nothing but rules decides by it.
    """

    allowed: bool
    reason: Reason
    feature: str
    type: FeatureType | None
    entitlement: Entitlement
    sources: tuple[Source, ...]
    policies: tuple[str, ...]
    publication: int
    revision: str
    start: Instant
    until: Instant = FOREVER
    volatile: bool = False
    stale: bool = False
    errors: tuple[str, ...] = ()
    usage: MeteredUsage | None = None
    status: StatusWindow | None = None

    @property
    def shown_status(self) -> StatusWindow | None:
        """The status to show; `None` if the feature is operational, or a draft or suspended, as the reason says."""
        return shown_status(self.status, self.reason)


_UNUSED = frozenset({Reason.FEATURE_INACTIVE, Reason.FEATURE_SUSPENDED})


def shown_status(window: StatusWindow | None, reason: Reason) -> StatusWindow | None:
    """Return the status that a decision with this reason shows, if it shows any."""
    return None if window is None or window.status is Status.OPERATIONAL or reason in _UNUSED else window
