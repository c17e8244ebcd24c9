"""The usage of a subject as `GET /v1/usage` returns it: by the facts now, and the windows that are open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate.engine.evaluator import Denial
from tiergate.engine.metered_limits import limit_of
from tiergate.errors import RequestError
from tiergate.model import BEGINNING, Check, Interval, from_units
from tiergate.wire.decision import ListedSubject
from tiergate.wire.usage import FeatureUsage, UsageList, instant_or_absent, window_document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.model import Feature, Instant, Subject
    from tiergate.sidecar.state import Generation, StateView
    from tiergate.sidecar.usage.usage_service import UsageService

UNSET = msgspec.UNSET


def list_usage(
    service: UsageService, view: StateView, subject: Subject, feature: str | None, now: Instant, usage: UsageList
) -> Iterator[None]:
    """Add the usage of one feature, or of all metered ones, to a list, step by step.

    Raises:
        RequestError: 404, the subject is unknown; 501 or 503, nothing is counted here.
        UnknownFeatureError, CheckError: as `UsageService.consume`.
    """
    if feature is not None:
        generation, one = service.counted_feature(view, Check(subject, feature))
        features = [one]
    else:
        _ = service.meter
        if view.generation is None:
            raise RequestError(503, "not ready", "no data is loaded yet")
        generation = view.generation
        features = [it for it in generation.engine.evaluator.index.features.values() if it.metered is not None]
    if isinstance(generation.engine.evaluator.find_subject(subject, now), Denial):
        raise RequestError(404, "unknown subject", f"there is no {subject.type.value} of this id", field="subject")
    for one in features:
        usage.usage.append(_usage(service, generation, subject, one, now))
        yield


def empty_list(subject: Subject) -> UsageList:
    """Return the list of a subject, without any usage."""
    listed = ListedSubject(subject.type.value, subject.id, UNSET if subject.user is None else subject.user)
    return UsageList(subject=listed, usage=[])


def _usage(
    service: UsageService, generation: Generation, subject: Subject, feature: Feature, now: Instant
) -> FeatureUsage:
    evaluation = generation.engine.evaluator.evaluate(Check(subject, feature.id), now)
    facts, usage = evaluation.facts, evaluation.usage
    scale = feature.scale
    unlimited = facts is not None and facts.unlimited
    limit = 0 if facts is None else limit_of(facts, usage)
    over = max(0, usage.used - limit)
    return FeatureUsage(
        feature=feature.id,
        scale=scale,
        unit=feature.unit or UNSET,
        used=from_units(usage.used, scale),
        reserved=from_units(service.meter.reserved(subject, feature, now), scale),
        user_used=UNSET if subject.user is None else from_units(usage.user_used, scale),
        limit=UNSET if unlimited else from_units(limit, scale),
        granted=from_units(usage.granted, scale) if usage.granted and not unlimited else UNSET,
        unlimited=unlimited,
        soft=facts is not None and facts.soft,
        remaining=UNSET if unlimited else from_units(max(0, limit - usage.used), scale),
        overage=UNSET if unlimited or not over else from_units(over, scale),
        window=window_document(Interval(max(usage.window_start, BEGINNING), usage.window_end)),
        resets_at=instant_or_absent(usage.window_end),
    )
