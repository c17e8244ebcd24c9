"""Sidecars deliver outcomes over HTTP, in batches that count once; both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.admin import serving
from tiergate.control.background_jobs import Retention, apply_retention
from tiergate.control.feed_api import outcome_exchange
from tiergate.control.feed_api.outcome_exchange import MEDIA_TYPE
from tiergate.status.outcome_book import Pending
from tiergate.status.outcome_delivery import BatchReply, decode_reply, encode_batch
from tiergate.status.outcome_minutes import MinuteSum
from tiergate.status.outcomes import MINUTE_MS, Outcomes
from tiergate.store import Store
from tiergate.store.outcomes import minutes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.admin import Admin

NOW = 1_800_000_000_000
DAY = 24 * 3_600_000
SOURCE = "a-source-of-a-sidecar"
SUM = MinuteSum("calls", NOW - NOW % MINUTE_MS, 10, 1, ((300, 2),))


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A store, in 2027."""
    opened = Store.open(store_url, clock=lambda: NOW)
    yield opened
    opened.close()


@pytest.fixture
def admin(store: Store) -> Iterator[Admin]:
    """A control plane."""
    with serving(store, outcome_exchange.endpoints()) as served:
        yield served


def deliver(admin: Admin, content: bytes, who: str = "sidecar") -> tuple[int, bytes]:
    """The answer to a request."""
    client = admin.as_(who)
    answer = client.post("/v1/sync/outcomes", content=content, headers={"content-type": MEDIA_TYPE})
    return answer.status_code, answer.content


def test_a_batch_counts_once_and_is_confirmed_each_time(store: Store, admin: Admin) -> None:
    """A minute of the far future is left out, because a clock is wrong."""
    ahead = MinuteSum("calls", SUM.minute + 2 * DAY, 1)
    batch = encode_batch(Pending(SOURCE, 1, (SUM, ahead)))
    for _ in range(2):
        status, content = deliver(admin, batch)
        assert (status, decode_reply(content)) == (200, BatchReply(1, SOURCE, 1))
    minutes = store.read(lambda unit: minutes_of(unit, "calls", 0, NOW + 3 * DAY))
    assert minutes == {SUM.minute: Outcomes(10, 1, {300: 2})}
    apply_retention(store, SUM.minute + 3 * DAY, Retention(outcomes=4))
    assert store.read(lambda unit: minutes_of(unit, "calls", 0, NOW + 1)) == minutes
    apply_retention(store, SUM.minute + 6 * DAY, Retention(outcomes=4))
    assert store.read(lambda unit: minutes_of(unit, "calls", 0, NOW + 1)) == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        encode_batch(Pending("short", 1, ())),
        encode_batch(Pending(SOURCE, 0, ())),
        encode_batch(Pending(SOURCE, 1, (MinuteSum("calls", SUM.minute + 1, 1),))),
        encode_batch(Pending(SOURCE, 1, (MinuteSum("calls", SUM.minute, 0),))),
        encode_batch(Pending(SOURCE, 1, (MinuteSum("calls", SUM.minute, 1, 2),))),
        encode_batch(Pending(SOURCE, 1, (MinuteSum("calls", SUM.minute, 2, 1, ((300, 2),)),))),
        encode_batch(Pending(SOURCE, 1, (MinuteSum("ca\0lls", SUM.minute, 1),))),
        msgspec.msgpack.encode((1, SOURCE, 1, [[b"\xff", SUM.minute, 1]])),
    ],
)
def test_what_is_no_batch_is_refused(store: Store, admin: Admin, content: bytes) -> None:
    """And changes nothing."""
    assert deliver(admin, content)[0] == 400
    assert store.read(lambda unit: minutes_of(unit, "calls", 0, NOW + 1)) == {}


def test_only_those_who_report_usage_may_deliver(admin: Admin) -> None:
    """As with usage."""
    assert deliver(admin, encode_batch(Pending(SOURCE, 1, (SUM,))), "support")[0] == 403
