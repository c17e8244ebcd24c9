from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import UNSET

from tests.serving import CATALOG, NOW, Clock, Service, Subjects, bundle, customer, disabled
from tiergate import __version__
from tiergate.engine import Evaluator, decision_json
from tiergate.engine.decision_inputs import DecisionBasis, basis_json, read_basis, reproduce
from tiergate.impact.replay.decision_log_reader import read_log
from tiergate.model import FOREVER, MeteredUsage, Override, OverrideMode, Subject, format_instant
from tiergate.model.values import Amount
from tiergate.sidecar.decision_log import DecisionLog, LogRules, Mask
from tiergate.sidecar.state import FeedPosition, Generation

if TYPE_CHECKING:
    from pathlib import Path

    from tiergate.impact.replay.decision_log_reader import RecordedDecision
    from tiergate.model import Feature, Instant

CHECK = b'{"subject": "acme", "feature": "movies", "used": 12}'


class Logged:
    """A service with a decision log, and what stands in it."""

    def __init__(self, path: Path, rules: LogRules | None = None, **service: Any) -> None:  # noqa: ANN401
        self.path = path
        self.log = DecisionLog(str(path), rules)
        self.log.start()
        self.service = Service(customer("acme"), log=self.log, caches_at_once=True, **service)

    def ask(self, check: bytes = CHECK) -> bytes:
        """Ask, and give the answer's bytes."""
        return self.service.check(check).body

    def lines(self) -> list[RecordedDecision]:
        """Everything that is in the log by now."""
        assert self.log.flush(10)
        return list(
            read_log(self.path.read_bytes().splitlines(keepends=True), "log", lambda problem: pytest.fail(str(problem)))
        )

    def bases(self) -> list[dict[str, Any]]:
        """The bases of all lines, without the version."""
        assert self.log.flush(10)
        found = [json.loads(line)["basis"] for line in self.path.read_text().splitlines()]
        assert {basis.pop("version") for basis in found} == {__version__}
        return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log is to be."""
    return tmp_path / "decisions.ndjson"


def again(one: RecordedDecision, *, catalog: str = CATALOG) -> bytes:
    """The decision of a line, made again from nothing but the line and the bundle."""
    assert one.check is not None
    assert one.basis is not None
    record = one.basis.record
    assert record is not UNSET
    found = reproduce(bundle(catalog), one.check, one.at, one.basis, record, publication=one.verdict.publication)
    return decision_json(found.decision)


def test_a_line_says_what_its_decision_rested_on(path: Path) -> None:
    """Nothing but the version where data comes from files; else the store, the position, and when it becomes stale."""
    logged = Logged(path)
    logged.ask()
    logged.service.state.feed_position = FeedPosition("s1", 42)
    logged.service.state.set_stale_at(NOW + 60_000)
    logged.service.native.decisions.cache.clear()
    logged.ask()

    assert logged.bases() == [{}, {"store": "s1", "position": 42, "stale_at": format_instant(NOW + 60_000)}]


def test_an_answer_that_is_repeated_has_the_basis_of_its_decision(path: Path) -> None:
    """It was made once: the feed went on meanwhile, and this subject did not change."""
    logged = Logged(path)
    logged.service.state.feed_position = FeedPosition("s1", 42)
    logged.ask()
    logged.service.state.feed_position = FeedPosition("s1", 43)
    logged.ask()
    logged.service.state.subject_changed("acme", ())
    logged.ask()

    assert [basis["position"] for basis in logged.bases()] == [42, 42, 43]


@pytest.mark.parametrize("stale_deny", [(), ("movies",)])
def test_a_stale_decision_is_made_again_as_it_was_given(path: Path, stale_deny: tuple[str, ...]) -> None:
    """Before, at and after the instant from which data is stale, denied then or not."""
    logged = Logged(path, LogRules(records=True), stale_deny=stale_deny)
    answers = []
    logged.service.state.set_stale_at(NOW + 1_000)
    for now in (NOW, NOW + 999, NOW + 1_000, NOW + 5_000):
        logged.service.clock.now = now
        answers += [logged.ask(), logged.ask(b'{"subject": "acme", "feature": "analytics"}')]

    lines = logged.lines()
    assert [again(one) for one in lines] == answers == [one.decision for one in lines]
    assert {json.loads(answer)["reason"] for answer in answers} == {"granted", *["stale_data"][: len(stale_deny)]}


def test_a_line_holds_the_record_if_that_is_wanted(path: Path) -> None:
    """Without it nothing is said of it; an unknown subject's is null."""
    logged = Logged(path, LogRules(records=True))
    answers = [logged.ask(), logged.ask(b'{"subject": "nobody", "feature": "movies"}')]

    known, unknown = logged.lines()
    assert known.basis is not None
    assert unknown.basis is not None
    assert known.basis.record == customer("acme")
    assert unknown.basis.record is None
    assert [again(known), again(unknown)] == answers


def test_a_record_is_never_written_beside_a_masked_name(path: Path) -> None:
    """It says who it is."""
    logged = Logged(path, LogRules(records=True, subject=Mask.HASH))
    logged.ask()

    assert logged.bases() == [{}]
    assert b"acme" not in path.read_bytes()


def test_a_subject_that_could_not_be_fetched_is_said_to_be_so(path: Path) -> None:
    """The denial is made again without looking at any record."""

    class Nobody:
        """Holds nobody, and fetches nobody."""

        def is_known(self, subject: Subject) -> bool:  # noqa: ARG002
            return False

        async def fetch(self, subject: Subject) -> bool:  # noqa: ARG002
            return False

    logged = Logged(path, ensures=Nobody())
    answer = logged.ask()
    (one,) = logged.lines()
    assert one.check is not None
    assert one.basis is not None

    assert one.basis.fetched is False
    found = reproduce(bundle(), one.check, one.at, one.basis, customer("acme"), publication=1)
    assert decision_json(found.decision) == answer
    assert json.loads(answer)["reason"] == "unknown_subject"


class Meter:
    """Usage that goes up with every look."""

    def __init__(self) -> None:
        self.units = 0

    def usage_of(self, subject: Subject, feature: Feature, now: Instant) -> MeteredUsage:  # noqa: ARG002
        """What is used now."""
        self.units += 500
        return MeteredUsage(self.units, 1, self.units + 2)


def test_metered_usage_is_part_of_the_basis(path: Path) -> None:
    """Exact, as it was known then, so that each decision is made again."""
    catalog = CATALOG.replace(
        "scale: 3, combine: max, batch: {minimum: 1, increment: 0.5}",
        "scale: 3, combine: max, metered: {reset: month}, caps: {total: 10.1}",
    )
    logged = Logged(path, LogRules(records=True))
    compiled = bundle(catalog)
    engine = Evaluator(compiled, Subjects(customer("acme")), publication=2, usage=Meter())
    logged.service.state.install(Generation(9, engine, 2, compiled.revision, NOW))
    check = b'{"subject": "acme", "feature": "storage", "amount": 8.5}'
    answers = []
    for _ in range(4):
        answers.append(logged.ask(check))
        logged.service.state.usage_changed("acme", [], ["storage"])

    lines = logged.lines()
    assert [basis["usage"] for basis in logged.bases()][:2] == [
        {"used": 0.5, "user_used": 0.001, "total_used": 0.502},
        {"used": 1, "user_used": 0.001, "total_used": 1.002},
    ]
    assert [again(one, catalog=catalog) for one in lines] == answers
    assert len({json.loads(answer)["reason"] for answer in answers}) > 1


def test_a_basis_is_read_as_it_was_written() -> None:
    """What has its default is left out, and comes back."""
    override = Override("o1", "movies", OverrideMode.REPLACE, Amount(5), NOW, FOREVER)
    whole = DecisionBasis(
        store="s1",
        position=0,
        version="1",
        stale_at=format_instant(NOW),
        stale_deny=True,
        fetched=False,
        loaded=False,
        errors=("oh",),
        record=customer("acme", overrides=(override, disabled("movies", NOW, FOREVER))),
    )

    assert basis_json(DecisionBasis()) == b"{}"
    assert read_basis(b"{}") == DecisionBasis()
    assert read_basis(basis_json(whole)) == whole
    assert whole.stale_instant == NOW
    assert DecisionBasis.stale_text(FOREVER) is None


@pytest.mark.parametrize("text", [b"[]", b'{"position": "x"}', b'{"stale_at": "soon"}', b'{"record": [1]}', b"{"])
def test_what_is_no_basis_is_refused(text: bytes) -> None:
    """With what is wrong about it."""
    with pytest.raises(ValueError, match=r"\w+"):
        read_basis(text)


def test_the_clock_of_a_line_is_the_one_that_decided(path: Path) -> None:
    """A repeated answer is made again at its own instant, with the same bytes."""
    clock = Clock()
    until = NOW + 1_000
    logged = Logged(path, LogRules(records=True))
    logged.service.publish(customer("acme", overrides=(disabled("movies", until, until + 1_000),)))
    answers = []
    for clock.now in (NOW, NOW + 1, until - 1, until, until + 999, until + 1_000):
        logged.service.clock.now = clock.now
        answers.append(logged.ask())

    assert [again(one) for one in logged.lines()] == answers
    assert [json.loads(answer)["allowed"] for answer in answers] == [True, True, True, False, False, True]
