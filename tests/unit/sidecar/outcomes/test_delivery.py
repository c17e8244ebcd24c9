"""Outcomes on disk and on their way: the real recorder, journal and delivery; a control plane that fails as told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.event_loop import in_loop
from tests.outcome_books import found
from tiergate.errors import JournalError, SyncError
from tiergate.sidecar.outcomes.delivery import _MOST_REFUSALS, _UNKNOWN_RETRY, UNDELIVERED_MS, OutcomeDelivery
from tiergate.sidecar.outcomes.outcome_upkeep import OutcomeUpkeep
from tiergate.sidecar.outcomes.recorder import OutcomeRecorder, RecorderOptions
from tiergate.sidecar.usage.journal_files import segment_path
from tiergate.status.outcome_book import digest_of_id
from tiergate.status.outcome_delivery import decode_batch, encode_reply
from tiergate.status.outcome_minutes import MinuteSum
from tiergate.status.outcomes import MINUTE_MS

if TYPE_CHECKING:
    from pathlib import Path

    from tiergate.status.outcome_book import Pending

NOW = 1_800_000_000_000
OPTIONS = RecorderOptions(2**26, 100, 3_600_000)


class Plane:
    """A control plane. `error`: what it answers next; `loses`: it takes a batch, and the reply is lost."""

    def __init__(self) -> None:
        self.taken: list[Pending] = []
        self.error: SyncError | None = None
        self.loses = False
        self.is_closed = False

    async def deliver_outcomes(self, request: bytes) -> bytes:
        """Take a batch."""
        if self.error is not None:
            raise self.error
        batch = decode_batch(request)
        self.taken.append(batch)
        if self.loses:
            raise SyncError("https://plane", "no response")
        return encode_reply(batch.source, batch.number)

    async def close(self) -> None:
        """Close it."""
        self.is_closed = True


class Sidecar:
    """A recorder and its delivery, in a folder."""

    def __init__(self, folder: Path, plane: Plane | None = None) -> None:
        self.plane = plane or Plane()
        self.now = NOW
        self.recorder = OutcomeRecorder.open(folder, lambda: self.now, OPTIONS)
        self.recorder.start()
        self.delivery = OutcomeDelivery(self.recorder, self.plane, lambda: self.now)
        self.upkeep = OutcomeUpkeep(self.recorder, self.delivery)

    async def count(self, requests: int, feature: str = "calls", id_: str | None = None) -> None:
        """Count requests in this minute, durably."""
        tallies = self.recorder.tallies(self.now)
        tally = tallies.get(feature) or self.recorder.add_tally(self.now, feature, ())
        assert tally is not None
        tally.requests += requests
        if id_ is not None:
            assert self.recorder.claim(digest_of_id(feature, id_))
        await self.durable()

    async def durable(self) -> None:
        """Wait until everything is on disk."""
        written: asyncio.Future[JournalError | None] = asyncio.get_running_loop().create_future()
        self.recorder.when_durable(written.set_result)
        assert await written is None

    def names(self) -> list[tuple[int, int]]:
        """Number and requests of each batch that the plane took; all of one source have the same place."""
        return [(it.number, sum(one.requests for one in it.sums)) for it in self.plane.taken]

    def close(self) -> None:
        """End without a word."""
        self.recorder.close()


@in_loop
async def test_a_batch_is_sent_until_it_is_confirmed_and_then_the_next(tmp_path: Path) -> None:
    """A reply that is lost, an error, and a restart in between: the same batch."""
    sidecar = Sidecar(tmp_path)
    await sidecar.count(3)
    sidecar.plane.loses = True
    assert await sidecar.delivery._step(5.0) < 5.0
    await sidecar.count(4)
    sidecar.plane.error = SyncError("https://plane", "status 503", 503)
    assert await sidecar.delivery._step(5.0) > 0.0
    report = sidecar.upkeep.report()
    assert (report.undelivered, report.failures, report.delivery_error is None) == (2, 2, False)
    sidecar.close()

    again = Sidecar(tmp_path)
    assert await again.delivery._step(5.0) == 5.0
    assert await again.delivery._step(5.0) == 5.0
    assert sidecar.names() == [(1, 3)]
    assert again.names() == [(1, 3), (1, 4)]
    assert again.plane.taken[0] == sidecar.plane.taken[0]
    assert again.plane.taken[1].source != sidecar.plane.taken[0].source
    assert found(again.recorder.book, "calls", 0) == [MinuteSum("calls", NOW, 7)]
    report = again.upkeep.report()
    assert (report.undelivered, report.batches, report.last_delivery) == (0, 2, NOW / 1000)
    again.close()


@in_loop
async def test_an_older_control_plane_gets_them_later(tmp_path: Path) -> None:
    """It answers 404."""
    sidecar = Sidecar(tmp_path)
    await sidecar.count(3)
    sidecar.plane.error = SyncError("https://plane", "status 404", 404)
    assert await sidecar.delivery._step(5.0) == _UNKNOWN_RETRY
    sidecar.plane.error = None
    await sidecar.delivery._step(5.0)
    assert sidecar.names() == [(1, 3)]
    sidecar.close()


@in_loop
async def test_a_batch_that_is_refused_for_good_does_not_block_the_next(tmp_path: Path) -> None:
    """It is counted, and can still be read here; other errors are tried for ever."""
    sidecar = Sidecar(tmp_path)
    await sidecar.count(3)
    for status in [503] * 20 + [413] * (_MOST_REFUSALS - 1):
        sidecar.plane.error = SyncError("https://plane", f"status {status}", status)
        assert await sidecar.delivery._step(5.0) > 0.0
    await sidecar.count(4)
    assert (sidecar.upkeep.report().undelivered, sidecar.upkeep.report().refused) == (2, 0)
    assert await sidecar.delivery._step(5.0) == 0.0
    assert (sidecar.upkeep.report().undelivered, sidecar.upkeep.report().refused) == (1, 3)
    sidecar.plane.error = None
    await sidecar.delivery._step(5.0)
    assert sidecar.names() == [(2, 4)]
    assert found(sidecar.recorder.book, "calls", 0) == [MinuteSum("calls", NOW, 7)]
    sidecar.close()


@in_loop
async def test_another_batch_s_confirmation_is_none(tmp_path: Path) -> None:
    """The batch stays."""
    sidecar = Sidecar(tmp_path)
    await sidecar.count(1)

    async def mislead(request: bytes) -> bytes:  # noqa: ARG001 - as the client
        return encode_reply("another-source-than-ours", 1)

    sidecar.plane.deliver_outcomes = mislead  # type: ignore[method-assign]
    await sidecar.delivery._step(5.0)
    assert sidecar.recorder.book.pending is not None
    sidecar.close()


@in_loop
async def test_the_end_delivers_what_waits_if_there_is_time(tmp_path: Path) -> None:
    """What is left stays on the disk."""
    sidecar = Sidecar(tmp_path)
    await sidecar.count(1)
    sidecar.plane.error = SyncError("https://plane", "no response")
    await sidecar.upkeep.shut_down(0.05)
    assert sidecar.plane.is_closed
    sidecar.close()
    again = Sidecar(tmp_path)
    await again.count(2)
    await again.upkeep.shut_down(5.0)
    assert again.names() == [(1, 1), (1, 2)]
    again.close()


@in_loop
async def test_what_waited_for_too_long_is_given_up(tmp_path: Path) -> None:
    """After a week, and counted; without a control plane after the time that is kept."""
    sidecar = Sidecar(tmp_path / "sync")
    await sidecar.count(2)
    sidecar.now += UNDELIVERED_MS + MINUTE_MS
    await sidecar.count(3)
    await sidecar.delivery._step(5.0)
    assert sidecar.names() == [(1, 3)]
    assert sidecar.upkeep.report().dropped == 2
    sidecar.now += OPTIONS.keep_ms + MINUTE_MS
    await sidecar.upkeep.look()
    assert sidecar.upkeep.report().sums == 0
    sidecar.close()

    alone = Sidecar(tmp_path / "files")
    upkeep = OutcomeUpkeep(alone.recorder, None)
    await alone.count(2)
    alone.now += OPTIONS.keep_ms + MINUTE_MS
    await alone.count(3)
    await upkeep.look()
    assert (upkeep.report().sums, upkeep.report().dropped, upkeep.report().delivers) == (1, 2, False)
    alone.close()
    again = Sidecar(tmp_path / "files")
    assert [one.requests for one in found(again.recorder.book, "calls", 0)] == [3]
    again.close()


@in_loop
async def test_what_waits_behind_a_batch_is_given_up_too(tmp_path: Path) -> None:
    """While the control plane is out of reach, so that there is room for what is new."""
    sidecar = Sidecar(tmp_path)
    sidecar.plane.error = SyncError("https://plane", "no response")
    await sidecar.count(1)
    await sidecar.delivery._step(5.0)
    await sidecar.count(2)
    sidecar.now += UNDELIVERED_MS + MINUTE_MS
    await sidecar.count(3)
    await sidecar.delivery._step(5.0)
    assert sidecar.upkeep.report().dropped == 2
    sidecar.plane.error = None
    await sidecar.upkeep.shut_down(5.0)
    assert sidecar.names() == [(1, 1), (2, 3)]
    sidecar.close()


@in_loop
async def test_a_torn_end_is_left_out_and_a_damaged_middle_is_not_read(tmp_path: Path) -> None:
    """Only a group that nobody was told about can be torn."""
    sidecar = Sidecar(tmp_path)
    await sidecar.count(1, id_="a")
    end = sidecar.recorder.journal._writer._end
    await sidecar.count(2, id_="b")
    sidecar.close()
    path = segment_path(tmp_path, 1)
    content = bytearray(path.read_bytes())
    path.write_bytes(content[:-1])
    again = Sidecar(tmp_path)
    assert [one.requests for one in found(again.recorder.book, "calls", 0)] == [1]
    await again.count(2, id_="b")
    again.close()
    path.write_bytes(content[: end - 1] + b"\xff" + content[end:])
    with pytest.raises(JournalError):
        OutcomeRecorder.open(tmp_path, lambda: NOW, OPTIONS)


@in_loop
async def test_a_snapshot_has_what_is_on_its_way(tmp_path: Path) -> None:
    """It begins while groups are being written, and others come behind it."""
    sidecar = Sidecar(tmp_path)
    for _ in range(3):
        await sidecar.count(1)
        counting = asyncio.create_task(sidecar.count(10))
        await asyncio.sleep(0)
        assert sidecar.recorder.begin_snapshot()
        await sidecar.count(100)
        await counting
        while sidecar.recorder.journal._is_snapshotting:  # noqa: ASYNC110 - a thread ends it
            await asyncio.sleep(0.001)
    assert sidecar.recorder.journal.counts.snapshots == 3
    sidecar.close()
    again = Sidecar(tmp_path)
    assert [one.requests for one in found(again.recorder.book, "calls", 0)] == [333]
    again.close()
