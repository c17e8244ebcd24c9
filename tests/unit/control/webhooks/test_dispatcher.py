"""Deliveries of events: signed, at least once, tried again, shared among control planes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from tests.receiver import Receiver
from tiergate.control.webhooks.delivery import WebhookSender
from tiergate.control.webhooks.dispatcher import ATTEMPTS, Dispatcher, pause_after
from tiergate.control.webhooks.webhook_targets import WebhookTargets
from tiergate.store import SYSTEM, Store
from tiergate.store.deliveries import (
    Delivery,
    DeliveryResult,
    DeliveryStatus,
    claim_due,
    list_deliveries,
    record_result,
    redeliver,
)
from tiergate.store.outbox import Event, EventType, write_delivery
from tiergate.store.tables import AUDIT
from tiergate.store.webhooks import (
    WebhookSettings,
    add_webhook,
    edit_webhook,
    read_webhook,
    remove_webhook,
    rotate_secret,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.store import WriteUnit

HOUR = 60 * 60 * 1000
DAY = 24 * HOUR
LOCAL = WebhookTargets(["127.0.0.0/8"])
TLS = ssl.create_default_context()  # takes a while to make


class Clock:
    """The machine's clock, which can be put on."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        """Now, in UTC milliseconds."""
        return time.time_ns() // 1_000_000 + self.ahead


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


def add(store: Store, url: str, *events: str) -> tuple[str, str]:
    """Add a webhook; return its id and secret."""
    webhook, secret = store.change(lambda unit: add_webhook(unit, WebhookSettings(url, events)), SYSTEM)
    return webhook.id, secret


def emit(store: Store, type_: str = "publication.created", **data: object) -> None:
    """Let something happen."""
    store.change(lambda unit: unit.emit(type_, data), SYSTEM)


def drain(store: Store, *, timeout: float = 10) -> int:
    """Deliver what is due."""

    async def work() -> int:
        sender = WebhookSender(LOCAL, tls=TLS, timeout=timeout)
        try:
            return await Dispatcher(store, sender).drain()
        finally:
            await sender.close()

    return asyncio.run(work())


def deliveries(store: Store, webhook: str) -> list[Delivery]:
    """All deliveries to a webhook, the newest first."""
    return store.read(lambda unit: list_deliveries(unit, webhook, None, 100))


def only(store: Store, webhook: str) -> Delivery:
    """The one delivery to a webhook."""
    (found,) = deliveries(store, webhook)
    return found


# ── What is sent ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_event_arrives_signed(store: Store, receiver: Receiver) -> None:
    """The official library verifies what was received, and finds the type, the instant and the data."""
    webhook, secret = add(store, receiver.url("/hook?a=b"))
    emit(store, "publication.created", publication=7)
    assert drain(store) == 1
    got = receiver.take()
    event = Verifier(secret).verify(got.body, got.headers)
    assert (event["type"], event["data"]) == ("publication.created", {"publication": 7})
    assert event["timestamp"].endswith("Z")
    assert (got.path, got.headers["content-type"]) == ("/hook?a=b", "application/json")
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert got.headers["webhook-id"] == only(store, webhook).id
    assert only(store, webhook).status is DeliveryStatus.DELIVERED


def test_a_rolled_back_change_sends_nothing(store: Store, receiver: Receiver) -> None:
    """An event is part of the transaction that makes it true."""
    webhook, _ = add(store, receiver.url())

    def fail(unit: WriteUnit) -> None:
        unit.emit("publication.created", {})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.change(fail, SYSTEM)
    assert deliveries(store, webhook) == []


def test_only_wanted_events_are_sent(store: Store, receiver: Receiver) -> None:
    """A webhook hears of the types that it names; one that names none hears of all."""
    some, _ = add(store, receiver.url(), EventType.FEATURE_SUSPENDED)
    every, _ = add(store, receiver.url())
    emit(store, "feature.suspended")
    emit(store, "feature.resumed")
    assert [delivery.type for delivery in deliveries(store, some)] == ["feature.suspended"]
    assert len(deliveries(store, every)) == 2


def test_both_secrets_sign_while_one_is_rotated(store: Store, receiver: Receiver, clock: Clock) -> None:
    """A receiver that knows the old or the new secret verifies; when the overlap is over, only the new one does."""
    webhook, old = add(store, receiver.url())
    _, new = store.change(lambda unit: rotate_secret(unit, webhook, HOUR), SYSTEM)
    emit(store)
    drain(store)
    during = receiver.take()
    for secret in (old, new):
        Verifier(secret).verify(during.body, during.headers)
    with pytest.raises(WebhookVerificationError):
        Verifier("whsec_" + "A" * 32).verify(during.body, during.headers)
    clock.ahead = HOUR
    emit(store)
    drain(store)
    after = receiver.take()
    clock.ahead = 0
    assert len(after.headers["webhook-signature"].split()) == 1
    assert len(during.headers["webhook-signature"].split()) == 2


def test_a_secret_that_leaked_is_replaced_at_once(store: Store, receiver: Receiver) -> None:
    """Without an overlap the old secret signs nothing more."""
    webhook, old = add(store, receiver.url())
    store.change(lambda unit: rotate_secret(unit, webhook, 0), SYSTEM)
    emit(store)
    drain(store)
    got = receiver.take()
    with pytest.raises(WebhookVerificationError):
        Verifier(old).verify(got.body, got.headers)


# ── What fails ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_fails_is_sent_again_under_its_id(store: Store, receiver: Receiver, clock: Clock) -> None:
    """The second attempt has the same id, so that a receiver knows it again, and a timestamp of its own."""
    webhook, secret = add(store, receiver.url())
    receiver.answer(503)
    emit(store)
    drain(store)
    waiting = only(store, webhook)
    assert (waiting.status, waiting.attempts, waiting.answer) == (DeliveryStatus.WAITING, 1, "503")
    assert drain(store) == 0
    clock.ahead = 10_000
    assert drain(store) == 1
    first, second = receiver.take(), receiver.take()
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    Verifier(secret).verify(second.body, second.headers)
    assert only(store, webhook).status is DeliveryStatus.DELIVERED


def test_the_pauses_grow_and_span_about_a_day() -> None:
    """The first attempts follow each other within seconds, the last within hours, and jitter parts them."""
    pauses = [pause_after(attempt, lambda _low, _high: 1.0) for attempt in range(1, ATTEMPTS + 1)]
    assert pauses[0] == 5
    assert pauses[-1] is None
    known = [pause for pause in pauses if pause is not None]
    assert known == sorted(known)
    assert 20 * 3600 < sum(known) < 30 * 3600
    assert len({pause_after(3) for _ in range(20)}) > 1


def test_a_delivery_dies_after_its_last_attempt_and_can_be_made_again(
    store: Store, receiver: Receiver, clock: Clock
) -> None:
    """It stays in the record with what it met last, and on request starts from the beginning."""
    webhook, _ = add(store, receiver.url())
    receiver.answer(*[500] * ATTEMPTS)
    emit(store)
    for _ in range(ATTEMPTS):
        assert drain(store) == 1
        clock.ahead += 5 * HOUR
    dead = only(store, webhook)
    assert (dead.status, dead.attempts, dead.answer) == (DeliveryStatus.DEAD, ATTEMPTS, "500")
    assert drain(store) == 0
    store.change(lambda unit: redeliver(unit, webhook, dead.id), SYSTEM)
    assert drain(store) == 1
    assert only(store, webhook).status is DeliveryStatus.DELIVERED


def test_a_receiver_that_asks_for_time_gets_it(store: Store, receiver: Receiver, clock: Clock) -> None:
    """`Retry-After` is waited for where it is longer than the pause."""
    webhook, _ = add(store, receiver.url())
    receiver.answer(429, retry_after="600")
    emit(store)
    drain(store)
    assert only(store, webhook).due_at - clock() > 590_000


def test_a_receiver_that_hangs_is_left(store: Store, receiver: Receiver) -> None:
    """An attempt ends when its time is over, whatever the other side does."""
    webhook, _ = add(store, receiver.url())
    receiver.holding = threading.Event()
    emit(store)
    drain(store, timeout=0.3)
    assert only(store, webhook).answer == "no response within 0.3 seconds"


def test_a_redirect_is_a_failure(store: Store, receiver: Receiver) -> None:
    """It is not followed."""
    webhook, _ = add(store, receiver.url())
    receiver.answer(302, location=receiver.url("/elsewhere"))
    emit(store)
    drain(store)
    assert receiver.take().path == "/hook"
    assert receiver.count == 0
    assert only(store, webhook).answer == "302"


def disabled(store: Store, webhook: str) -> bool:
    """Say whether a webhook is disabled, and see that the audit log says why."""
    found = store.read(lambda unit: read_webhook(unit, webhook))
    with store.database.reading() as session:
        actions = session.connection().execute(select(AUDIT.c.action)).scalars().all()
    assert ("webhook.disabled" in actions) is not found.settings.enabled
    return not found.settings.enabled


def test_a_receiver_that_is_gone_is_not_asked_again(store: Store, receiver: Receiver) -> None:
    """410 disables the webhook at once, with a record."""
    webhook, _ = add(store, receiver.url())
    receiver.answer(410)
    emit(store)
    drain(store)
    assert only(store, webhook).status is DeliveryStatus.DEAD
    assert disabled(store, webhook)
    emit(store)
    assert len(deliveries(store, webhook)) == 1


def test_a_webhook_that_fails_for_days_is_disabled(store: Store, receiver: Receiver, clock: Clock) -> None:
    """Five days without a success, and a delivery tried to its end, disable it; enabled again, it starts anew."""
    webhook, _ = add(store, receiver.url())
    for _ in range(2):
        assert not disabled(store, webhook)
        emit(store)
        (last,) = store.change(lambda unit: claim_due(unit, most=1, each=1, lease=1000, busy={}), SYSTEM)
        store.change(partial(record_result, claim=last, result=DeliveryResult(delivered=False, answer="500")), SYSTEM)
        clock.ahead += 5 * DAY
    assert disabled(store, webhook)

    def enable(unit: WriteUnit) -> None:
        edit_webhook(unit, read_webhook(unit, webhook, lock=True), WebhookSettings(receiver.url()))

    store.change(enable, SYSTEM)
    assert store.read(lambda unit: read_webhook(unit, webhook)).failing_since is None


def test_a_success_ends_the_failing(store: Store, receiver: Receiver, clock: Clock) -> None:
    """Days count from the last success on."""
    webhook, _ = add(store, receiver.url())
    receiver.answer(500)
    emit(store)
    drain(store)
    assert store.read(lambda unit: read_webhook(unit, webhook)).failing_since is not None
    clock.ahead += HOUR
    drain(store)
    assert store.read(lambda unit: read_webhook(unit, webhook)).failing_since is None


def test_a_removed_webhook_gets_nothing_more(store: Store, receiver: Receiver) -> None:
    """What waited for it goes with it."""
    webhook, _ = add(store, receiver.url())
    emit(store)
    store.change(lambda unit: remove_webhook(unit, webhook), SYSTEM)
    assert drain(store) == 0
    assert deliveries(store, webhook) == []


# ── Who delivers ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_control_planes_share_the_work(store: Store, receiver: Receiver) -> None:
    """Of several dispatchers on one database each takes its part, and nothing is sent twice."""
    webhook, _ = add(store, receiver.url())
    for number in range(24):
        emit(store, number=number, customer=f"c{number}")
    together = threading.Barrier(3)
    counts: list[int] = []

    def work() -> None:
        together.wait()
        counts.append(drain(store))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = [json.loads(receiver.take().body)["data"]["number"] for _ in range(24)]
    assert sorted(got) == list(range(24))
    assert receiver.count == 0
    assert sum(counts) == 24
    assert {delivery.status for delivery in deliveries(store, webhook)} == {DeliveryStatus.DELIVERED}


def claim(store: Store, **limits: int) -> list[str]:
    """Claim what is due, as a dispatcher does, and return the ids of the webhooks."""
    bounds = {"most": 100, "each": 100, "lease": 60_000} | limits
    claims = store.change(lambda unit: claim_due(unit, busy={}, **bounds), SYSTEM)
    return [one.webhook for one in claims]


def test_what_a_dead_control_plane_had_claimed_falls_due_again(store: Store, receiver: Receiver, clock: Clock) -> None:
    """A claim holds for a while only."""
    webhook, _ = add(store, receiver.url())
    emit(store)
    assert claim(store) == [webhook]
    assert claim(store) == []
    clock.ahead = 60_000
    assert claim(store) == [webhook]


def test_a_late_failure_does_not_undo_anothers_claim(store: Store, receiver: Receiver, clock: Clock) -> None:
    """Whoever was so slow that somebody else took over has no say any more, unless it did deliver."""
    webhook, _ = add(store, receiver.url())
    emit(store)
    (slow,) = store.change(lambda unit: claim_due(unit, most=1, each=1, lease=1000, busy={}), SYSTEM)
    clock.ahead = 1000
    claim(store)
    failed = DeliveryResult(delivered=False, answer="too late")
    store.change(lambda unit: record_result(unit, slow, failed), SYSTEM)
    assert only(store, webhook).status is DeliveryStatus.WAITING
    store.change(lambda unit: record_result(unit, slow, DeliveryResult(delivered=True, answer="200")), SYSTEM)
    assert only(store, webhook).status is DeliveryStatus.DELIVERED


def test_a_failing_webhook_keeps_nobody_waiting(store: Store, receiver: Receiver, clock: Clock) -> None:
    """However much waits for one that fails, one attempt at a time goes there, and the others get theirs."""
    failing, _ = add(store, receiver.url())
    receiver.answer(500)
    emit(store)
    drain(store)
    clock.ahead = HOUR
    for number in range(20):
        emit(store, customer=f"c{number}")
    well, _ = add(store, receiver.url())
    for number in range(3):
        emit(store, customer=f"d{number}")
    claimed = claim(store, most=8)
    assert sorted(claimed) == sorted([failing] + [well] * 3)


def test_a_running_dispatcher_delivers_what_happens(store: Store, receiver: Receiver) -> None:
    """It hears of commits of its own process, without looking again and again, and ends when it is cancelled."""
    webhook, _ = add(store, receiver.url())

    async def work() -> None:
        sender = WebhookSender(LOCAL, tls=TLS)
        running = asyncio.create_task(Dispatcher(store, sender, poll=3600.0).run())
        for number in range(3):
            await asyncio.to_thread(emit, store, number=number)
            got = await asyncio.to_thread(receiver.take)
            assert json.loads(got.body)["data"] == {"number": number}
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await sender.close()

    asyncio.run(work())
    assert len(deliveries(store, webhook)) == 3


def test_what_ended_long_ago_is_forgotten(store: Store, receiver: Receiver, clock: Clock) -> None:
    """A month later a delivery is out of the record; what waits for a disabled webhook is not."""
    webhook, _ = add(store, receiver.url())
    emit(store)
    drain(store)
    store.change(lambda unit: write_delivery(unit, webhook, Event("webhook.test", {})), SYSTEM)

    def disable(unit: WriteUnit) -> None:
        read = read_webhook(unit, webhook, lock=True)
        edit_webhook(unit, read, WebhookSettings(receiver.url(), enabled=False))

    store.change(disable, SYSTEM)
    clock.ahead = 31 * DAY
    assert drain(store) == 0
    assert only(store, webhook).status is DeliveryStatus.WAITING
