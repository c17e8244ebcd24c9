"""The reasoning behind a decision as data: what was asked, what counts and what does not and why, and what it makes.

Made of an explanation and the record that it rested on, by the engine's own functions: nothing is decided here.
`sentences` says the same in words, and only what stands here. `why` is always the end of a sentence, such as `its trial
ended on 31 January 2026 at 00:00 UTC`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec

from tiergate.model import Number, OverrideMode, ShownValue, Source, SubjectType
from tiergate.model.features import ACTIONS
from tiergate.model.subjects import SubscriptionStatus
from tiergate.wire.decision import UNSET, Absent, DecisionDocument, FeatureTypeText, InstantText
from tiergate.wire.json import encode

_ModeText = Annotated[str, msgspec.Meta(extra_json_schema={"enum": [*OverrideMode]})]
_UsedFrom = Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["check", "metered", "nothing"]})]
_Why = Annotated[str, msgspec.Meta(description="The end of a sentence, such as `it is paused`.")]


class Applicability(StrEnum):
    """Whether something counts at the instant of the check."""

    COUNTS = "counts"
    NOT_YET = "not_yet"
    OVER = "over"
    SET_ASIDE = "set_aside"
    """Its time has come and is not over, but something else keeps it from counting."""


class SubjectReference(msgspec.Struct, frozen=True):
    """A customer or a subscription, and perhaps a user in it; `everybody` without an id for what concerns all."""

    type: Annotated[str, msgspec.Meta(extra_json_schema={"enum": [*SubjectType, "everybody"]})]
    id: str | Absent = UNSET
    user: str | Absent = UNSET


class ExplainedCheck(msgspec.Struct, frozen=True):
    """The question. Numbers that the check leaves out are those that it was decided by; `at` is RFC 3339.

    `used_from`: `check` where the check says what was used, `metered` where it is counted here, else `nothing`.
    """

    subject: SubjectReference
    feature: str
    type: FeatureTypeText
    at: InstantText
    name: str | Absent = UNSET
    unit: str | Absent = UNSET
    amount: Number | Absent = UNSET
    used: Number | Absent = UNSET
    used_from: _UsedFrom | Absent = UNSET
    value: Number | Absent = UNSET
    level: str | Absent = UNSET


class _Period(msgspec.Struct, frozen=True, kw_only=True):
    """`from` and `until` are RFC 3339, absent where there is no such end."""

    start: InstantText | Absent = msgspec.field(default=UNSET, name="from")
    until: InstantText | Absent = UNSET


class ItemApplicability(_Period, frozen=True, kw_only=True):
    """An item of a subscription. `gives`: what its version says of the feature, absent where that is nothing."""

    item: str
    name: str | Absent = UNSET
    version: int | Absent = UNSET
    pinned: bool
    quantity: int
    standing: Applicability
    why: _Why | Absent = UNSET
    gives: str | Absent = UNSET


class SubscriptionApplicability(_Period, frozen=True, kw_only=True):
    """A subscription: whether it counts and why; `from` and `until` are the time in which it does."""

    id: str
    status: SubscriptionStatus
    standing: Applicability
    why: _Why
    items: tuple[ItemApplicability, ...]


class OverrideApplicability(_Period, frozen=True, kw_only=True):
    """An override of the feature. One that counts either contributed a value or, `disabled`, takes the feature away."""

    id: str
    on: SubjectReference
    mode: _ModeText
    value: ShownValue | Absent = UNSET
    unlimited: bool
    standing: Applicability
    why: _Why | Absent = UNSET
    author: str | Absent = UNSET
    reason: str | Absent = UNSET


class SuspensionApplicability(_Period, frozen=True, kw_only=True):
    """A suspension of the feature, for everybody or on one subject."""

    on: SubjectReference
    standing: Applicability
    why: _Why | Absent = UNSET
    reason: str | Absent = UNSET


class Contribution(msgspec.Struct, frozen=True, kw_only=True):
    """An item or override that contributed. `name`: the item's; `counts`: how much of a number it makes, multiplied."""

    source: Source
    name: str | Absent = UNSET
    counts: Number | Absent = UNSET


class Cap(msgspec.Struct, frozen=True):
    """A limit beside the entitlement, and what is used of it."""

    limit: Number
    used: Number


class Draw(msgspec.Struct, frozen=True):
    """What a check takes of the feature that its feature draws on, and what is used of that and may be, if bounded."""

    feature: str
    amount: Number
    used: Number
    ceiling: Number | Absent = UNSET


class Counting(msgspec.Struct, frozen=True, kw_only=True):
    """How the feature's values make one, and what else bounds a check of it.

    `combine`: `any` gives a switch, the `highest` level counts, numbers `sum` or `max`. `across`: `max` where the
    subscription that comes to most counts, and not all together. `maximum`: of a range, where
    more is held. `minimum`, `increment`: what amounts can be taken. `levels`: of a custom feature, lowest first.
    `soft`: use above the limit is allowed, up to `overage_max` (absent: any number). `allowance`: the limit without
    what is granted, where something is. `draws`: what the check takes of another feature.
    """

    combine: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["sum", "max", "any", "highest"]})]
    maximum: Number | Absent = UNSET
    minimum: Number | Absent = UNSET
    increment: Number | Absent = UNSET
    levels: tuple[str, ...] | Absent = UNSET
    user_cap: Cap | Absent = UNSET
    total_cap: Cap | Absent = UNSET
    across: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["max"]})] | Absent = UNSET
    soft: bool | Absent = UNSET
    overage_max: Number | Absent = UNSET
    allowance: Number | Absent = UNSET
    draws: Draw | Absent = UNSET


class Change(msgspec.Struct, frozen=True):
    """What begins or ends at `valid_until`, when the answer may change by itself."""

    at: InstantText
    what: str


class PolicyText(msgspec.Struct, frozen=True):
    """A policy that could matter: its id, its text, and whether it decided.

    `reason`: the reason of a denial by it, empty for what permits. `description`: what its author says of it.
    """

    id: str
    text: str
    decided: bool
    reason: str = ""
    description: str = ""


class Reasoning(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A decision and everything that it rested on."""

    decision: DecisionDocument
    sentences: Annotated[
        tuple[str, ...], msgspec.Meta(description="The same for people, the answer first. Words may change.")
    ] = ()
    asked: ExplainedCheck
    known: Annotated[bool, msgspec.Meta(description="Whether there is a record of the subject.")]
    subscriptions: tuple[SubscriptionApplicability, ...]
    held: Annotated[dict[str, int], msgspec.Meta(description="The quantity of each active item version.")]
    values: tuple[Contribution, ...]
    counting: Counting
    overrides: Annotated[
        tuple[OverrideApplicability, ...], msgspec.Meta(description="All of the feature, whether they count or not.")
    ]
    suspensions: Annotated[
        tuple[SuspensionApplicability, ...], msgspec.Meta(description="All of the feature, whether they count or not.")
    ]
    changes: Annotated[
        tuple[Change, ...], msgspec.Meta(description="What begins or ends at the decision's `valid_until`.")
    ]
    principal: Annotated[str, msgspec.Meta(description="Cedar's; empty for an unknown subject.")]
    action: Annotated[str, msgspec.Meta(extra_json_schema={"enum": [*ACTIONS.values()]})]
    context: Annotated[dict[str, Any], msgspec.Meta(description="The facts that Cedar evaluated.")]
    policies: Annotated[
        tuple[PolicyText, ...], msgspec.Meta(description="Every policy that could matter, the deciding ones first.")
    ]
    errors: Annotated[tuple[str, ...], msgspec.Meta(description="What could not be evaluated.")]


def reasoning_json(reasoning: Reasoning, sentences: tuple[str, ...]) -> bytes:
    """Encode a reasoning with its sentences as JSON."""
    return encode(msgspec.structs.replace(reasoning, sentences=sentences))
