from __future__ import annotations

import asyncio
import errno
import hashlib
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from tests.following import BETTER, Follow, files
from tests.signing import NOW, Feed, key
from tests.sync_simulator import Simulator
from tiergate.feed.lines import head_line
from tiergate.model import FOREVER, SubjectType
from tiergate.sidecar.replica import data_directory
from tiergate.sidecar.replica.read_only_fallback import write_error
from tiergate.sidecar.replica.sync.sync_report import SyncReport

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path


def run(scenario: Callable[[], Coroutine[object, object, None]]) -> None:
    """Run a scenario to its end."""
    asyncio.run(scenario())


# ── what a store says is in force ────────────────────────────────────────────────────────────────────────────────────


def test_a_new_sidecar_begins_with_a_snapshot(follow: Follow) -> None:
    """Everything that the store has is in force, by pages."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            assert [sidecar.limit(customer) for customer in ("acme", "beta", "nobody")] == [50, 30, 0]
            assert sidecar.decide("sub-beta", type_=SubjectType.SUBSCRIPTION).entitlement.value == 30
            assert sidecar.publication == 1
            status = sidecar.report.status
            assert (status.mode, status.customers, status.subscriptions, status.lag) == ("sync", 3, 3, 0)

    run(scenario)


def test_a_change_is_in_force_at_once(follow: Follow, simulator: Simulator) -> None:
    """A customer changes, appears, goes; what was remembered of it is forgotten."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            assert (sidecar.limit("acme"), sidecar.limit("beta"), sidecar.limit("dent")) == (50, 30, 0)
            simulator.put("acme", "silver")
            simulator.put("dent")
            await sidecar.at(simulator.put("beta", None))
            assert (sidecar.limit("acme"), sidecar.limit("dent")) == (30, 50)
            assert sidecar.decide("beta").reason == "unknown_subject"
            assert sidecar.report.status.customers == 3

    run(scenario)


def test_a_publication_is_in_force_at_once(follow: Follow, simulator: Simulator) -> None:
    """And the generation is another one, so that everything remembered is forgotten."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            revision = simulator.publish(files(BETTER))
            await sidecar.at(5)
            current = sidecar.state.current
            assert current is not None
            assert (current.number, current.publication, current.revision) == (2, 2, revision)
            assert sidecar.limit("acme") == 20

    run(scenario)


def test_the_position_that_is_said_is_the_one_that_is_read(follow: Follow, simulator: Simulator) -> None:
    """In every turn of the event loop, though what is committed runs ahead of what can be read."""

    async def scenario() -> None:
        limits = {4: 50}
        seen: set[int] = set()

        async def look() -> None:
            while True:
                followed = sidecar.state.feed_position
                assert followed is not None
                assert followed.store == simulator.feed.store
                assert sidecar.limit("acme") == limits[followed.position]
                seen.add(followed.position)
                await asyncio.sleep(0)

        async with follow() as sidecar:
            await sidecar.at(4)
            looking = asyncio.create_task(look())
            for plan, limit in (("silver", 30), ("gold", 50)) * 5:
                position = simulator.feed.latest + 1
                limits[position] = limit
                await sidecar.at(simulator.put("acme", plan))
            position = simulator.feed.latest + 1
            limits[position] = 20
            simulator.publish(files(BETTER))
            await sidecar.at(position)
            await asyncio.sleep(0)
            looking.cancel()
            await asyncio.wait([looking])
            assert looking.cancelled()
            assert seen == limits.keys()

    run(scenario)


def test_a_rollback_is_a_publication_like_any_other(follow: Follow, simulator: Simulator) -> None:
    """The bundle before is still kept, and not fetched again."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            simulator.publish(files(BETTER))
            await sidecar.at(5)
            asked = sum(path.startswith("bundles/") for path in simulator.asked)
            simulator.publish(files())
            await sidecar.at(6)
            assert (sidecar.publication, sidecar.limit("acme")) == (3, 50)
            assert sum(path.startswith("bundles/") for path in simulator.asked) == asked

    run(scenario)


def test_who_comes_late_takes_the_last_of_several_publications(follow: Follow, simulator: Simulator) -> None:
    """Bundles in between may be gone from the store."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
        skipped = simulator.publish(files(BETTER))
        simulator.put("acme", "silver")
        simulator.publish(files())
        del simulator.bundles[skipped]
        simulator.put("dent")
        async with follow() as sidecar:
            await sidecar.at(8)
            assert (sidecar.publication, sidecar.limit("acme"), sidecar.limit("dent")) == (3, 30, 50)

    run(scenario)


def test_a_store_without_a_publication_is_waited_for(tmp_path: Path) -> None:
    """Nothing can be decided until there is one; then everything can."""
    simulator = Simulator()
    simulator.put("acme")

    async def scenario() -> None:
        async with Follow(simulator, tmp_path)() as sidecar:
            await sidecar.at(1)
            assert not sidecar.state.ready
            simulator.publish(files())
            await sidecar.at(2)
            assert sidecar.limit("acme") == 50

    with simulator.serve():
        run(scenario)


# ── staleness ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_staleness_counts_from_what_was_signed(follow: Follow, simulator: Simulator) -> None:
    """Not from when it came: a minute after the head was issued, by these rules."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            assert sidecar.state.stale_at == NOW + 60_000
            simulator.feed.now = NOW + 5_000
            await sidecar.at(simulator.put("dent"))
            assert sidecar.state.stale_at == NOW + 65_000

    run(scenario)


def test_a_frozen_feed_shows(follow: Follow, simulator: Simulator) -> None:
    """Whoever answers with the same signed page forever keeps nothing fresh."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            frozen = simulator.feed.page(4)
            simulator.tamper = lambda path, body: frozen if path == "changes" else body
            simulator.feed.now = NOW + 50_000
            simulator.put("dent")
            seen = len(simulator.asked)
            await sidecar.until(lambda: len(simulator.asked) > seen + 2)
            assert sidecar.state.stale_at == NOW + 60_000
            assert sidecar.decide("dent").reason == "unknown_subject"

    run(scenario)


def test_clock_steps_break_nothing(follow: Follow, simulator: Simulator) -> None:
    """An hour back, an hour ahead: changes come through, and the age is told by the clock as it is."""
    steps = [NOW]
    follow.clock = lambda: steps[-1]

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            for step, plan in ((-3_600_000, "silver"), (3_600_000, "gold"), (0, "silver")):
                steps.append(NOW + step)
                await sidecar.at(simulator.put("acme", plan))
                assert sidecar.limit("acme") == (30 if plan == "silver" else 50)
                assert (steps[-1] >= sidecar.state.stale_at) == (step > 0)

    run(scenario)


# ── the disk ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_restart_serves_from_disk_without_the_control_plane(follow: Follow, simulator: Simulator) -> None:
    """At once, with what was in force last, and says how old that is."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            simulator.put("acme", "silver")
            simulator.publish(files(BETTER))
            await sidecar.at(6)
        async with follow("http://127.0.0.1:9") as sidecar:
            await sidecar.at(6)
            assert (sidecar.publication, sidecar.limit("acme")) == (2, 30)
            assert sidecar.state.stale_at == NOW + 60_000
            await sidecar.failed("no response")
            assert sidecar.limit("acme") == 30

    run(scenario)


def test_a_restart_goes_on_where_it_was(follow: Follow, simulator: Simulator) -> None:
    """Without another snapshot."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
        simulator.put("dent")
        simulator.asked.clear()
        async with follow() as sidecar:
            await sidecar.at(5)
            assert sidecar.limit("dent") == 50
        assert set(simulator.asked) == {"changes"}

    run(scenario)


def test_the_replica_is_for_nobody_else(follow: Follow) -> None:
    """Its file and what belongs to it can be read by its owner alone."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            found = list((follow.folder / "sync").glob("*.sqlite*"))
            assert found
            assert {path.stat().st_mode & 0o777 for path in found} == {0o600}

    run(scenario)


def replica_of(folder: Path) -> Path:
    """The one replica of a sidecar."""
    (path,) = (folder / "sync").glob("*.sqlite")
    return path


def names(folder: Path) -> list[str]:
    """The names of all replicas."""
    return sorted(path.name for path in (folder / "sync").glob("*.sqlite"))


def spoil(folder: Path, *statements: str) -> None:
    """Change the replica behind the sidecar's back."""
    with closing(sqlite3.connect(replica_of(folder))) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_a_torn_record_is_healed_from_a_snapshot(follow: Follow, simulator: Simulator) -> None:
    """It denies while it is torn, everything else is served, and a new replica takes its place by itself."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            spoil(follow.folder, "UPDATE customers SET record = x'00' WHERE id = 'acme'")
            await sidecar.at(simulator.put("dent"))
            assert sidecar.decide("acme").reason == "evaluation_error"
            assert sidecar.limit("dent") == 50
            await sidecar.until(lambda: sidecar.state.current is not None and sidecar.state.current.number == 2)
            assert sidecar.limit("acme") == 50
            await sidecar.until(lambda: names(follow.folder) == ["2.sqlite"])

    run(scenario)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE meta SET value = 99 WHERE key = 'format'",
        "DELETE FROM meta WHERE key = 'cursor'",
        "UPDATE meta SET value = x'00' WHERE key = 'head'",
        "UPDATE meta SET value = 'elsewhere' WHERE key = 'store'",
        "DELETE FROM blobs",
        "DELETE FROM manifests",
        "DROP TABLE meta",
    ],
)
def test_a_torn_replica_is_built_anew_at_the_start(follow: Follow, statement: str) -> None:
    """Whatever is wrong with it; nobody has to remove a file."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
        spoil(follow.folder, statement)
        async with follow() as sidecar:
            await sidecar.at(4)
            assert sidecar.limit("acme") == 50

    run(scenario)


def test_a_file_that_is_no_database_is_built_anew(follow: Follow) -> None:
    """A disk that lost its mind is no reason to stay down."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
        replica_of(follow.folder).write_bytes(b"hello" * 1000)
        async with follow() as sidecar:
            await sidecar.at(4)
            assert sidecar.limit("acme") == 50

    run(scenario)


def test_a_lost_replica_does_not_let_an_older_publication_in(follow: Follow, simulator: Simulator) -> None:
    """What was in force once is on record apart from the replica."""
    old = Feed()
    old.lines = list(simulator.feed.lines)
    old.records = dict(simulator.feed.records)
    old._in_force = list(simulator.feed._in_force)

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            simulator.publish(files(BETTER))
            await sidecar.at(5)
        replica_of(follow.folder).unlink()
        new, simulator.feed = simulator.feed, old
        async with follow() as sidecar:
            await sidecar.failed("rollback")
            assert not sidecar.state.ready
            simulator.feed = new
            await sidecar.at(5)
            assert sidecar.publication == 2

    run(scenario)


def test_an_older_snapshot_is_not_put_in_force_before_it_has_caught_up(follow: Follow, simulator: Simulator) -> None:
    """It is honest, and of before: who withholds what came since has nothing put in force."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            _, manifest, _ = simulator.feed.snapshot(size=simulator.page_size)
            frozen = simulator.feed.page(4)
            simulator.publish(files(BETTER))
            await sidecar.at(simulator.put("dent"))
        replica_of(follow.folder).unlink()
        digest = hashlib.sha256(manifest).hexdigest()
        older = head_line(simulator.feed.head(4, snapshot=digest)) + b"\n" + manifest + b"\n"
        bodies = {"snapshot": older, "changes": frozen}

        def replay(path: str, body: bytes) -> bytes:
            return bodies.get(path, body)

        simulator.tamper = replay
        async with follow() as sidecar:
            await sidecar.failed("rejected (rollback)")
            assert not sidecar.state.ready
            del bodies["changes"]
            await sidecar.at(6)
            current = sidecar.state.current
            assert current is not None
            assert (current.number, current.publication, sidecar.limit("dent")) == (1, 2, 20)

    run(scenario)


# ── another store, other keys ────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_store_is_pinned_across_restarts(follow: Follow, simulator: Simulator) -> None:
    """Another store with the same key is refused, and what is on disk goes on serving."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
        simulator.feed.store = "elsewhere"
        simulator.put("dent")
        async with follow() as sidecar:
            await sidecar.failed("other_store")
            assert sidecar.limit("acme") == 50

    run(scenario)


def test_a_configured_store_takes_the_place_of_the_one_before(follow: Follow) -> None:
    """Who says another store id means it: nothing of the former store is served."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
        follow.store = "elsewhere"
        async with follow() as sidecar:
            await sidecar.failed("other_store")
            assert sidecar.state.stale_at == FOREVER
            assert not sidecar.state.ready

    run(scenario)


def test_keys_can_be_exchanged(follow: Follow, simulator: Simulator) -> None:
    """First both are trusted, then the store signs with the new one, then the old one is not trusted any more."""
    new = key("new")

    async def scenario() -> None:
        follow.keys = (key(), new)
        async with follow() as sidecar:
            await sidecar.at(4)
            simulator.feed.keys = (new,)
            await sidecar.at(simulator.put("dent"))
        follow.keys = (new,)
        async with follow() as sidecar:
            await sidecar.at(simulator.put("acme", "silver"))
            assert (sidecar.limit("acme"), sidecar.limit("beta")) == (30, 30)

    run(scenario)


def test_what_a_key_vouched_for_that_is_not_trusted_any_more_is_not_served(follow: Follow) -> None:
    """A key that leaked is taken away, and with it what stands on disk."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
        follow.keys = (key("other"),)
        async with follow() as sidecar:
            await sidecar.failed("unknown_key")
            assert not sidecar.state.ready

    run(scenario)


# ── a feed that does not go on ───────────────────────────────────────────────────────────────────────────────────────


def test_who_was_away_too_long_begins_anew_beside_what_serves(follow: Follow, simulator: Simulator) -> None:
    """The feed begins after what is known: a snapshot takes its place, and no file of before stays."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
        simulator.put("dent")
        simulator.put("beta", None)
        simulator.floor = 6
        async with follow() as sidecar:
            await sidecar.at(6)
            assert (sidecar.limit("dent"), sidecar.limit("beta"), sidecar.limit("acme")) == (50, 0, 50)
            await sidecar.until(lambda: names(follow.folder) == ["2.sqlite"])

    run(scenario)


def test_a_store_that_was_set_back_changes_nothing(follow: Follow, simulator: Simulator) -> None:
    """Positions that were in force are never taken back: it is said, and what was good goes on serving."""

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(simulator.put("dent"))
            simulator.feed.lines.pop()
            simulator.feed.records.pop("dent")
            simulator.wake()
            await sidecar.failed("409")
            await sidecar.failed("rollback")
            assert sidecar.limit("dent") == 50

    run(scenario)


# ── clocks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("ahead", "skew"),
    [(0, 0), (20_000, -19), (3_600_000, -3_599), (-3_600_000, 3_600), (-30 * 86_400_000, 30 * 86_400)],
)
def test_a_clock_that_is_not_the_stores_shows(follow: Follow, simulator: Simulator, ahead: int, skew: int) -> None:
    """Whichever of them is ahead, and by how much; whether data is stale is another matter."""
    follow.clock = lambda: NOW + ahead

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            await sidecar.at(simulator.put("beta"))
            assert sidecar.report.status.clock_skew == skew
            assert sidecar.report.status.error is None

    with capture_logs() as logs:
        run(scenario)
    said = [entry["seconds"] for entry in logs if entry["event"] == "clock differs from the store's clock"]
    assert said == ([skew] if abs(skew) > 30 else [])


def test_an_answer_that_takes_long_is_no_other_clock() -> None:
    """What was signed while it was waited for agrees; and a clock that is set right is said to be."""
    report = SyncReport("https://store", max_staleness=60)
    with capture_logs() as logs:
        report.compare_clocks(NOW + 20_000, NOW, NOW + 40_000)
        assert report.status.clock_skew == 0
        report.compare_clocks(NOW - 900, NOW, NOW)
        assert report.status.clock_skew == 0
        for _ in range(2):
            report.compare_clocks(NOW + 90_000, NOW, NOW + 1_000)
        assert report.status.clock_skew == 89
        report.compare_clocks(NOW, NOW, NOW)
    assert [entry["log_level"] for entry in logs] == ["error", "info"]


# ── the folder ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_that_turns_read_only_is_left_for_another(
    follow: Follow, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in force goes on answering; a new replica is fetched elsewhere, and followed."""
    refused = write_error
    broken: list[Path] = []

    def look(folder: Path) -> OSError | None:
        return OSError(errno.EROFS, "Read-only file system") if folder in broken else refused(folder)

    monkeypatch.setattr(data_directory, "write_error", look)

    async def scenario() -> None:
        async with follow() as sidecar:
            await sidecar.at(4)
            broken.append(follow.folder)
            held = sidecar.sync._active
            assert held is not None
            held.writer._connection.execute("PRAGMA query_only = ON")
            await sidecar.at(simulator.put("beta"))
            assert sidecar.limit("beta") == 50
            assert simulator.asked.count("snapshot") == 2
            assert sidecar.sync._active is not held

    run(scenario)
