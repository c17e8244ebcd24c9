"""The life cycle of a subscription: the allowed steps of each stage, and their effect on status and dates. Pure.

The stage follows from status, dates and `now`. A table lists the stages in which each step is allowed. No step has
hidden effects: a pause and its end restore the status and dates from before; only `activate` settles a late payment;
and no date may be in the past.

Leaves to others: items, permissions, and the audit log.
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


class LifecycleStage(Enum):
    """A stage of the life cycle of a subscription."""

    ACTIVE = "active"
    TRIALING = "trialing"
    PAST_DUE = "past_due"
    CANCELED = "canceled"
    PAUSED = "paused"
    PAUSED_LATE = "paused, with a payment that is late"
    PAUSED_CANCELED = "paused, and canceled"
    TRIAL_OVER = "ended with its trial"
    ENDED = "ended"


_S = LifecycleStage
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
    """A step of the life cycle. `action`: its name in the audit log. `date`: the key of the date that it accepts.

    `apply` gets the subscription with a due resume applied, the date, and now. `required`: it needs the date.
    """

    summary: str
    action: str
    allowed_in: frozenset[LifecycleStage]
    date: str | None
    apply: Callable[[Subscription, Instant | None, Instant], Subscription]
    required: bool = False


def stage_of(subscription: Subscription, now: Instant) -> LifecycleStage:
    """Return the stage of a subscription at `now`."""
    present = apply_due_resume(subscription, now)
    inner = resume_subscription(present)
    if derive_state(present, now) is SubscriptionState.ENDED:
        over = inner.status is _TRIALING and (inner.end is None or inner.end > now)
        return _S.TRIAL_OVER if over else _S.ENDED
    return _OF_STATUS[inner.status][present.status is _PAUSED]


def apply_step(name: str, subscription: Subscription, date: Instant | None, now: Instant) -> Subscription:
    """Return a subscription after a step; `date`: the one of the step.

    Raises:
        ConflictError: `step-not-possible`, with the stage and the allowed steps.
        BodyError: the date is not possible here.
    """
    step, stage = STEPS[name], stage_of(subscription, now)
    revives = stage in _OVER and name in {"cancel", "end"} and date is not None and date > now
    if stage not in step.allowed_in or revives:
        allowed = ", ".join(f"`{other}`" for other, one in STEPS.items() if stage in one.allowed_in)
        reason = f"`{subscription.id}` {describe_stage(subscription, now)}"
        raise ConflictError("step-not-possible", f"{reason}: `{name}` is not possible; possible are {allowed}")
    return step.apply(apply_due_resume(subscription, now), date, now)


def describe_stage(subscription: Subscription, now: Instant) -> str:
    """Describe the stage of a subscription at `now`, as the predicate of a sentence."""
    present = apply_due_resume(subscription, now)
    stage = stage_of(present, now)
    match stage:
        case _S.ACTIVE | _S.CANCELED:
            text = f"is {present.status.value}" + _at(", and ends at", present.end)
        case _S.TRIALING:
            text = "is trialing" + _at(" until", present.trial_end)
        case _S.PAST_DUE:
            grace = present.grace_until is not None and present.grace_until > now
            text = "is past due" + (_at(", with grace until", present.grace_until) if grace else ", without grace")
        case _S.PAUSED | _S.PAUSED_LATE | _S.PAUSED_CANCELED:
            text = f"is {stage.value}" + _at(", until", present.resume_at)
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
    if stage_of(present, now) in _OVER:
        over = [it for it in (inner.end, inner.trial_end) if it is not None and it <= now]
        return replace(_plain(present), status=_CANCELED, end=_begun(present, min(over, default=now)))
    if date is not None and date > now:
        if inner.status is _TRIALING and inner.trial_end is not None and date > inner.trial_end:
            _reject("end", f"must not be after the end of the trial, {format_instant(inner.trial_end)}")
        if inner.status is _PAST_DUE:
            if inner.grace_until is None or inner.grace_until <= now:
                _reject("end", "must be left out: the payment is late, so the subscription can only be canceled now")
            if date > inner.grace_until:
                _reject("end", f"must not be after the grace period, {format_instant(inner.grace_until)}")
        if present.status is _PAUSED:
            again = present.resume_at if present.resume_at is not None and present.resume_at < end else None
            plain = replace(_plain(present), status=_PAUSED, end=end)
            return replace(plain, resume_at=again, resumes_as=_CANCELED)
    return replace(_plain(present), status=_CANCELED, end=end)


def _end_at(present: Subscription, date: Instant | None, now: Instant) -> Subscription:
    end = _end(present, date, now)
    if stage_of(present, now) in _OVER:
        return present
    again = present.resume_at if present.resume_at is not None and present.resume_at < end else None
    return replace(present, end=end, resume_at=again)


def _plain(present: Subscription) -> Subscription:
    return replace(present, trial_end=None, grace_until=None, resume_at=None, resumes_as=None)


def _end(present: Subscription, date: Instant | None, now: Instant) -> Instant:
    if date is not None and date < now:
        _reject("end", f"must not be in the past (it is {format_instant(now)}); it may be left out")
    is_canceled = resume_subscription(present).status is _CANCELED  # for what was owed, perhaps
    if date is not None and is_canceled and present.end is not None and now < present.end < date:
        _reject("end", f"must not be after the end, {format_instant(present.end)}: `activate` removes the end")
    return _begun(present, now if date is None else date)


def _begun(present: Subscription, end: Instant) -> Instant:
    """Return an end that is not before the start."""
    return end if present.start is None else max(end, present.start)


def _expect_later(key: str, date: Instant | None, present: Subscription, now: Instant) -> None:
    if date is None:
        return
    if date <= now:
        _reject(key, f"must be in the future (it is {format_instant(now)})")
    if date <= (BEGINNING if present.start is None else present.start):
        _reject(key, f"must be after the start of the subscription{_at(',', present.start)}")
    if present.end is not None and date > present.end:
        _reject(key, f"must not be after the end of the subscription, {format_instant(present.end)}")


def _expect_resumption(date: Instant | None, present: Subscription, now: Instant) -> None:
    if date is None:
        return
    if date <= now:
        _reject("resume_at", f"must be in the future (it is {format_instant(now)})")
    inner = resume_subscription(present)
    if inner.end is not None and date >= inner.end:
        _reject("resume_at", f"must be before the end of the subscription, {format_instant(inner.end)}")
    if inner.status is _TRIALING and inner.trial_end is not None and date >= inner.trial_end:
        _reject("resume_at", f"must be before the end of the trial, {format_instant(inner.trial_end)}")


def _reject(key: str, message: str) -> NoReturn:
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
        frozenset(LifecycleStage),
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
        "Mark a payment as late; the subscription counts until `grace_until`, or not at all.",
        "past_due",
        _GOING | {_S.TRIAL_OVER},
        "grace_until",
        _past_due,
    ),
    "cancel": Step(
        "Cancel a subscription: it counts until `end`, or ends now.",
        "canceled",
        frozenset(LifecycleStage),
        "end",
        _cancel,
    ),
    "end": Step(
        "Let a subscription end at `end`, or now, whatever its status.",
        "ended",
        frozenset(LifecycleStage),
        "end",
        _end_at,
    ),
}
"""The steps by name."""
