"""Checks of metered features about customers: what does not depend on usage is found once for each customer.

Usage moves with each consumption, and with it the answer; the facts do not. INVARIANT (metered is general): what is
found here is what the steps of `ShapeEvaluator.find_kept` come to, and anything unusual is left to them;
`tests/properties/test_shapes.py` compares both with fresh decisions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.engine.bounded_cache import BoundedCache
from tiergate.engine.normalized_check import normalize_fields
from tiergate.engine.shapes.kept_decision import KeptDecision, KeptText
from tiergate.engine.shapes.operand_reader import LEAST, MOST
from tiergate.model import SubjectType

if TYPE_CHECKING:
    from tiergate.cedar import Uid
    from tiergate.engine.bounded_cache import CacheLimits
    from tiergate.engine.evaluator import Evaluator
    from tiergate.engine.facts import Facts
    from tiergate.engine.shapes.shape import Shape
    from tiergate.engine.subject_cache import ActiveSubject
    from tiergate.model import Check, Instant, MeteredUsage, ReportedStatus, Subject

_CUSTOMER: Final = SubjectType.CUSTOMER
_RESOLVED_BYTES: Final = 1_200
"""A resolved check with the text of its decision, as measured."""


class ResolvedCheck(NamedTuple):
    """What is the same for all checks of one feature about one customer, as long as its data is.

    That is within the interval of the facts, while the customer is `active` and `reports` are those on the feature's
    status. `text`: of its decisions, as far as that is the same too.
    """

    active: ActiveSubject
    facts: Facts
    principal: Uid
    shape: Shape
    reports: tuple[ReportedStatus, ...] | None
    text: KeptText


class MeteredChecks:
    """The checks of all metered features of one bundle."""

    __slots__ = ("_evaluator", "_statuses", "_subjects", "resolved")

    def __init__(self, evaluator: Evaluator, limits: CacheLimits) -> None:
        self._evaluator = evaluator
        self._subjects = evaluator.subjects.cache
        self._statuses = evaluator.statuses
        self.resolved: BoundedCache[tuple[str, str], ResolvedCheck] = BoundedCache(
            limits.subjects, limits.subject_bytes
        )

    def keep(self, subject: Subject, check: ResolvedCheck) -> None:
        """Keep what was resolved for a subject, if it is a customer, and is asked for again."""
        if subject.type is _CUSTOMER and subject.user is None:
            self.resolved.offer((check.facts.feature.id, subject.id), check, _RESOLVED_BYTES)

    def find(self, check: Check, now: Instant) -> KeptDecision | None:
        """Return the decision on a check if its feature is metered, it was resolved before, and its answer is kept.

        Raises:
            CheckError: as the evaluator.
        """
        subject = check.subject
        if subject.type is not _CUSTOMER or subject.user is not None:
            return None
        known = self.resolved.get((check.feature, subject.id))
        if known is None:
            return None
        facts = known.facts
        if not facts.start <= now < facts.until or self._subjects.get(subject) is not known.active:
            return None
        if known.reports is not self._statuses.reports.get(check.feature):
            return None
        feature = facts.feature
        question = normalize_fields(check, feature)
        usage = self._evaluator.usage_of(subject, feature, now)
        if not fits_cedar(usage):
            return None
        key = known.shape.key(facts, question, usage, now, known.principal, subject)
        answer = None if key is None else known.shape.answers.get(key)
        if answer is None:
            return None
        used = usage.used if question.used is None else question.used
        return KeptDecision(feature, facts, used, answer, question.amount, usage, known.text)


def fits_cedar(usage: MeteredUsage) -> bool:
    """Return whether each number of a usage is one of Cedar's, so that only sums of them can leave its range."""
    if usage.drawn is None and usage.used >= 0 and not (usage.user_used or usage.total_used or usage.granted):
        return usage.used <= MOST  # nearly always
    numbers = usage.numbers
    return min(numbers) >= LEAST and max(numbers) <= MOST
