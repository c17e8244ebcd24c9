"""The life of a subscription: which step is possible from where, and what each makes of status and dates. Pure.

Where a subscription stands (:class:`Standing`) follows from its status, its dates and `now`. The table says from where
each step is possible. No step gives more than it says: a pause and its end lead back to what was there before, with
its dates; a late payment is settled by `activate` alone; and no date is taken that lies in the past.

Leaves to others: items, who may take a step, and how it is written down.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from msgspec.structs import replace

from tiergate.errors import BodyError, BodyProblem, ConflictError
from tiergate.model import BEGINNING, Subscription, SubscriptionStatus, format_instant
from tiergate.model.subscription_state import SubscriptionState, apply_due_resume, derive_state, resume_subscription

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.model import Instant

_ACTIVE, _TRIALING = SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING
_PAST_DUE, _CANCELED, _PAUSED = SubscriptionStatus.PAST_DUE, SubscriptionStatus.CANCELED, SubscriptionStatus.PAUSED


class Standing(Enum):
    """Where a subscription stands in its life."""

    ACTIVE = "active"
    TRIALING = "trialing"
    PAST_DUE = "past_due"
    CANCELED = "canceled"
    PAUSED = "paused"
    PAUSED_LATE = "paused, with a payment that is late"
    PAUSED_CANCELED = "paused, and canceled"
    TRIAL_OVER = "ended with its trial"
    ENDED = "ended"


_S = Standing
_PAUSES: Final = frozenset({_S.PAUSED, _S.PAUSED_LATE, _S.PAUSED_CANCELED})
_GOING: Final = frozenset({_S.ACTIVE, _S.TRIALING, _S.PAST_DUE, _S.CANCELED})
_OVER: Final = frozenset({_S.TRIAL_OVER, _S.ENDED})
_OF_STATUS: Final = {
    _ACTIVE: (_S.ACTIVE, _S.PAUSED),
    _TRIALING: (_S.TRIALING, _S.PAUSED),
    _PAST_DUE: (_S.PAST_DUE, _S.PAUSED_LATE),
    _CANCELED: (_S.CANCELED, _S.PAUSED_CANCELED),
}


class Step(NamedTuple):
    """A step: from where it is possible, which date it takes, and what it makes of a subscription.

    `required`: it needs its date. `action`: what the audit log calls it. `apply` gets the subscription, settled, its
    date or none, and now.
    """

    summary: str
    action: str
    possible: frozenset[Standing]
    date: str | None
    apply: Callable[[Subscription, Instant | None, Instant], Subscription]
    required: bool = False


def standing_of(subscription: Subscription, now: Instant) -> Standing:
    """Where a subscription stands at `now`."""
    present = apply_due_resume(subscription, now)
    inner = resume_subscription(present)
    if derive_state(present, now) is SubscriptionState.ENDED:
        over = inner.status is _TRIALING and (inner.end is None or inner.end > now)
        return _S.TRIAL_OVER if over else _S.ENDED
    return _OF_STATUS[inner.status][present.status is _PAUSED]


def apply_step(name: str, subscription: Subscription, date: Instant | None, now: Instant) -> Subscription:
    """What a step makes of a subscription; `date`: the one that the step takes, where it was said.

    Raises:
        ConflictError: `step-not-possible`, with what the subscription is, and which steps are possible.
        BodyError: the date cannot mean anything here.
    """
    step, standing = STEPS[name], standing_of(subscription, now)
    revives = standing in _OVER and name in {"cancel", "end"} and date is not None and date > now
    if standing not in step.possible or revives:
        possible = ", ".join(f"`{other}`" for other, one in STEPS.items() if standing in one.possible)
        said = f"`{subscription.id}` {described(subscription, now)}, so that `{name}` is not possible"
        raise ConflictError("step-not-possible", f"{said}: it takes {possible}")
    return step.apply(apply_due_resume(subscription, now), date, now)


def described(subscription: Subscription, now: Instant) -> str:
    """What a subscription is at `now`, as the predicate of a sentence."""
    present = apply_due_resume(subscription, now)
    standing = standing_of(present, now)
    match standing:
        case _S.ACTIVE | _S.CANCELED:
            text = f"is {present.status.value}" + _at(", and ends at", present.end)
        case _S.TRIALING:
            text = "is trialing" + _at(" until", present.trial_end)
        case _S.PAST_DUE:
            grace = present.grace_until is not None and present.grace_until > now
            text = "is past due" + (_at(", with grace until", present.grace_until) if grace else ", without grace")
        case _S.PAUSED | _S.PAUSED_LATE | _S.PAUSED_CANCELED:
            text = f"is {standing.value}" + _at(", until", present.resume_at)
        case _S.TRIAL_OVER:
            text = "has ended with its trial" + _at(", at", resume_subscription(present).trial_end)
        case _S.ENDED:
            text = "has ended" + (_at(", at", present.end) if present.end is not None and present.end <= now else "")
    begins = _at(", and begins at", present.start) if derive_state(present, now) is SubscriptionState.SCHEDULED else ""
    return text + begins


def _at(word: str, instant: Instant | None) -> str:
    return "" if instant is None else f"{word} {format_instant(instant)}"


# ── What each step does ──────────────────────────────────────────────────────────────────────────────────────────────


def _trial(present: Subscription, date: Instant | None, now: Instant) -> Subscription:
    _expect_later("trial_end", date, present, now)
    return replace(_plain(present), status=_TRIALING, trial_end=date)


def _activate(present: Subscription, _date: Instant | None, _now: Instant) -> Subscription:
    return replace(_plain(present), status=_ACTIVE, end=None)


def _pause(present: Subscription, date: Instant | None, now: Instant) -> Subscription:
    _expect_resumption(date, present, now)
    if present.status is _PAUSED:
        return replace(present, resume_at=date)
    returns = None if present.status is _ACTIVE else present.status
    return replace(present, status=_PAUSED, resume_at=date, resumes_as=returns)


def _resume(present: Subscription, date: Instant | None, now: Instant) -> Subscription:
    _expect_resumption(date, present, now)
    return resume_subscription(present) if date is None else replace(present, resume_at=date)


def _past_due(present: Subscription, date: Instant | None, now: Instant) -> Subscription:
    _expect_later("grace_until", date, present, now)
    return replace(_plain(present), status=_PAST_DUE, grace_until=date)


def _cancel(present: Subscription, date: Instant | None, now: Instant) -> Subscription:
    inner = resume_subscription(present)
    end = _end(present, date, now)
    if standing_of(present, now) in _OVER:
        over = [it for it in (inner.end, inner.trial_end) if it is not None and it <= now]
        return replace(_plain(present), status=_CANCELED, end=_begun(present, min(over, default=now)))
    if date is not None and date > now:
        if inner.status is _TRIALING and inner.trial_end is not None and date > inner.trial_end:
            _refuse("end", f"must not be later than the end of its trial, {format_instant(inner.trial_end)}")
        if inner.status is _PAST_DUE:
            if inner.grace_until is None or inner.grace_until <= now:
                _refuse("end", "must be left out: its payment is late, so that it can only be canceled now")
            if date > inner.grace_until:
                _refuse("end", f"must not be later than its grace, {format_instant(inner.grace_until)}")
        if present.status is _PAUSED:
            again = present.resume_at if present.resume_at is not None and present.resume_at < end else None
            plain = replace(_plain(present), status=_PAUSED, end=end)
            return replace(plain, resume_at=again, resumes_as=_CANCELED)
    return replace(_plain(present), status=_CANCELED, end=end)


def _let_end(present: Subscription, date: Instant | None, now: Instant) -> Subscription:
    end = _end(present, date, now)
    if standing_of(present, now) in _OVER:
        return present
    again = present.resume_at if present.resume_at is not None and present.resume_at < end else None
    return replace(present, end=end, resume_at=again)


def _plain(present: Subscription) -> Subscription:
    return replace(present, trial_end=None, grace_until=None, resume_at=None, resumes_as=None)


def _end(present: Subscription, date: Instant | None, now: Instant) -> Instant:
    if date is not None and date < now:
        _refuse("end", f"must not lie in the past, and it is {format_instant(now)}: left out, it is now")
    is_canceled = resume_subscription(present).status is _CANCELED  # for what was owed, perhaps
    if date is not None and is_canceled and present.end is not None and now < present.end < date:
        _refuse("end", f"must not be later than its end, {format_instant(present.end)}: `activate` takes that back")
    return _begun(present, now if date is None else date)


def _begun(present: Subscription, end: Instant) -> Instant:
    """An end that is not before the start: what has not begun never does."""
    return end if present.start is None else max(end, present.start)


def _expect_later(key: str, date: Instant | None, present: Subscription, now: Instant) -> None:
    if date is None:
        return
    if date <= now:
        _refuse(key, f"must lie in the future, and it is {format_instant(now)}")
    if date <= (BEGINNING if present.start is None else present.start):
        _refuse(key, f"must be later than its start{_at(',', present.start)}")
    if present.end is not None and date > present.end:
        _refuse(key, f"must not be later than its end, {format_instant(present.end)}")


def _expect_resumption(date: Instant | None, present: Subscription, now: Instant) -> None:
    if date is None:
        return
    if date <= now:
        _refuse("resume_at", f"must lie in the future, and it is {format_instant(now)}")
    inner = resume_subscription(present)
    if inner.end is not None and date >= inner.end:
        _refuse("resume_at", f"must be before its end, {format_instant(inner.end)}")
    if inner.status is _TRIALING and inner.trial_end is not None and date >= inner.trial_end:
        _refuse("resume_at", f"must be before the end of its trial, {format_instant(inner.trial_end)}")


def _refuse(key: str, message: str) -> NoReturn:
    raise BodyError([BodyProblem(f"/{key}", "impossible-date", message)])


STEPS: Final[dict[str, Step]] = {
    "trial": Step(
        "Begin a trial, or extend it: until `trial_end`.",
        "trial_set",
        frozenset({_S.ACTIVE, _S.TRIALING, _S.PAUSED, _S.TRIAL_OVER}),
        "trial_end",
        _trial,
        required=True,
    ),
    "activate": Step(
        "Make a subscription active, without an end: after a trial, a pause, a late payment, a cancellation, its end.",
        "activated",
        frozenset(Standing),
        None,
        _activate,
    ),
    "pause": Step(
        "Pause a subscription, until `resume_at` or for good. It resumes as what it was, with its dates.",
        "paused",
        _GOING | _PAUSES,
        "resume_at",
        _pause,
    ),
    "resume": Step("Resume a paused subscription, now or at `resume_at`.", "resumed", _PAUSES, "resume_at", _resume),
    "past-due": Step(
        "Say that a payment is late; what is held counts until `grace_until`, or no more.",
        "past_due",
        _GOING | {_S.TRIAL_OVER},
        "grace_until",
        _past_due,
    ),
    "cancel": Step(
        "Cancel a subscription: it counts until `end`, or ends now.", "canceled", frozenset(Standing), "end", _cancel
    ),
    "end": Step(
        "Let a subscription end at `end`, or now, whatever its status.", "ended", frozenset(Standing), "end", _let_end
    ),
}
"""The steps by their names."""
