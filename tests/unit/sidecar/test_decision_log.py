from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import NOW, Service, customer, post
from tests.wire import Connection
from tiergate.model import Reason, format_instant
from tiergate.sidecar.decision_log import DecisionLog, LogRules, Mask
from tiergate.sidecar.request_context import NO_CONTEXT, RequestContext

if TYPE_CHECKING:
    from pathlib import Path

CHECK = b'{"subject": {"id": "acme", "user": "u1"}, "feature": "movies", "amount": 1.0, "used": 12}'
TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def logged(path: Path, log: DecisionLog) -> list[dict[str, Any]]:
    """Everything that is in the log by now."""
    assert log.flush(10)
    return [json.loads(line) for line in path.read_text().splitlines()]


def record(check: bytes = CHECK, decision: bytes = b'{"allowed":true}', context: RequestContext = NO_CONTEXT) -> Any:  # noqa: ANN401
    """A record as a decider offers it."""
    return b"d1", NOW + 7, check, decision, context, 123_456, b'{"position":7}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log is to be."""
    return tmp_path / "decisions.ndjson"


def test_a_record_tells_the_check_the_decision_and_where_in_a_trace_it_was(path: Path) -> None:
    """On one line, its numbers as they were."""
    log = DecisionLog(str(path))
    log.start()
    log.offer(
        record(
            b'{"subject": "acme",\n "feature": "movies",\r\n "amount": 1.0}',
            context=RequestContext(b"r1", TRACE, b"a=b"),
        )
    )
    log.close()

    (line,) = path.read_text().splitlines()
    assert '"amount": 1.0' in line
    assert json.loads(line) == {
        "id": "d1",
        "time": format_instant(NOW + 7),
        "request": {"subject": "acme", "feature": "movies", "amount": 1.0},
        "decision": {"allowed": True},
        "basis": {"position": 7},
        "duration_us": 123.4,
        "request_id": "r1",
        "traceparent": TRACE.decode(),
        "tracestate": "a=b",
    }


def test_every_answer_is_logged_whichever_way_it_took(path: Path) -> None:
    """First, remembered and repeated ones, traced ones, and each of a batch, by the ids that the answers had."""
    log = DecisionLog(str(path))
    log.start()
    service = Service(customer("acme"), log=log)
    check = {"subject": "acme", "feature": "movies"}
    ids = []
    with service.serve() as where, Connection(where.connect()) as connection:
        ids += [connection.ask(post("/v1/check", check)).headers["tiergate-decision-id"] for _ in range(4)]
        for place in range(2):
            traced = post("/v1/check", check, headers={"traceparent": TRACE.decode(), "X-Request-ID": f"r{place}"})
            ids.append(connection.ask(traced).headers["tiergate-decision-id"])
        for _ in range(2):
            batch = connection.ask(post("/v1/checks", {"checks": [check, {"subject": 1}, check]}))
            ids += [f"{batch.headers['tiergate-decision-id']}.{place}" for place in (0, 2)]
    records = logged(path, log)
    log.close()

    assert [entry["id"] for entry in records] == ids
    assert {json.dumps(entry["request"]) for entry in records} == {json.dumps(check)}
    assert {entry["decision"]["reason"] for entry in records} == {"granted"}
    assert [entry.get("request_id") for entry in records] == [None] * 4 + ["r0", "r1"] + [None] * 4
    assert [entry.get("traceparent") for entry in records] == [None] * 4 + [TRACE.decode()] * 2 + [None] * 4


@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        (LogRules(), ["movies:granted", "analytics:granted", "movies:limit_reached", "analytics:unknown_subject"]),
        (LogRules(allowed=True), ["movies:granted", "analytics:granted"]),
        (LogRules(allowed=False), ["movies:limit_reached", "analytics:unknown_subject"]),
        (
            LogRules(reasons=frozenset({Reason.LIMIT_REACHED, Reason.GRANTED}), features=frozenset({"movies"})),
            [
                "movies:granted",
                "movies:limit_reached",
            ],
        ),
        (LogRules(sample=0), []),
    ],
)
def test_only_what_is_wanted_is_logged(path: Path, rules: LogRules, wanted: list[str]) -> None:
    """By outcome, reason, feature and share."""
    log = DecisionLog(str(path), rules)
    log.start()
    service = Service(customer("acme"), log=log)
    service.check(b'{"subject": "acme", "feature": "movies"}')
    service.check(b'{"subject": "acme", "feature": "analytics"}')
    service.check(b'{"subject": "acme", "feature": "movies", "used": 50}')
    service.check(b'{"subject": "nobody", "feature": "analytics"}')
    records = logged(path, log)
    log.close()

    assert [f"{entry['decision']['feature']}:{entry['decision']['reason']}" for entry in records] == wanted
    assert log.dropped == 0


def test_a_sample_is_about_its_share(path: Path) -> None:
    """Of many."""
    log = DecisionLog(str(path), LogRules(sample=0.25))
    log.start()
    for _ in range(4_000):
        log.offer(record())
    log.close()

    assert 800 < len(path.read_text().splitlines()) == log.written < 1_200


@pytest.mark.parametrize("subject", [*Mask])
@pytest.mark.parametrize("user", [*Mask])
def test_names_can_be_masked(path: Path, subject: Mask, user: Mask) -> None:
    """Left out, or replaced so that equal ones stay equal; also a subscription among the sources."""
    log = DecisionLog(str(path), LogRules(subject=subject, user=user, key=b"k" * 32))
    log.start()
    service = Service(customer("acme"), log=log)
    for _ in range(2):
        service.check(CHECK)
    service.check(b'{"subject": "acme", "feature": "movies"}')
    records = logged(path, log)
    log.close()

    first, second, short = (entry["request"]["subject"] for entry in records)
    sources = [entry["decision"]["sources"][0].get("subscription") for entry in records]
    text = path.read_text()
    assert first == second
    assert ("acme" in text, "u1" in text) == (subject is Mask.KEEP, user is Mask.KEEP)
    assert ("id" in first, "user" in first) == (subject is not Mask.DROP, user is not Mask.DROP)
    if subject is Mask.HASH:
        assert first["id"] == short["id"]
        assert first["id"].startswith("blake2b:")
        assert sources[0].startswith("blake2b:")
        assert sources[0] != first["id"]
    if subject is Mask.DROP:
        assert sources == [None] * 3
    assert '"amount":1.0' in text.replace(" ", "")


def test_hashes_differ_by_their_key(path: Path) -> None:
    """So that nobody without it can look for a name."""
    found = set()
    for key in (b"a" * 32, b"b" * 32):
        log = DecisionLog(str(path), LogRules(subject=Mask.HASH, key=key))
        log.start()
        log.offer(record())
        found.add(logged(path, log)[-1]["request"]["subject"]["id"])
        log.close()

    assert len(found) == 2


def test_what_does_not_fit_is_dropped_and_counted(path: Path) -> None:
    """A check never waits for the log."""
    log = DecisionLog(str(path), capacity=10)
    for _ in range(25):
        log.offer(record())
    log.start()
    log.close()

    assert (log.written, log.dropped) == (10, 15)
    assert len(path.read_text().splitlines()) == 10


def test_a_log_that_cannot_be_opened_says_so_at_the_start(tmp_path: Path) -> None:
    """Whoever starts the sidecar must know."""
    with pytest.raises(OSError, match="No such file or directory"):
        DecisionLog(str(tmp_path / "missing" / "log")).start()


def test_a_log_that_cannot_be_written_any_more_drops_and_goes_on(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And says so once; when it can be written again, it is."""
    log = DecisionLog(str(path))
    log.start()
    log.offer(record())
    assert log.flush(10)
    path.unlink()
    path.mkdir()
    log.reopen()
    log._file = _full()
    for _ in range(3):
        log.offer(record())
        assert log.flush(10)
    dropped = log.dropped
    path.rmdir()
    log.reopen()
    log.offer(record())
    log.close()

    assert (dropped, log.dropped, log.written) == (3, 3, 2)
    assert len(path.read_text().splitlines()) == 1
    assert sum("cannot write the decision log" in message for message in caplog.messages) == 1


def _full() -> int:
    """A file on a device that is always full."""
    return os.open("/dev/full", os.O_WRONLY)


def test_a_log_that_was_moved_is_opened_anew(path: Path) -> None:
    """As rotation does; without any signal."""
    log = DecisionLog(str(path))
    log.start()
    log.offer(record())
    assert log.flush(10)
    moved = path.with_suffix(".1")
    path.rename(moved)
    log._stat_at = 0
    log.offer(record())
    log.close()

    assert [len(file.read_text().splitlines()) for file in (moved, path)] == [1, 1]


def test_a_log_is_opened_anew_when_told(path: Path) -> None:
    """As on SIGHUP; records that were offered before may still go where it was."""
    log = DecisionLog(str(path))
    log.start()
    log.offer(record())
    assert log.flush(10)
    path.rename(path.with_suffix(".1"))
    log.reopen()
    assert log.flush(10)
    log.offer(record())
    log.close()

    assert len(path.read_text().splitlines()) == 1


def test_a_log_file_is_its_owners_alone(path: Path) -> None:
    """It says who asked for what."""
    log = DecisionLog(str(path))
    log.start()
    log.close()

    assert path.stat().st_mode & 0o777 == 0o600


def test_a_log_can_go_to_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    """Where a container's runtime takes it."""
    log = DecisionLog("-")
    log.start()
    log.offer(record())
    log.close()

    assert json.loads(capfd.readouterr().out)["id"] == "d1"


def test_a_reader_that_does_not_read_holds_up_nobody(tmp_path: Path) -> None:
    """The thread waits for it, checks do not, and the end waits only for a while."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    log = DecisionLog(str(pipe), capacity=2_000)
    log.start()
    for _ in range(10_000):
        log.offer(record())
    log.close(0.2)

    assert log.dropped >= 10_000 - 2_000 - 256 * 2
    log._thread.join(10)
    assert not log._thread.is_alive()
    os.close(reading)


def test_a_fifo_without_a_reader_holds_up_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the start, nor answers, nor the end; what is dropped is counted. A reader that comes is served."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    log = DecisionLog(str(fifo))
    log.start()
    assert "cannot write the decision log" in caplog.text
    service = Service(customer("acme"), log=log)
    assert service.check(CHECK).status == 200
    assert log.flush(10)
    assert (log.written, log.dropped) == (0, 1)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    service.check(CHECK)
    assert log.flush(10)
    assert (log.written, log.dropped) == (1, 1)
    assert os.read(reading, 10_000).endswith(b"}\n")
    log.close()
    os.close(reading)


def test_a_full_pipe_holds_up_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said after a second, what waits is bounded, and the end comes after its time; nothing is written twice."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    log = DecisionLog(str(fifo), capacity=1_000)
    log.start()
    service = Service(customer("acme"), log=log)
    for _ in range(3_000):
        assert service.check(CHECK).status == 200
    assert not log.flush(1.5)
    assert "no process reads it" in caplog.text
    began = time.monotonic()
    log.close(0.5)
    assert time.monotonic() - began < 5
    lines = _drain(reading).split(b"\n")
    os.close(reading)
    assert log.written <= len(lines) - 1
    assert log.written + log.dropped == 3_000
    for line in lines[:-1]:
        json.loads(line)


def test_a_slow_reader_gets_everything(tmp_path: Path) -> None:
    """Lines that are larger than what the pipe holds at once, too."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    log = DecisionLog(str(fifo))
    log.start()
    service = Service(customer("acme"), log=log)
    for _ in range(2_000):
        service.check(CHECK)
    content = b""
    while not log.flush(0.01):
        content += _drain(reading)
    content += _drain(reading)
    log.close()
    os.close(reading)
    assert len([json.loads(line) for line in content.splitlines()]) == 2_000
    assert log.dropped == 0


def test_a_folder_is_refused_at_the_start(tmp_path: Path) -> None:
    """As anything that can never be written."""
    with pytest.raises(IsADirectoryError):
        DecisionLog(str(tmp_path)).start()


def _drain(reading: int) -> bytes:
    content = b""
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(reading, 65_536):
            content += piece
    return content
