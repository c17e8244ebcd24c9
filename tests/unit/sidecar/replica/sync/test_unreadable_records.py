"""Records that a store signed and this version cannot read: one subject each, and nobody else."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests import sync_simulator
from tests.signing import NOW, record
from tiergate.bundle import SubjectStatement, compress_snapshot_page, envelope
from tiergate.bundle.signed_statements import payload_type
from tiergate.feed.lines import encode_record, subject_line
from tiergate.model import Subject, SubjectType
from tiergate.sidecar.replica.sync.feed_follower import OnDemandOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.following import Follow, Sidecar
    from tests.sync_simulator import Simulator
    from tiergate.bundle import SigningKey


def unread(line: bytes) -> bytes:
    """A line of JSON whose subscription has a status that nobody knows."""
    assert line.count(b'"active"') == 1
    return line.replace(b'"active"', b'"unpaid"')


def put_unread(
    simulator: Simulator, customer: str, plan: str = "gold", *, change: Callable[[bytes], bytes] = unread
) -> int:
    """Add a line with a record that cannot be read to the feed."""
    feed = simulator.feed
    feed.lines.append(change(subject_line(feed.latest + 1, NOW, customer, encode_record(record(customer, plan)))))
    simulator.wake()
    return feed.latest


def reasons(sidecar: Sidecar, *customers: str) -> list[str]:
    """How checks of customers come out."""
    return [sidecar.decide(customer).reason.value for customer in customers]


def test_one_line_that_cannot_be_read_keeps_its_customer_as_it_was(follow: Follow, simulator: Simulator) -> None:
    """Everybody else is followed, and so is that customer from its next change on."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            put_unread(simulator, "acme", "silver")
            await sidecar.at(simulator.put("beta"))
            assert (sidecar.limit("acme"), sidecar.limit("beta")) == (50, 50)
            assert sidecar.report.status.quarantined == 1
            assert sidecar.report.status.error is None
            await sidecar.at(simulator.put("acme", "silver"))
            assert sidecar.limit("acme") == 30
            assert sidecar.report.status.quarantined == 0

    asyncio.run(scenario())


def test_whose_only_record_cannot_be_read_is_not_unknown(follow: Follow, simulator: Simulator) -> None:
    """Its checks cannot be evaluated, until it has one; the replica is not doubted for it."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            put_unread(simulator, "dent")
            await sidecar.at(simulator.put("beta"))
            assert reasons(sidecar, "dent", "nobody") == ["evaluation_error", "unknown_subject"]
            assert sidecar.decide("sub-dent", type_=SubjectType.SUBSCRIPTION).reason == "evaluation_error"
            assert (sidecar.report.status.quarantined, sidecar.report.status.customers) == (1, 4)
            await sidecar.at(simulator.put("dent"))
            assert sidecar.limit("dent") == 50
            assert sidecar.decide("sub-dent", type_=SubjectType.SUBSCRIPTION).entitlement.value == 50
            put_unread(simulator, "dent")
            await sidecar.at(simulator.put("dent", None))
            assert reasons(sidecar, "dent") == ["unknown_subject"]
            assert (sidecar.report.status.quarantined, sidecar.report.status.customers) == (0, 3)
            assert simulator.asked.count("snapshot") == 1

    asyncio.run(scenario())


def test_what_is_new_in_a_record_that_cannot_be_read_is_not_unknown(follow: Follow, simulator: Simulator) -> None:
    """A subscription beside those of the earlier record."""

    def more(line: bytes) -> bytes:
        return unread(line).replace(b'"sub-acme"', b'"sub-more"')

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            put_unread(simulator, "acme", change=more)
            await sidecar.at(simulator.put("beta"))
            assert sidecar.limit("acme") == 50
            assert sidecar.decide("sub-more", type_=SubjectType.SUBSCRIPTION).reason == "evaluation_error"
            assert sidecar.decide("sub-acme", type_=SubjectType.SUBSCRIPTION).entitlement.value == 50

    asyncio.run(scenario())


def test_what_is_in_quarantine_stays_so_over_a_restart(follow: Follow, simulator: Simulator) -> None:
    """With a replica that was begun by an earlier version, too, which had no table for it."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
        (replica,) = (follow.folder / "sync").glob("*.sqlite")
        with closing(sqlite3.connect(replica)) as connection:
            connection.execute("DROP TABLE quarantined")
            connection.commit()
        async with follow() as sidecar:
            put_unread(simulator, "acme", "silver")
            await sidecar.at(put_unread(simulator, "dent"))
        async with follow() as sidecar:
            await sidecar.at(simulator.put("beta"))
            assert sidecar.report.status.quarantined == 2
            assert (sidecar.limit("acme"), *reasons(sidecar, "dent")) == (50, "evaluation_error")
        assert simulator.asked.count("snapshot") == 1

    asyncio.run(scenario())


def test_a_snapshot_may_hold_a_record_that_cannot_be_read(
    follow: Follow, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others of its page are there."""

    def with_one(**_: object) -> tuple[bytes, bytes, dict[str, bytes]]:
        records = [simulator.feed.records[customer] for customer in sorted(simulator.feed.records)]
        lines = [msgspec.json.encode(held) + b"\n" for held in records]
        lines[1] = unread(lines[1])
        return simulator.feed.snapshot_of([compress_snapshot_page(b"".join(lines), len(lines))])

    monkeypatch.setattr(simulator.feed, "snapshot", with_one)

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            assert (sidecar.limit("acme"), *reasons(sidecar, "beta")) == (50, "evaluation_error")
            assert sidecar.decide("sub-beta", type_=SubjectType.SUBSCRIPTION).reason == "evaluation_error"
            assert (sidecar.report.status.quarantined, sidecar.report.status.customers) == (1, 3)
            await sidecar.at(simulator.put("beta"))
            assert sidecar.limit("beta") == 50

    asyncio.run(scenario())


def test_on_demand_a_customer_that_is_held_keeps_its_record(follow: Follow, simulator: Simulator) -> None:
    """And those that are not held are no matter."""
    follow.on_demand = OnDemandOptions(5.0, 10)

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            assert sidecar.sync.on_demand is not None
            await sidecar.sync.on_demand.fetch(Subject("acme"))
            put_unread(simulator, "acme", "silver")
            await sidecar.at(put_unread(simulator, "beta"))
            assert sidecar.limit("acme") == 50
            assert sidecar.report.status.quarantined == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("subject", [Subject("beta"), Subject("sub-beta", SubjectType.SUBSCRIPTION)])
def test_on_demand_a_statement_that_cannot_be_read_is_not_nobodys(
    follow: Follow, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, subject: Subject
) -> None:
    """Its checks cannot be evaluated until that customer's next record comes by; it is not fetched again meanwhile."""
    follow.on_demand = OnDemandOptions(5.0, 10)

    def sign(statement: SubjectStatement, keys: Iterable[SigningKey]) -> bytes:
        payload = unread(msgspec.json.encode(statement))
        return envelope.sign(payload_type(SubjectStatement), payload, keys)

    monkeypatch.setattr(sync_simulator, "signed", sign)

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            assert sidecar.sync.on_demand is not None
            for _ in range(2):
                assert await sidecar.sync.on_demand.fetch(subject)
            assert sidecar.decide("beta").reason == "evaluation_error"
            assert sidecar.decide("sub-beta", type_=SubjectType.SUBSCRIPTION).reason == "evaluation_error"
            assert sidecar.report.status.quarantined == 1
            await sidecar.at(simulator.put("beta"))
            assert sidecar.limit("beta") == 50
            assert sidecar.report.status.quarantined == 0
        assert sum(path.startswith("subjects/") for path in simulator.asked) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "break_it",
    [
        lambda line: line[:-10],
        lambda line: line.replace(b'"customer":"acme"', b'"customer":7', 1),
        lambda line: line.replace(b'"position":5', b'"position":"five"', 1),
        lambda _: b"[]",
    ],
)
def test_a_line_that_is_none_still_refuses_its_page(
    follow: Follow, simulator: Simulator, break_it: Callable[[bytes], bytes]
) -> None:
    """It says of nobody that it is theirs."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            put_unread(simulator, "acme", change=break_it)
            await sidecar.failed("rejected (malformed)")
            assert sidecar.limit("acme") == 50

    asyncio.run(scenario())


def test_a_record_that_cannot_be_read_and_was_not_signed_refuses_its_page(follow: Follow, simulator: Simulator) -> None:
    """Quarantine is for what a store said, not for what somebody made of it on the way."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            simulator.tamper = lambda _, body: unread(body) if b'"active"' in body else body
            simulator.put("acme", "silver")
            await sidecar.failed("rejected (broken_chain)")
            assert (sidecar.limit("acme"), sidecar.report.status.quarantined) == (50, 0)

    asyncio.run(scenario())
