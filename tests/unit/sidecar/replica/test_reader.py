from __future__ import annotations

import sqlite3
import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.sidecar.subjects import customer, override, subscription, suspension
from tiergate.errors import ReplicaError
from tiergate.model import Customer, Subject, SubjectRecord, SubjectType, Subscription
from tiergate.sidecar.replica.disk_room import NoRoomError
from tiergate.sidecar.replica.file_source.subject_staging import build_replica, content_digest
from tiergate.sidecar.replica.reader import Replica

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def by_subscription(id: str) -> Subject:
    """A subject by the id of a subscription."""
    return Subject(id, SubjectType.SUBSCRIPTION)


def test_a_customer_is_found_with_all_its_subscriptions(tmp_path: Path) -> None:
    """The record of a customer holds its subscriptions in the order of their ids, whatever the stream's order."""
    acme, one, two = customer("acme"), subscription("s1", "acme"), subscription("s2", "acme")
    build_replica(tmp_path / "r", [two, customer("other"), acme, one])
    assert Replica(tmp_path / "r").find(Subject("acme")) == SubjectRecord(acme, (one, two))


def test_a_subscription_is_found_as_the_record_of_its_customer(tmp_path: Path) -> None:
    """A check of one subscription needs what the customer has too."""
    acme, one = customer("acme"), subscription("s1", "acme")
    build_replica(tmp_path / "r", [acme, one])
    assert Replica(tmp_path / "r").find(by_subscription("s1")) == SubjectRecord(acme, (one,))


def test_who_is_unknown_is_not_found(tmp_path: Path) -> None:
    """Customers and subscriptions are different names."""
    build_replica(tmp_path / "r", [customer("acme"), subscription("s1", "acme")])
    replica = Replica(tmp_path / "r")
    assert replica.find(Subject("s1")) is None
    assert replica.find(by_subscription("acme")) is None
    assert replica.find(Subject("")) is None


def test_ids_are_listed_in_pages(tmp_path: Path) -> None:
    """Of customers or subscriptions, in the order of their code points, after a given one."""
    subjects: list[Customer | Subscription] = [*map(customer, ("b", "Z", "a", "ä")), subscription("s1", "a")]
    build_replica(tmp_path / "r", subjects)
    replica = Replica(tmp_path / "r")
    assert replica.list_ids(SubjectType.CUSTOMER, "", 9) == ["Z", "a", "b", "ä"]
    assert replica.list_ids(SubjectType.CUSTOMER, "a", 1) == ["b"]
    assert replica.list_ids(SubjectType.CUSTOMER, "ä", 9) == []
    assert replica.list_ids(SubjectType.SUBSCRIPTION, "", 9) == ["s1"]


def test_reasons_and_authors_do_not_reach_the_file(tmp_path: Path) -> None:
    """The disk of a sidecar holds no personal notes."""
    noted = customer("acme", override())
    with_suspension = Customer("beta", suspensions=(suspension(),))
    build_replica(tmp_path / "r", [noted, subscription("s1", "acme", override()), with_suspension])
    content = (tmp_path / "r").read_bytes()
    assert b"ann" not in content
    assert b"promise" not in content
    assert b"secret" not in content
    record = Replica(tmp_path / "r").find(Subject("acme"))
    assert record is not None
    assert record.customer.overrides[0].value == override().value


def test_what_stands_for_people_does_not_reach_the_file(tmp_path: Path) -> None:
    """Names, metadata and ids in other systems stay where they were written."""
    people = {"metadata": {"note": "secret-note"}, "external_ids": {"stripe": "secret-id"}}
    acme = replace(customer("acme"), name="Secret AG", **people)
    one = replace(subscription("s1", "acme"), **people)
    build_replica(tmp_path / "r", [acme, one])
    content = (tmp_path / "r").read_bytes()
    assert b"secret" not in content
    assert b"Secret" not in content
    assert Replica(tmp_path / "r").find(Subject("acme")) == SubjectRecord(
        customer("acme"), (subscription("s1", "acme"),)
    )


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    """Who the customers are is nobody else's business."""
    build_replica(tmp_path / "r", [customer("acme")])
    assert stat.S_IMODE((tmp_path / "r").stat().st_mode) == 0o600


def test_the_file_is_described(tmp_path: Path) -> None:
    """Size, digest and counts are what is on disk; the most that somebody holds bounds all totals."""
    subjects: list[Customer | Subscription] = [
        customer("acme"),
        subscription("s1", "acme", override("a", 5), quantity=3),
        subscription("s2", "acme", override("a", 7), quantity=4),
        customer("beta"),
        subscription("s3", "beta", quantity=5),
    ]
    file = build_replica(tmp_path / "1.sqlite", subjects)
    assert (file.name, file.customers, file.subscriptions) == ("1.sqlite", 2, 3)
    assert file.size == (tmp_path / "1.sqlite").stat().st_size
    assert file.sha256 == content_digest(tmp_path / "1.sqlite")
    assert (file.most_held, file.most_overridden) == (7, 12)


def test_the_same_subjects_in_another_order_make_the_same_file(tmp_path: Path) -> None:
    """A file that was only rearranged is no change."""
    subjects: list[Customer | Subscription] = [customer("a"), customer("b"), subscription("s", "a")]
    one, two = build_replica(tmp_path / "1", subjects), build_replica(tmp_path / "2", reversed(subjects))
    assert one.sha256 == two.sha256


def test_no_subjects_are_a_replica_too(tmp_path: Path) -> None:
    """A product without customers answers that it knows nobody."""
    file = build_replica(tmp_path / "r", [])
    assert file.customers == 0
    assert Replica(tmp_path / "r").find(Subject("acme")) is None


@pytest.mark.parametrize("count", [0, 15, 16, 300])
def test_a_customer_may_hold_many_subscriptions(tmp_path: Path, count: int) -> None:
    """Short and long lists are encoded differently, and both are read."""
    build_replica(tmp_path / "r", [customer("acme"), *(subscription(f"s{n:05}", "acme") for n in range(count))])
    record = Replica(tmp_path / "r").find(Subject("acme"))
    assert record is not None
    assert len(record.subscriptions) == count


def test_a_subscription_of_nobody_is_refused(tmp_path: Path) -> None:
    """It would never be found; nothing is left behind."""
    for holder in ("a", "z"):
        with pytest.raises(ReplicaError, match=f"`{holder}`"):
            build_replica(tmp_path / "r", [customer("m"), subscription("s", holder)])
    assert list(tmp_path.iterdir()) == []


def test_an_id_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """Which one would count is anybody's guess."""
    with pytest.raises(ReplicaError):
        build_replica(tmp_path / "r", [customer("m"), customer("m")])
    with pytest.raises(ReplicaError):
        build_replica(tmp_path / "r", [customer("m"), subscription("s", "m"), subscription("s", "m")])


def test_a_stream_that_fails_leaves_the_former_file(tmp_path: Path) -> None:
    """What raises in the middle passes through; the file under the name is whole, the old one."""

    def torn() -> Iterator[Customer]:
        yield customer("new")
        raise ZeroDivisionError

    build_replica(tmp_path / "r", [customer("old")])
    with pytest.raises(ZeroDivisionError):
        build_replica(tmp_path / "r", torn())
    assert [path.name for path in tmp_path.iterdir()] == ["r"]
    assert Replica(tmp_path / "r").find(Subject("old")) is not None


@pytest.mark.parametrize("share", [0.5, 1.5], ids=["staging", "writing"])
def test_a_file_that_would_not_fit_is_not_built(tmp_path: Path, share: float) -> None:
    """Neither what is staged nor the file itself may go beyond the limit; the former file stays, and nothing else."""
    subjects = [customer(f"c{n:05}") for n in range(12_000)]
    size = build_replica(tmp_path / "r", subjects).size
    limit = int(size * (1 + share))
    with pytest.raises(NoRoomError, match=f"`data-limit`, {limit} bytes"):
        build_replica(tmp_path / "s", subjects, folder=tmp_path, limit=limit)
    assert [path.name for path in tmp_path.iterdir()] == ["r"]
    build_replica(tmp_path / "s", subjects, folder=tmp_path, limit=size * 4)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """It is not made."""
    with pytest.raises(ReplicaError):
        Replica(tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_a_file_of_something_else_is_an_error(tmp_path: Path, content: bytes) -> None:
    """An empty file is an empty database to SQLite, and no replica."""
    (tmp_path / "r").write_bytes(content)
    with pytest.raises(ReplicaError, match="cannot be read"):
        Replica(tmp_path / "r")


def test_another_format_is_an_error(tmp_path: Path) -> None:
    """A file of a later version is not guessed at."""
    build_replica(tmp_path / "r", [])
    connection = sqlite3.connect(tmp_path / "r")
    with connection:
        connection.execute("UPDATE meta SET value = 99 WHERE key = 'format'")
    connection.close()
    with pytest.raises(ReplicaError, match="format `99`"):
        Replica(tmp_path / "r")


def test_damage_shows_as_an_error_and_is_remembered(tmp_path: Path) -> None:
    """A read that fails raises, and marks the replica as one to make anew."""
    build_replica(tmp_path / "r", [customer(f"c{n}") for n in range(5000)])
    content = (tmp_path / "r").read_bytes()
    half = len(content) // 2
    (tmp_path / "r").write_bytes(content[:half] + b"\xff" * half)
    replica = Replica(tmp_path / "r")
    assert replica.find(Subject("c0")) is not None
    assert not replica.damaged
    with pytest.raises(ReplicaError, match="cannot be read"):
        replica.find(Subject("c999"))
    assert replica.damaged


def test_a_record_of_something_else_is_an_error(tmp_path: Path) -> None:
    """Records are validated as they are read."""
    build_replica(tmp_path / "r", [customer("acme")])
    connection = sqlite3.connect(tmp_path / "r")
    with connection:
        connection.execute("UPDATE customers SET record = x'91c0'")
    connection.close()
    replica = Replica(tmp_path / "r")
    with pytest.raises(ReplicaError):
        replica.find(Subject("acme"))
    assert replica.damaged


def test_a_path_may_hold_any_character(tmp_path: Path) -> None:
    """Paths become URIs, in which `?`, `#` and `%` mean something."""
    folder = tmp_path / "a?b#c%20 d"
    folder.mkdir()
    build_replica(folder / "r", [customer("acme")])
    assert Replica(folder / "r").find(Subject("acme")) is not None


@given(
    holders=st.dictionaries(
        st.text("ab-.", min_size=1, max_size=4), st.sets(st.text("xy1", min_size=1, max_size=3), max_size=3)
    ),
    seed=st.randoms(use_true_random=False),
)
def test_what_goes_in_comes_out(
    tmp_path_factory: pytest.TempPathFactory, holders: dict[str, set[str]], seed: object
) -> None:
    """Every customer is found with exactly what it holds."""
    subjects: list[Customer | Subscription] = [customer(holder) for holder in holders]
    expected = {}
    for holder, names in holders.items():
        held = [subscription(f"{holder}_{name}", holder) for name in sorted(names)]
        expected[holder] = SubjectRecord(customer(holder), tuple(held))
        subjects.extend(held)
    getattr(seed, "shuffle")(subjects)  # noqa: B009 - typed as what Hypothesis gives
    path = tmp_path_factory.mktemp("replica") / "r"
    build_replica(path, subjects)
    replica = Replica(path)
    assert {holder: replica.find(Subject(holder)) for holder in holders} == expected


EARLIER = """
ALTER TABLE customers RENAME TO now;
CREATE TABLE customers (id TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;
INSERT INTO customers SELECT id, record FROM now;
DROP TABLE now;
DROP TABLE blobs;
DROP TABLE manifests;
DROP TABLE quarantined;
"""
"""Makes of a replica what file mode wrote before it had checksums."""


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """So that an upgrade answers at once, also where the source files are broken meanwhile."""
    acme, one = customer("acme"), subscription("s1", "acme")
    build_replica(tmp_path / "r", [acme, one])
    with sqlite3.connect(tmp_path / "r") as connection:
        connection.executescript(EARLIER)
    connection.close()
    replica = Replica(tmp_path / "r")
    assert replica.find(by_subscription("s1")) == replica.find(Subject("acme")) == SubjectRecord(acme, (one,))
    assert replica.find(Subject("nobody")) is None


def test_a_changed_byte_of_a_record_shows(tmp_path: Path) -> None:
    """Also one that still reads as a record."""
    build_replica(tmp_path / "r", [customer("acme"), subscription("s1", "acme")])
    with sqlite3.connect(tmp_path / "r") as connection:
        (record,) = connection.execute("SELECT record FROM customers").fetchone()
        connection.execute("UPDATE customers SET record = ?", (record.replace(b"active", b"paused"),))
    connection.close()
    replica = Replica(tmp_path / "r")
    with pytest.raises(ReplicaError, match="checksum"):
        replica.find(Subject("acme"))
    assert replica.damaged
