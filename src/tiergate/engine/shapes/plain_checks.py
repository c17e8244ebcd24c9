"""Plain checks, as nearly all are: about a customer without overrides and suspensions, of a feature not metered here.

The steps of `ShapeEvaluator.find_kept` in one function, with what is the same for all checks of a feature at hand.
INVARIANT (plain is general): what is found here is what those steps come to, and anything unusual is left to them;
`tests/properties/test_shapes.py` compares both with fresh decisions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.engine.evaluator import Denial
from tiergate.engine.facts import Facts, combined
from tiergate.engine.feature_status import with_status
from tiergate.engine.normalized_check import normalize_fields
from tiergate.engine.shapes.kept_decision import KeptDecision
from tiergate.errors import OperatorError
from tiergate.model import (
    MAX_TOTAL_UNITS,
    NO_METERED_USAGE,
    Combine,
    FeatureStatus,
    LimitKind,
    MeteredAmount,
    SubjectType,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.engine.active_items import ActiveVersion
    from tiergate.engine.evaluator import Evaluator
    from tiergate.engine.facts import HeldDefinition
    from tiergate.engine.normalized_check import NormalizedCheck
    from tiergate.engine.shapes.shape import Shape
    from tiergate.engine.subject_cache import ActiveSubject
    from tiergate.model import Check, Feature, Instant, Subject, Value

_CUSTOMER = SubjectType.CUSTOMER


def has_plain_checks(feature: Feature) -> bool:
    """Return whether the facts about a feature follow from items alone, for subjects without overrides and the like."""
    is_draft = feature.status is FeatureStatus.DRAFT
    metered = feature.metered
    is_hard = feature.draws is None and (metered is None or metered.limit is LimitKind.HARD)
    return not is_draft and not feature.suspensions and feature.across is not Combine.MAX and is_hard


def is_plain_subject(subject: Subject, active: ActiveSubject) -> bool:
    """Return whether a subject that was found is a customer without overrides and suspensions."""
    return active.items.is_plain and subject.user is None and subject.type is _CUSTOMER


class PlainChecks:
    """The plain checks of one feature. `shape`: of the slice that every check of it about a customer has."""

    __slots__ = ("_answers", "_definition", "_evaluator", "_feature", "_key", "_statuses", "_subjects")

    def __init__(self, evaluator: Evaluator, feature: Feature, shape: Shape) -> None:
        self._evaluator = evaluator
        self._definition = evaluator.bundle.definition
        self._subjects = evaluator.subjects.cache
        self._statuses = evaluator.statuses
        self._feature = feature
        self._key = shape.key
        self._answers = shape.answers

    def find(self, check: Check, now: Instant) -> KeptDecision | None:
        """Return the decision on a check of this feature if it is plain and its answer is kept.

        Raises:
            CheckError: as the evaluator.
        """
        subject = check.subject
        if subject.type is not _CUSTOMER or subject.user is not None:
            return None
        active = self._subjects.get(subject)
        if active is None or not active.items.start <= now < active.items.until:
            found = self._evaluator.find_subject(subject, now)
            if isinstance(found, Denial):
                return None
            active = found
        items = active.items
        if not items.is_plain:
            return None
        question = normalize_fields(check, self._feature)
        name, definition = self._feature.id, self._definition
        given: list[tuple[str, ActiveVersion, Value]] = []
        give_all = True
        try:
            for subscription in items.subscriptions:
                for version in subscription.versions:
                    value = definition(version.ref).get(name)
                    if value is None:
                        give_all = False
                    else:
                        given.append((subscription.id, version, value))
        except OperatorError:
            return None
        return self._find_given(subject, question, active, given, now, give_all=give_all)

    def find_held(
        self,
        subject: Subject,
        question: NormalizedCheck,
        active: ActiveSubject,
        held: Sequence[HeldDefinition],
        now: Instant,
    ) -> KeptDecision | None:
        """Return as `find`, for a plain subject that was found as of `now`; `held`: what its items give."""
        name = self._feature.id
        given = [(where, by, value) for where, by, values in held if (value := values.get(name)) is not None]
        return self._find_given(subject, question, active, given, now, give_all=len(given) == len(held))

    def _find_given(
        self,
        subject: Subject,
        question: NormalizedCheck,
        active: ActiveSubject,
        given: list[tuple[str, ActiveVersion, Value]],
        now: Instant,
        *,
        give_all: bool,
    ) -> KeptDecision | None:
        """Return as `find`; `given`: what the subject's item versions give, `give_all`: each of them something."""
        feature, items = self._feature, active.items
        if feature.metered is not None and any(type(value) is MeteredAmount for _, _, value in given):
            return None
        total, unlimited = combined(feature, given)
        if total > MAX_TOTAL_UNITS:
            return None
        facts = Facts(
            feature,
            items,
            True,  # active
            False,  # suspended
            bool(items.subscriptions),
            total,
            unlimited,
            bool(given),
            False,  # overridden
            False,  # disabled
            items.refs if give_all else tuple(sorted({version.ref for _, version, _ in given})),
            tuple(given),
            items.start,
            items.until,
        )
        if self._statuses.reports:
            reports = self._statuses.reports.get(feature.id)
            facts = facts if reports is None else with_status(facts, reports, now)
        key = self._key(facts, question, NO_METERED_USAGE, now, active.uid, subject)
        answer = None if key is None else self._answers.get(key)
        return None if answer is None else KeptDecision(feature, facts, question.used or 0, answer)
