"""Subjects that are fetched when they are asked for, through a real server."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import Service, customer, get, post
from tests.wire import Connection
from tiergate.model import Subject, SubjectType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Where
    from tiergate.model import SubjectRecord

CHECK = post("/v1/check", {"subject": "acme", "feature": "movies"})
BOB = post("/v1/check", {"subject": "bob", "feature": "movies"})
LIST = get("/v1/entitlements?subject=acme")


class Far:
    """Subjects that are far away; each comes when `arrive` is set, if it can be reached at all."""

    def __init__(self, *records: SubjectRecord) -> None:
        self.records = {record.customer.id: record for record in records}
        self.service: Service | None = None
        self.asked: list[Subject] = []
        self.here: set[Subject] = set()
        self.reachable = True
        self.arrive = asyncio.Event()
        self.waiting = threading.Event()

    def is_known(self, subject: Subject) -> bool:
        """Whether it was fetched."""
        return subject in self.here

    async def fetch(self, subject: Subject) -> bool:
        """Fetch it."""
        self.asked.append(subject)
        self.waiting.set()
        await self.arrive.wait()
        if self.reachable:
            self.hold(subject)
        return self.reachable

    def hold(self, subject: Subject) -> None:
        """Have it here from now on."""
        assert self.service is not None
        name = subject.id.removeprefix("sub-")
        if name in self.records:
            self.service.subjects.records[name] = self.records[name]
        self.here |= {subject}
        self.service.state.subject_changed(name, [f"sub-{name}"])


class Ondemand:
    """A served sidecar that fetches subjects from afar, and connections to it."""

    def __init__(self, service: Service, far: Far, where: Where) -> None:
        self.service = service
        self.far = far
        self.where = where

    def arrive(self) -> None:
        """Let all come that is fetched."""
        self.service.run(self.far.arrive.set)

    def ask(self, request: bytes) -> dict[str, Any]:
        """Ask on a connection of its own."""
        with Connection(self.where.connect()) as connection:
            found: dict[str, Any] = json.loads(connection.ask(request).body)
            return found


@pytest.fixture(params=[True, False], ids=["remembering", "forgetful"])
def ondemand(request: pytest.FixtureRequest) -> Iterator[Ondemand]:
    """A sidecar to which acme and bob are far away."""
    far = Far(customer("acme"), customer("bob", "silver"))
    service = far.service = Service(ensures=far, memo=request.param)
    with service.serve() as where:
        yield Ondemand(service, far, where)
        service.run(far.arrive.set)


def test_a_check_waits_until_its_subject_is_there(ondemand: Ondemand) -> None:
    """And is then decided as if it had always been."""
    with Connection(ondemand.where.connect()) as connection:
        connection.send(CHECK)
        assert ondemand.far.waiting.wait(10)
        ondemand.arrive()
        answer = connection.read()

    assert answer is not None
    found = json.loads(answer.body)
    assert (found["reason"], found["stale"], found["entitlement"]["value"]) == ("granted", False, 50)


def test_nobody_else_waits(ondemand: Ondemand) -> None:
    """Not even who comes by the quick path, whose head is known."""
    ondemand.service.run(lambda: ondemand.far.hold(Subject("bob")))
    assert ondemand.ask(BOB)["allowed"]
    with Connection(ondemand.where.connect()) as connection:
        connection.send(CHECK)
        assert ondemand.far.waiting.wait(10)
        answers = [ondemand.ask(BOB) for _ in range(3)]
        ondemand.arrive()
        assert connection.read() is not None

    assert all(answer["allowed"] for answer in answers)
    assert ondemand.far.asked == [Subject("acme")]


def test_what_comes_by_the_quick_path_is_fetched_too(ondemand: Ondemand) -> None:
    """It takes the long way then."""
    ondemand.arrive()

    with Connection(ondemand.where.connect()) as connection:
        found = [json.loads(connection.ask(request).body)["reason"] for request in (BOB, CHECK, CHECK, CHECK, BOB)]

    assert found == ["granted"] * 5
    assert ondemand.far.asked == [Subject("bob"), Subject("acme")]


def test_what_could_not_be_fetched_is_unknown_for_the_moment(ondemand: Ondemand) -> None:
    """The answer says stale, and is not remembered."""
    ondemand.far.reachable = False
    ondemand.arrive()
    answers = [ondemand.ask(CHECK) for _ in range(3)]
    ondemand.far.reachable = True
    answers.append(ondemand.ask(CHECK))

    assert [(it["reason"], it["stale"]) for it in answers] == [("unknown_subject", True)] * 3 + [("granted", False)]
    assert len(ondemand.far.asked) == 4


def test_who_is_known_not_to_exist_is_unknown_and_fresh(ondemand: Ondemand) -> None:
    """It is not fetched again."""
    ondemand.arrive()
    request = post("/v1/check", {"subject": "nobody", "feature": "movies"})
    answers = [ondemand.ask(request) for _ in range(3)]

    assert [(it["reason"], it["stale"]) for it in answers] == [("unknown_subject", False)] * 3
    assert len(ondemand.far.asked) == 1


def test_a_user_is_fetched_with_whom_it_is_in(ondemand: Ondemand) -> None:
    """Whoever fetches knows customers and subscriptions only."""
    ondemand.arrive()
    subject = {"type": "subscription", "id": "sub-acme", "user": "ann"}
    found = ondemand.ask(post("/v1/check", {"subject": subject, "feature": "movies"}))

    assert found["allowed"]
    assert ondemand.far.asked == [Subject("sub-acme", SubjectType.SUBSCRIPTION)]


@pytest.mark.parametrize("body", [{"subject": "acme"}, {"feature": "movies"}, "[", {"subject": 1, "feature": "movies"}])
def test_nothing_is_fetched_for_what_is_no_check(ondemand: Ondemand, body: Any) -> None:  # noqa: ANN401 - JSON
    """It is a problem at once."""
    with Connection(ondemand.where.connect()) as connection:
        assert connection.ask(post("/v1/check", body)).status == 400
        assert connection.ask(post("/v1/checks", {"checks": [body]})).status in {200, 400}

    assert ondemand.far.asked == []


@pytest.mark.parametrize("size", [2, 300])
def test_a_batch_fetches_each_subject_once_and_all_together(ondemand: Ondemand, size: int) -> None:
    """However many checks are about it."""
    subjects = ["acme", "bob"] * (size // 2)
    request = post("/v1/checks", {"checks": [{"subject": it, "feature": "movies"} for it in subjects]})
    with Connection(ondemand.where.connect()) as connection:
        connection.send(request)
        assert ondemand.far.waiting.wait(10)
        ondemand.arrive()
        answer = connection.read()

    assert answer is not None
    results = json.loads(answer.body)["results"]
    assert len(results) == size
    assert [(it["reason"], it["entitlement"]["value"]) for it in results[:2]] == [("granted", 50), ("granted", 30)]
    assert sorted(it.id for it in ondemand.far.asked) == ["acme", "bob"]


def test_a_batch_that_comes_by_the_quick_path_fetches_too(ondemand: Ondemand) -> None:
    """It takes the long way then, however small it is."""
    ondemand.arrive()
    with Connection(ondemand.where.connect()) as connection:
        found = [
            json.loads(connection.ask(post("/v1/checks", {"checks": [{"subject": it, "feature": "movies"}]})).body)
            for it in ("bob", "acme", "acme")
        ]

    assert [answer["results"][0]["reason"] for answer in found] == ["granted"] * 3


def test_a_list_waits_for_its_subject(ondemand: Ondemand) -> None:
    """Unreachable, it lists every feature as unknown for the moment, and is not remembered."""
    ondemand.far.reachable = False
    ondemand.arrive()
    lost = ondemand.ask(LIST)
    ondemand.far.reachable = True
    found = ondemand.ask(LIST)

    assert {entry["reason"] for entry in lost["entitlements"]} == {"unknown_subject"}
    assert len(lost["entitlements"]) == len(found["entitlements"]) == 5
    assert (lost["stale"], found["stale"]) == (True, False)
    assert any(entry["allowed"] for entry in found["entitlements"])


def test_a_subject_that_was_let_go_is_fetched_again(ondemand: Ondemand) -> None:
    """What was remembered of it is not given any more, because nobody would say that it changed."""
    ondemand.arrive()
    first = ondemand.ask(CHECK)

    def let_go() -> None:
        ondemand.far.here.clear()
        del ondemand.service.subjects.records["acme"]
        ondemand.far.records["acme"] = customer("acme", "silver")
        ondemand.service.state.subject_changed("acme", ["sub-acme"])

    ondemand.service.run(let_go)

    assert [first["entitlement"]["value"], ondemand.ask(CHECK)["entitlement"]["value"]] == [50, 30]


def test_nothing_is_fetched_before_there_is_anything_to_decide_by() -> None:
    """All that could be answered is that nothing is loaded."""
    far = Far(customer("acme"))
    service = Service(ensures=far, ready=False)
    with service.serve() as where, Connection(where.connect()) as connection:
        statuses = [connection.ask(request).status for request in (CHECK, LIST, CHECK)]

    assert statuses == [503] * 3
    assert far.asked == []


def test_an_explanation_waits_until_its_subject_is_there(ondemand: Ondemand) -> None:
    """And what could not be fetched is unknown and stale, as a check of it is."""
    request = post("/v1/explain", {"subject": {"id": "acme", "user": "ann"}, "feature": "movies"})
    ondemand.arrive()
    ondemand.far.reachable = False
    without = ondemand.ask(request)
    ondemand.far.reachable = True
    found = ondemand.ask(request)

    assert (without["decision"]["reason"], without["decision"]["stale"]) == ("unknown_subject", True)
    assert (without["known"], without["sentences"][1]) == (False, "The data that this rests on may be out of date.")
    assert (found["decision"]["reason"], found["decision"]["stale"]) == ("granted", False)
    assert ondemand.far.asked == [Subject("acme"), Subject("acme")]
