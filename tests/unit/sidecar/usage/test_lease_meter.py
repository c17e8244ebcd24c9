from __future__ import annotations

import asyncio
import shutil
from copy import deepcopy
from typing import TYPE_CHECKING

import pytest

from tests.leasing_sidecar import LeasingSidecar, Wire
from tests.usage_ledgers import CALLS, MemoryHolder, MemoryLedger, consumption
from tiergate.errors import JournalError, RequestError
from tiergate.model import Interval, Subject
from tiergate.sidecar.api_server import now_ms
from tiergate.sidecar.usage import reservation_ends
from tiergate.sidecar.usage.journal_files import JournalWriter
from tiergate.usage.accounts import Account, Bound, Debit, Scope
from tiergate.usage.holder import SetAside
from tiergate.usage.protocol import Acquire, Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

DAY = 24 * 3600 * 1000


@pytest.fixture
def ledger() -> MemoryLedger:
    """A ledger in which every account has 100 units, except where there is no limit."""
    ledger = MemoryLedger()
    ledger.bounds[in_feature("mails")] = Bound(Interval(CALLS.window, 2**62), 3, None)
    ledger.bounds[in_feature("images")] = Bound(Interval(CALLS.window, 2**62), None)
    return ledger


def in_feature(feature: str) -> Account:
    """The account of `acme`."""
    return Account(feature, Scope.CUSTOMER, "acme", "", CALLS.window)


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test in an event loop."""
    asyncio.run(asyncio.wait_for(test(), 60))


class TestConsuming:
    def test_the_last_unit_is_sold_and_no_more(self, ledger: MemoryLedger, tmp_path: Path) -> None:
        """And what was sold is booked, with the leases given back."""

        async def test() -> None:
            async with LeasingSidecar(tmp_path, Wire(ledger)).running() as sidecar:
                for used in range(1, 101):
                    answer = await sidecar.consume()
                    assert (answer["consumed"], answer["entitlement"]["used"]) == (1, used)
                denied = await sidecar.consume()
                assert (denied["allowed"], denied["reason"], denied["consumed"]) == (False, "limit_reached", 0)
                await sidecar.reported()
                assert (ledger.booked(), ledger.leased(), sidecar.used()) == (100, 0, 100)

        run(test)

    def test_many_at_once_share_what_is_there(self, ledger: MemoryLedger, tmp_path: Path) -> None:
        """Those that find nothing left are denied."""

        async def test() -> None:
            async with LeasingSidecar(tmp_path, Wire(ledger)).running() as sidecar:
                answers = await asyncio.gather(*(sidecar.consume() for _ in range(130)))
                assert sum(answer["consumed"] for answer in answers) == 100
                assert {answer["reason"] for answer in answers if not answer["allowed"]} == {"limit_reached"}

        run(test)

    def test_a_key_counts_once(self, ledger: MemoryLedger, tmp_path: Path) -> None:
        """Also when both requests wait for the lease."""

        async def test() -> None:
            async with LeasingSidecar(tmp_path, Wire(ledger)).running() as sidecar:
                answers = await asyncio.gather(*(sidecar.consume(amount=5, key="k") for _ in range(3)))
                assert sorted(answer["replayed"] for answer in answers) == [False, True, True]
                with pytest.raises(RequestError) as error:
                    await sidecar.consume(amount=6, key="k")
                assert error.value.status == 409
                await sidecar.reported()
                assert ledger.booked() == 5

        run(test)

    def test_a_user_s_cap_is_an_account_of_its_own(self, ledger: MemoryLedger, tmp_path: Path) -> None:
        """Which the ledger limits too."""
        ledger.bounds[Account("reports", Scope.USER, "acme", "ada", CALLS.window)] = Bound(
            Interval(CALLS.window, 2**62), 30
        )

        async def test() -> None:
            async with LeasingSidecar(tmp_path, Wire(ledger)).running() as sidecar:
                assert (await sidecar.consume("reports", 30, user="ada"))["allowed"]
                assert (await sidecar.consume("reports", user="ada"))["reason"] == "cap_reached"
                assert (await sidecar.consume("reports", user="bob"))["allowed"]

        run(test)

    def test_a_source_is_drawn_together(self, ledger: MemoryLedger, tmp_path: Path) -> None:
        """Or neither."""

        async def test() -> None:
            async with LeasingSidecar(tmp_path, Wire(ledger)).running() as sidecar:
                assert (await sidecar.consume("images", 49))["allowed"]
                assert (await sidecar.consume("images", 2))["reason"] == "limit_reached"
                await sidecar.reported()
                assert (ledger.booked(in_feature("images")), ledger.booked(in_feature("credits"))) == (49, 98)

        run(test)

    def test_what_another_holds_is_waited_for(self, ledger: MemoryLedger, tmp_path: Path) -> None:
        """Once; then it is denied, though the catalog here would allow it."""
        other = MemoryHolder(ledger, "another holder's identity")
        other.lease(60)

        async def test() -> None:
            wire = Wire(ledger)

            def asked() -> int:
                operations = [it for request in wire.requests for it in request.operations if isinstance(it, Acquire)]
                return sum(need.need == 50 for it in operations for need in it.needs)

            async with LeasingSidecar(tmp_path, wire).running() as sidecar:
                denied = await sidecar.consume(amount=50)
                assert (denied["reason"], denied["entitlement"]["used"]) == ("limit_reached", 60)
                assert asked() == 2
                assert (await sidecar.consume(amount=50))["reason"] == "limit_reached"
                assert asked() == 3  # without waiting again
                assert (await sidecar.consume(amount=40))["allowed"]

        run(test)

    def test_the_ledger_s_limit_counts(self, ledger: MemoryLedger, tmp_path: Path) -> None:
        """If the data here is older: a lower one denies, a higher one allows."""

        async def test() -> None:
            async with LeasingSidecar(tmp_path, Wire(ledger)).running() as sidecar:
                ledger.bounds[CALLS] = Bound(Interval(CALLS.window, 2**62), 10)
                assert (await sidecar.consume(amount=11))["reason"] == "limit_reached"
                ledger.bounds[CALLS] = Bound(Interval(CALLS.window, 2**62), 120)
                assert (await sidecar.consume(amount=120))["allowed"]

        run(test)

    def test_the_ledger_s_window_counts(
        self, ledger: MemoryLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A window that another sidecar opened with its first use."""
        start = now_ms() - 1_000_000
        opened = Bound(Interval(start, start + DAY), 100)
        bound_of = ledger._bound_of
        monkeypatch.setattr(ledger, "_bound_of", lambda it, at: opened if it.feature == "days" else bound_of(it, at))

        async def test() -> None:
            async with LeasingSidecar(tmp_path, Wire(ledger)).running() as sidecar:
                assert (await sidecar.consume("days", 7))["consumed"] == 7
                await sidecar.reported()
                assert ledger.booked(Account("days", Scope.CUSTOMER, "acme", "", start)) == 7
                assert sidecar.used("days") == 7

        run(test)

    def test_what_is_not_leased_is_not_counted(self, ledger: MemoryLedger, tmp_path: Path) -> None:
        """Whoever does not prepare a consumption is refused."""

        async def test() -> None:
            async with LeasingSidecar(tmp_path, Wire(ledger)).running() as sidecar:
                current = sidecar.state.current
                assert current is not None
                feature = current.engine.evaluator.index.features["calls"]
                draft = sidecar.meter.draft(Subject("acme"), feature, 1, now_ms())
                with pytest.raises(RequestError) as error:
                    sidecar.meter.count(draft, now_ms(), None, lambda _: None)
                assert (error.value.status, error.value.title) == (503, "usage not leased")

        run(test)

    def test_what_others_used_is_asked_for(self, ledger: MemoryLedger, tmp_path: Path) -> None:
        """The first time a check reads it; then answers that rest on it are forgotten."""
        other = MemoryHolder(ledger, "another holder's identity")
        assert other.consume(42) is None
        other.exchange()

        async def test() -> None:
            async with LeasingSidecar(tmp_path, Wire(ledger)).running() as sidecar:
                assert sidecar.used() == 0
                version = sidecar.state.subject_versions.of_usage(Subject("acme"), "calls")
                await sidecar.until(lambda: sidecar.used() == 42)
                assert version.is_outdated

        run(test)


class TestOutOfReach:
    def test_a_lost_reply_counts_once(self, ledger: MemoryLedger, tmp_path: Path) -> None:
        """The same request is sent until it has a reply."""

        async def test() -> None:
            wire = Wire(ledger)
            async with LeasingSidecar(tmp_path, wire).running() as sidecar:
                wire.loses = 2
                assert (await sidecar.consume(amount=3))["allowed"]
                wire.loses = 2
                await sidecar.reported()
                assert ledger.booked() == 3
                sent = [(request.epoch, request.sequence) for request in wire.requests]
                assert len(sent) == len(set(sent)) + 4

        run(test)

    def test_features_say_what_happens(self, ledger: MemoryLedger, tmp_path: Path) -> None:
        """A hard limit denies, a soft one allows; it is reported when the way is open again."""

        async def test() -> None:
            wire = Wire(ledger)
            wire.is_cut = True
            async with LeasingSidecar(tmp_path, wire).running() as sidecar:
                denied = await sidecar.consume()
                assert (denied["allowed"], denied["reason"]) == (False, "limit_reached")
                for _ in range(5):
                    assert (await sidecar.consume("mails"))["allowed"]
                leasing = sidecar.meter.report(sidecar.service.counts).leasing
                assert leasing is not None
                assert (leasing.offline, leasing.refused["offline"], sum(leasing.durations.counts)) == (True, 1, 0)
                wire.is_cut = False
                await sidecar.until(lambda: not sidecar.link.is_offline(now_ms()))
                assert (await sidecar.consume())["allowed"]
                await sidecar.reported()
                assert (ledger.booked(in_feature("mails")), ledger.booked()) == (5, 1)

        run(test)

    def test_the_next_process_reports(self, ledger: MemoryLedger, tmp_path: Path) -> None:
        """What was acknowledged and not reported, reservations included."""

        async def test() -> None:
            wire = Wire(ledger)
            async with LeasingSidecar(tmp_path, wire).running() as sidecar:
                reserved = await sidecar.reserve("calls", 10)
                await sidecar.consume(amount=7, key="k")
                wire.is_cut = True
            wire.is_cut = False
            async with LeasingSidecar(tmp_path, wire).running() as sidecar:
                assert (await sidecar.consume(amount=7, key="k"))["replayed"]
                ending = reservation_ends.commit(sidecar.service, reserved["reservation"], 4, now_ms())
                document = await ending.wait()
                assert not isinstance(document, RequestError)
                assert (document.consumed, document.released) == (4, 6)
                await sidecar.reported()
                assert ledger.booked() == 11

        run(test)

    def test_at_the_end_leases_are_given_back(self, ledger: MemoryLedger, tmp_path: Path) -> None:
        """And everything is reported, before they would be idle."""

        async def test() -> None:
            async with LeasingSidecar(tmp_path, Wire(ledger)).running() as sidecar:
                for _ in range(20):
                    await sidecar.consume()
                await sidecar.stop()
                stands = now_ms()
                sidecar.link._clock = lambda: stands  # nothing becomes idle
                await sidecar.meter.shut_down(10)
                assert (ledger.booked(), ledger.leased()) == (20, 0)

        run(test)


class TestFaults:
    def test_a_ledger_that_was_restored_is_greeted_again(self, ledger: MemoryLedger, tmp_path: Path) -> None:
        """With a new epoch."""

        async def test() -> None:
            wire = Wire(ledger)
            async with LeasingSidecar(tmp_path, wire).running() as sidecar:
                await sidecar.consume(amount=3)
                await sidecar.reported()
                wire.ledger = MemoryLedger()
                assert (await sidecar.consume(amount=4))["allowed"]
                await sidecar.reported()
                assert wire.ledger.booked() == 4
                assert sidecar.link.holder.state.epoch == 2

        run(test)

    def test_a_request_that_is_sent_again_leaves_a_journal_that_can_be_read(
        self, ledger: MemoryLedger, tmp_path: Path
    ) -> None:
        """Also if it settles leases, and the process is killed before there is a reply."""

        async def test() -> None:
            wire = Wire(ledger)
            async with LeasingSidecar(tmp_path, wire).running() as sidecar:
                await sidecar.consume(amount=3)
                wire.is_cut = True
                await sidecar.until(lambda: sidecar.link.counts.failures >= 3)
            wire.is_cut = False
            async with LeasingSidecar(tmp_path, wire).running() as again:
                await again.reported()
                assert (ledger.booked(), ledger.leased()) == (3, 0)

        run(test)

    def test_the_copy_of_a_disk_takes_another_identity(self, ledger: MemoryLedger, tmp_path: Path) -> None:
        """With what it counted meanwhile; nothing is lost or counted twice."""

        async def test() -> None:
            async with LeasingSidecar(tmp_path / "one", Wire(ledger)).running() as first:
                await first.consume()
                await first.reported()
            shutil.copytree(tmp_path / "one", tmp_path / "two")
            wire = Wire(ledger)
            wire.is_cut = True
            async with (
                LeasingSidecar(tmp_path / "one", Wire(ledger)).running() as first,
                LeasingSidecar(tmp_path / "two", wire).running() as second,
            ):
                await first.consume(amount=2)
                await second.consume("mails", 4, key="k")
                await second.consume("mails", 1)
                wire.is_cut = False
                await second.until(lambda: second.link.counts.identities == 1)
                assert second.link.holder.identity != first.link.holder.identity
                assert (await second.consume("mails", 4, key="k"))["replayed"]
                assert (await second.consume(amount=3))["allowed"]
                await asyncio.gather(first.reported(), second.reported())
                assert (ledger.booked(), ledger.booked(in_feature("mails"))) == (6, 5)
            async with LeasingSidecar(tmp_path / "two", wire).running() as third:
                assert third.link.holder.identity == second.link.holder.identity

        run(test)

    def test_a_process_that_a_copy_has_replaced_counts_nothing(self, ledger: MemoryLedger, tmp_path: Path) -> None:
        """It says so, and keeps what it has."""

        async def test() -> None:
            async with LeasingSidecar(tmp_path / "one", Wire(ledger)).running() as first:
                await first.consume()
                shutil.copytree(tmp_path / "one", tmp_path / "two")
                async with LeasingSidecar(tmp_path / "two", Wire(ledger)).running() as second:
                    await second.consume()
                await first.until(lambda: first.link.holder.fault is Fault.OLD_EPOCH)
                with pytest.raises(RequestError) as error:
                    await first.consume()
                assert (error.value.status, error.value.title) == (503, "usage not counted now")

        run(test)

    def test_a_folder_that_was_restored_counts_once_its_identity_is_removed(
        self, ledger: MemoryLedger, tmp_path: Path
    ) -> None:
        """Until then it says so. Nothing counts twice, and what the lost one had leased stays counted."""

        async def test() -> None:
            folder = tmp_path / "usage-leases"
            async with LeasingSidecar(folder, Wire(ledger)).running() as first:
                await first.consume(amount=2)
                await first.reported()
                shutil.copytree(folder, tmp_path / "backup")
            for _ in range(2):
                async with LeasingSidecar(folder, Wire(ledger)).running() as later:
                    await later.consume(amount=3)
                    await later.reported()
            shutil.rmtree(folder)
            shutil.copytree(tmp_path / "backup", folder)
            async with LeasingSidecar(folder, Wire(ledger)).running() as restored:
                await restored.until(lambda: restored.link.holder.fault is Fault.OLD_EPOCH)
                with pytest.raises(RequestError) as error:
                    await restored.consume()
                assert (error.value.status, error.value.title) == (503, "usage not counted now")
            assert ledger.booked() == 8
            shutil.rmtree(folder)
            async with LeasingSidecar(folder, Wire(ledger)).running() as new:
                assert (await new.consume(amount=5))["allowed"]
                await new.reported()
            assert (ledger.booked(), ledger.leased()) == (13, 0)

        run(test)

    def test_a_ledger_that_was_restored_to_an_older_state_goes_on_from_there(
        self, ledger: MemoryLedger, tmp_path: Path
    ) -> None:
        """Without any action: what is on the disks is reported, what was reported since the backup is not known."""

        async def test() -> None:
            wire = Wire(ledger)
            async with LeasingSidecar(tmp_path, wire).running() as sidecar:
                await sidecar.consume(amount=2)
                await sidecar.reported()
                backup = deepcopy(ledger)
                await sidecar.consume(amount=3)
                await sidecar.reported()
                wire.is_cut = True
                assert (await sidecar.consume("mails", 4))["allowed"]
                wire.is_cut = False
                wire.ledger = backup
                assert (await sidecar.consume(amount=5))["allowed"]
                await sidecar.reported()
                assert (backup.booked(), backup.booked(in_feature("mails")), backup.leased()) == (7, 4, 0)

        run(test)

    def test_a_journal_that_cannot_be_written_counts_nothing(
        self, ledger: MemoryLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And goes on by itself: what was refused is not counted."""

        async def test() -> None:
            async with LeasingSidecar(tmp_path, Wire(ledger)).running() as sidecar:
                await sidecar.consume(amount=3)
                with monkeypatch.context() as patch:
                    patch.setattr(JournalWriter, "write", _fail)
                    for _ in range(3):
                        with pytest.raises(RequestError) as error:
                            await sidecar.consume(amount=4)
                        assert (error.value.status, error.value.title) == (503, "usage storage full")
                await sidecar.until(lambda: sidecar.link.counts.reopened == 1)
                assert (await sidecar.consume(amount=5))["allowed"]
                await sidecar.reported()
                assert ledger.booked() == 8

        run(test)


class TestSnapshot:
    def test_a_snapshot_in_parts_gives_the_same_state(self, ledger: MemoryLedger, tmp_path: Path) -> None:
        """Of a journal that was replaced by it, with keys, leases, and a reservation."""

        async def test() -> None:
            wire = Wire(ledger)
            async with LeasingSidecar(tmp_path, wire).running() as sidecar:
                await sidecar.reserve("calls", 5)
                for number in range(30):
                    await sidecar.consume(key=f"k{number}")
                wire.is_cut = True
                sidecar.link.journal.since_snapshot = 2**40
                sidecar.link.compact(now_ms())
                await sidecar.until(lambda: sidecar.link.journal.counts.snapshots == 1)
                before = sidecar.link.holder.state.snapshot()
            again = LeasingSidecar(tmp_path, wire)
            assert again.link.holder.state.snapshot() == before
            assert len(again.link.notes) == 1
            again.meter.close()

        run(test)


def test_units_set_aside_elsewhere_are_not_in_the_figures(ledger: MemoryLedger) -> None:
    """What others reserved is leased, and shown as used only where it is missing."""
    other = MemoryHolder(ledger, "another holder's identity")
    other.lease(10)
    outcome = other.holder.reserve("r", consumption(Debit(CALLS, 10)), b"", ledger.now + 1000, ledger.now)
    assert isinstance(outcome, SetAside)
    assert (ledger.leased(), ledger.booked()) == (10, 0)


def _fail(writer: JournalWriter, records: bytes) -> None:  # noqa: ARG001 - as the one that is replaced
    raise JournalError("x", "full", full=True)
