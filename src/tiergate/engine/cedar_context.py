"""The context of a check: its facts as the record that the schema names, in Cedar's JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tiergate.model import FeatureType, format_instant

if TYPE_CHECKING:
    from tiergate.engine.facts import Facts
    from tiergate.engine.normalized_check import NormalizedCheck
    from tiergate.engine.sources import MeteredUsage
    from tiergate.model import Instant

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
