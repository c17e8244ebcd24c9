from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.usage_ledgers import ALWAYS, CALLS, NOW, USER, MemoryHolder, MemoryLedger, consumption
from tiergate.model import Interval
from tiergate.usage.accounts import AMOUNT_MAX, SUM_MAX, Account, Bound, Debit, Scope
from tiergate.usage.idempotency import KEY_TTL_MS
from tiergate.usage.leases import LeaseState, LeaseTerms
from tiergate.usage.ledger_records import Booking
from tiergate.usage.pools import ALLOWANCE, OVERAGE, Grant
from tiergate.usage.protocol import (
    Acquire,
    Booked,
    Fault,
    Granted,
    Greeted,
    Hello,
    HourlyUse,
    Need,
    NotRenewed,
    Operation,
    Reason,
    Refused,
    Renew,
    Renewed,
    Reply,
    Report,
    Request,
    Settle,
    Settled,
    Spend,
)

if TYPE_CHECKING:
    from tiergate.usage.accounts import Consumption

HOUR = 3_600_000
JANUARY = Interval(0, 10 * HOUR)
CREDITS = Account("credits", Scope.CUSTOMER, "acme", "", ALWAYS.start)


@pytest.fixture
def ledger() -> MemoryLedger:
    """A ledger with 100 units on each account."""
    return MemoryLedger()


class Session:
    """Requests of one holder, in a row."""

    def __init__(self, ledger: MemoryLedger, holder: str = "one") -> None:
        self.ledger = ledger
        self.holder = holder
        self.sequence = 0
        self.send(Hello(0, 0))

    def request(self, *operations: Operation, report: Report | None = None) -> Request:
        """Return the next request."""
        self.sequence += 1
        return Request(self.holder, 1, b"p", self.sequence, operations, report)

    def send(self, *operations: Operation, report: Report | None = None) -> Reply:
        """Send it."""
        reply = self.ledger.exchange(self.request(*operations, report=report))
        assert reply.fault is None
        return reply

    def lease(self, units: int, account: Account = CALLS, at: int = NOW) -> int:
        """Lease exactly so many units; return the lease's number."""
        (result,) = self.send(Acquire(at, (Need(account, units, units),))).results
        assert isinstance(result, Granted), result
        return result.leases[0].number


def used(first: int, amount: int, lease: int = 0, account: Account = CALLS, at: int = NOW) -> Report:
    """Return a report of one consumption."""
    return Report(first, first, (HourlyUse(at - at % HOUR, Spend(account, amount, lease)),))


# ── leases ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_lease_is_debited_before_it_is_spent(ledger: MemoryLedger) -> None:
    """What one holder leases, another cannot."""
    Session(ledger).lease(70)
    (result,) = Session(ledger, "two").send(Acquire(NOW, (Need(CALLS, 31, 31),))).results
    assert result == Refused(Reason.LEASED_ELSEWHERE, CALLS, ledger.terms.recall_ms)
    assert Session(ledger, "three").lease(30)
    assert (ledger.booked(), ledger.leased()) == (0, 100)


def test_units_are_leased_of_all_accounts_or_of_none(ledger: MemoryLedger) -> None:
    """The customer has enough, the user has not."""
    ledger.bounds[USER] = Bound(ALWAYS, 4)
    (result,) = Session(ledger).send(Acquire(NOW, (Need(CALLS, 5, 5), Need(USER, 5, 5)))).results
    assert result == Refused(Reason.LIMIT_REACHED, USER)
    assert ledger.leased() == 0


def test_a_report_moves_units_from_leased_to_booked(ledger: MemoryLedger) -> None:
    """The reply has the figures after it."""
    one = Session(ledger)
    lease = one.lease(10)
    reply = one.send(report=used(1, 4, lease))
    assert (ledger.booked(), ledger.leased(), reply.booked_through) == (4, 6, 1)
    (figures,) = reply.figures
    assert (figures.booked, figures.leased, figures.ceiling, figures.available) == (4, 6, 100, 90)


def test_a_settled_lease_gives_the_rest_back(ledger: MemoryLedger) -> None:
    """Once: the lease is gone after that."""
    one = Session(ledger)
    lease = one.lease(10)
    assert one.send(Settle(lease, 4), report=used(1, 4, lease)).results == (Settled(lease),)
    assert (ledger.booked(), ledger.leased()) == (4, 0)
    assert one.send(Settle(lease, 4)).results == (Settled(lease),)
    assert one.send(Renew(lease)).results == (NotRenewed(lease, known=False),)
    assert ledger.booked() == 4


def test_a_settlement_that_disagrees_gives_nothing_back(ledger: MemoryLedger) -> None:
    """Something is wrong, so all of the lease counts as spent."""
    one = Session(ledger)
    lease = one.lease(10)
    assert one.send(Settle(lease, 3)).results == (Settled(lease, agreed=False),)
    assert (ledger.booked(), ledger.leased()) == (10, 0)


def test_an_expired_lease_stays_counted(ledger: MemoryLedger) -> None:
    """However long ago: only its holder knows what was spent."""
    Session(ledger).lease(100)
    ledger.now += 365 * 24 * HOUR
    (result,) = Session(ledger, "two").send(Acquire(ledger.now, (Need(CALLS, 1, 1),))).results
    assert isinstance(result, Refused)
    assert ledger.leased() == 100


def test_a_lease_that_expired_can_be_reported_and_renewed(ledger: MemoryLedger) -> None:
    """Its holder was cut off for a while."""
    one = Session(ledger)
    lease = one.lease(10)
    ledger.now += HOUR
    reply = one.send(Renew(lease), report=used(1, 7, lease))
    assert reply.results == (Renewed(lease, ledger.terms.term_ms),)
    assert (ledger.booked(), ledger.leased()) == (7, 3)


def test_a_limit_that_falls_ends_leases_and_grants_none(ledger: MemoryLedger) -> None:
    """What is leased may still be spent."""
    one = Session(ledger)
    lease = one.lease(60)
    ledger.bounds[CALLS] = Bound(ALWAYS, 50)
    renewed, refused = one.send(Renew(lease), Acquire(NOW, (Need(CALLS, 1, 1, held=60),))).results
    assert renewed == NotRenewed(lease, known=True)
    assert refused == Refused(Reason.LIMIT_REACHED, CALLS)
    one.send(report=used(1, 60, lease))
    assert ledger.booked() == 60


def test_a_holder_may_be_written_off_and_return(ledger: MemoryLedger) -> None:
    """All of its leases count as spent; when it settles them, what was spent counts."""
    one = Session(ledger)
    lease = one.lease(10)
    assert ledger.open.write_off("one") == 10
    changes = ledger.records.commit()
    assert changes.bookings == [Booking(CALLS, NOW, 10)]
    assert (ledger.booked(), ledger.leased()) == (10, 0)
    assert one.send(Renew(lease)).results == (NotRenewed(lease, known=True),)
    assert one.send(Settle(lease, 4), report=used(1, 4, lease)).results == (Settled(lease),)
    assert (ledger.booked(), ledger.leased()) == (4, 0)


def test_what_was_written_off_as_not_spent_counts_when_it_is_reported(ledger: MemoryLedger) -> None:
    """All of it, and once; the ends agree when the lease is settled."""
    one = Session(ledger)
    lease = one.lease(10)
    one.send(report=used(1, 3, lease))
    assert ledger.open.write_off("one", spent=False) == 7
    assert ledger.records.commit().bookings == []
    assert (ledger.booked(), ledger.leased(), ledger.records.account(CALLS).drawn) == (3, 0, {ALLOWANCE: 3})
    assert one.send(Renew(lease)).results == (NotRenewed(lease, known=True),)
    one.send(report=used(2, 4, lease))
    assert one.send(Settle(lease, 7)).results == (Settled(lease),)
    assert (ledger.booked(), ledger.leased(), ledger.records.account(CALLS).leases) == (7, 0, 0)


def test_some_leases_are_written_off_once(ledger: MemoryLedger) -> None:
    """The others stay, and so does how it was done."""
    one = Session(ledger)
    first, second = one.lease(10), one.lease(5)
    assert ledger.open.write_off("one", {second}) == 5
    assert ledger.open.write_off("one", {second}, spent=False) == 0
    assert [lease.number for lease in ledger.open.leases_of("one") if lease.state is LeaseState.LIVE] == [first]
    assert (ledger.booked(), ledger.leased()) == (5, 10)


def test_a_correction_of_what_was_written_off_does_not_make_usage_negative(ledger: MemoryLedger) -> None:
    """The lease gives back only what is still booked."""
    one = Session(ledger)
    lease = one.lease(10)
    ledger.open.write_off("one")
    assert ledger.open.correct(consumption(8)) == Booked()
    one.send(Settle(lease, 0))
    assert ledger.booked() == 0
    assert ledger.records.account(CALLS).drawn == {}


def test_more_than_a_lease_has_is_booked_all_the_same(ledger: MemoryLedger) -> None:
    """It was acknowledged, so it counts; the ledger knows no such lease, as after a backup was restored."""
    one = Session(ledger)
    one.send(report=used(1, 120, lease=9))
    assert ledger.booked() == 120
    assert ledger.records.account(CALLS).drawn == {ALLOWANCE: 100, OVERAGE: 20}


def test_a_lease_has_one_number_for_ever(ledger: MemoryLedger) -> None:
    """Numbers of settled leases are not given again."""
    one = Session(ledger)
    first = one.lease(1)
    one.send(Settle(first, 0))
    assert one.lease(1) == first + 1


# ── windows ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_units_of_another_window_are_refused_with_the_right_one(ledger: MemoryLedger) -> None:
    """A holder whose clock or anchor is wrong learns the window."""
    account = CALLS.in_window(5)
    ledger.bounds[account] = Bound(Interval(0, 10 * NOW), 100)
    (result,) = Session(ledger).send(Acquire(NOW, (Need(account, 1, 1),))).results
    assert result == Refused(Reason.OTHER_WINDOW, account.in_window(0))


@pytest.mark.parametrize(("after_end_ms", "closed"), [(59_999, False), (60_000, True)])
def test_a_window_that_ended_has_no_more_units(ledger: MemoryLedger, after_end_ms: int, *, closed: bool) -> None:
    """But for a minute, because a holder's clock may be late."""
    account = CALLS.in_window(0)
    ledger.bounds[account] = Bound(JANUARY, 100)
    ledger.now = JANUARY.until + after_end_ms
    (result,) = Session(ledger).send(Acquire(JANUARY.until - 1, (Need(account, 1, 1),))).results
    assert (result == Refused(Reason.WINDOW_CLOSED, account)) is closed


def test_a_window_far_in_the_future_has_no_units_yet(ledger: MemoryLedger) -> None:
    """A holder's clock is wrong by an hour."""
    account = CALLS.in_window(0)
    ledger.bounds[account] = Bound(JANUARY, 100)
    ledger.now = -HOUR
    (result,) = Session(ledger).send(Acquire(0, (Need(account, 1, 1),))).results
    assert result == Refused(Reason.WINDOW_CLOSED, account)


def test_usage_of_two_windows_is_apart(ledger: MemoryLedger) -> None:
    """The next window has its own allowance, and a late report counts in the window of its lease."""
    january, february = CALLS.in_window(0), CALLS.in_window(JANUARY.until)
    ledger.bounds[january] = ledger.bounds[february] = Bound(JANUARY, 100)
    ledger.now = JANUARY.until - 1
    one = Session(ledger)
    lease = one.lease(100, january, at=ledger.now)
    ledger.now += 24 * HOUR
    ledger.bounds[february] = Bound(Interval(JANUARY.until, 100 * HOUR), 100)
    one.lease(100, february, at=ledger.now)
    one.send(Settle(lease, 90), report=used(1, 90, lease, january, at=JANUARY.until - 1))
    assert (ledger.booked(january), ledger.leased(january)) == (90, 0)
    assert (ledger.booked(february), ledger.leased(february)) == (0, 100)


@pytest.mark.parametrize(("late_ms", "result"), [(4_999, Booked()), (5_000, Reason.WINDOW_CLOSED)])
def test_late_usage_counts_in_its_window_for_a_while(
    ledger: MemoryLedger, late_ms: int, result: Booked | Reason
) -> None:
    """After that it is refused, and the refusal says so."""
    ledger.terms = LeaseTerms(clock_skew_ms=0)
    account = CALLS.in_window(0)
    ledger.bounds[account] = Bound(JANUARY, 100, late_ms=5_000)
    ledger.now = JANUARY.until + late_ms
    answer = ledger.open.record(consumption(3, account=account, at=JANUARY.until - 1))
    assert answer == result or (isinstance(answer, Refused) and answer.reason is result)
    assert ledger.booked(account) == 0 or late_ms < 5_000


def test_usage_of_an_hour_in_which_a_window_begins_counts_in_it(ledger: MemoryLedger) -> None:
    """Reports add up by hour; the hour may have begun before the window."""
    start = 5 * HOUR + 1_800_000
    account = CALLS.in_window(start)
    ledger.bounds[account] = Bound(Interval(start, start + HOUR), 2)
    ledger.now = start + 60_000
    Session(ledger).send(report=used(1, 3, account=account, at=ledger.now))
    assert ledger.records.account(account).drawn == {ALLOWANCE: 2, OVERAGE: 1}
    assert ledger.records.account(account).until == start + HOUR


# ── without a lease ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_debit_takes_from_all_accounts_or_from_none(ledger: MemoryLedger) -> None:
    """A feature that draws on credits debits both, or neither."""
    ledger.bounds[CREDITS] = Bound(ALWAYS, 10)
    both = consumption(2, Debit(CREDITS, 6))
    assert ledger.open.debit(both) == Booked()
    assert ledger.open.debit(both) == Refused(Reason.LIMIT_REACHED, CREDITS)
    assert (ledger.open.figures(CALLS).booked, ledger.open.figures(CREDITS).booked) == (2, 6)


def test_the_last_unit_is_sold_and_no_more(ledger: MemoryLedger) -> None:
    """One by one."""
    results = [ledger.open.debit(consumption(1)) for _ in range(101)]
    assert results == [Booked()] * 100 + [Refused(Reason.LIMIT_REACHED, CALLS)]


def test_a_soft_limit_allows_overage_up_to_its_maximum(ledger: MemoryLedger) -> None:
    """Without a maximum, any."""
    ledger.bounds[CALLS] = Bound(ALWAYS, 10, 5)
    assert ledger.open.debit(consumption(15)) == Booked()
    assert ledger.open.debit(consumption(1)) == Refused(Reason.LIMIT_REACHED, CALLS)
    ledger.bounds[CALLS] = Bound(ALWAYS, 10, None)
    assert ledger.open.debit(consumption(1_000)) == Booked()
    assert ledger.records.account(CALLS).drawn == {ALLOWANCE: 10, OVERAGE: 1_005}


def test_unlimited_usage_is_counted(ledger: MemoryLedger) -> None:
    """It is not overage."""
    ledger.bounds[CALLS] = Bound(ALWAYS, None)
    assert ledger.open.debit(consumption(10**15)) == Booked()
    assert ledger.records.account(CALLS).drawn == {ALLOWANCE: 10**15}
    assert ledger.open.figures(CALLS).ceiling is None


def test_usage_after_the_fact_may_exceed_the_limit(ledger: MemoryLedger) -> None:
    """Then nothing more is sold."""
    assert ledger.open.record(consumption(130)) == Booked()
    assert ledger.open.figures(CALLS).available == 0
    assert ledger.open.debit(consumption(1)) == Refused(Reason.LIMIT_REACHED, CALLS)


def test_a_top_up_is_spent_after_the_allowance_and_takes_overage_over(ledger: MemoryLedger) -> None:
    """What was used above the limit before counts against it."""
    ledger.open.record(consumption(130))
    ledger.bounds[CALLS] = Bound(ALWAYS, 100, grants=(Grant("top-up", 50),))
    assert ledger.open.figures(CALLS).available == 20
    ledger.open.debit(consumption(20))
    assert ledger.records.account(CALLS).drawn == {ALLOWANCE: 100, "top-up": 50}
    assert ledger.records.spent_of_grant(CALLS, "top-up") == 50


def test_a_top_up_does_not_disappear_at_the_reset(ledger: MemoryLedger) -> None:
    """The next window has what is left of it, and no more than that."""
    january, february = CALLS.in_window(0), CALLS.in_window(JANUARY.until)
    ledger.bounds[january] = Bound(JANUARY, 10, grants=(Grant("top-up", 50),))
    ledger.bounds[february] = Bound(Interval(JANUARY.until, 100 * HOUR), 10, grants=(Grant("top-up", 50),))
    ledger.open.debit(consumption(25, account=january))
    ledger.now = JANUARY.until
    assert ledger.open.figures(february).available == 45
    assert ledger.open.debit(consumption(46, account=february, at=ledger.now)) == Refused(
        Reason.LIMIT_REACHED, february
    )


def test_a_change_of_plan_keeps_what_was_used(ledger: MemoryLedger) -> None:
    """An upgrade in the middle of a window neither forgets nor doubles usage."""
    ledger.open.debit(consumption(90))
    ledger.bounds[CALLS] = Bound(ALWAYS, 500)
    figures = ledger.open.figures(CALLS)
    assert (figures.booked, figures.available) == (90, 410)


@pytest.mark.parametrize(
    "wrong",
    [
        consumption(),
        consumption(0),
        consumption(-1),
        consumption(AMOUNT_MAX + 1),
        consumption(1, 1),
        consumption(*(Debit(CALLS.in_window(start), 1) for start in range(9))),
    ],
    ids=["nothing", "zero", "negative", "too large", "an account twice", "too many accounts"],
)
def test_an_invalid_consumption_is_refused(ledger: MemoryLedger, wrong: Consumption) -> None:
    """Nothing of it is booked."""
    for act in (ledger.open.debit, ledger.open.record, ledger.open.correct):
        assert act(wrong) == Refused(Reason.INVALID)
    assert not ledger.records.commit().accounts


def test_an_unknown_account_is_refused(ledger: MemoryLedger) -> None:
    """The ledger does not trust a sidecar's word for a limit."""
    ledger.bounds[CALLS] = None
    assert ledger.open.debit(consumption(1)) == Refused(Reason.UNKNOWN_ACCOUNT, CALLS)


def test_a_sum_does_not_overflow(ledger: MemoryLedger) -> None:
    """The largest sum is 2^62, whatever is recorded."""
    ledger.bounds[CALLS] = Bound(ALWAYS, None)
    for _ in range(4):
        assert ledger.open.record(consumption(AMOUNT_MAX)) == Booked()
    assert ledger.open.record(consumption(AMOUNT_MAX)) == Refused(Reason.INVALID, CALLS)
    Session(ledger).send(report=used(1, AMOUNT_MAX))
    assert ledger.booked() == SUM_MAX


# ── corrections ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_correction_gives_units_back_in_reverse(ledger: MemoryLedger) -> None:
    """Overage first, then grants, then the allowance; the series has it as negative."""
    ledger.bounds[CALLS] = Bound(ALWAYS, 10, grants=(Grant("g", 5),))
    ledger.open.record(consumption(17))
    assert ledger.open.correct(consumption(4)) == Booked()
    assert ledger.records.account(CALLS).drawn == {ALLOWANCE: 10, "g": 3}
    assert ledger.records.spent_of_grant(CALLS, "g") == 3
    assert ledger.records.commit().bookings == [Booking(CALLS, NOW, 17), Booking(CALLS, NOW, -4)]


def test_a_correction_below_zero_is_refused(ledger: MemoryLedger) -> None:
    """On any of its accounts; then nothing is corrected."""
    ledger.open.record(consumption(5, Debit(USER, 3)))
    assert ledger.open.correct(consumption(4, Debit(USER, 4))) == Refused(Reason.BELOW_ZERO, USER)
    assert ledger.open.figures(CALLS).booked == 5


def test_a_correction_does_not_touch_what_is_leased(ledger: MemoryLedger) -> None:
    """Leased units are not used yet."""
    Session(ledger).lease(50)
    assert ledger.open.correct(consumption(1)) == Refused(Reason.BELOW_ZERO, CALLS)


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_retry_counts_once_and_gets_the_first_answer(ledger: MemoryLedger) -> None:
    """For a day; other content is refused."""
    first = consumption(5, key="k")
    assert ledger.open.debit(first, b"first") == Booked()
    assert ledger.open.debit(first, b"second") == Booked(repeated=True, answer=b"first")
    assert ledger.open.debit(consumption(6, key="k", content=b"other")) == Refused(Reason.KEY_CONFLICT)
    ledger.now += KEY_TTL_MS
    assert ledger.open.debit(first) == Booked()
    assert ledger.open.figures(CALLS).booked == 10


def test_a_denial_may_be_repeated_after_a_top_up(ledger: MemoryLedger) -> None:
    """Nothing was counted, so nothing is kept."""
    too_much = consumption(120, key="k")
    assert ledger.open.debit(too_much) == Refused(Reason.LIMIT_REACHED, CALLS)
    ledger.bounds[CALLS] = Bound(ALWAYS, 200)
    assert ledger.open.debit(too_much) == Booked()


def test_a_retry_at_another_sidecar_counts_once(ledger: MemoryLedger) -> None:
    """The second lease gives the units back when it is reported."""
    one, two = MemoryHolder(ledger), MemoryHolder(ledger, "two")
    one.consume(5, key="k")
    two.consume(5, key="k")
    one.settle()
    two.settle()
    assert (ledger.booked(), ledger.leased()) == (5, 0)
    assert ledger.open.figures(CALLS).available == 95


def test_two_contents_of_a_key_that_were_acknowledged_both_count_once(ledger: MemoryLedger) -> None:
    """Each of them, however often it is reported."""
    for index, content in enumerate((b"a", b"b", b"b", b"a")):
        holder = MemoryHolder(ledger, f"holder-{index}")
        holder.consume(5, key="k", content=content)
        holder.settle()
    assert ledger.booked() == 10


# ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_repeated_request_gets_the_same_reply(ledger: MemoryLedger) -> None:
    """It takes effect once."""
    one = Session(ledger)
    lease = one.lease(20)
    request = one.request(Acquire(NOW, (Need(CALLS, 5, 5),)), report=used(1, 7, lease))
    replies = [ledger.exchange(request) for _ in range(3)]
    assert replies[0] == replies[1] == replies[2]
    assert (ledger.booked(), ledger.leased()) == (7, 18)


def test_a_transaction_that_is_rolled_back_changes_nothing(ledger: MemoryLedger) -> None:
    """The ledger crashed before it committed; the request takes effect when it comes again."""
    one = Session(ledger)
    request = one.request(Acquire(NOW, (Need(CALLS, 5, 5),)))
    ledger.open.exchange(request)
    ledger.records.rollback()
    assert ledger.leased() == 0
    assert ledger.exchange(request).fault is None
    assert ledger.leased() == 5


def test_a_new_epoch_takes_back_leases_that_the_holder_does_not_know(ledger: MemoryLedger) -> None:
    """Nothing can have been spent from them; those that it knows stay."""
    one = Session(ledger)
    one.lease(10)
    one.lease(20)
    reply = ledger.exchange(Request("one", 2, b"q", 1, (Hello(0, 1),)))
    assert reply.results == (Greeted(0, 2),)
    assert [lease.number for lease in ledger.records.leases()] == [1]
    assert ledger.leased() == 10


@pytest.mark.parametrize(
    ("request_", "fault"),
    [
        (Request("one", 1, b"p", 1, (Hello(0, 0),)), None),
        (Request("one", 1, b"p", 2), None),
        (Request("one", 1, b"p", 3), Fault.OUT_OF_STEP),
        (Request("one", 1, b"p", 2, (Hello(0, 0),)), Fault.OUT_OF_STEP),
        (Request("one", 1, b"p", 2, (), used(2, 1)), Fault.OUT_OF_STEP),
        (Request("one", 1, b"p", 2, (), Report(1, 5_001)), Fault.OUT_OF_STEP),
        (Request("one", 1, b"other", 2), Fault.OTHER_INSTANCE),
        (Request("one", 0, b"p", 1, (Hello(0, 0),)), Fault.OLD_EPOCH),
        (Request("one", 2, b"p", 2, (Hello(0, 0),)), Fault.OUT_OF_STEP),
        (Request("one", 2, b"p", 1), Fault.OUT_OF_STEP),
        (Request("new", 1, b"p", 2), Fault.OUT_OF_STEP),
    ],
    ids=lambda value: "" if isinstance(value, Request) else str(value),
)
def test_a_request_that_does_not_follow_is_refused(
    ledger: MemoryLedger, request_: Request, fault: Fault | None
) -> None:
    """Nothing of it takes effect."""
    Session(ledger)
    reply = ledger.exchange(request_)
    assert reply.fault is fault
    assert fault is None or (reply.epoch, reply.sequence) == (request_.epoch, request_.sequence)


def test_a_restored_ledger_learns_the_numbers_again(ledger: MemoryLedger) -> None:
    """It gives no lease number twice, and books no consumption twice."""
    reply = ledger.exchange(Request("one", 9, b"p", 1, (Hello(40, 7),)))
    assert reply.results == (Greeted(40, 7),)
    reply = ledger.exchange(Request("one", 9, b"p", 2, (Acquire(NOW, (Need(CALLS, 1, 1),)),), used(41, 1)))
    (granted,) = reply.results
    assert isinstance(granted, Granted)
    assert granted.leases[0].number == 8


def test_the_window_of_an_instant_is_asked_for_without_booking() -> None:
    """Whichever window the account names; none of what is not known."""
    ledger = MemoryLedger()
    ledger.bounds[CALLS] = Bound(Interval(0, 1_000), 100)
    assert ledger.open.window_of(CALLS.in_window(7), 1_500) == ALWAYS
    assert ledger.open.window_of(CALLS, 1_500) == Interval(1_000, 2_000)
    ledger.bounds[CALLS] = None
    assert ledger.open.window_of(CALLS, 1_500) is None
    assert list(ledger.records.accounts()) == []


def test_a_new_grant_takes_overage_over_and_is_seen() -> None:
    """By the version of the account; an account without usage gets no record."""
    ledger = MemoryLedger()
    ledger.open.settle_pools(CALLS)
    assert ledger.records.commit().accounts == {}
    ledger.open.record(consumption(130))
    ledger.records.commit()
    ledger.bounds[CALLS] = Bound(ALWAYS, 100, grants=(Grant("g", 20),))
    ledger.open.settle_pools(CALLS)
    (account,) = ledger.records.commit().accounts.values()
    assert (account.drawn, account.booked, account.version) == ({"": 100, "+": 10, "g": 20}, 130, 2)
