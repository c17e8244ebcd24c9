"""A ledger in memory and holders that send it random requests: what a ledger on a database is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sqlalchemy import select

from tests.usage_bounds import PlainBounds, customer_account
from tiergate.model import Interval
from tiergate.store.tables import USAGE_ACCOUNTS, USAGE_GRANTS, USAGE_HOLDERS, USAGE_KEYS, USAGE_LEASES, USAGE_WINDOWS
from tiergate.store.usage_state import Limits, StoredGrant, account_columns, key_of, lease_columns
from tiergate.usage.accounts import Account, AccountRecord, Consumption, Debit, Scope
from tiergate.usage.ledger import Ledger
from tiergate.usage.ledger_records import LedgerRecords
from tiergate.usage.protocol import (
    Acquire,
    Correct,
    DirectDebit,
    Granted,
    Hello,
    HourlyUse,
    KeyedUse,
    Need,
    Read,
    Record,
    Renew,
    Report,
    Request,
    Settle,
    Settled,
    Spend,
)
from tiergate.usage.windows import UsageWindows

if TYPE_CHECKING:
    import random

    from sqlalchemy import Table

    from tests.unit.store.clocks import Time
    from tiergate.model import Instant
    from tiergate.store import ReadUnit, Store
    from tiergate.store.usage_state import UsageState
    from tiergate.usage.leases import LeaseRecord
    from tiergate.usage.protocol import Operation, Reply


DIGEST = b"0123456789abcdef"


class MemoryLedger:
    """All records in memory, and what bounds are resolved from."""

    def __init__(self, bounds: PlainBounds, time: Time) -> None:
        """Nothing was used yet."""
        self.records = LedgerRecords()
        self.grants: list[StoredGrant] = []
        self.spent: dict[str, int] = {}
        self._bounds = bounds
        self._time = time

    def exchange(self, request: Request) -> Reply:
        """Act on one request, in a transaction of its own."""
        bound_of = self._bounds(cast("ReadUnit", None), cast("UsageState", self), [])
        reply = Ledger(self.records, bound_of, self._time.now).exchange(request)
        changes = self.records.commit()
        self.spent |= {grant: units for (_, grant), units in changes.grants.items()}
        return reply

    def latest_of(self, account: Account) -> AccountRecord | None:
        """The latest window of an account."""
        windows = [record for record in self.records.accounts() if key_of(record.account) == key_of(account)]
        return max(windows, key=lambda record: record.account.window, default=None)

    def windows_of(self, account: Account, _: Instant) -> list[Interval]:
        """All windows of an account."""
        return sorted(
            (
                Interval(record.account.window, record.until)
                for record in self.records.accounts()
                if key_of(record.account) == key_of(account)
            ),
            key=lambda window: window.start,
        )

    def grants_of(self, account: Account) -> list[StoredGrant]:
        """The grants of an account."""
        return [stored for stored in self.grants if stored.feature == account.feature]


class RandomHolder:
    """A holder that does anything that the protocol allows, and some of what it does not."""

    def __init__(self, name: str, choose: random.Random) -> None:
        """It has not greeted the ledger yet."""
        self.name = name
        self._choose = choose
        self._sequence = 0
        self._reported = 0
        self._leases: dict[int, tuple[Account, int, int]] = {}
        self._last: Request | None = None

    def request(self, now: Instant) -> Request:
        """The next request, or the last one again."""
        choose = self._choose
        if self._last is not None and choose.random() < 0.1:
            return self._last
        self._sequence += 1
        if self._sequence == 1:
            operations: tuple[Operation, ...] = (Hello(0, 0),)
            report = None
        else:
            report = self._report(now) if choose.random() < 0.6 else None
            operations = tuple(self._operation(now) for _ in range(choose.randrange(3)))
        self._last = Request(self.name, 1, b"instance", self._sequence, operations, report)
        return self._last

    def receive(self, reply: Reply) -> None:
        """Learn what was granted and settled."""
        assert reply.fault is None
        for result in reply.results:
            if isinstance(result, Granted):
                for lease in result.leases:
                    self._leases.setdefault(lease.number, (lease.account, lease.units, 0))
            elif isinstance(result, Settled):
                self._leases.pop(result.lease, None)

    def _account(self, now: Instant) -> Account:
        at = now - self._choose.choice((0, 0, 0, 20 * 24 * 3_600_000))
        window = UsageWindows.of(PlainBounds().metered).at(at).start
        if self._choose.random() < 0.6:
            return customer_account(window)
        return Account("calls", Scope.SUBSCRIPTION, "acme", self._choose.choice(("sub_1", "sub_2")), window)

    def _report(self, now: Instant) -> Report:
        hourly, keyed = [], []
        first = self._reported + 1
        for _ in range(self._choose.randrange(1, 4)):
            self._reported += 1
            number, (account, units, spent) = self._choose.choice(
                [*self._leases.items(), (0, (self._account(now), 3, 0))]
            )
            amount = self._choose.randrange(1, max(2, units - spent + 1))
            if number:
                self._leases[number] = (account, units, min(units, spent + amount))
            spend = Spend(account, amount, number)
            if self._choose.random() < 0.5:
                hourly.append(HourlyUse(now - now % 3_600_000, spend))
            else:
                keyed.append(KeyedUse(self._key(), DIGEST, now, (spend,)))
        return Report(first, self._reported, tuple(hourly), tuple(keyed))

    def _key(self) -> bytes:
        return f"key {self._choose.randrange(40)}".encode()

    def _operation(self, now: Instant) -> Operation:
        choose = self._choose
        account = self._account(now)
        consumption = Consumption(
            choose.choice((b"", self._key())), DIGEST, now, (Debit(account, choose.randrange(1, 20)),)
        )
        match choose.randrange(8):
            case 0 | 1 | 2:
                need = choose.randrange(5)
                return Acquire(now, (Need(account, need, need + choose.randrange(10)),))
            case 3 if self._leases:
                number, (_, _, spent) = choose.choice(list(self._leases.items()))
                return Settle(number, spent)
            case 4:
                return Renew(choose.choice([*self._leases, 99]))
            case 5:
                return Record(consumption, b"answer")
            case 6:
                return Correct(consumption)
            case 7:
                return Read((account,))
            case _:
                return DirectDebit(consumption, b"answer")


def rows(store: Store, table: Table) -> list[dict[str, object]]:
    """All rows of a table."""
    found = store.read(lambda unit: unit.session.connection().execute(select(table).order_by(*table.primary_key)).all())
    return [dict(row._mapping) for row in found]


def compare_rows(store: Store, memory: MemoryLedger) -> None:
    """Check that a store has the records of a ledger in memory, and no others."""
    windows = [*rows(store, USAGE_ACCOUNTS), *rows(store, USAGE_WINDOWS)]
    found = {
        (row["scope"], row["member"], row["start"]): {name: it for name, it in row.items() if name != "next_at"}
        | {"allowance": None, "limit_units": None}
        for row in windows
    }
    assert len(found) == len(windows)
    accounts = [account_columns(record, Limits(), ()) for record in memory.records.accounts()]
    assert found == {(row["scope"], row["member"], row["start"]): row for row in accounts}
    leases: list[LeaseRecord] = list(memory.records.leases())
    wanted = [lease_columns(lease) for lease in leases]
    assert sorted(rows(store, USAGE_LEASES), key=str) == sorted(wanted, key=str)
    assert {row["id"]: row["spent"] for row in rows(store, USAGE_GRANTS)} == {
        stored.grant.id: memory.spent.get(stored.grant.id, 0) for stored in memory.grants
    }
    for row in rows(store, USAGE_HOLDERS):
        holder = memory.records.holder(str(row["holder"]))
        assert holder is not None
        assert (row["sequence"], row["leases"], row["last_lease"]) == (
            holder.sequence,
            holder.leases,
            holder.last_lease,
        )
    for row in rows(store, USAGE_KEYS):
        key = memory.records.key(cast("bytes", row["key"]))
        assert key is not None
        assert (row["digests"], row["at"], row["answer"]) == (key.digests, key.at, key.answer or None)
