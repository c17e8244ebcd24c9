"""The context of a check: its facts as the record that the schema names.

`context_json` writes it for Cedar. `context_terms` names the same values one by one, as expressions in Python, for code
that reads conditions itself. INVARIANT (one context): both have the same attributes with the same values; a test
compares them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from tiergate.model import FeatureType, format_instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.engine.facts import Facts
    from tiergate.engine.normalized_check import NormalizedCheck
    from tiergate.model import Feature, Instant, MeteredUsage

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def weekday(now: Instant) -> int:
    """Return the day of the week in UTC, 1 for Monday to 7 for Sunday."""
    return (_EPOCH + timedelta(milliseconds=now)).isoweekday()


def _bool(value: bool) -> str:  # noqa: FBT001 - it is the value itself
    return "true" if value else "false"


def context_json(facts: Facts, question: NormalizedCheck, usage: MeteredUsage, now: Instant, *, time: bool) -> str:
    """Write the context. Without `time`, `now` and `weekday` are left out, for slices that do not read them."""
    head = (
        f'{{"active":{_bool(facts.active)},"suspended":{_bool(facts.suspended)},"live":{_bool(facts.live)},'
        f'"held":{_bool(facts.held)},"given":{_bool(facts.given)},"overridden":{_bool(facts.overridden)},'
        f'"disabled":{_bool(facts.disabled)}'
    )
    if time:
        head += f',"now":{{"__extn":{{"fn":"datetime","arg":"{format_instant(now)}"}}}},"weekday":{weekday(now)}'
    feature = facts.feature
    if feature.type is FeatureType.QUANTITY:
        used = usage.used if question.used is None else question.used
        batch = feature.batch
        head += (
            f',"limit":{facts.total},"unlimited":{_bool(facts.unlimited)},"used":{used},"amount":{question.amount}'
            f',"minimum":{batch.minimum or 1},"remainder":{question.amount % (batch.increment or 1)}'
        )
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
    """One value of the context: its type in Cedar, and a Python expression of it.

    An expression reads `facts`, `question`, `usage` and `now`, as `context_json` does, and the function `weekday`.
    """

    type: Literal["bool", "long", "datetime"]
    expression: str


_SHARED: Final = {
    name: ContextTerm("bool", f"facts.{name}")
    for name in ("active", "suspended", "live", "held", "given", "overridden", "disabled")
}
_TIME: Final = {"now": ContextTerm("datetime", "now"), "weekday": ContextTerm("long", "weekday(now)")}
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


def context_terms(feature: Feature, *, time: bool) -> dict[str, ContextTerm]:
    """Return the values of the context of every check of a feature, by name; those in a record as `userCap.limit`.

    They depend on the feature's type and on which caps it has, and on nothing else of it.
    """
    terms = {**_SHARED, **(_TIME if time else {}), **_BY_TYPE[feature.type]}
    if feature.type is FeatureType.QUANTITY:
        if feature.caps.per_user is not None:
            terms |= _USER_CAP
        if feature.caps.total is not None:
            terms |= _TOTAL_CAP
    return terms
