"""What fires on the ledger, against a model that knows nothing of it; and the pure rule."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.usage_bounds import PlainBounds, customer_account
from tiergate.model import CalendarUnit, Metered, Threshold, format_instant
from tiergate.store.events import EventQuery, list_events
from tiergate.store.outbox import EventType
from tiergate.store.usage_ledger import UsageLedger, check_call
from tiergate.usage.accounts import Account, Consumption, Debit, Scope
from tiergate.usage.protocol import (
    Acquire,
    Booked,
    Granted,
    Hello,
    KeyedUse,
    Lease,
    Need,
    Report,
    Request,
    Settle,
    Spend,
)
from tiergate.usage.thresholds import newly_reached

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.store.clocks import Time
    from tiergate.store import Store

DAY = 24 * 3_600_000
LEVELS = (Threshold(10), Threshold(80), Threshold(100), Threshold(120), Threshold(units=5), Threshold(units=60))
DIGEST = b"d" * 16


@pytest.mark.parametrize(
    ("threshold", "used", "limit", "reached"),
    [
        (Threshold(80), 79, 100, False),
        (Threshold(80), 80, 100, True),
        (Threshold(33), 1, 3, True),
        (Threshold(34), 1, 3, False),
        (Threshold(1), 0, 0, False),
        (Threshold(1000), 1, 0, True),
        (Threshold(100), 10**18, None, False),
        (Threshold(units=5), 4, 100, False),
        (Threshold(units=5), 5, None, True),
        (Threshold(units=5), 5, 0, True),
    ],
)
def test_a_level_is_reached_by_usage_at_or_above_it(
    threshold: Threshold, used: int, limit: int | None, reached: bool
) -> None:
    """Percentages of the limit are exact; nothing used reaches nothing."""
    assert newly_reached([threshold], (), used, limit) == ([threshold] if reached else [])
    assert newly_reached([threshold], {threshold.key}, used, limit) == []


class Fired(NamedTuple):
    """An event of a threshold."""

    window: str
    level: str | int
    used: int
    limit: int | str


class Model:
    """Counts by hand what one customer used in each window, and tells what must have fired."""

    def __init__(self) -> None:
        self.used: dict[int, int] = {}
        self.fired: set[tuple[int, str | int]] = set()
        self.events: list[Fired] = []

    def look(self, window: int, limit: int | None, levels: tuple[Threshold, ...]) -> None:
        """See what is above a level, in percent as a fraction, and has not been told of in this window."""
        used = self.used.get(window, 0)
        for level in levels:
            name: str | int = f"{level.percent}%" if level.percent is not None else level.units or 0
            edge = None if level.percent is None or limit is None else level.percent * limit / 100
            above = used >= name if isinstance(name, int) else edge is not None and used >= edge
            if used and above and (window, name) not in self.fired:
                self.fired.add((window, name))
                shown = "unlimited" if limit is None else limit
                self.events.append(Fired(format_instant(window), name, used, shown))


class Subject:
    """One customer on the real ledger and on the model."""

    def __init__(self, store: Store, ledger: UsageLedger, bounds: PlainBounds, time: Time, feature: str) -> None:
        self.store, self.ledger, self.bounds, self.time, self.feature = store, ledger, bounds, time, feature
        self.model = Model()
        self.sequence = self.reported = 0
        self._send(Hello(0, 0))

    @property
    def window(self) -> int:
        """The start of the day."""
        return self.time.now - self.time.now % DAY

    @property
    def limit(self) -> int | None:
        """The limit that holds."""
        return self.bounds.limits[self.feature]

    def account(self, window: int) -> Account:
        """The account of the customer."""
        return customer_account(window, self.feature)

    def _consumption(self, window: int, amount: int, at: int) -> Consumption:
        return Consumption(b"", b"", at, (Debit(self.account(window), amount),))

    def record(self, amount: int, days_ago: int = 0) -> None:
        """Report usage after the fact, perhaps of a day before."""
        at = max(0, self.time.now - days_ago * DAY)
        window = at - at % DAY
        assert isinstance(self.ledger.record(self._consumption(window, amount, at)), Booked)
        self.model.used[window] = self.model.used.get(window, 0) + amount
        self.model.look(window, self.limit, self.bounds.thresholds)

    def correct(self, amount: int) -> None:
        """Take usage back, as much as there is."""
        amount = min(amount, self.model.used.get(self.window, 0))
        if amount:
            assert isinstance(self.ledger.correct(self._consumption(self.window, amount, self.time.now)), Booked)
            self.model.used[self.window] -= amount
            self.model.look(self.window, self.limit, self.bounds.thresholds)

    def lease(self, amount: int) -> Lease | None:
        """Lease up to as many units."""
        (result,) = self._send(Acquire(self.time.now, (Need(self.account(self.window), 1, amount),)))
        return result.leases[0] if isinstance(result, Granted) and result.leases else None

    def lease_and_report(self, amount: int) -> None:
        """Lease units as a sidecar does, spend some, report them, and give the rest back."""
        lease = self.lease(amount)
        if lease is None:
            return
        spent = max(1, lease.units // 2)
        self.reported += 1
        key = b"%016d" % self.reported + self.feature.encode().ljust(16, b"_")[:16]
        keyed = KeyedUse(key, DIGEST, self.time.now, (Spend(lease.account, spent, lease.number),))
        self._send(report=Report(self.reported, self.reported, keyed=(keyed,)))
        self.model.used[self.window] = self.model.used.get(self.window, 0) + spent
        self.model.look(self.window, self.limit, self.bounds.thresholds)
        self._send(Settle(lease.number, spent))

    def _send(self, *operations: Any, report: Report | None = None) -> tuple[Any, ...]:  # noqa: ANN401 - any operation
        self.sequence += 1
        request = Request(f"holder-of-{self.feature}", 1, b"instance", self.sequence, operations, report)
        return self.ledger.exchange(request).results

    def move_limit(self, limit: int | None) -> None:
        """Let the limit move, as a change of plan, an override or a publication does."""
        self.bounds.limits[self.feature] = limit
        self.ledger.run(check_call([self.account(self.window)]))
        self.model.look(self.window, limit, self.bounds.thresholds)

    def restart(self) -> None:
        """Continue with another ledger on the same store."""
        self.ledger.close()
        self.ledger = UsageLedger(self.store, self.bounds)

    def events(self) -> list[Fired]:
        """What has fired, as the list of events has it."""
        found = self.store.read(
            lambda unit: list_events(
                unit, EventQuery(types=(EventType.THRESHOLD_REACHED,), feature=self.feature), 0, 10_000
            )
        )
        bodies = [json.loads(event.payload)["data"] for event in found]
        return [Fired(it["window"]["from"], it["threshold"], it["used"], it["limit"]) for it in bodies]


@pytest.fixture
def bounds() -> PlainBounds:
    """Soft limits of days, with every kind of level."""
    metered = Metered(CalendarUnit.DAY, late=30 * DAY)
    return PlainBounds(metered, overage_max=None, thresholds=LEVELS)


@pytest.fixture
def ledgers(store: Store, bounds: PlainBounds) -> Iterator[list[UsageLedger]]:
    """The ledgers that a test opens on the store."""
    opened = [UsageLedger(store, bounds)]
    yield opened
    opened[0].close()


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_each_level_fires_once_in_each_window(
    store: Store, ledgers: list[UsageLedger], bounds: PlainBounds, time: Time, seed: int
) -> None:
    """Usage by every way, corrections, limits that move, new days and restarts: as the model says, event by event."""
    choose = random.Random(seed)
    bounds.limits[f"f{seed}"] = 50
    subject = Subject(store, ledgers[0], bounds, time, f"f{seed}")
    for _ in range(60):
        match choose.randrange(10):
            case 0 | 1 | 2:
                subject.record(choose.choice([1, 3, 7, 20, 45]))
            case 3:
                subject.record(choose.choice([1, 10, 60]), days_ago=choose.randrange(3))
            case 4 | 5:
                subject.lease_and_report(choose.choice([1, 2, 9, 40]))
            case 6:
                subject.correct(choose.choice([1, 5, 30, 500]))
            case 7 | 8:
                subject.move_limit(choose.choice([None, 0, 1, 10, 50, 62, 75, 400]))
            case _ if choose.random() < 0.5:
                time.now += choose.choice([1, DAY // 3, DAY])
            case _:
                subject.restart()
                ledgers[0] = subject.ledger
        assert subject.events() == subject.model.events
    assert len(subject.model.events) > len(LEVELS)


def test_only_what_a_customer_used_fires(store: Store, ledgers: list[UsageLedger], time: Time) -> None:
    """Not what one of its users or subscriptions did, nor everybody together."""
    window = time.now - time.now % DAY
    others = [
        Account("calls", Scope.USER, "acme", "ann", window),
        Account("calls", Scope.SUBSCRIPTION, "acme", "s1", window),
        Account("calls", Scope.EVERYBODY, "", "", window),
    ]
    debits = tuple(Debit(account, 90) for account in others)
    assert isinstance(ledgers[0].record(Consumption(b"", b"", time.now, debits)), Booked)
    assert store.read(lambda unit: list_events(unit, EventQuery(), 0, 10)) == []


def test_what_is_leased_is_not_used_yet(
    store: Store, ledgers: list[UsageLedger], bounds: PlainBounds, time: Time
) -> None:
    """Levels are of what was consumed."""
    bounds.limits["f"] = 50
    subject = Subject(store, ledgers[0], bounds, time, "f")
    assert subject.lease(45) is not None
    assert subject.events() == []
