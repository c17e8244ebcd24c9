"""What is answered while nothing was ever loaded, where the operator does not let checks wait for that any longer.

Nothing is decided here, because there is nothing to decide by: neither a catalog nor subjects. A well-formed check is
denied with `stale_data`, but for the features that the operator chose to allow then, by their ids or all of them. Every
such answer says `stale`, names no policy, and has neither a publication nor a revision.

A question that no catalog could answer is a mistake now as at any other time. One that only this catalog would refuse,
because it does not have the feature or the level, is not known to be one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.engine.normalized_check import expect_valid_check
from tiergate.model import Check, Entitlement, Reason, format_instant
from tiergate.sidecar.staleness import EVERY
from tiergate.wire.decision import DecisionDocument
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.model import Instant, Subject

NO_PUBLICATION: Final = 0
"""The publication of an answer that no publication decided: before the first one."""

NO_REVISION: Final = ""
"""The revision of such an answer."""

_NUMBERS = ("amount", "used", "value", "level")


class UnloadedDecisions:
    """The answers of a sidecar without data. `allow`: ids of features, or `*` for all; everything else is denied."""

    def __init__(self, allow: Sequence[str] = ()) -> None:
        self.allow = tuple(allow)
        self._features = frozenset(allow) - {EVERY}
        self._every = EVERY in allow

    def answer(self, check: Check) -> DecisionDocument:
        """Answer a check.

        Raises:
            UnknownFeatureError: no catalog can have the feature.
            CheckError: no feature takes such a check.
        """
        expect_valid_check(check)
        allowed = self._every or check.feature in self._features
        return DecisionDocument(
            allowed=allowed,
            reason=(Reason.GRANTED if allowed else Reason.STALE_DATA).value,
            feature=check.feature,
            entitlement=Entitlement(),
            sources=(),
            policies=(),
            publication=NO_PUBLICATION,
            revision=NO_REVISION,
            stale=True,
        )

    def answers(self, subject: Subject) -> list[DecisionDocument]:
        """The answers about all features that are known: those that are allowed by their ids, in their order."""
        return [self.answer(Check(subject, feature)) for feature in sorted(self._features)]

    def explain(self, check: Check, at: Instant) -> bytes:
        """Explain a check as of an instant, in the form of any explanation, without what only a catalog says.

        Raises:
            UnknownFeatureError, CheckError: as `answer`.
        """
        given = self.answer(check)
        subject = check.subject
        whom = {"type": subject.type.value, "id": subject.id}
        if subject.user is not None:
            whom["user"] = subject.user
        asked = {"subject": whom, "feature": check.feature, "at": format_instant(at)}
        asked |= {name: getattr(check, name) for name in _NUMBERS if getattr(check, name) is not None}
        return encode(
            {
                "decision": given,
                "sentences": _sentences(check, allowed=given.allowed),
                "asked": asked,
                "known": False,
                "subscriptions": (),
                "held": {},
                "values": (),
                "overrides": (),
                "suspensions": (),
                "changes": (),
                "principal": "",
                "context": {},
                "policies": (),
                "errors": (),
            }
        )


def _sentences(check: Check, *, allowed: bool) -> tuple[str, str]:
    subject = check.subject
    user = "" if subject.user is None else f"user {subject.user} of "
    whom = f"{user}{subject.type} {subject.id}"
    if allowed:
        first = f"Yes: {whom} may use {check.feature}, because the operator allows it while there is no data."
    else:
        first = f"No: {whom} may not use {check.feature}, because there is no data yet to decide by."
    return first, "This sidecar has loaded nothing since it started: neither plans nor customers are known to it."
