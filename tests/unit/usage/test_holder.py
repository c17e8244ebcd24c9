from __future__ import annotations

import pytest

from tests.usage_ledgers import ALWAYS, CALLS, NOW, USER, MemoryHolder, MemoryLedger, consumption
from tiergate.model import FOREVER, Interval
from tiergate.usage.accounts import AMOUNT_MAX, Bound, Debit
from tiergate.usage.holder import (
    Conflicting,
    Full,
    Holder,
    HolderLimits,
    Repeated,
    Short,
    Spent,
)
from tiergate.usage.idempotency import KEY_TTL_MS
from tiergate.usage.journal_records import (
    Consumed,
    JournalRecord,
    LeaseRenewed,
    LeasesClosing,
    LeasesEnded,
    LeasesGranted,
    Started,
)
from tiergate.usage.leases import DEFAULT_PACE, HeldLease, HeldState
from tiergate.usage.protocol import Acquire, Fault, Hello, Need, Reason, Refused, Renew, Reply, Settle, Spend


@pytest.fixture
def ledger() -> MemoryLedger:
    """A ledger with 100 units on each account."""
    return MemoryLedger()


@pytest.fixture
def one(ledger: MemoryLedger) -> MemoryHolder:
    """A holder that has greeted the ledger."""
    return MemoryHolder(ledger)


def test_nothing_is_consumed_without_a_lease(one: MemoryHolder) -> None:
    """The outcome says what is missing."""
    outcome = one.holder.consume(consumption(3, Debit(USER, 2, bounded=False)), b"", NOW)
    assert outcome == Short((Need(CALLS, 3, 3),))


def test_an_account_without_a_limit_needs_no_lease(one: MemoryHolder) -> None:
    """It is counted here, and reported."""
    outcome = one.holder.consume(consumption(Debit(CALLS, 3, bounded=False)), b"", NOW)
    assert isinstance(outcome, Spent)
    assert outcome.record.spends == (Spend(CALLS, 3),)
    one.settle()
    assert one.ledger.booked() == 3


def test_a_consumption_spends_from_several_leases_at_once(one: MemoryHolder) -> None:
    """The oldest first."""
    one.lease(3)
    one.holder.consume(consumption(5), b"", NOW)
    one.holder.demand((Need(CALLS, 4, 4),), NOW)
    one.exchange()
    outcome = one.holder.consume(consumption(5), b"", NOW)
    assert isinstance(outcome, Spent)
    assert outcome.record.spends == (Spend(CALLS, 3, 1), Spend(CALLS, 2, 2))


def test_all_accounts_are_spent_from_or_none(one: MemoryHolder) -> None:
    """The customer's lease would be enough."""
    one.lease(10)
    assert one.holder.consume(consumption(2, Debit(USER, 2)), b"", NOW) == Short((Need(USER, 2, 2),))
    assert one.holder.usage_of(CALLS)[1:] == (0, 10, 0)


@pytest.mark.parametrize("amounts", [(0,), (-1,), (AMOUNT_MAX + 1,), (3, 3)])
def test_an_invalid_consumption_is_an_error(one: MemoryHolder, amounts: tuple[int, ...]) -> None:
    """A negative amount would add units to a lease, and an account named twice would spend them twice."""
    one.lease(5)
    with pytest.raises(ValueError, match=r"\w"):
        one.holder.consume(consumption(*amounts), b"", NOW)
    assert one.holder.usage_of(CALLS).unreported == 0


def test_a_lease_is_not_spent_from_after_its_end(one: MemoryHolder) -> None:
    """Neither by the clock, nor for an instant after the window's end."""
    until = NOW + 5_000
    account = CALLS.in_window(until - 10_000)
    one.ledger.bounds[account] = Bound(Interval(account.window, until), 100)
    one.lease(10, account)
    assert isinstance(one.holder.consume(consumption(1, account=account, at=until), b"", NOW), Short)
    assert isinstance(one.holder.consume(consumption(1, account=account), b"", until), Short)
    assert isinstance(one.holder.consume(consumption(1, account=account), b"", until - 1), Spent)


def test_offline_a_feature_may_be_allowed(one: MemoryHolder) -> None:
    """What leases do not cover is booked later, above the limit if need be."""
    one.ledger.bounds[CALLS] = Bound(ALWAYS, 4)
    one.lease(4)
    outcome = one.holder.consume(consumption(10), b"", NOW, unleased=True)
    assert isinstance(outcome, Spent)
    assert outcome.record.spends == (Spend(CALLS, 4, 1), Spend(CALLS, 6))
    one.settle()
    assert (one.ledger.booked(), one.ledger.open.figures(CALLS).available) == (10, 0)


def test_a_retry_gets_the_first_answer(one: MemoryHolder) -> None:
    """It counts once for a day; other content is refused."""
    one.lease(20)
    first = consumption(5, key="k")
    assert isinstance(one.holder.consume(first, b"first", NOW), Spent)
    assert one.holder.consume(first, b"second", NOW) == Repeated(b"first")
    assert one.holder.consume(consumption(6, key="k", content=b"other"), b"", NOW) == Conflicting()
    assert one.holder.usage_of(CALLS).unreported == 5
    assert not isinstance(one.holder.consume(first, b"", NOW + KEY_TTL_MS), Repeated)


def test_a_retry_after_a_crash_gets_the_first_answer(one: MemoryHolder) -> None:
    """The key is in the journal."""
    one.consume(5, key="k")
    one.crash(len(one.journal))
    assert one.holder.consume(consumption(5, key="k"), b"second", NOW) == Repeated(b"answer")


def test_a_full_disk_budget_refuses_and_drops_nothing(ledger: MemoryLedger) -> None:
    """An exchange makes room."""
    one = MemoryHolder(ledger, limits=HolderLimits(pending_max=2))
    one.lease(10)
    for _ in range(2):
        assert isinstance(one.holder.consume(consumption(1), b"", NOW), Spent)
    assert one.holder.consume(consumption(1), b"", NOW) == Full()
    one.exchange()
    assert isinstance(one.holder.consume(consumption(1), b"", NOW), Spent)


def test_unreported_usage_of_an_account_has_a_limit(one: MemoryHolder) -> None:
    """So a report never has a sum that is out of range."""
    most = consumption(Debit(CALLS, AMOUNT_MAX, bounded=False))
    assert isinstance(one.holder.consume(most, b"", NOW), Spent)
    assert one.holder.consume(most, b"", NOW) == Full()


def test_usage_of_an_account_is_what_the_ledger_said_and_what_is_unreported(one: MemoryHolder) -> None:
    """Without a request to the ledger."""
    one.consume(5)
    one.ledger.now += 60_000
    one.exchange()
    one.lease(8)
    assert isinstance(one.holder.consume(consumption(3), b"", one.ledger.now), Spent)
    usage = one.holder.usage_of(CALLS)
    assert usage.figures is not None
    assert (usage.figures.booked, usage.unreported, usage.left, usage.reserved) == (5, 3, 5, 0)


# ── exchanges ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_request_of_a_process_is_a_hello(ledger: MemoryLedger) -> None:
    """It says what the journal has."""
    holder = Holder("one", b"p")
    assert holder.start(NOW) == Started(1)
    outgoing = holder.next_request(NOW)
    assert outgoing is not None
    assert outgoing.request.operations == (Hello(0, 0),)
    assert (outgoing.request.epoch, outgoing.request.sequence) == (1, 1)
    assert holder.due(NOW) == FOREVER
    holder.receive(ledger.exchange(outgoing.request), ledger.now)
    assert holder.next_request(NOW) is None


def test_a_request_is_the_same_until_its_reply(one: MemoryHolder) -> None:
    """Whatever happens meanwhile."""
    one.holder.demand((Need(CALLS, 1, 1),), NOW)
    first = one.holder.next_request(NOW)
    one.holder.demand((Need(USER, 1, 1),), NOW)
    again = one.holder.next_request(NOW + 5_000)
    assert first is not None
    assert again is not None
    assert again.request is first.request
    assert one.holder.has_request_in_flight


def test_a_request_that_is_sent_again_has_no_records(one: MemoryHolder) -> None:
    """A journal with the same records twice could not be read."""
    one.lease(3)
    one.holder.consume(consumption(3), b"", NOW)
    first, again = one.holder.next_request(NOW + 5_000), one.holder.next_request(NOW + 6_000)
    assert first is not None
    assert again is not None
    assert [type(record) for record in first.records] == [LeasesClosing]
    assert again == first._replace(records=())


@pytest.mark.parametrize("record", [LeasesClosing((7,)), LeaseRenewed(7, NOW)])
def test_a_record_that_does_not_continue_the_others_is_an_error(one: MemoryHolder, record: JournalRecord) -> None:
    """Of a lease that there is not."""
    with pytest.raises(ValueError, match="7"):
        one.holder.apply(record)


def test_a_reply_to_another_request_changes_nothing(one: MemoryHolder) -> None:
    """It was delayed or doubled, or is of an earlier process."""
    one.holder.demand((Need(CALLS, 5, 5),), NOW)
    outgoing = one.holder.next_request(NOW)
    assert outgoing is not None
    reply = one.ledger.exchange(outgoing.request)
    request = outgoing.request
    for other in (Reply("one", 1, 1), Reply("one", 2, request.sequence), Reply("two", 1, request.sequence)):
        assert not one.receive(other).records
    assert one.receive(reply).records
    assert not one.receive(reply).records
    assert one.holder.usage_of(CALLS).left == 5


def test_a_lease_is_closed_durably_before_the_ledger_is_told(one: MemoryHolder) -> None:
    """The record goes with the request; nothing is spent from the lease any more."""
    one.lease(10)
    one.ledger.now += 100
    assert isinstance(one.holder.consume(consumption(4), b"", one.ledger.now), Spent)
    assert one.holder.next_request(one.ledger.now) is not None  # the report
    one.exchange()
    one.ledger.now += 5_000
    outgoing = one.holder.next_request(one.ledger.now)
    assert outgoing is not None
    assert outgoing.records == (LeasesClosing((1,)),)
    assert outgoing.request.operations == (Settle(1, 4),)
    assert isinstance(one.holder.consume(consumption(1), b"", one.ledger.now), Short)
    assert one.receive(one.ledger.exchange(outgoing.request)).records[-1] == LeasesEnded((1,))


def test_a_lease_in_use_is_renewed(one: MemoryHolder) -> None:
    """Before it expires."""
    one.lease(10)
    for _ in range(8):
        one.ledger.now += 900
        assert isinstance(one.holder.consume(consumption(1, at=one.ledger.now), b"", one.ledger.now), Spent)
        outgoing = one.holder.next_request(one.ledger.now)
        assert outgoing is not None
        one.exchange()
    assert one.holder.state.leases[1].expires > NOW + 10_000


def test_an_idle_lease_is_given_back_sooner_where_units_are_scarce(one: MemoryHolder) -> None:
    """So that others can have them."""
    one.ledger.bounds[CALLS] = Bound(ALWAYS, 10)
    one.lease(8)
    one.exchange()
    one.ledger.now += DEFAULT_PACE.idle_scarce_ms
    one.exchange()
    assert one.ledger.leased() == 0


def test_a_holder_that_crashed_reports_what_is_not_booked(one: MemoryHolder) -> None:
    """Once: the ledger says how far its consumptions are booked."""
    one.lease(10)
    for _ in range(3):
        outcome = one.holder.consume(consumption(1), b"", NOW)
        assert isinstance(outcome, Spent)
        one.journal.append(outcome.record)
    outgoing = one.holder.next_request(NOW + 2_000)
    assert outgoing is not None
    one.journal.extend(outgoing.records)
    one.ledger.exchange(outgoing.request)  # the reply is lost
    assert one.ledger.booked() == 3
    one.crash(len(one.journal))
    one.settle()
    assert (one.ledger.booked(), one.ledger.leased()) == (3, 0)


def test_a_lease_that_a_crash_lost_is_taken_back(one: MemoryHolder) -> None:
    """Nothing was acknowledged from it."""
    kept = len(one.journal)
    one.lease(10)
    one.crash(kept)
    one.exchange()
    assert one.ledger.leased() == 0


def test_a_closing_lease_stays_closing_after_a_crash(one: MemoryHolder) -> None:
    """The ledger may have given its units to somebody else."""
    one.lease(10)
    one.ledger.now += 5_000
    one.exchange()
    one.ledger.now += 5_000
    outgoing = one.holder.next_request(one.ledger.now)
    assert outgoing is None or outgoing.records
    one.journal.extend(outgoing.records if outgoing else ())
    one.crash(len(one.journal))
    assert all(lease.state is HeldState.CLOSING for lease in one.holder.state.leases.values())
    assert isinstance(one.holder.consume(consumption(1), b"", one.ledger.now), Short)
    one.settle()


def test_a_restored_ledger_is_told_what_it_lost(one: MemoryHolder) -> None:
    """A new epoch begins in the same process; waiting consumptions stay."""
    one.lease(10)
    one.ledger.records = MemoryLedger().records
    one.holder.demand((Need(USER, 1, 1),), NOW)
    received = one.exchange()
    assert received is not None
    assert received.records == (Started(2),)
    assert not received.tickets
    one.exchange()
    outgoing = one.holder.next_request(NOW)
    assert outgoing is not None
    assert any(isinstance(operation, Acquire) for operation in outgoing.request.operations)


def test_a_lease_that_the_ledger_does_not_know_is_not_spent_from(one: MemoryHolder) -> None:
    """It learns so when it renews it."""
    one.lease(10)
    one.holder.consume(consumption(1), b"", NOW)
    one.ledger.records = MemoryLedger().records
    one.exchange()
    one.exchange()
    one.ledger.now += 6_000
    one.holder.consume(consumption(1), b"", one.ledger.now)
    outgoing = one.holder.next_request(one.ledger.now)
    assert outgoing is not None
    assert Renew(1) in outgoing.request.operations
    one.exchange()
    assert not one.holder.state.leases
    one.settle()
    assert one.ledger.booked() == 2


@pytest.mark.parametrize("fault", [Fault.OLD_EPOCH, Fault.OTHER_INSTANCE, Fault.OTHER_VERSION])
def test_a_holder_that_is_refused_for_good_sends_nothing_more(one: MemoryHolder, fault: Fault) -> None:
    """Its disk was copied, for example: the process must take another identity."""
    one.holder.demand((Need(CALLS, 1, 1),), NOW)
    outgoing = one.holder.next_request(NOW)
    assert outgoing is not None
    one.receive(Reply("one", 1, outgoing.request.sequence, fault=fault))
    assert one.holder.fault is fault
    assert one.holder.next_request(NOW + 10_000) is None
    assert one.holder.due(NOW) == FOREVER


def test_a_copied_disk_is_noticed(one: MemoryHolder) -> None:
    """Two processes begin the same epoch: the second one is refused."""
    copy = Holder("one", b"another process")
    copy.start(NOW)
    outgoing = copy.next_request(NOW)
    assert outgoing is not None
    copy.receive(one.ledger.exchange(outgoing.request), one.ledger.now)
    assert copy.fault is Fault.OTHER_INSTANCE


def test_ends_that_counted_differently_are_noticed(one: MemoryHolder) -> None:
    """It never happens, unless something is wrong."""
    one.lease(10)
    lease = one.ledger.records.lease("one", 1)
    assert lease is not None
    lease.spent = 2
    one.settle()
    assert one.holder.disagreements == 1


# ── demands ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_who_waits_for_less_than_what_was_refused_tries_again(one: MemoryHolder) -> None:
    """A refusal is for those that need as much as the first one."""
    one.ledger.bounds[CALLS] = Bound(ALWAYS, 4)
    tickets = [one.holder.demand((Need(CALLS, need, need),), NOW) for need in (5, 7, 4)]
    received = one.exchange()
    assert received is not None
    refused = Refused(Reason.LIMIT_REACHED, CALLS)
    assert [received.tickets[ticket] for ticket in tickets] == [refused, refused, None]


def test_consumptions_that_wait_for_the_same_accounts_share_a_lease(one: MemoryHolder) -> None:
    """One operation, with units for all of them."""
    for _ in range(20):
        one.holder.demand((Need(CALLS, 2, 2),), NOW)
    outgoing = one.holder.next_request(NOW)
    assert outgoing is not None
    assert outgoing.request.operations == (Acquire(NOW, (Need(CALLS, 2, 40, 0, 40),)),)
    one.exchange()
    assert one.holder.usage_of(CALLS).left == 40


def test_a_fast_holder_fetches_units_ahead_of_need(ledger: MemoryLedger) -> None:
    """A consumption waits seldom once the rate is known."""
    ledger.bounds[CALLS] = Bound(ALWAYS, 10**9)
    one = MemoryHolder(ledger)
    waited = 0
    for tick in range(3_000):
        ledger.now = NOW + tick
        if isinstance(one.holder.consume(consumption(1, at=ledger.now), b"", ledger.now), Short):
            waited += 1
            one.consume(1, at=ledger.now)
        elif one.holder.due(ledger.now) <= ledger.now:
            one.exchange()
    assert waited <= 10


def test_a_seldom_used_account_leases_what_it_consumes(one: MemoryHolder) -> None:
    """No unit waits in a lease."""
    for _ in range(5):
        one.ledger.now += 60_000
        one.consume(1, at=one.ledger.now)
        assert one.holder.usage_of(CALLS).left == 0


def test_a_closing_lease_is_neither_renewed_nor_settled_while_reports_are_behind(ledger: MemoryLedger) -> None:
    """After a crash, for example: it waits until all that was spent from it is reported."""
    holder = Holder("one", b"p", pace=DEFAULT_PACE._replace(report_max=1))
    holder.apply(LeasesGranted((HeldLease(1, CALLS, 2, NOW + 1_000, FOREVER),)))
    for number in (1, 2):
        holder.apply(Consumed(number, NOW, (Spend(CALLS, 1, 1),)))
    holder.apply(LeasesClosing((1,)))
    holder.start(NOW)
    sent = []
    for _ in range(3):
        outgoing = holder.next_request(NOW)
        assert outgoing is not None
        sent.append(outgoing.request.operations)
        holder.receive(ledger.exchange(outgoing.request), ledger.now)
    assert sent == [(Hello(0, 1),), (), (Settle(1, 2),)]


# ── when ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_report_that_does_not_cover_all_is_followed_by_the_next(ledger: MemoryLedger) -> None:
    """At once, until nothing is left; then nothing is due."""
    one = MemoryHolder(ledger, pace=DEFAULT_PACE._replace(report_max=2))
    for _ in range(5):
        assert isinstance(one.holder.consume(consumption(Debit(CALLS, 1, bounded=False)), b"", NOW), Spent)
    assert one.holder.due(NOW) == NOW + DEFAULT_PACE.report_ms
    ledger.now += DEFAULT_PACE.report_ms
    for _ in range(3):
        assert one.holder.due(ledger.now) == ledger.now
        one.exchange()
    assert one.holder.due(ledger.now) == FOREVER
    assert ledger.booked() == 5


def test_a_process_reports_what_it_found_on_disk_at_once(one: MemoryHolder) -> None:
    """It may have been down for long."""
    outcome = one.holder.consume(consumption(Debit(CALLS, 1, bounded=False)), b"", NOW)
    assert isinstance(outcome, Spent)
    one.journal.append(outcome.record)
    one.crash(len(one.journal))
    one.exchange()
    assert one.holder.due(NOW) == NOW
    one.exchange()
    assert one.ledger.booked() == 1
    assert one.holder.due(NOW) == FOREVER


def test_nothing_is_due_if_all_was_booked_before_a_crash(one: MemoryHolder) -> None:
    """The reply was lost, and the greeting says so."""
    one.consume(1)
    outgoing = one.holder.next_request(NOW)
    assert outgoing is not None
    one.journal.extend(outgoing.records)
    one.ledger.exchange(outgoing.request)
    one.crash(len(one.journal))
    one.settle()
    one.exchange()
    assert one.holder.due(one.ledger.now) > one.ledger.now


def test_a_clock_that_goes_back_does_not_delay_reports(one: MemoryHolder) -> None:
    """An instant too far in the future is one of the earlier clock."""
    later = NOW + 3_600_000
    assert isinstance(one.holder.consume(consumption(Debit(CALLS, 1, bounded=False)), b"", later), Spent)
    assert one.holder.due(later) == later + DEFAULT_PACE.report_ms
    assert one.holder.due(NOW) == NOW


def test_a_look_leases_nothing_and_says_which_window_it_is() -> None:
    """The figures of an account are known after it, and sizes of leases stay as they were."""
    ledger = MemoryLedger()
    other = MemoryHolder(ledger, "other")
    assert other.consume(42) is None
    other.exchange()
    holder = MemoryHolder(ledger)
    holder.holder.look(CALLS, ledger.now)
    assert holder.holder.due(ledger.now) == ledger.now
    holder.exchange()
    figures = holder.holder.usage_of(CALLS).figures
    assert figures is not None
    assert (figures.booked, holder.holder.state.leases) == (42, {})
    assert holder.exchange() is None


def test_everything_is_given_back_at_the_end() -> None:
    """At once, except what is reserved; what was spent is reported with it."""
    ledger = MemoryLedger()
    holder = MemoryHolder(ledger)
    for _ in range(20):
        assert holder.consume(1) is None
    holder.lease(30)
    holder.holder.give_back()
    for _ in range(3):
        holder.exchange()
    assert (ledger.booked(), ledger.leased()) == (20, 0)
    assert not holder.holder.state.leases


@pytest.mark.parametrize(("round_trip", "grows"), [(1_000, True), (0, False)])
def test_leases_grow_where_the_ledger_is_slow(one: MemoryHolder, round_trip: int, grows: bool) -> None:
    """A lease that is used up within a few round trips is too small; once a second is not often for a quick ledger."""
    one.ledger.bounds[CALLS] = Bound(ALWAYS, 10**9)
    sizes = []
    for _ in range(4):
        one.holder.demand((Need(CALLS, 16, 16),), one.ledger.now)
        outgoing = one.holder.next_request(one.ledger.now)
        assert outgoing is not None
        sizes += [it.needs[0].want for it in outgoing.request.operations if isinstance(it, Acquire)]
        one.ledger.now += round_trip
        one.receive(one.ledger.exchange(outgoing.request))
        one.ledger.now += 1_000 - round_trip
    assert sizes == ([16, 32, 64, 128] if grows else [16, 16, 16, 16])
