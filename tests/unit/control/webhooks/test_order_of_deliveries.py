"""In which order events are delivered, and which are delivered again."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from tests.receiver import Receiver
from tiergate.control.webhooks.delivery import WebhookSender
from tiergate.control.webhooks.dispatcher import ATTEMPTS, Dispatcher
from tiergate.control.webhooks.webhook_targets import WebhookTargets
from tiergate.store import SYSTEM, Store
from tiergate.store.deliveries import (
    Claim,
    DeliveryResult,
    DeliveryStatus,
    claim_due,
    list_deliveries,
    next_due,
    read_backlog,
    record_result,
    redeliver,
)
from tiergate.store.events import EventQuery, delete_events, deliver_missing, list_events, redeliver_finished
from tiergate.store.outbox import EventType
from tiergate.store.tables import DELIVERIES
from tiergate.store.webhooks import WebhookSettings, add_webhook, edit_webhook, read_webhook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.store import WriteUnit

HOUR = 3600 * 1000
LOCAL = WebhookTargets(["127.0.0.0/8"])
TLS = ssl.create_default_context()  # takes a while to make
LEASE = 60_000


class Clock:
    """A clock that stands until it is put on."""

    def __init__(self) -> None:
        self.now = time.time_ns() // 1_000_000

    def __call__(self) -> int:
        """Now, in UTC milliseconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock."""
    return Clock()


@pytest.fixture
def store(store_url: str, clock: Clock) -> Iterator[Store]:
    """An empty store."""
    opened = Store.open(store_url, clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver."""
    with Receiver.listening() as listening:
        yield listening


def add(store: Store, url: str = "https://hooks.example/", *events: str) -> str:
    """Add a webhook."""
    return store.change(lambda unit: add_webhook(unit, WebhookSettings(url, events)), SYSTEM)[0].id


def emit(store: Store, customer: str | None, number: int, type_: str = EventType.ENTITLEMENTS_CHANGED) -> None:
    """Let something happen to a customer, or to none."""
    data = {"number": number} if customer is None else {"customer": customer, "number": number}
    store.change(lambda unit: unit.emit(type_, data), SYSTEM)


def claimed(store: Store, most: int = 100) -> list[Claim]:
    """What is claimed now."""
    return store.change(lambda unit: claim_due(unit, most=most, each=100, lease=LEASE, busy={}), SYSTEM)


def numbers(claims: list[Claim]) -> list[int]:
    """The numbers of their events."""
    return sorted(json.loads(claim.payload)["data"]["number"] for claim in claims)


def ends(store: Store, claim: Claim, *, delivered: bool = True, retry_at: int | None = None) -> None:
    """Record how an attempt ended."""
    result = DeliveryResult(delivered, "204" if delivered else "500", retry_at)
    store.change(lambda unit: record_result(unit, claim, result), SYSTEM)


def test_events_about_a_customer_are_sent_one_after_the_other(store: Store) -> None:
    """The next one is sent once the one before has arrived; those of another customer do not wait for it."""
    add(store)
    for number, customer in enumerate(["a", "a", "b", "a", "b"]):
        emit(store, customer, number)
    (first, other) = claimed(store)
    assert numbers([first, other]) == [0, 2]
    assert claimed(store) == []
    ends(store, first)
    (second,) = claimed(store)
    assert numbers([second]) == [1]


def test_what_fails_holds_back_what_comes_after_it(store: Store, clock: Clock) -> None:
    """Until it arrives, or is given up; what follows is not looked at meanwhile, however late it came."""
    add(store)
    emit(store, "a", 0)
    emit(store, "a", 1)
    (first,) = claimed(store)
    ends(store, first, delivered=False, retry_at=clock() + HOUR)
    emit(store, "a", 2)
    assert claimed(store) == []
    assert store.read(next_due) == clock() + HOUR
    clock.now += HOUR
    (again,) = claimed(store)
    assert again.id == first.id
    ends(store, again, delivered=False)  # given up
    (second,) = claimed(store)
    assert numbers([second]) == [1]
    ends(store, second)
    assert numbers(claimed(store)) == [2]


def test_what_waits_behind_a_dead_control_plane_goes_on(store: Store, clock: Clock) -> None:
    """A claim that nobody ends is made again first."""
    add(store)
    emit(store, "a", 0)
    emit(store, "a", 1)
    (lost,) = claimed(store)
    assert claimed(store) == []
    clock.now += LEASE
    (again,) = claimed(store)
    assert again.id == lost.id
    ends(store, again)
    assert numbers(claimed(store)) == [1]


def test_each_webhook_has_its_own_order(store: Store, clock: Clock) -> None:
    """A receiver that fails holds nobody else back."""
    one, _ = add(store), add(store, "https://other.example/")
    emit(store, "a", 0)
    emit(store, "a", 1)
    for claim in claimed(store):
        if claim.webhook == one:
            ends(store, claim, delivered=False, retry_at=clock() + HOUR)
        else:
            ends(store, claim)
    (next_,) = claimed(store)
    assert next_.webhook != one
    assert numbers([next_]) == [1]


def test_deliveries_of_the_release_before_have_no_order(store: Store) -> None:
    """They are sent as they were."""
    add(store)
    for number in range(3):
        emit(store, "a", number)
    with store.database.writing() as session:
        session.connection().execute(update(DELIVERIES).values(line="", position=0))
        session.commit()
    assert numbers(claimed(store)) == [0, 1, 2]


def drain(store: Store) -> None:
    """Deliver what is due."""

    async def work() -> None:
        sender = WebhookSender(LOCAL, tls=TLS)
        try:
            await Dispatcher(store, sender).drain()
        finally:
            await sender.close()

    asyncio.run(work())


def test_a_receiver_that_fails_now_and_then_gets_everything_in_order(
    store: Store, receiver: Receiver, clock: Clock
) -> None:
    """What it took of a customer is in the order in which it happened, whatever failed between."""
    add(store, receiver.url())
    receiver.answer(204, 500, 503, 204, 500)
    for number in range(12):
        emit(store, f"c{number % 3}", number)
    taken: dict[str, list[int]] = {"c0": [], "c1": [], "c2": []}
    for _ in range(ATTEMPTS):
        drain(store)
        while receiver.count:
            data = json.loads(receiver.take().body)["data"]
            taken[data["customer"]].append(data["number"])
        clock.now += HOUR
    assert {customer: sorted(set(found)) for customer, found in taken.items()} == {
        f"c{place}": [place, place + 3, place + 6, place + 9] for place in range(3)
    }
    assert all(found == sorted(found) for found in taken.values())


def statuses(store: Store, webhook: str) -> dict[int, DeliveryStatus]:
    """The status of each delivery, by the number of its event."""
    rows = store.read(lambda unit: list_deliveries(unit, webhook, None, 100))
    return {json.loads(row.payload)["data"]["number"]: row.status for row in rows}


def test_all_dead_letters_are_made_again(store: Store) -> None:
    """And nothing else; they keep their ids."""
    webhook = add(store)
    for number in range(3):
        emit(store, f"c{number}", number)
    first, second, third = claimed(store)
    ends(store, first)
    ends(store, second, delivered=False)
    ends(store, third, delivered=False)
    assert store.read(read_backlog)[:2] == (0, 2)
    count = store.change(lambda unit: redeliver_finished(unit, webhook, status=DeliveryStatus.DEAD), SYSTEM)
    assert count == 2
    assert store.read(read_backlog)[:2] == (2, 0)
    (again,) = claimed(store)  # one at a time, while it fails
    ends(store, again)
    (last,) = claimed(store)
    assert {again.id, last.id} == {second.id, third.id}


def test_a_range_is_made_again_with_what_was_never_sent(store: Store, clock: Clock) -> None:
    """As after a receiver lost its data, or was disabled for a while."""
    webhook = add(store, "https://hooks.example/", EventType.ENTITLEMENTS_CHANGED)
    begun = clock()
    emit(store, "a", 0)
    (claim,) = claimed(store)
    ends(store, claim)

    def enable(*, enabled: bool) -> None:
        settings = WebhookSettings("https://hooks.example/", (EventType.ENTITLEMENTS_CHANGED,), enabled=enabled)
        store.change(lambda unit: edit_webhook(unit, read_webhook(unit, webhook, lock=True), settings), SYSTEM)

    enable(enabled=False)
    clock.now += 1000
    emit(store, "a", 1)
    emit(store, "a", 2, EventType.FEATURE_SUSPENDED)  # not subscribed to
    enable(enabled=True)
    clock.now += 1000
    emit(store, "a", 3)
    query = EventQuery(since=begun, until=clock())

    def again(unit: WriteUnit) -> tuple[int, int]:
        return (
            redeliver_finished(unit, webhook, query=query),
            deliver_missing(unit, webhook, [EventType.ENTITLEMENTS_CHANGED], query),
        )

    assert store.change(again, SYSTEM) == (1, 1)
    assert set(statuses(store, webhook)) == {0, 1, 3}
    order = []
    while claims := claimed(store):
        order += numbers(claims)
        for each in claims:
            ends(store, each)
    assert order == [0, 1, 3]


def test_one_delivery_made_again_goes_before_what_waits(store: Store) -> None:
    """Its place is that of its event."""
    webhook = add(store)
    emit(store, "a", 0)
    (first,) = claimed(store)
    ends(store, first, delivered=False)
    emit(store, "a", 1)
    store.change(lambda unit: redeliver(unit, webhook, first.id), SYSTEM)
    assert [claim.id for claim in claimed(store)] == [first.id]


def test_events_are_listed_without_any_webhook_until_they_are_old(store: Store, clock: Clock) -> None:
    """In one order without gaps; what was deleted is not numbered again."""
    for number in range(3):
        emit(store, "a", number)
    listed = store.read(lambda unit: list_events(unit, EventQuery(), 0, 10))
    assert [event.position for event in listed] == [1, 2, 3]
    assert store.read(lambda unit: list_events(unit, EventQuery(), 2, 10)) == listed[2:]
    assert store.change(lambda unit: delete_events(unit, clock() + 1), SYSTEM) == 3
    assert store.change(lambda unit: delete_events(unit, clock() + 1), SYSTEM) == 0
    emit(store, "a", 3)
    assert [event.position for event in store.read(lambda unit: list_events(unit, EventQuery(), 0, 10))] == [4]
