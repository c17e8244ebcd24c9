"""The ledger on both databases: one suite, which also holds it to a ledger in memory."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from tests.example_counts import seeds
from tests.unit.store.usage_model import DIGEST, MemoryLedger, RandomHolder, compare_rows
from tests.usage_bounds import PlainBounds, customer_account, debits
from tiergate.errors import StoreError
from tiergate.model import BEGINNING, FOREVER, CalendarUnit, Metered, WindowAnchor, parse_instant
from tiergate.store import SYSTEM
from tiergate.store.tables import (
    USAGE_ACCOUNTS,
    USAGE_GRANTS,
    USAGE_HOLDERS,
    USAGE_KEYS,
    USAGE_LEASES,
    USAGE_WINDOWS,
)
from tiergate.store.usage_grants import give_grant
from tiergate.store.usage_ledger import LedgerCall, UsageLedger
from tiergate.store.usage_state import StoredGrant
from tiergate.usage.accounts import Account, Consumption, Debit, Scope
from tiergate.usage.ledger_records import Needs
from tiergate.usage.pools import Grant
from tiergate.usage.protocol import (
    Acquire,
    Booked,
    Granted,
    Greeted,
    Hello,
    KeyedUse,
    Need,
    Read,
    Reason,
    Refused,
    Reply,
    Report,
    Request,
    Settle,
    Settled,
    Spend,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Table

    from tests.unit.store.clocks import Time
    from tiergate.store import Store
    from tiergate.usage.ledger import Ledger
    from tiergate.usage.protocol import Operation

NOVEMBER = parse_instant("2023-11-01")  # the clock stands on 14 November 2023
DECEMBER = parse_instant("2023-12-01")
HOUR = 3_600_000
DAY = 24 * HOUR
CALLS = customer_account(NOVEMBER)


@pytest.fixture
def bounds() -> PlainBounds:
    """A hard limit of 100 units a month."""
    return PlainBounds()


@pytest.fixture
def ledger(store: Store, bounds: PlainBounds) -> Iterator[UsageLedger]:
    """The ledger of the store."""
    opened = UsageLedger(store, bounds)
    yield opened
    opened.close()


class Holder:
    """A holder that sends requests one after the other, and reports nothing by itself."""

    def __init__(self, ledger: UsageLedger, name: str = "holder") -> None:
        """It has greeted the ledger."""
        self.ledger = ledger
        self.name = name
        self.sequence = 0
        self.reported = 0
        self.send(Hello(0, 0))

    def request(self, *operations: Operation, report: Report | None = None) -> Request:
        """The next request."""
        self.sequence += 1
        return Request(self.name, 1, b"instance", self.sequence, operations, report)

    def send(self, *operations: Operation, report: Report | None = None) -> Reply:
        """Send it."""
        return self.ledger.exchange(self.request(*operations, report=report))

    def acquire(self, units: int, *accounts: Account, at: int) -> Granted | Refused:
        """Lease units of accounts."""
        (result,) = self.send(Acquire(at, tuple(Need(account, units, units) for account in accounts))).results
        assert isinstance(result, Granted | Refused)
        return result

    def spend(self, lease: int, units: int, *, at: int, account: Account = CALLS, key: bytes = b"") -> Reply:
        """Report one consumption."""
        self.reported += 1
        keyed = KeyedUse(key or str(self.reported).encode(), DIGEST, at, (Spend(account, units, lease),))
        return self.send(report=Report(self.reported, self.reported, keyed=(keyed,)))


def consumption(*wanted: Debit, at: int, key: bytes = b"") -> Consumption:
    """A consumption."""
    return Consumption(key, DIGEST, at, wanted)


def row(store: Store, table: Table, **values: object) -> dict[str, object] | None:
    """The row of a table with some values."""
    query = select(table).where(*(table.c[name] == value for name, value in values.items()))
    found = store.read(lambda unit: unit.session.connection().execute(query).one_or_none())
    return None if found is None else dict(found._mapping)


def count(store: Store, table: Table) -> int:
    """The number of rows of a table."""
    query = select(func.count()).select_from(table)
    return store.read(lambda unit: unit.session.connection().execute(query).scalar_one())


def give(store: Store, *grants: Grant) -> None:
    """Give grants to the customer."""
    for grant in grants:
        store.change(lambda unit, grant=grant: give_grant(unit, "acme", "calls", grant), SYSTEM)  # type: ignore[misc]


def test_a_debit_is_booked_up_to_the_limit(store: Store, ledger: UsageLedger, time: Time) -> None:
    """And not beyond: what is refused changes nothing."""
    assert ledger.debit(consumption(*debits(CALLS, amount=99), at=time.now)) == Booked()
    assert ledger.debit(consumption(*debits(CALLS, amount=2), at=time.now)) == Refused(Reason.LIMIT_REACHED, CALLS)
    assert ledger.debit(consumption(*debits(CALLS), at=time.now)) == Booked()
    found = row(store, USAGE_ACCOUNTS, customer="acme")
    assert found is not None
    assert (found["booked"], found["start"], found["until"], found["drawn"]) == (100, NOVEMBER, DECEMBER, None)
    assert (found["allowance"], found["limit_units"]) == (100, 100)


def test_all_accounts_of_a_consumption_are_debited_or_none(store: Store, ledger: UsageLedger, time: Time) -> None:
    """The last one that is short undoes the others."""
    member = Account("calls", Scope.SUBSCRIPTION, "acme", "sub_1", NOVEMBER)
    ledger.debit(consumption(*debits(member, amount=100), at=time.now))
    assert ledger.debit(consumption(*debits(CALLS, member), at=time.now)) == Refused(Reason.LIMIT_REACHED, member)
    assert row(store, USAGE_ACCOUNTS, scope="customer") is None


def test_a_lease_is_debited_reported_and_settled(store: Store, ledger: UsageLedger, time: Time) -> None:
    """What was not spent is there again."""
    holder = Holder(ledger)
    granted = holder.acquire(10, CALLS, at=time.now)
    assert isinstance(granted, Granted)
    (lease,) = granted.leases
    leased = row(store, USAGE_LEASES, holder="holder", number=1)
    assert leased is not None
    assert (leased["units"], leased["spent"], leased["start"]) == (10, 0, NOVEMBER)
    assert holder.spend(1, 4, at=time.now).booked_through == 1
    account = row(store, USAGE_ACCOUNTS, customer="acme")
    assert account is not None
    assert (account["booked"], account["leased"], account["leases"]) == (4, 6, 1)
    assert holder.send(Settle(lease.number, 4)).results == (Settled(1),)
    account = row(store, USAGE_ACCOUNTS, customer="acme")
    assert account is not None
    assert (account["booked"], account["leased"], account["leases"]) == (4, 0, 0)
    assert count(store, USAGE_LEASES) == 0


def test_a_repeated_request_gets_the_same_reply(
    store: Store, ledger: UsageLedger, bounds: PlainBounds, time: Time
) -> None:
    """Also from another control plane on the same database; it counts once."""
    holder = Holder(ledger)
    request = holder.request(Acquire(time.now, (Need(CALLS, 5, 5),)))
    first = ledger.exchange(request)
    other = UsageLedger(store, bounds)
    assert other.exchange(request) == first
    other.close()
    found = row(store, USAGE_HOLDERS, holder="holder")
    assert found is not None
    assert (found["last_lease"], found["leases"], count(store, USAGE_LEASES)) == (1, 1, 1)


def test_a_key_counts_once(store: Store, ledger: UsageLedger, time: Time) -> None:
    """Whoever sends it; after its time it is another one."""
    first = consumption(*debits(CALLS, amount=5), at=time.now, key=b"k")
    assert ledger.debit(first, b"answer") == Booked()
    assert ledger.debit(first) == Booked(repeated=True, answer=b"answer")
    assert ledger.debit(consumption(*debits(CALLS), at=time.now, key=b"k")) == Booked(repeated=True, answer=b"answer")
    other = Consumption(b"k", DIGEST[::-1], time.now, debits(CALLS))
    assert ledger.debit(other) == Refused(Reason.KEY_CONFLICT)
    time.now += DAY
    assert ledger.debit(other) == Booked()
    assert count(store, USAGE_KEYS) == 1


def test_a_window_that_opens_leaves_the_one_before_as_it_was(store: Store, ledger: UsageLedger, time: Time) -> None:
    """Usage is 0 again, and the closed window has its own row."""
    ledger.debit(consumption(*debits(CALLS, amount=60), at=time.now))
    time.now = DECEMBER
    december = CALLS.in_window(DECEMBER)
    assert ledger.debit(consumption(*debits(CALLS), at=time.now)) == Refused(Reason.OTHER_WINDOW, december)
    assert ledger.debit(consumption(*debits(december, amount=100), at=time.now)) == Booked()
    closed = row(store, USAGE_WINDOWS, customer="acme")
    latest = row(store, USAGE_ACCOUNTS, customer="acme")
    assert closed is not None
    assert latest is not None
    assert (closed["start"], closed["until"], closed["booked"], closed["limit_units"]) == (NOVEMBER, DECEMBER, 60, 100)
    assert (latest["start"], latest["booked"]) == (DECEMBER, 100)


def test_late_usage_and_leases_count_in_their_closed_window(store: Store, ledger: UsageLedger, time: Time) -> None:
    """The closed window changes, the open one does not; and a window that nobody used gets a row."""
    holder = Holder(ledger)
    holder.acquire(10, CALLS, at=time.now)
    before = time.now
    time.now = DECEMBER + HOUR
    ledger.debit(consumption(*debits(CALLS.in_window(DECEMBER)), at=time.now))
    holder.spend(1, 7, at=before)
    holder.send(Settle(1, 7))
    assert ledger.record(consumption(*debits(CALLS, amount=200), at=before)) == Booked()
    closed = row(store, USAGE_WINDOWS, start=NOVEMBER)
    assert closed is not None
    assert (closed["booked"], closed["leased"], closed["drawn"]) == (207, 0, '{"":100,"+":107}')
    latest = row(store, USAGE_ACCOUNTS, customer="acme")
    assert latest is not None
    assert latest["booked"] == 1
    october = CALLS.in_window(parse_instant("2023-10-01"))
    refused = ledger.record(consumption(*debits(october), at=NOVEMBER - 1))
    assert refused == Refused(Reason.WINDOW_CLOSED, october)


def test_late_usage_of_a_window_that_nobody_used_is_an_earlier_window(
    store: Store, ledger: UsageLedger, time: Time
) -> None:
    """And does not become the latest one."""
    time.now = DECEMBER + DAY
    ledger.debit(consumption(*debits(CALLS.in_window(DECEMBER)), at=time.now))
    assert ledger.record(consumption(*debits(CALLS), at=DECEMBER - 1)) == Booked()
    assert (count(store, USAGE_ACCOUNTS), count(store, USAGE_WINDOWS)) == (1, 1)


def test_corrections_take_usage_back_but_not_below_zero(store: Store, ledger: UsageLedger, time: Time) -> None:
    """A closed window can be corrected too."""
    ledger.debit(consumption(*debits(CALLS, amount=60), at=time.now))
    too_much = consumption(*debits(CALLS, amount=61), at=time.now)
    assert ledger.correct(too_much) == Refused(Reason.BELOW_ZERO, CALLS)
    time.now = DECEMBER + HOUR
    ledger.debit(consumption(*debits(CALLS.in_window(DECEMBER)), at=time.now))
    assert ledger.correct(consumption(*debits(CALLS, amount=60), at=DECEMBER - 1)) == Booked()
    closed = row(store, USAGE_WINDOWS, start=NOVEMBER)
    assert closed is not None
    assert closed["booked"] == 0


def test_grants_are_used_up_over_windows(store: Store, ledger: UsageLedger, time: Time) -> None:
    """What a window took of one is missing in the next; what is given back is there again."""
    give(store, Grant("top-up", 50))
    assert ledger.debit(consumption(*debits(CALLS, amount=130), at=time.now)) == Booked()
    assert ledger.debit(consumption(*debits(CALLS, amount=21), at=time.now)) == Refused(Reason.LIMIT_REACHED, CALLS)
    found = row(store, USAGE_GRANTS, id="top-up")
    account = row(store, USAGE_ACCOUNTS, customer="acme")
    assert found is not None
    assert account is not None
    assert (found["spent"], account["drawn"], account["limit_units"]) == (30, '{"":100,"top-up":30}', 150)
    ledger.correct(consumption(*debits(CALLS, amount=10), at=time.now))
    time.now = DECEMBER
    december = CALLS.in_window(DECEMBER)
    refused = ledger.debit(consumption(*debits(december, amount=131), at=time.now))
    assert refused == Refused(Reason.LIMIT_REACHED, december)
    assert ledger.debit(consumption(*debits(december, amount=130), at=time.now)) == Booked()
    found = row(store, USAGE_GRANTS, id="top-up")
    assert found is not None
    assert found["spent"] == 50


def test_units_of_a_lease_go_back_to_their_grant(store: Store, ledger: UsageLedger, time: Time) -> None:
    """When it is settled."""
    give(store, Grant("top-up", 50))
    ledger.debit(consumption(*debits(CALLS, amount=95), at=time.now))
    holder = Holder(ledger)
    holder.acquire(20, CALLS, at=time.now)
    found = row(store, USAGE_GRANTS, id="top-up")
    assert found is not None
    assert found["spent"] == 15
    holder.spend(1, 8, at=time.now)
    holder.send(Settle(1, 8))
    found = row(store, USAGE_GRANTS, id="top-up")
    assert found is not None
    assert found["spent"] == 3


def test_the_end_of_the_open_window_moves_with_its_anchor(
    store: Store, ledger: UsageLedger, bounds: PlainBounds, time: Time
) -> None:
    """As soon as the move is noticed, even if nothing is used."""
    bounds.metered = Metered(reset=CalendarUnit.MONTH, anchor=WindowAnchor.SUBSCRIPTION)
    ledger.debit(consumption(*debits(CALLS), at=time.now))
    bounds.anchor = parse_instant("2023-11-20")
    holder = Holder(ledger)
    (figures,) = holder.send(Read((CALLS,))).figures
    assert (figures.until, figures.booked) == (parse_instant("2023-11-20"), 1)
    found = row(store, USAGE_ACCOUNTS, customer="acme")
    assert found is not None
    assert found["until"] == parse_instant("2023-11-20")
    assert count(store, USAGE_ACCOUNTS) == 1


def test_the_first_use_opens_one_window(store: Store, ledger: UsageLedger, bounds: PlainBounds, time: Time) -> None:
    """Even if several requests of one transaction would each open one."""
    bounds.metered = Metered(reset=CalendarUnit.DAY, anchor=WindowAnchor.FIRST_USE)
    first = Acquire(time.now, (Need(customer_account(time.now), 1, 1),))
    second = Acquire(time.now + 5, (Need(customer_account(time.now + 5), 1, 1),))
    granted, other = Holder(ledger).send(first, second).results
    assert isinstance(granted, Granted)
    assert other == Refused(Reason.OTHER_WINDOW, customer_account(time.now))
    assert count(store, USAGE_ACCOUNTS) == 1


def test_usage_that_never_resets_has_one_row(
    store: Store, ledger: UsageLedger, bounds: PlainBounds, time: Time
) -> None:
    """From the beginning, for ever."""
    bounds.metered = Metered()
    account = customer_account(BEGINNING)
    ledger.debit(consumption(*debits(account), at=time.now))
    time.now += 400 * DAY
    ledger.debit(consumption(*debits(account), at=time.now))
    found = row(store, USAGE_ACCOUNTS, customer="acme")
    assert found is not None
    assert (found["start"], found["until"], found["booked"]) == (BEGINNING, FOREVER, 2)


def test_unlimited_usage_is_counted(store: Store, ledger: UsageLedger, bounds: PlainBounds, time: Time) -> None:
    """As of the allowance, and there is no limit."""
    bounds.limit = None
    assert ledger.debit(consumption(*debits(CALLS, amount=10**18), at=time.now)) == Booked()
    found = row(store, USAGE_ACCOUNTS, customer="acme")
    assert found is not None
    assert (found["booked"], found["drawn"], found["allowance"], found["limit_units"]) == (10**18, None, None, None)


def test_a_lost_holder_is_written_off(store: Store, ledger: UsageLedger, time: Time) -> None:
    """What it leased counts as used; if it comes back, what it reports counts instead."""
    holder = Holder(ledger)
    holder.acquire(10, CALLS, at=time.now)
    assert ledger.write_off("holder") == 10
    account = row(store, USAGE_ACCOUNTS, customer="acme")
    assert account is not None
    assert (account["booked"], account["leased"]) == (10, 0)
    holder.spend(1, 4, at=time.now)
    holder.send(Settle(1, 4))
    account = row(store, USAGE_ACCOUNTS, customer="acme")
    assert account is not None
    assert (account["booked"], account["leased"], account["leases"]) == (4, 0, 0)


def test_a_holder_that_forgot_its_leases_gets_new_ones(store: Store, ledger: UsageLedger, time: Time) -> None:
    """After a new start from an older disk, leases that it does not know are taken back."""
    holder = Holder(ledger)
    holder.acquire(10, CALLS, at=time.now)
    reply = ledger.exchange(Request("holder", 2, b"another", 1, (Hello(0, 0),)))
    assert reply.results == (Greeted(0, 1),)
    account = row(store, USAGE_ACCOUNTS, customer="acme")
    assert account is not None
    assert (account["leased"], count(store, USAGE_LEASES)) == (0, 0)


def test_a_call_that_raises_changes_nothing_and_the_others_stay(store: Store, ledger: UsageLedger, time: Time) -> None:
    """In one transaction with others."""
    begun, go = threading.Event(), threading.Event()
    nothing = Needs("", frozenset(), frozenset(), frozenset(), all_leases=False)
    needs = Needs("", frozenset({CALLS}), frozenset(), frozenset(), all_leases=False)

    def wait(_: Ledger) -> None:
        begun.set()
        go.wait(10)

    def fail(acting: Ledger) -> None:
        acting.debit(consumption(*debits(CALLS, amount=50), at=time.now))
        raise LookupError

    with ThreadPoolExecutor() as pool:
        first = pool.submit(ledger.run, LedgerCall(nothing, wait))
        begun.wait(10)
        failing = pool.submit(ledger.run, LedgerCall(needs, fail))
        succeeding = pool.submit(ledger.debit, consumption(*debits(CALLS, amount=60), at=time.now))
        while ledger.waiting < 2:
            pass
        go.set()
        assert first.result() is None
        with pytest.raises(LookupError):
            failing.result()
        assert succeeding.result() == Booked()
    account = row(store, USAGE_ACCOUNTS, customer="acme")
    assert account is not None
    assert account["booked"] == 60


def test_a_closed_ledger_takes_no_calls(store: Store, bounds: PlainBounds, time: Time) -> None:
    """And says so."""
    ledger = UsageLedger(store, bounds)
    ledger.close()
    with pytest.raises(StoreError):
        ledger.debit(consumption(*debits(CALLS), at=time.now))


def test_control_planes_that_race_never_exceed_a_limit(store: Store, bounds: PlainBounds, time: Time) -> None:
    """Several ledgers on one database, for accounts that do not exist yet, and from one window into the next."""
    ledgers = [UsageLedger(store, bounds) for _ in range(3)]
    for window, now in ((NOVEMBER, time.now), (DECEMBER, DECEMBER)):
        time.now = now
        account = CALLS.in_window(window)

        def consume(place: int, account: Account = account) -> bool:
            return isinstance(ledgers[place % 3].debit(consumption(*debits(account), at=time.now)), Booked)

        with ThreadPoolExecutor(12) as pool:
            assert sum(pool.map(consume, range(150))) == 100
    for ledger in ledgers:
        ledger.close()
    assert [count(store, table) for table in (USAGE_ACCOUNTS, USAGE_WINDOWS)] == [1, 1]


@pytest.mark.parametrize("seed", seeds(2, 6))
def test_the_store_replies_as_a_ledger_in_memory(store: Store, bounds: PlainBounds, time: Time, seed: int) -> None:
    """Random requests of several holders, over several windows: the same replies, and the same records in the end."""
    choose = random.Random(seed)
    bounds.overage_max = choose.choice((0, 5, None))
    memory = MemoryLedger(bounds, time)
    ledger = UsageLedger(store, bounds)
    holders = [RandomHolder(f"h{number}", choose) for number in range(3)]
    for grant in (Grant("g1", 30), Grant("g2", 20, until=DECEMBER + DAY, priority=10)):
        give(store, grant)
        memory.grants.append(StoredGrant("acme", "calls", grant))
    for step in range(120):
        time.now += choose.choice((1, 1000, HOUR, 12 * HOUR))
        request = choose.choice(holders).request(time.now)
        wanted = memory.exchange(request)
        assert ledger.exchange(request) == wanted, (seed, step)
        next(holder for holder in holders if holder.name == request.holder).receive(wanted)
    ledger.close()
    compare_rows(store, memory)
