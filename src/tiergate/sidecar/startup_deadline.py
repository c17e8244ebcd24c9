"""Decisions without any data, if the operator does not let checks wait for the first load any longer.

A well-formed check is denied with `stale_data`, except for the features that the operator chose to allow: by their ids,
or all of them. Every such decision is marked stale, names no policy, and has neither a publication nor a revision.

A check that no catalog could decide is an error as at any other time. A check that only this catalog would reject,
because it does not have the feature or the level, is decided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.engine.normalized_check import expect_valid_check, expect_valid_subject
from tiergate.model import Check, Decision, Entitlement, Reason, format_instant
from tiergate.sidecar.staleness import EVERY
from tiergate.wire.decision import decision_document
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.model import Instant, Subject

NO_PUBLICATION: Final = 0
"""The publication of a decision before the first load."""

NO_REVISION: Final = ""
"""The revision of such a decision."""

_NUMBERS = ("amount", "used", "value", "level")


class UnloadedDecisions:
    """The decisions of a sidecar without data. `allow`: ids of features, or `*` for all; everything else is denied."""

    def __init__(self, allow: Sequence[str] = ()) -> None:
        self.allow = tuple(allow)
        self._features = frozenset(allow) - {EVERY}
        self._every = EVERY in allow

    def decide(self, check: Check, now: Instant) -> Decision:
        """Decide a check; the type of its feature is unknown."""
        expect_valid_check(check)
        is_allowed = self._every or check.feature in self._features
        return Decision(
            allowed=is_allowed,
            reason=Reason.GRANTED if is_allowed else Reason.STALE_DATA,
            feature=check.feature,
            type=None,
            entitlement=Entitlement(),
            sources=(),
            policies=(),
            publication=NO_PUBLICATION,
            revision=NO_REVISION,
            start=now,
            volatile=True,
            stale=True,
        )

    def decide_all(self, subject: Subject, now: Instant) -> Iterator[Decision]:
        """Decide all features that are known: those that are allowed by their ids, in their order."""
        expect_valid_subject(subject)
        return (self.decide(Check(subject, feature), now) for feature in sorted(self._features))

    def explain(self, check: Check, at: Instant) -> bytes:
        """Explain a check as of an instant, in the form of any explanation, without what only a catalog says."""
        decision = self.decide(check, at)
        subject = check.subject
        subject_data = {"type": subject.type.value, "id": subject.id}
        if subject.user is not None:
            subject_data["user"] = subject.user
        request = {"subject": subject_data, "feature": check.feature, "at": format_instant(at)}
        request |= {name: getattr(check, name) for name in _NUMBERS if getattr(check, name) is not None}
        return encode(
            {
                "decision": decision_document(decision),
                "sentences": _sentences(check, allowed=decision.allowed),
                "asked": request,
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
    name = f"{user}{subject.type} {subject.id}"
    if allowed:
        first = f"Yes: {name} may use {check.feature}, because the operator allows it while there is no data."
    else:
        first = f"No: {name} may not use {check.feature}, because there is no data yet to decide by."
    return first, "This sidecar has loaded nothing since it started: neither plans nor customers are known to it."
