from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.signing import NOW, record, write_snapshot_page
from tiergate.bundle import ArchiveContent, Cursor, manifest_of
from tiergate.errors import BundleError, ReplicaError, TrustError
from tiergate.feed.lines import SubjectChange
from tiergate.model import (
    Customer,
    Subject,
    SubjectRecord,
    SubjectType,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
)
from tiergate.sidecar.replica.disk_room import NoRoomError
from tiergate.sidecar.replica.reader import Replica
from tiergate.sidecar.replica.schema import ReplicaState
from tiergate.sidecar.replica.sync.bootstrap import SnapshotBuilder
from tiergate.sidecar.replica.writer import ChangedSubjects, ReplicaWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tiergate.bundle import Manifest

FILES = {"catalog.json": b"{}\n", "a.json": b"1"}
CHAIN = "0" * 64


def kept(position: int = 1, manifest: Manifest | None = None) -> ReplicaState:
    """What stands in a replica at a position."""
    cursor = Cursor(position, CHAIN, 0 if manifest is None else 1, "" if manifest is None else manifest.revision)
    return ReplicaState("shop", whole=True, cursor=cursor, publication=b"p", head=b"h", customers=0, subscriptions=0)


def build(path: Path, *records: SubjectRecord, bundle: ArchiveContent | None = None) -> None:
    """A replica of these records."""
    building = SnapshotBuilder(path)
    if records:
        building.add_page(*write_snapshot_page(records))
    building.finish(kept(), bundle)


def change(position: int, customer: str, *subscriptions: str) -> SubjectChange:
    """A customer that now has these subscriptions."""
    held = tuple(
        Subscription(it, customer, SubscriptionStatus.ACTIVE, (SubscriptionItem("gold"),)) for it in subscriptions
    )
    return SubjectChange(position, NOW, customer, SubjectRecord(Customer(customer), held))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A replica of two customers and a bundle."""
    build(tmp_path / "1.sqlite", record("acme"), record("beta"), bundle=ArchiveContent(manifest_of(FILES), FILES))
    return tmp_path / "1.sqlite"


@pytest.fixture
def writer(path: Path) -> Iterator[ReplicaWriter]:
    """Its writer."""
    with closing(ReplicaWriter(path)) as writer:
        yield writer


@pytest.fixture
def replica(writer: ReplicaWriter) -> Iterator[Replica]:
    """Its reader."""
    with closing(Replica(writer.path, followed=True)) as replica:
        yield replica


def holder(replica: Replica, subscription: str) -> str | None:
    """Who holds a subscription."""
    found = replica.find(Subject(subscription, SubjectType.SUBSCRIPTION))
    return None if found is None else found.customer.id


def test_what_was_built_is_found(replica: Replica) -> None:
    """By customer and by subscription."""
    assert replica.find(Subject("acme")) == record("acme")
    assert holder(replica, "sub-beta") == "beta"
    assert replica.find(Subject("nobody")) is None


def test_what_is_committed_is_seen_from_the_next_renewal_on(writer: ReplicaWriter, replica: Replica) -> None:
    """So that remembered answers can be forgotten in the same moment."""
    writer.apply([change(2, "acme")], Cursor(2, CHAIN), b"h2")
    assert replica.find(Subject("acme")) == record("acme")
    replica.renew()
    assert replica.find(Subject("acme")) == SubjectRecord(Customer("acme"))
    assert holder(replica, "sub-acme") is None


def test_a_change_says_which_subscriptions_it_concerns(writer: ReplicaWriter) -> None:
    """Those of before and those of now."""
    assert writer.apply([change(2, "acme", "x")], Cursor(2, CHAIN), b"h") == [
        ChangedSubjects("acme", frozenset({"sub-acme", "x"}))
    ]


@pytest.mark.parametrize("order", [("acme", "beta"), ("beta", "acme")])
def test_a_subscription_can_move(writer: ReplicaWriter, replica: Replica, order: tuple[str, str]) -> None:
    """Whichever of the two customers the feed names first."""
    changes = {"acme": change(2, "acme"), "beta": change(3, "beta", "sub-beta", "sub-acme")}
    writer.apply([changes[name] for name in order], Cursor(3, CHAIN), b"h")
    replica.renew()
    assert holder(replica, "sub-acme") == "beta"
    assert (writer.state.customers, writer.state.subscriptions) == (2, 2)


def test_counts_follow(writer: ReplicaWriter) -> None:
    """Through arrivals, changes and deletions, also of who is not there."""
    gone = [SubjectChange(3, NOW, "beta", None), SubjectChange(4, NOW, "nobody", None)]
    writer.apply([change(2, "corp", "a", "b"), *gone], Cursor(4, CHAIN), b"h")
    assert (writer.state.customers, writer.state.subscriptions) == (2, 3)


def test_a_step_that_fails_leaves_everything_as_it_was(writer: ReplicaWriter, replica: Replica) -> None:
    """Neither a change nor the cursor nor a count of it stays, and the next one succeeds."""
    before = writer.state
    writer._connection.execute("PRAGMA max_page_count = 1")  # as a full disk
    large = SubjectRecord(Customer("large", attributes={str(place): "x" * 100 for place in range(1000)}))
    with pytest.raises(ReplicaError, match="cannot be written"):
        writer.apply([change(2, "acme"), SubjectChange(3, NOW, "large", large)], Cursor(3, CHAIN), b"h")
    writer._connection.execute("PRAGMA max_page_count = 1000000")
    replica.renew()
    assert writer.state == before
    assert replica.find(Subject("acme")) == record("acme")
    writer.apply([change(2, "acme")], Cursor(2, CHAIN), b"h")
    assert writer.state.cursor.position == 2


def test_what_was_committed_is_there_after_a_restart(path: Path) -> None:
    """Cursor, publication and head with the records."""
    with closing(ReplicaWriter(path)) as writer:
        writer.apply([change(2, "acme")], Cursor(2, CHAIN), b"h2")
        expected = writer.state
    with closing(ReplicaWriter(path)) as writer:
        assert writer.state == expected
        assert (writer.state.head, writer.state.publication) == (b"h2", b"p")


def test_bundles_that_nobody_needs_go_one_publication_later(writer: ReplicaWriter, replica: Replica) -> None:
    """The one before stays: an answer that is under way may still read it."""
    manifests = []
    for number in range(3):
        files = {"catalog.json": b"%d" % number, "a.json": b"1"}
        manifests.append(manifest_of(files))
        only_new = {path: it for path, it in files.items() if path == "catalog.json" or not number}
        writer.publish([], kept(number + 2, manifests[-1]), manifests[-1], only_new)
    assert set(writer._manifests) == {manifests[1].revision, manifests[2].revision}
    assert writer.manifest(manifests[0].revision) is None
    assert replica.read_file("a.json", manifests[2].files["a.json"]) == b"1"
    with pytest.raises(BundleError, match="is missing from the replica"):
        replica.read_file("catalog.json", manifests[0].files["catalog.json"])


def test_bundles_in_use_stay(writer: ReplicaWriter) -> None:
    """However many publications ago they were in force."""
    first = manifest_of(FILES).revision
    for number in range(3):
        files = {"catalog.json": b"%d" % number}
        writer.publish([], kept(number + 2, manifest_of(files)), manifest_of(files), files, [first])
    assert first in writer._manifests


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE customers SET record = x'00'",
        "UPDATE customers SET crc = crc + 1",
        "UPDATE subscriptions SET customer = 'beta' WHERE id = 'sub-acme'",
    ],
)
def test_a_torn_record_is_never_served(writer: ReplicaWriter, replica: Replica, statement: str) -> None:
    """It is an error, which denies, and the replica says that it is damaged."""
    writer._connection.execute(statement)
    replica.renew()
    with pytest.raises(ReplicaError):
        replica.find(Subject("sub-acme", SubjectType.SUBSCRIPTION))
    assert replica.damaged


def test_the_log_is_folded_into_the_file(writer: ReplicaWriter, replica: Replica) -> None:
    """So that it does not grow without end."""
    log = writer.path.with_name("1.sqlite-wal")
    writer.apply([change(2, "acme")], Cursor(2, CHAIN), b"h")
    assert log.stat().st_size > 0
    replica.release()
    writer.fold()
    replica.renew()
    assert log.stat().st_size == 0
    assert replica.find(Subject("acme")) == SubjectRecord(Customer("acme"))


def test_a_snapshot_that_would_not_fit_is_not_built(tmp_path: Path) -> None:
    """A volume that grows beyond its limit would end the pod, the application with it."""
    (tmp_path / "present").write_bytes(b"x" * 500_000)
    (tmp_path / "sync").mkdir()
    building = SnapshotBuilder(tmp_path / "sync" / "1.sqlite", tmp_path, 1_000_000)
    building.add_page(*write_snapshot_page([record("acme")]))
    with pytest.raises(NoRoomError, match="1000000 bytes"):
        building.add_page(*write_snapshot_page([record(f"c{n:05}") for n in range(20_000)]))
    building.abandon()
    assert list((tmp_path / "sync").iterdir()) == []


def test_an_unfinished_file_has_no_name(tmp_path: Path) -> None:
    """A crash in the middle leaves nothing that would be opened."""
    building = SnapshotBuilder(tmp_path / "1.sqlite")
    building.add_page(*write_snapshot_page([record("acme")]))
    assert not (tmp_path / "1.sqlite").exists()
    building.abandon()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "pages",
    [
        [["beta", "acme"]],
        [["acme"], ["acme"]],
        [["beta"], ["acme"]],
    ],
)
def test_customers_out_of_order_are_refused(tmp_path: Path, pages: list[list[str]]) -> None:
    """Within a page or across pages: a store does not write them so."""
    building = SnapshotBuilder(tmp_path / "1.sqlite")
    *before, last = [write_snapshot_page([record(name) for name in page]) for page in pages]
    for page in before:
        building.add_page(*page)
    with pytest.raises(TrustError, match="not in order"):
        building.add_page(*last)
    building.abandon()


def test_what_another_file_of_the_name_left_is_not_read(path: Path) -> None:
    """Its log would be taken for the new file's, and bring back what was."""
    writer = ReplicaWriter(path)
    writer.apply([SubjectChange(2, NOW, "acme", None)], Cursor(2, CHAIN), b"h")
    log = path.with_name("1.sqlite-wal")
    left = log.read_bytes()
    writer.close()
    path.unlink()
    log.write_bytes(left)
    build(path, record("acme"))
    with closing(ReplicaWriter(path)) as writer, closing(Replica(path, followed=True)) as replica:
        assert writer.state.cursor.position == 1
        assert replica.find(Subject("acme")) == record("acme")


def test_the_file_is_read_by_its_owner_alone(path: Path) -> None:
    """It says what customers have."""
    assert path.stat().st_mode & 0o777 == 0o600


def test_another_layout_is_not_opened(path: Path) -> None:
    """It is built anew instead."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE meta SET value = 2 WHERE key = 'format'")
        connection.commit()
    with pytest.raises(ReplicaError, match="has format `2`"):
        ReplicaWriter(path)
