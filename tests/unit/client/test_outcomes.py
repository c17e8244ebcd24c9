"""Outcomes that the client reports, against a real sidecar in the same process."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.serving import NOW, Service, Where, customer
from tiergate.client import Sidecar
from tiergate.client.outcomes import MOST_WAITING, OutcomeSender
from tiergate.errors import CheckError, RequestError, SidecarUnreachableError, UnknownFeatureError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiergate.errors import CallerError

CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: movies, type: switch, service_level: {availability: 99, latency_ms: 60000}}
items: []
"""


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Where]]:
    """A sidecar that counts outcomes."""
    service = Service(customer("acme"), catalog=CATALOG, outcomes=tmp_path_factory.mktemp("outcomes"))
    with service.serve() as served:
        yield service, served


@pytest.fixture
def sidecar(where: tuple[Service, Where]) -> Iterator[Sidecar]:
    """A client, two days after the last test."""
    where[0].clock.now += 2 * 86_400_000
    with Sidecar(where[1].url, timeout=10) as opened:
        yield opened


def counted(sidecar: Sidecar) -> tuple[int, int, dict[int, int]]:
    """What the sidecar has of this minute, when everything was sent."""
    sidecar.flush_outcomes()
    (minute,) = sidecar.outcomes("movies")
    return minute.requests, minute.failed, minute.slow


def test_a_block_is_measured(sidecar: Sidecar) -> None:
    """An exception is a failure unless it is expected, and goes on; a block can say that it failed."""
    with sidecar.measure("movies"):
        pass
    with pytest.raises(ZeroDivisionError), sidecar.measure("movies"):
        raise ZeroDivisionError
    with pytest.raises(KeyError), sidecar.measure("movies", expected=(KeyError,)):
        raise KeyError
    with sidecar.measure("movies") as outcome:
        outcome.ok = False
    assert counted(sidecar) == (4, 2, {60000: 0})
    assert sidecar.outcomes_lost == 0


def test_a_function_is_measured_each_time(sidecar: Sidecar) -> None:
    """As a decorator."""

    @sidecar.measure("movies")
    def play(movie: str) -> str:
        return movie.upper()

    @sidecar.measure("movies")
    async def record(movie: str) -> None:
        await asyncio.sleep(0)
        raise ValueError(movie)

    assert [play("a"), play("b")] == ["A", "B"]
    with pytest.raises(ValueError, match="c"):
        asyncio.run(record("c"))
    assert counted(sidecar) == (3, 1, {60000: 0})


def test_what_is_wrong_is_not_raised_but_counted_as_lost(sidecar: Sidecar, caplog: pytest.LogCaptureFixture) -> None:
    """An unknown feature, which the log names, a negative time, a moment without an offset: the others count."""
    sidecar.outcome("moves", ok=True)
    sidecar.outcome("movies", ok=True, duration_ms=-5)
    sidecar.outcome("movies", ok=True, at=datetime(2020, 1, 1))  # noqa: DTZ001 - the case
    assert counted(sidecar) == (2, 0, {60000: 0})
    assert sidecar.outcomes_lost == 1
    assert "`moves`" in caplog.text


def test_with_wait_everything_is_raised(where: tuple[Service, Where], sidecar: Sidecar) -> None:
    """And an id counts once."""
    now = datetime.fromtimestamp(where[0].clock.now / 1000, UTC)
    assert sidecar.outcome("movies", ok=False, duration_ms=70_000, at=now, id="a", wait=True) is False
    assert sidecar.outcome("movies", ok=False, id="a", wait=True) is True
    with pytest.raises(UnknownFeatureError):
        sidecar.outcome("moves", ok=True, wait=True)
    with pytest.raises(CheckError):
        sidecar.outcome("movies", ok=True, id="", wait=True)
    with pytest.raises(RequestError) as raised:
        sidecar.outcome("movies", ok=True, at=datetime.fromtimestamp(NOW / 1000 - 86_400 * 9, UTC), wait=True)
    assert raised.value.status == 422
    assert counted(sidecar) == (1, 1, {60000: 0})


def test_a_client_that_is_closed_has_sent_everything(where: tuple[Service, Where], sidecar: Sidecar) -> None:
    """Even what nobody waited for; afterwards nothing is taken."""
    with Sidecar(where[1].url, timeout=10) as other:
        for _ in range(1_200):
            other.outcome("movies", ok=True)
    other.outcome("movies", ok=True)
    assert other.outcomes_lost == 1
    assert counted(sidecar) == (1_200, 0, {60000: 0})


def test_a_sidecar_that_is_gone_delays_and_breaks_nothing() -> None:
    """What it does not take is dropped, and what is too much at once."""
    with Sidecar("http://127.0.0.1:9", timeout=0.5) as alone:
        alone.outcome("movies", ok=True)
        alone.flush_outcomes()
        assert alone.outcomes_lost == 1
        with pytest.raises(SidecarUnreachableError):
            alone.outcome("movies", ok=True, wait=True)


def test_only_so_many_wait() -> None:
    """So that memory is bounded."""
    sent: list[Mapping[str, object]] = []

    def send(batch: list[Mapping[str, object]]) -> list[CallerError]:
        sent.extend(batch)
        return []

    sender = OutcomeSender(send)
    with sender._sending:
        for _ in range(MOST_WAITING + 1_500):
            sender.add({})
        lost = sender.lost
    sender.close()
    sender.flush()
    assert lost >= 1_000  # a batch or two may be on their way
    assert len(sent) + lost == MOST_WAITING + 1_500
