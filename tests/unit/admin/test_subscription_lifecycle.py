"""Every step from everywhere, at every kind of date: held to a small model that knows nothing of intervals."""

from __future__ import annotations

from contextlib import suppress
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tiergate.admin.subscription_lifecycle import STEPS, LifecycleStage, apply_step, describe_stage, stage_of
from tiergate.errors import BodyError, ConflictError
from tiergate.model import Subscription, SubscriptionStatus
from tiergate.model.subscription_state import SubscriptionState, apply_due_resume, derive_state

if TYPE_CHECKING:
    from collections.abc import Iterator

S = SubscriptionStatus
NOW = 0
INSTANTS = (-9, -8, -5, -1, 0, 1, 5, 6, 9, 10, 11, 12, 15, 16, 18, 20, 24, 25, 29, 30, 31, 40)
"""Every date that is used here: what is true at all of these is true, for nothing begins or ends in between."""

STARTS = (None, -8, 15)
ENDS = (None, -5, 0, 10, 30)
DATES = (None, -5, 0, 10, 30)
SAID = (None, -5, 0, 1, 10, 11, 16, 30, 31)
RESUMED = (None, S.TRIALING, S.PAST_DUE, S.CANCELED)


def every_subscription() -> Iterator[Subscription]:
    """One of every kind, with those dates that its status reads, and some that it does not."""
    for status, start, end in product(S, STARTS, ENDS):
        inners: tuple[S | None, ...] = RESUMED if status is S.PAUSED else (None,)
        for resumes_as in inners:
            read = resumes_as if status is S.PAUSED else status
            trials = DATES if read is S.TRIALING else (None, 10)
            graces = DATES if read is S.PAST_DUE else (None,)
            resumptions = DATES if status is S.PAUSED else (None,)
            for trial_end, grace, resume_at in product(trials, graces, resumptions):
                yield Subscription("s", "c", status, (), start, end, trial_end, grace, resume_at, resumes_as=resumes_as)


def is_sound(one: Subscription) -> bool:
    """Say whether a file could say it: with every date that its status needs, and none before its start."""
    inner = (one.resumes_as or S.ACTIVE) if one.status is S.PAUSED else one.status
    needs = {S.TRIALING: one.trial_end, S.CANCELED: one.end}.get(inner, 0)
    dates = [one.end] + ([one.trial_end] if inner is S.TRIALING else [])
    return (
        needs is not None
        and (one.resumes_as is None or one.status is S.PAUSED)
        and all(it is None or one.start is None or it >= one.start for it in dates)
    )


EVERY = list(filter(is_sound, every_subscription()))

# ── The model ────────────────────────────────────────────────────────────────────────────────────────────────────────


def counts(one: Subscription, at: int) -> bool:
    """Say whether a subscription counts at an instant, rule by rule."""
    if (one.start is not None and at < one.start) or (one.end is not None and at >= one.end):
        return False
    status = one.status
    if status is S.PAUSED:
        if one.resume_at is None or at < one.resume_at:
            return False
        status = one.resumes_as or S.ACTIVE
    return {
        S.ACTIVE: True,
        S.TRIALING: one.trial_end is not None and at < one.trial_end,
        S.PAST_DUE: one.grace_until is not None and at < one.grace_until,
        S.CANCELED: one.end is not None,
    }.get(status, False)


class Seen(NamedTuple):
    """What the model sees of a subscription: is it paused, which status stands behind that, and is it over."""

    paused: bool
    status: S
    over: bool


def seen(one: Subscription, now: int) -> Seen:
    """Look at a subscription."""
    paused = one.status is S.PAUSED and not (one.resume_at is not None and one.resume_at <= now)
    status = (one.resumes_as or S.ACTIVE) if one.status is S.PAUSED else one.status
    never = one.end is not None and one.start is not None and one.end <= one.start
    over = status is S.EXPIRED or (one.end is not None and one.end <= now) or (never and not paused)
    if status is S.CANCELED and one.end is None:
        over = True
    if status is S.TRIALING:
        late = one.trial_end is None or one.trial_end <= now
        unborn = one.trial_end is not None and one.start is not None and one.trial_end <= one.start
        over = over or late or (unborn and not paused)
    return Seen(paused, status, over)


def may(name: str, one: Subscription, date: int | None, now: int) -> bool:
    """Say whether a step is possible, whatever its date."""
    paused, status, over = seen(one, now)
    match name:
        case "activate":
            return True
        case "cancel" | "end":
            return not (over and date is not None and date > now)
        case "pause":
            return not over
        case "resume":
            return paused and not over
        case "past-due":
            return (not over and not paused) or (
                over and status is S.TRIALING and not (one.end is not None and one.end <= now)
            )
        case "trial":
            ended = one.end is not None and one.end <= now
            return status is S.TRIALING and not ended if over else status in {S.ACTIVE, S.TRIALING}
        case _:
            raise AssertionError(name)


def fits(name: str, one: Subscription, date: int | None, now: int) -> bool:
    """Say whether a date can mean something to a step that is possible."""
    if date is None:
        return name != "trial"
    begun = one.start is None or date > one.start
    _, status, over = seen(one, now)
    match name:
        case "trial" | "past-due":
            return date > now and begun and (one.end is None or date <= one.end)
        case "pause" | "resume":
            before = date < one.trial_end if status is S.TRIALING and one.trial_end is not None else True
            return date > now and before and (one.end is None or date < one.end)
        case "cancel":
            if date <= now or over:
                return date == now
            if status is S.TRIALING:
                return one.trial_end is not None and date <= one.trial_end
            if status is S.PAST_DUE:
                return one.grace_until is not None and one.grace_until > now and date <= one.grace_until
            return status is S.ACTIVE or (one.end is not None and date <= one.end)
        case "end":
            later = status is S.CANCELED and one.end is not None and one.end > now and date > one.end
            return date >= now and not later
        case _:
            raise AssertionError(name)


def promised(name: str, one: Subscription, date: int | None, now: int, at: int) -> bool:
    """Say whether a subscription is to count at an instant from now on, after a step."""
    begun = one.start is None or at >= one.start
    unpaused = Subscription("s", "c", seen(one, now).status, (), one.start, one.end, one.trial_end, one.grace_until)
    if seen(one, now).over and name in {"cancel", "end"}:
        return False
    match name:
        case "trial":
            return begun and date is not None and at < date
        case "activate":
            return begun
        case "pause":
            return date is not None and at >= date and counts(unpaused, at)
        case "resume":
            return (date is None or at >= date) and counts(unpaused, at)
        case "past-due":
            return begun and date is not None and at < date
        case "cancel":
            waits = one.status is S.PAUSED and seen(one, now).paused
            resumed = not waits or (one.resume_at is not None and at >= one.resume_at)
            return begun and resumed and at < (now if date is None else date)
        case "end":
            ends = now if date is None else date
            open_ended = Subscription(
                "s",
                "c",
                one.status,
                (),
                one.start,
                ends,
                one.trial_end,
                one.grace_until,
                one.resume_at,
                resumes_as=one.resumes_as,
            )
            return counts(open_ended, at)
        case _:
            raise AssertionError(name)


# ── The tests ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("now", [NOW, 10, 15, 30])
def test_a_state_says_what_is_so(now: int) -> None:
    """Live is what counts now; scheduled and paused may count later; what has ended never does again."""
    for one in EVERY:
        state = derive_state(one, now)
        later = [at for at in INSTANTS if at > now and counts(one, at)]
        assert (state is SubscriptionState.LIVE) == counts(one, now) == one.live_interval().contains(now), one
        assert one.live_interval().contains(now) == apply_due_resume(one, now).live_interval().contains(now), one
        if state is SubscriptionState.SCHEDULED:
            assert later, one
        if state in {SubscriptionState.ENDED, SubscriptionState.OVERDUE}:
            assert not later, one
        if not counts(one, now):
            assert (state is SubscriptionState.ENDED) == seen(one, now).over, one


def outcome(name: str, one: Subscription, date: int | None) -> Subscription | ConflictError | BodyError:
    """What a step comes to."""
    try:
        return apply_step(name, one, date, NOW)
    except (ConflictError, BodyError) as error:
        return error


@pytest.mark.parametrize("name", STEPS)
def test_every_step_from_everywhere_is_possible_or_refused_as_the_model_says(name: str) -> None:
    """What is possible comes to what it promised, at every instant from now on; what is not says what is."""
    for one, date in product(EVERY, SAID):
        if date is not None and STEPS[name].date is None:
            continue
        if date is None and STEPS[name].required:
            continue
        case = (name, one, date)
        after = outcome(name, one, date)
        if isinstance(after, ConflictError):
            assert after.code == "step-not-possible", case
            assert not may(name, one, date, NOW), case
            if date not in {None, 11}:
                continue  # what is possible without a date does not go by this one
            possible = [other for other in STEPS if may(other, one, None, NOW)]
            assert after.detail.endswith("possible are " + ", ".join(f"`{other}`" for other in possible)), case
            continue
        assert may(name, one, date, NOW), case
        if isinstance(after, BodyError):
            assert [problem.pointer for problem in after.problems] == [f"/{STEPS[name].date}"], case
            assert not fits(name, one, date, NOW), case
            continue
        assert fits(name, one, date, NOW), case
        for at in INSTANTS:
            if at >= NOW:
                assert counts(after, at) == promised(name, one, date, NOW, at), (case, at, after)
        assert is_sound(after), (case, after)


def test_no_way_through_four_steps_makes_what_is_owed_disappear() -> None:
    """From `past-due` on, nothing counts after the grace that was given, until `activate` says that it was paid."""
    beginnings = [
        Subscription("s", "c", S.ACTIVE),
        Subscription("s", "c", S.ACTIVE, (), None, 30),
        Subscription("s", "c", S.TRIALING, (), None, None, 10),
        Subscription("s", "c", S.CANCELED, (), None, 30),
    ]
    ways: list[tuple[Subscription, int, int | None]] = [(one, NOW, None) for one in beginnings]
    known = set(map(repr, ways))
    for _ in range(4):
        found = []
        for (one, now, owed), name, date, pass_ in product(ways, STEPS, (None, 1, 5, 12, 25), (0, 6)):
            if (date is None and STEPS[name].required) or (date is not None and STEPS[name].date is None):
                continue
            with suppress(ConflictError, BodyError):
                after = apply_step(name, one, date, now)
                limit = (now if date is None else date) if name == "past-due" else owed
                limit = None if name == "activate" else limit
                late = [at for at in INSTANTS if limit is not None and at >= max(limit, now) and counts(after, at)]
                assert not late, (one, now, name, date, after)
                found.append((after, now + pass_, limit))
        ways = list({repr(way): way for way in found if repr(way) not in known}.values())
        known.update(map(repr, ways))
    assert len(known) > 500


@pytest.mark.parametrize(
    ("status", "dates"),
    [
        (S.TRIALING, (None, 30, None)),
        (S.PAST_DUE, (None, None, 30)),
        (S.PAST_DUE, (None, None, None)),
        (S.CANCELED, (30, None, None)),
        (S.ACTIVE, (30, None, None)),
    ],
)
def test_a_pause_leads_back_to_what_was_there_before(
    status: S, dates: tuple[int | None, int | None, int | None]
) -> None:
    """With its dates, whether it is resumed by hand, at its date, or paused twice in between."""
    one = Subscription("s", "c", status, (), None, *dates)
    paused = apply_step("pause", one, None, NOW)
    assert paused.status is S.PAUSED
    assert apply_step("resume", paused, None, 5) == one
    assert apply_step("resume", apply_step("pause", paused, 20, 2), None, 5) == one
    assert apply_due_resume(apply_step("resume", paused, 12, 5), 12) == one


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (Subscription("s", "c", S.ACTIVE), "is active"),
        (Subscription("s", "c", S.ACTIVE, (), 9), "is active, and begins at 1970-01-01T00:00:00.009Z"),
        (Subscription("s", "c", S.TRIALING, (), None, None, 9), "is trialing until 1970-01-01T00:00:00.009Z"),
        (
            Subscription("s", "c", S.TRIALING, (), None, None, -9),
            "has ended with its trial, at 1969-12-31T23:59:59.991Z",
        ),
        (Subscription("s", "c", S.PAST_DUE), "is past due, without grace"),
        (
            Subscription("s", "c", S.PAUSED, resume_at=9, resumes_as=S.PAST_DUE),
            "is paused, with a payment that is late, until 1970-01-01T00:00:00.009Z",
        ),
        (Subscription("s", "c", S.EXPIRED), "has ended"),
    ],
)
def test_a_refusal_says_what_a_subscription_is(one: Subscription, said: str) -> None:
    """In the words of whoever reads it."""
    assert describe_stage(one, NOW) == said


def test_every_standing_is_one_of_somebody() -> None:
    """No row of the table is dead."""
    assert {stage_of(one, NOW) for one in EVERY} == set(LifecycleStage)
