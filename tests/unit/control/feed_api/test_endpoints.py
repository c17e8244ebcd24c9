"""What sidecars ask: every answer is one that a sidecar believes, or says what to do."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import msgspec
import pytest

from tests.signing import verify_publication
from tests.unit.control.feeds import Plane, publish, remove_customer, serve_sync, write
from tiergate.bundle import encode_manifest, manifest_of, read_archive, read_snapshot_page
from tiergate.model import Subject, SubjectRecord, SubjectType
from tiergate.store import SYSTEM, Store
from tiergate.store.blobs import put_blobs
from tiergate.store.publications import put_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.bundle import TrustedFeed
    from tiergate.store import WriteUnit

NOW = 4_000_000_000_000  # later than any head


@pytest.fixture
def plane(store_url: str) -> Iterator[Plane]:
    """A sync interface, on either database."""
    with serve_sync(store_url) as served:
        yield served


@pytest.fixture
def on_sqlite(sqlite_url: str) -> Iterator[Plane]:
    """A sync interface on SQLite, for what does not depend on the database."""
    with serve_sync(sqlite_url) as served:
        yield served


def customers(trust: TrustedFeed, body: bytes) -> list[tuple[int, str]]:
    """Believe a page, and list what it says of whom."""
    page = trust.verify_page(body, NOW)
    return [(change.position, change.customer) for step in page.steps for change in step.changes]


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Status and name of a problem."""
    return answer.status_code, answer.json()["type"].removeprefix("urn:tiergate:problem:")


def test_a_page_holds_the_lines_after_a_position_and_a_head_that_is_believed(plane: Plane) -> None:
    """A reader who begins gets everything, one who goes on what is new."""
    write(plane.store, "acme", "beta")
    trust = plane.trust()
    assert customers(trust, plane.get("changes", after=0).content) == [(1, "acme"), (2, "beta")]
    write(plane.store, "gamma")
    assert customers(trust, plane.get("changes", after=2, wait=30).content) == [(3, "gamma")]
    assert trust.cursor is not None
    assert trust.cursor.fresh_at > 0


def test_a_reader_waits_until_something_is_written(plane: Plane) -> None:
    """A long poll is answered by the commit, not by the clock."""
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(plane.get, "changes", after=0, wait=30)
        plane.wait_for_readers(1)
        write(plane.store, "acme")
        assert customers(plane.trust(), asked.result(20).content) == [(1, "acme")]


def test_a_reader_who_waited_in_vain_gets_a_fresh_head(on_sqlite: Plane) -> None:
    """Nothing new is said by a page without lines, which proves how new that is."""
    trust = on_sqlite.trust()
    before = time.time_ns() // 1_000_000 - 1_500
    page = trust.verify_page(on_sqlite.get("changes", after=0, wait=0.01).content, NOW)
    assert (page.steps, page.fresh, page.head.position) == ((), True, 0)
    assert page.head.issued_at >= before


def test_pages_are_cut_to_the_limit_and_go_on(plane: Plane) -> None:
    """Every page ends with a head of its own, and says how far the feed goes."""
    write(plane.store, *(f"c{number}" for number in range(5)))
    trust = plane.trust()
    assert len(customers(trust, plane.get("changes", after=0, limit=2).content)) == 2
    page = trust.verify_page(plane.get("changes", after=2, limit=2).content, NOW)
    assert (page.head.position, page.head.latest, page.fresh) == (4, 5, False)
    assert customers(trust, plane.get("changes", after=4, limit=2).content) == [(5, "c4")]


def test_memory_and_database_say_the_same(plane: Plane) -> None:
    """A reader far behind, whose lines are no longer in memory, gets the bytes that one nearby got."""
    write(plane.store, "a", "b", "c")
    near = plane.get("changes", after=0, limit=2).content
    with serve_sync(str(plane.store.database.engine.url.render_as_string(hide_password=False))) as other:
        far = other.get("changes", after=0, limit=2).content
        assert other.tail.after(0, 2) is None
    assert near.splitlines()[:2] == far.splitlines()[:2]
    assert customers(plane.trust(), far) == [(1, "a"), (2, "b")]


def test_a_publication_and_a_deletion_travel_in_their_places(plane: Plane) -> None:
    """The feed carries everything in one order."""
    write(plane.store, "acme")
    publish(plane.store)
    plane.store.change(lambda unit: remove_customer(unit, "acme"), SYSTEM)
    page = plane.trust().verify_page(plane.get("changes", after=0).content, NOW)
    said = [
        step.publication.sequence if step.publication else [change.record for change in step.changes]
        for step in page.steps
    ]
    assert said[1:] == [1, [None]]
    assert page.head.publication == 1


def test_a_reader_below_the_floor_must_begin_anew(plane: Plane) -> None:
    """What was taken out of the feed is not served, and the reader is told what to do."""
    write(plane.store, "a", "b", "c")
    plane.raise_floor(2)
    assert problem(plane.get("changes", after=1)) == (410, "resync-needed")
    assert customers(plane.trust().with_cursor(plane.cursor_at(2)), plane.get("changes", after=2).content) == [(3, "c")]


def test_a_reader_ahead_of_the_store_is_told_so(plane: Plane) -> None:
    """A store that was put back to an earlier state does not pretend."""
    write(plane.store, "a")
    assert problem(plane.get("changes", after=2)) == (409, "ahead-of-store")


def test_large_pages_are_packed_for_those_who_can_unpack(on_sqlite: Plane) -> None:
    """What is small goes out as it is."""
    write(on_sqlite.store, *(f"c{number}" for number in range(100)))
    assert on_sqlite.get("changes", after=0).headers["content-encoding"] == "gzip"
    assert len(customers(on_sqlite.trust(), on_sqlite.get("changes", after=0).content)) == 100
    assert "content-encoding" not in on_sqlite.get("changes", after=99).headers
    plain = on_sqlite.client.get("/v1/sync/changes?after=0", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers


def test_heads_are_signed_once_for_all_who_wake_together(on_sqlite: Plane) -> None:
    """Fifty readers who know as much get the same bytes."""
    with ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(on_sqlite.fresh_get, "changes", after=0, wait=30) for _ in range(50)]
        on_sqlite.wait_for_readers(50)
        write(on_sqlite.store, "acme")
        assert len({one.result(30).content for one in asked}) == 1


def test_the_end_answers_all_who_wait(on_sqlite: Plane) -> None:
    """A shutdown does not let anybody wait on."""
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(on_sqlite.fresh_get, "changes", after=0, wait=30) for _ in range(10)]
        asked += [pool.submit(on_sqlite.fresh_get, "publication", after=0, wait=30) for _ in range(10)]
        on_sqlite.wait_for_readers(20)
        on_sqlite.loop.call_soon_threadsafe(on_sqlite.tail.end)
        assert {one.result(10).status_code for one in asked} == {200, 404}


def test_who_goes_away_frees_the_place(on_sqlite: Plane) -> None:
    """A closed connection ends its waiting."""
    with pytest.raises(httpx.ReadTimeout):
        on_sqlite.client.get("/v1/sync/changes?after=0&wait=30", timeout=httpx.Timeout(10, read=0.2))
    on_sqlite.wait_for_readers(0)


def test_there_is_an_end_to_the_places(sqlite_url: str) -> None:
    """One more reader than may wait is sent away, with the time to come back."""
    with serve_sync(sqlite_url, max_waiting=1) as served, ThreadPoolExecutor() as pool:
        asked = pool.submit(served.fresh_get, "changes", after=0, wait=30)
        served.wait_for_readers(1)
        refused = served.fresh_get("changes", after=0, wait=30)
        assert problem(refused) == (503, "too-many-readers")
        assert refused.headers["retry-after"] == "1"
        write(served.store, "acme")
        assert asked.result(20).status_code == 200


def test_the_publication_in_force_is_signed_and_tagged(plane: Plane) -> None:
    """Its entity tag is its sequence; who has it is told that nothing is new."""
    assert problem(plane.get("publication")) == (404, "not-found")
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(plane.fresh_get, "publication", after=0, wait=30)
        plane.wait_for_readers(1)
        publish(plane.store)
        answer = asked.result(20)
    assert verify_publication(plane.trust(), answer.content).sequence == 1
    assert answer.headers["etag"] == '"1"'
    again = plane.client.get("/v1/sync/publication?after=1&wait=0.01", headers={"if-none-match": '"1"'})
    assert (again.status_code, again.content) == (304, b"")
    publish(plane.store, "b")
    assert plane.get("publication", after=1, wait=30).headers["etag"] == '"2"'


def test_a_single_subject_is_said_and_signed(plane: Plane) -> None:
    """Known, unknown, and of a kind that there is not."""
    write(plane.store, "acme")
    acme, nobody = Subject("acme"), Subject("nobody", SubjectType.SUBSCRIPTION)
    found = plane.trust().verify_subject(plane.get("subjects/customers/acme").content, acme, since=1)
    assert isinstance(found.record, SubjectRecord)
    assert found.record.customer.attributes == {"region": "eu"}
    assert plane.trust().verify_subject(plane.get("subjects/subscriptions/nobody").content, nobody).record is None
    assert plane.get("subjects/users/acme").status_code == 404


def test_only_sidecars_are_let_in(on_sqlite: Plane) -> None:
    """Sync is nobody else's, and nothing without credentials."""
    for path in (
        "changes",
        "publication",
        "snapshot",
        "snapshot/pages/00",
        "bundles/sha256:00",
        "subjects/customers/a",
    ):
        assert on_sqlite.admin.as_("analyst").get(f"/v1/sync/{path}").status_code == 403, path
        assert on_sqlite.admin.client().get(f"/v1/sync/{path}").status_code == 401, path


def test_what_is_asked_wrongly_is_refused(on_sqlite: Plane) -> None:
    """Numbers are numbers."""
    for query in ("after=-1", "after=x", "wait=nan", "wait=-1", "limit=0", "after=1&after=2"):
        assert on_sqlite.client.get(f"/v1/sync/changes?{query}").status_code == 400, query


def test_a_snapshot_is_believed_and_says_what_the_feed_said(plane: Plane) -> None:
    """Its pages hold all subjects at its position, in the order of their ids, and the feed goes on from there."""
    write(plane.store, "b", "a", "B")
    publish(plane.store)
    head, manifest, end = plane.get("snapshot").content.split(b"\n")
    envelope = bytes(msgspec.json.decode(head, type=dict[str, msgspec.Raw])["head"])
    found = plane.trust().verify_snapshot(envelope, manifest, NOW)
    assert end == b""
    assert found.publication is not None
    assert (found.publication.sequence, found.manifest.customers, found.cursor.position) == (1, 3, 4)
    records = [
        record
        for entry in found.manifest.pages
        for record in read_snapshot_page(plane.get(f"snapshot/pages/{entry.sha256}").content, entry)
    ]
    held = [record for record in records if isinstance(record, SubjectRecord)]
    assert [record.customer.id for record in held] == ["B", "a", "b"]
    write(plane.store, "later")
    following = plane.trust().with_cursor(found.cursor)
    assert customers(following, plane.get("changes", after=4, wait=30).content) == [(5, "later")]


def test_a_bundle_is_sent_without_the_files_that_one_has(plane: Plane) -> None:
    """Whole to whoever has none or an unknown one; only what differs to whoever has another; nothing for a guess."""
    old = put_bundle_of(plane.store, {"catalog.json": b"{}", "policies/a.cedar": b"// a"})
    new = put_bundle_of(plane.store, {"catalog.json": b"{}", "policies/a.cedar": b"// b"})
    for query, paths in (
        ({}, {"catalog.json", "policies/a.cedar"}),
        ({"have": old}, {"policies/a.cedar"}),
        ({"have": new}, set[str]()),
        ({"have": f"sha256:{'0' * 64}"}, {"catalog.json", "policies/a.cedar"}),
        ({"have": "nonsense"}, {"catalog.json", "policies/a.cedar"}),
    ):
        answer = plane.get(f"bundles/{new}", **query)
        assert set(read_archive(answer.content, new).files) == paths
        assert "immutable" in answer.headers["cache-control"]
    for unknown in (f"sha256:{'0' * 64}", "sha256:", "nonsense"):
        assert problem(plane.get(f"bundles/{unknown}")) == (404, "not-found")


def put_bundle_of(store: Store, files: dict[str, bytes]) -> str:
    """Put a bundle of these files into the store; return its revision."""
    manifest = manifest_of(files)

    def work(unit: WriteUnit) -> None:
        put_blobs(unit, {entry.sha256: files[path] for path, entry in manifest.files.items()})
        put_bundle(unit, manifest.revision, encode_manifest(manifest))

    store.change(work, SYSTEM)
    return manifest.revision


def test_no_other_blob_is_served_as_a_page(plane: Plane) -> None:
    """What the store keeps besides, such as catalogs, is not for those who guess its hash."""
    publish(plane.store, "c")
    plane.get("snapshot")
    assert plane.get(f"snapshot/pages/{'c' * 64}").status_code == 404


def test_control_planes_on_one_database_wake_each_other(postgres_url: str) -> None:
    """What is written through one is told to readers of the other by the database."""
    with serve_sync(postgres_url) as one, serve_sync(postgres_url) as other, ThreadPoolExecutor() as pool:
        asked = pool.submit(other.get, "changes", after=0, wait=30)
        other.wait_for_readers(1)
        write(one.store, "acme")
        assert customers(one.trust(), asked.result(20).content) == [(1, "acme")]


def test_a_reader_who_heard_of_it_elsewhere_is_not_sent_away(postgres_url: str) -> None:
    """Whoever knows of a change through one control plane can go on at another one at once."""
    with serve_sync(postgres_url) as one, serve_sync(postgres_url) as other:
        for number in range(1, 20):
            write(one.store, f"c{number}")
            assert other.get("changes", after=number).status_code == 200


def test_readers_never_skip_under_concurrent_writers(store_url: str) -> None:
    """Whoever follows sees every change once and in order, whatever transactions overlap."""
    with serve_sync(store_url) as served:
        stores = [Store.open(store_url) for _ in range(4)]
        threads = [
            threading.Thread(target=write, args=(store, *(f"w{number}-{step}" for step in range(25))))
            for number, store in enumerate(stores)
        ]
        for thread in threads:
            thread.start()
        trust, seen = served.trust(), list[tuple[int, str]]()
        while len(seen) < 100:
            seen += customers(trust, served.get("changes", after=trust.position, wait=5).content)
        for thread, store in zip(threads, stores, strict=True):
            thread.join()
            store.close()
    assert [position for position, _ in seen] == list(range(1, 101))
    assert len({customer for _, customer in seen}) == 100


def test_the_snapshot_of_those_who_have_nothing_else_is_made_anew_in_time(on_sqlite: Plane) -> None:
    """Once it is too old and something has changed; those who follow the feed need that much less often."""
    plane = on_sqlite

    def position(max_age: float | None) -> int:
        plane.run(plane.tail.confirm(30))
        return int(plane.run(plane.sync.refresh_snapshot(max_age)).manifest.position)

    write(plane.store, "acme")
    assert position(None) == 1
    first = plane.run(plane.sync.refresh_snapshot(0))
    assert (first.manifest.position, plane.run(plane.sync.refresh_snapshot(0)).created_at) == (1, first.created_at)
    write(plane.store, "beta")
    assert [position(None), position(3600), position(0)] == [1, 1, 2]


def test_a_snapshot_from_before_the_first_publication_is_no_use_to_them(on_sqlite: Plane) -> None:
    """They could not decide by it, so it is made anew at once; a later publication waits its time."""
    plane = on_sqlite
    write(plane.store, "acme")
    assert plane.run(plane.sync.refresh_snapshot(3600)).publication == 0
    for expected in (1, 1):
        publish(plane.store)
        plane.run(plane.tail.confirm(30))
        assert plane.run(plane.sync.refresh_snapshot(3600)).publication == expected
