"""The status of features in a sidecar's answers, its caches, its decision log and its workers."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import NOW, Clock, Service, customer
from tests.unit.sidecar.replica.test_writer import CHAIN
from tests.unit.sidecar.test_basis import Logged, again
from tests.unit.sidecar.workers.test_follower import first, path, worker
from tests.unit.sidecar.workers.test_shared_state import Workers, generation
from tiergate.bundle import Cursor
from tiergate.engine.decision_inputs import read_basis
from tiergate.feed.lines import StatusChange
from tiergate.model import FOREVER, Check, FeatureReports, ReportedStatus, Status, Subject, format_instant
from tiergate.sidecar.decision_log import LogRules
from tiergate.sidecar.replica.writer import ReplicaWriter
from tiergate.sidecar.workers.messages import Update
from tiergate.sidecar.workers.shared_state import SharedState

if TYPE_CHECKING:
    from pathlib import Path

    from tiergate.sidecar.state import State

__all__ = ["path"]  # the fixture

CHECK = b'{"subject": "acme", "feature": "movies", "used": 12}'
RULE = ("house.cedar", '@id("down") forbid (principal, action, resource) when { context.status == "down" };')
DOWN = ReportedStatus(status=Status.DOWN, start=NOW - 5, until=NOW + 5)
DEGRADED = ReportedStatus(status=Status.DEGRADED, start=NOW - 9)


def report(state: State, *reports: ReportedStatus, feature: str = "movies") -> None:
    """Replace all reports, as a follower does."""
    assert state.current is not None
    state.current.engine.evaluator.statuses.replace([FeatureReports(feature, reports)])
    state.statuses_changed()


def listed(service: Service, query: bytes = b"subject=acme") -> tuple[dict[str, Any], bytes]:
    """The entitlement of movies in a list, and the list's entity tag."""
    reply = asyncio.run(service.native.entitlements.respond(query))
    entries = {entry["feature"]: entry for entry in json.loads(reply.body)["entitlements"]}
    return entries["movies"], dict(reply.extra)[b"etag"]


@pytest.mark.parametrize("rules", [(), (RULE,)], ids=["shown alone", "read by a rule"])
def test_answers_and_lists_show_the_status_as_long_as_it_is_so(rules: tuple[tuple[str, str], ...]) -> None:
    """Whether they were kept or not; a rule decides by it, nothing else does."""
    service = Service(customer("acme"), rules=rules, caches_at_once=True)
    before = [service.check(CHECK).body for _ in range(3)][2]
    plain, tag = listed(service)
    assert "status" not in before.decode()
    assert "status" not in plain

    service.run(lambda: report(service.state, DOWN, DEGRADED))
    for _ in range(3):
        answer = json.loads(service.check(CHECK).body)
        entry, changed_tag = listed(service)
        assert answer["reason"] == entry["reason"] == ("rule_denied" if rules else "granted")
        for shown in (answer, entry):
            assert shown["status"] == "down"
            assert shown["since"] == format_instant(NOW - 5)
            assert shown["valid_until"] == format_instant(NOW + 5)
    assert changed_tag != tag

    service.clock.now = NOW + 5
    for shown in (json.loads(service.check(CHECK).body), listed(service)[0]):
        assert (shown["reason"], shown["status"], shown["since"]) == ("granted", "degraded", format_instant(NOW - 9))
        assert "valid_until" not in shown

    service.run(lambda: report(service.state))
    assert service.check(CHECK).body == before
    assert listed(service) == (plain, tag)


def test_an_explanation_has_the_status() -> None:
    """In the decision, and in the context that policies read."""
    service = Service(customer("acme"))
    service.run(lambda: report(service.state, DEGRADED))
    explained = json.loads(asyncio.run(service.native.explanations.respond(CHECK, None)).body)  # type: ignore[arg-type]
    assert explained["decision"]["status"] == explained["context"]["status"] == "degraded"


def test_a_logged_decision_is_replayed_with_its_status(tmp_path: Path) -> None:
    """Shown, read by a rule, or about to change: byte by byte."""
    logged = Logged(tmp_path / "log", LogRules(records=True))
    answers = [logged.ask()]
    later = ReportedStatus(status=Status.MAINTENANCE, start=NOW + 3)
    for reports in ((DOWN, DEGRADED), (later,)):
        report(logged.service.state, *reports)
        answers.append(logged.ask())
    assert [again(one) for one in logged.lines()] == answers
    assert [basis.get("status") for basis in logged.bases()] == [
        None,
        {"status": "down", "since": format_instant(NOW - 5), "start": format_instant(NOW - 5)}
        | {"until": format_instant(NOW + 5)},
        {"status": "operational", "until": format_instant(NOW + 3)},
    ]


def test_a_status_that_is_none_is_no_basis() -> None:
    """It is said where it is read."""
    for status in (b'{"status":"haunted"}', b'{"status":"down","since":"yesterday"}'):
        with pytest.raises(ValueError, match=r"."):
            read_basis(b'{"status":' + status + b"}")


def test_workers_read_reports_when_they_are_told(path: Path) -> None:
    """In the turn in which their caches are cleared."""

    async def follow() -> None:
        with closing(ReplicaWriter(path)) as writer:
            async with worker() as it:
                await it.follower.apply(Update(FOREVER, False, ("shop", 1), first(path)))
                writer.apply((), Cursor(2, CHAIN), b"h", [StatusChange(2, NOW, "movies", (DEGRADED,))])
                assert it.state.current is not None
                engine, epoch = it.state.current.engine, it.state.epoch
                check = Check(Subject("acme"), "movies")
                assert engine.decide(check, it.state.clock()).status is None
                await it.follower.apply(Update(FOREVER, False, ("shop", 2), statuses=True))
                shown = engine.decide(check, it.state.clock()).shown_status
                assert shown is not None
                assert (shown.status, it.state.epoch) == (Status.DEGRADED, epoch + 1)

    asyncio.run(follow())


def test_a_leader_tells_its_workers_once() -> None:
    """With what else changed in the same turn."""
    workers = Workers()
    state = SharedState(Clock(), workers)

    async def change() -> None:
        state.install(generation(1))
        await asyncio.sleep(0)
        state.statuses_changed()
        state.subject_changed("acme", [])
        await asyncio.sleep(0)
        state.subject_changed("beta", [])
        await asyncio.sleep(0)

    asyncio.run(change())
    assert [update.statuses for update in workers.told if isinstance(update, Update)] == [False, True, False]
