"""The context of a check: its facts as the record that the schema names.

`context_json` writes it for Cedar. `context_terms` names the same values one by one, as expressions in Python, for code
that reads conditions itself. INVARIANT (one context): both have the same attributes with the same values; a test
compares them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from tiergate.engine.metered_limits import ceiling_of, drawn_amount, drawn_ceiling, drawn_used, limit_of
from tiergate.model import FOREVER, FeatureType, Status, format_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiergate.engine.facts import Facts
    from tiergate.engine.normalized_check import NormalizedCheck
    from tiergate.model import Feature, Instant, MeteredUsage

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def weekday(now: Instant) -> int:
    """Return the day of the week in UTC, 1 for Monday to 7 for Sunday."""
    return (_EPOCH + timedelta(milliseconds=now)).isoweekday()


def _datetime(instant: Instant) -> str:
    return f'{{"__extn":{{"fn":"datetime","arg":"{format_instant(instant)}"}}}}'


def _bool(value: bool) -> str:  # noqa: FBT001 - it is the value itself
    return "true" if value else "false"


def knows_metering(schema: str) -> bool:
    """Return whether a bundle's schema declares what metering added to the context: bundles of format 1 do not."""
    begin = schema.find("\naction consume ")
    return "\n    ceiling: Long,\n" in schema[begin : schema.find("\n};", begin)]


def knows_status(schema: str) -> bool:
    """Return whether a bundle's schema declares the status of the feature."""
    begin = schema.find("\naction use ")
    return "\n    status: String,\n" in schema[begin : schema.find("\n};", begin)]


def status_of(facts: Facts) -> str:
    """Return the status of the feature for the subject."""
    return (Status.OPERATIONAL if facts.status is None else facts.status.status).value


def is_held(facts: Facts, usage: MeteredUsage) -> bool:
    """Return whether the subject holds something: a value that grants it, or granted units."""
    return facts.held or usage.granted > 0


def context_json(
    facts: Facts,
    question: NormalizedCheck,
    usage: MeteredUsage,
    now: Instant,
    *,
    time: bool,
    status: bool = False,
    metering: bool = True,
) -> str:
    """Write the context. Without `time`, `now` and `weekday` are left out, for slices that do not read them.

    `status`: in the same way. `metering`: the schema declares what metering adds.
    """
    head = (
        f'{{"active":{_bool(facts.active)},"suspended":{_bool(facts.suspended)},"live":{_bool(facts.live)},'
        f'"held":{_bool(is_held(facts, usage))},"given":{_bool(facts.given)},"overridden":{_bool(facts.overridden)},'
        f'"disabled":{_bool(facts.disabled)}'
    )
    if time:
        head += f',"now":{_datetime(now)},"weekday":{weekday(now)}'
    if status:
        head += f',"status":"{status_of(facts)}"'
    feature = facts.feature
    if feature.type is FeatureType.QUANTITY:
        used = usage.used if question.used is None else question.used
        batch = feature.batch
        limit = limit_of(facts, usage)
        head += (
            f',"limit":{limit},"unlimited":{_bool(facts.unlimited)},"used":{used},"amount":{question.amount}'
            f',"minimum":{batch.minimum or 1},"remainder":{question.amount % (batch.increment or 1)}'
        )
        if metering:
            ceiling = ceiling_of(facts, usage) if facts.soft else limit
            head += f',"allowance":{facts.total},"ceiling":{ceiling},"soft":{_bool(facts.soft)}'
            if feature.draws is not None:
                head += (
                    f',"draws":{{"used":{drawn_used(usage)},"amount":{drawn_amount(feature, question.amount)}'
                    f',"ceiling":{drawn_ceiling(facts, usage)}}}'
                )
            if feature.metered is not None and usage.window_end != FOREVER:
                head += f',"resetsAt":{_datetime(usage.window_end)}'
        if feature.caps.per_user is not None:
            user_used = usage.user_used if question.user_used is None else question.user_used
            head += f',"userCap":{{"limit":{feature.caps.per_user},"used":{user_used}}}'
        if feature.caps.total is not None:
            head += f',"totalCap":{{"limit":{feature.caps.total},"used":{usage.total_used}}}'
    elif feature.type is FeatureType.RANGE:
        head += f',"limit":{facts.total},"unlimited":{_bool(facts.unlimited)},"value":{question.value}'
    elif feature.type is FeatureType.CUSTOM:
        head += f',"rank":{question.rank},"heldRank":{facts.total}'
    return head + "}"


class ContextTerm(NamedTuple):
    """One value of the context: its type in Cedar, and a Python expression of it; `None` where it is absent.

    An expression reads `facts`, `question`, `usage` and `now`, as `context_json` does, and the functions in
    `CONTEXT_FUNCTIONS`. `is_optional`: it is absent from some checks of the same feature.
    """

    type: Literal["bool", "long", "datetime", "text"]
    expression: str
    is_optional: bool = False


_SHARED: Final = {
    name: ContextTerm("bool", f"facts.{name}")
    for name in ("active", "suspended", "live", "given", "overridden", "disabled")
} | {"held": ContextTerm("bool", "(facts.unlimited or facts.total > 0)")}  # as `Facts.held`, without the call
_TIME: Final = {"now": ContextTerm("datetime", "now"), "weekday": ContextTerm("long", "weekday(now)")}
_STATUS: Final = {"status": ContextTerm("text", "status_of(facts)")}
_BY_TYPE: Final[Mapping[FeatureType, Mapping[str, ContextTerm]]] = {
    FeatureType.SWITCH: {},
    FeatureType.QUANTITY: {
        "limit": ContextTerm("long", "facts.total"),
        "unlimited": ContextTerm("bool", "facts.unlimited"),
        "used": ContextTerm("long", "(usage.used if question.used is None else question.used)"),
        "amount": ContextTerm("long", "question.amount"),
        "minimum": ContextTerm("long", "(facts.feature.batch.minimum or 1)"),
        "remainder": ContextTerm("long", "(question.amount % (facts.feature.batch.increment or 1))"),
    },
    FeatureType.RANGE: {
        "limit": ContextTerm("long", "facts.total"),
        "unlimited": ContextTerm("bool", "facts.unlimited"),
        "value": ContextTerm("long", "question.value"),
    },
    FeatureType.CUSTOM: {
        "rank": ContextTerm("long", "question.rank"),
        "heldRank": ContextTerm("long", "facts.total"),
    },
}
_USER_CAP: Final = {
    "userCap.limit": ContextTerm("long", "facts.feature.caps.per_user"),
    "userCap.used": ContextTerm("long", "(usage.user_used if question.user_used is None else question.user_used)"),
}
_TOTAL_CAP: Final = {
    "totalCap.limit": ContextTerm("long", "facts.feature.caps.total"),
    "totalCap.used": ContextTerm("long", "usage.total_used"),
}


_METERING: Final = {
    "allowance": ContextTerm("long", "facts.total"),
    "ceiling": ContextTerm("long", "facts.total"),
    "soft": ContextTerm("bool", "False"),
}
"""Of quantities that are not metered."""

_METERED: Final = {
    "held": ContextTerm("bool", "is_held(facts, usage)"),
    "limit": ContextTerm("long", "limit_of(facts, usage)"),
}
_METERED_METERING: Final = {
    "allowance": ContextTerm("long", "facts.total"),
    "ceiling": ContextTerm("long", "ceiling_of(facts, usage)"),
    "soft": ContextTerm("bool", "facts.soft"),
    "resetsAt": ContextTerm(
        "datetime", f"(None if usage.window_end == {FOREVER} else usage.window_end)", is_optional=True
    ),
}
_DRAWS: Final = {
    "draws.used": ContextTerm("long", "drawn_used(usage)"),
    "draws.amount": ContextTerm("long", "drawn_amount(facts.feature, question.amount)"),
    "draws.ceiling": ContextTerm("long", "drawn_ceiling(facts, usage)"),
}

CONTEXT_RECORDS: Final = frozenset({"userCap", "totalCap", "draws"})
"""The records in the context."""

CONTEXT_FUNCTIONS: Final[Mapping[str, Callable[..., object]]] = {
    "weekday": weekday,
    "status_of": status_of,
    "is_held": is_held,
    "limit_of": limit_of,
    "ceiling_of": ceiling_of,
    "drawn_used": drawn_used,
    "drawn_amount": drawn_amount,
    "drawn_ceiling": drawn_ceiling,
}
"""The functions that expressions of terms call, by name."""


class ContextKind(NamedTuple):
    """What the attributes of a context depend on, besides whether it has the time and the status."""

    type: FeatureType
    user_cap: bool
    total_cap: bool
    metered: bool
    draws: bool


def context_kind(feature: Feature) -> ContextKind:
    """Return the kind of the contexts of a feature's checks: features of one kind have equal terms."""
    caps = feature.caps
    return ContextKind(
        feature.type,
        caps.per_user is not None,
        caps.total is not None,
        feature.metered is not None,
        feature.draws is not None,
    )


def context_terms(
    feature: Feature, *, time: bool, status: bool = False, metering: bool = True
) -> dict[str, ContextTerm]:
    """Return the values of the context of every check of a feature, by name; those in a record as `userCap.limit`.

    They depend on the feature's `context_kind`, and on nothing else of it. `status`, `metering`: as in `context_json`.
    """
    terms = {**_SHARED, **(_TIME if time else {}), **(_STATUS if status else {}), **_BY_TYPE[feature.type]}
    if feature.type is FeatureType.QUANTITY:
        is_metered = feature.metered is not None
        if is_metered:
            terms |= _METERED
        if metering:
            terms |= _METERED_METERING if is_metered else _METERING
            if feature.draws is not None:
                terms |= _DRAWS
        if feature.caps.per_user is not None:
            terms |= _USER_CAP
        if feature.caps.total is not None:
            terms |= _TOTAL_CAP
    return terms
