"""`/v1/outcomes` of the sidecar, over its real protocol, in one process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from tests.serving import NOW, Service, customer, get, post
from tests.wire import Connection
from tiergate.errors import CheckError
from tiergate.model import format_instant
from tiergate.sidecar.api.openapi import description
from tiergate.sidecar.outcomes.outcome_service import AHEAD_MS, OLDEST_MS, OutcomesAbsence
from tiergate.sidecar.usage.journal_files import JournalWriter
from tiergate.status.outcomes import MINUTE_MS, minute_of
from tiergate.wire import outcome_reader
from tiergate.wire.outcome_reader import read_outcomes
from tiergate.wire.outcomes import MAX_DURATION_MS, MAX_OUTCOME_ID, MAX_OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOCUMENT = description()
CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: calls, type: quantity, service_level: {availability: 99.9, latency_ms: 300}}
  - {id: movies, type: switch}
items:
  - {id: gold, kind: plan, entitlements: {calls: 10, movies: true}, service_levels: {calls: {latency_ms: 100}}}
"""


class Client:
    """A connection to a sidecar that counts outcomes. Each test has a minute of its own."""

    def __init__(self, service: Service, connection: Connection) -> None:
        self.service = service
        self.connection = connection
        self.minute = minute_of(NOW)

    def post(self, body: Any, status: int = 200, **headers: str) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Return the answer; see that it is as the document says."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.connection.ask(post("/v1/outcomes", body, headers=named))
        assert answer.status == status, answer.body
        check_answer("post", status, answer.json())
        return dict(answer.json())

    def report(self, feature: str = "calls", *, ok: bool = True, **more: object) -> bool:
        """Report one outcome; return whether it was counted before."""
        return bool(self.post({"feature": feature, "ok": ok, **more})["replayed"])

    def read(self, feature: str = "calls") -> list[tuple[int, int, dict[str, int]]]:
        """Return requests, failures and slow ones of the minutes from this test's on."""
        answer = self.connection.ask(get(f"/v1/outcomes?feature={feature}&from={format_instant(self.minute)}"))
        check_answer("get", answer.status, answer.json())
        return [(one["requests"], one["failed"], one.get("slow", {})) for one in answer.json()["minutes"]]


def check_answer(method: str, status: int, value: object) -> None:
    """See that an answer is what the document says."""
    responses = DOCUMENT["paths"]["/v1/outcomes"][method]["responses"]
    response = responses.get(str(status), responses["default"])
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    (media,) = response["content"].values()
    Draft202012Validator(media["schema"] | {"components": DOCUMENT["components"]}).validate(value)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A sidecar that counts."""
    service = Service(customer("acme"), catalog=CATALOG, outcomes=tmp_path_factory.mktemp("outcomes"))
    with service.serve() as where, Connection(where.connect()) as connection:
        yield Client(service, connection)


@pytest.fixture
def client(opened: Client) -> Client:
    """The same, two days after the last test: nothing that it reported is in reach."""
    opened.service.clock.now += 2 * OLDEST_MS
    opened.minute = minute_of(opened.service.clock.now)
    return opened


def test_outcomes_are_added_up_by_minute(client: Client) -> None:
    """Singly and together; a failed one is not slow too, and each promised latency is counted."""
    for _ in range(3):
        assert not client.report()
    client.report(ok=False, duration_ms=1_000)
    client.report(duration_ms=300)
    client.service.clock.now += MINUTE_MS
    several = [{"feature": "calls", "ok": True, "duration_ms": 300.5}, {"feature": "movies", "ok": False}]
    assert client.post({"outcomes": several})["results"] == [{"replayed": False}] * 2
    assert client.read() == [(5, 1, {"100": 1, "300": 0}), (1, 0, {"100": 1, "300": 1})]
    assert client.read("movies") == [(1, 1, {})]


def test_more_latencies_than_a_batch_may_have_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the control plane would refuse the batch, and all later ones would wait behind it."""
    monkeypatch.setattr("tiergate.sidecar.outcomes.outcome_service.LATENCIES_MOST", 1)
    service = Service(customer("acme"), catalog=CATALOG, outcomes=tmp_path)
    with service.serve() as where, Connection(where.connect()) as connection:
        client = Client(service, connection)
        client.report(duration_ms=200)
        assert client.read() == [(1, 0, {"100": 1})]


def test_errors_stand_in_place_and_the_others_count(client: Client) -> None:
    """Each names its place; an unknown feature is named, with the nearest."""
    good = {"feature": "calls", "ok": True}
    wrong = [
        {"feature": "cals", "ok": True},
        {"feature": "calls"},
        {"feature": "calls", "ok": 1},
        {"feature": "calls", "ok": True, "duration_ms": -1},
        {"feature": "calls", "ok": True, "at": "yesterday"},
        {"feature": "calls", "ok": True, "id": "x" * (MAX_OUTCOME_ID + 1)},
        {"feature": "calls", "ok": True, "durations_ms": 1},
        7,
    ]
    results = client.post({"outcomes": [good, *wrong, good]})["results"]
    assert [results[0], results[-1]] == [{"replayed": False}] * 2
    assert [(it["status"], it["field"]) for it in results[1:-1]] == [
        (404, "/outcomes/1/feature"),
        (400, "/outcomes/2/ok"),
        (400, "/outcomes/3/ok"),
        (400, "/outcomes/4/duration_ms"),
        (400, "/outcomes/5/at"),
        (400, "/outcomes/6/id"),
        (400, "/outcomes/7/durations_ms"),
        (400, "/outcomes/8"),
    ]
    assert (results[1]["suggestion"], "`cals`" in results[1]["detail"]) == ("calls", True)
    assert client.read() == [(2, 0, {"100": 0, "300": 0})]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"feature": "cals", "ok": True}, 404, "/feature"),
        ({"feature": "calls", "ok": "yes"}, 400, "/ok"),
        ({"outcomes": {}}, 400, "/outcomes"),
        ({"outcomes": [{}] * (MAX_OUTCOMES + 1)}, 400, "/outcomes"),
        ({"outcomes": [], "feature": "calls"}, 400, "/feature"),
        ([], 400, ""),
    ],
)
def test_a_wrong_request_is_refused(client: Client, body: object, status: int, field: str) -> None:
    """One alone has the status of its problem."""
    assert client.post(body, status).get("field") == field


def test_an_id_counts_once(client: Client) -> None:
    """For each feature; on the wire again, in the same batch, in the header, and after a restart's replay."""
    assert not client.report(id="a")
    assert client.report(id="a", ok=False)
    assert not client.report("movies", id="a")
    again = {"feature": "calls", "ok": True, "id": "b"}
    results = client.post({"outcomes": [again, again, {"feature": "calls", "ok": True}]})["results"]
    assert [it["replayed"] for it in results] == [False, True, False]
    assert client.post({"feature": "calls", "ok": True}, Idempotency_Key="b")["replayed"]
    assert client.post({"feature": "calls", "ok": True, "id": "c"}, 400, Idempotency_Key="b")["field"] == "/id"
    assert client.post({"outcomes": [again]}, 400, Idempotency_Key="b")["field"] == "Idempotency-Key"
    assert client.read() == [(3, 0, {"100": 0, "300": 0})]


def test_an_outcome_may_be_late_and_not_of_the_future(client: Client) -> None:
    """A day late; as much ahead as clocks differ counts now."""
    now = client.service.clock.now
    assert not client.report(at=format_instant(now - OLDEST_MS))
    assert not client.report(at=format_instant(now + AHEAD_MS))
    for at, slug in ((now - OLDEST_MS - 1, "outcome-too-old"), (now + AHEAD_MS + 1, "outcome-in-the-future")):
        problem = client.post({"feature": "calls", "ok": True, "at": format_instant(at)}, 422)
        assert (problem["type"].rpartition(":")[2], problem["field"]) == (slug, "/at")
    assert client.read() == [(1, 0, {"100": 0, "300": 0})]
    client.minute -= OLDEST_MS
    assert len(client.read()) == 2


def test_a_query_is_read_strictly(client: Client) -> None:
    """It names a feature that is known; by default it is about the last hour."""
    client.report()
    for query, status in (
        ("feature=cals", 404),
        ("from=2026-01-01", 400),
        ("feature=calls&from=x", 400),
        ("feature=calls&to=1", 400),
    ):
        assert client.connection.ask(get(f"/v1/outcomes?{query}")).status == status
    assert len(client.connection.ask(get("/v1/outcomes?feature=calls")).json()["minutes"]) == 1
    client.service.clock.now += 3_600_000 + MINUTE_MS
    assert client.connection.ask(get("/v1/outcomes?feature=calls")).json()["minutes"] == []


def test_what_cannot_be_written_is_not_counted(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller is told, its id stays free, and it counts when it comes again."""

    def fail(self: JournalWriter, records: bytes) -> None:  # noqa: ARG001 - as the method
        raise self.error(OSError(28, "No space left on device"))

    with monkeypatch.context() as broken:
        broken.setattr(JournalWriter, "write", fail)
        problem = client.post({"feature": "calls", "ok": True, "id": "x"}, 503)
        assert problem["type"].endswith(":outcomes-storage-full")
        assert client.read() == []
        client.post({"feature": "cals", "ok": True}, 404)  # needs no disk
        assert client.post({"outcomes": []})["results"] == []
    assert not client.report(id="x")
    assert client.read() == [(1, 0, {"100": 0, "300": 0})]


def test_too_many_sums_are_refused_one_by_one(client: Client) -> None:
    """What has its sum still counts."""
    recorder = client.service.recorder
    assert recorder is not None
    client.report()
    most, recorder.most_sums = recorder.most_sums, recorder.book.undelivered
    try:
        problem = client.post({"feature": "movies", "ok": True}, 503)
    finally:
        recorder.most_sums = most
    assert problem["type"].endswith(":outcomes-storage-full")


@pytest.mark.parametrize(
    ("absence", "status", "slug"),
    [
        (OutcomesAbsence.NO_DATA_FOLDER, 501, "outcomes-not-counted"),
        (OutcomesAbsence.READ_ONLY_FOLDER, 503, "outcomes-not-written"),
        (OutcomesAbsence.UNREADABLE, 503, "outcomes-not-written"),
    ],
)
def test_a_sidecar_that_counts_nothing_says_so(
    client: Client, absence: OutcomesAbsence, status: int, slug: str
) -> None:
    """To who reports and to who reads."""
    service = client.service.native.outcomes.service
    service.use(absence)
    try:
        assert client.post({"feature": "calls", "ok": True}, status)["type"].endswith(f":{slug}")
        assert client.connection.ask(get("/v1/outcomes?feature=calls")).status == status
    finally:
        assert client.service.recorder is not None
        service.use(client.service.recorder)


def test_a_restart_has_everything_again(tmp_path: Path) -> None:
    """Sums and ids, from records and from a snapshot."""
    folder = tmp_path / "outcomes"
    for turn in range(3):
        service = Service(customer("acme"), catalog=CATALOG, outcomes=folder)
        with service.serve() as where, Connection(where.connect()) as connection:
            client = Client(service, connection)
            assert client.report(id="first") is (turn > 0)
            client.report(id=f"turn {turn}")
            assert client.read() == [(turn + 2, 0, {"100": 0, "300": 0})]
            assert service.recorder is not None
            assert service.run(service.recorder.begin_snapshot)


@pytest.mark.parametrize(
    "body",
    [
        {"feature": "a", "ok": True},
        {"feature": "a:b", "ok": False, "duration_ms": 0.25},
        {"feature": "a", "ok": True, "at": "2026-11-30T14:03:00Z", "id": "x:y"},
        {"outcomes": [{"feature": "a", "ok": True, "duration_ms": MAX_DURATION_MS}, {"feature": "b", "ok": False}]},
        {"outcomes": []},
        '{"feature": "a", "ok": true, "ok": false}',
        '{"feature": "a", "ok": true, "id": "\\u003a", "id": "b"}',
        '{"outcomes": [{"feature": "a", "ok": true, "ok": true}]}',
        '{"outcomes": [{"feature": "a", "ok": true}], "outcomes": []}',
        '{"feature": "", "ok": true}',
        '{"feature": "a", "ok": true, "id": ""}',
        '{"feature": "a", "ok": null}',
        '{"feature": "a", "ok": true, "at": null}',
        '{"feature": "a", "ok": true, "duration_ms": 1e400}',
        '{"feature": "a", "ok": true, "duration_ms": 1000000000.5}',
        '{"feature": "a", "ok": true, "id": "\\ud800"}',
        "[1]",
        "nothing",
    ],
)
def test_the_quick_reader_reads_as_the_thorough_one(body: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same outcomes, or the same error."""
    text = body if isinstance(body, str) else json.dumps(body)

    def read() -> object:
        try:
            outcomes, is_list = read_outcomes(text.encode())
        except Exception as error:  # noqa: BLE001 - compared
            return str(error)
        return [str(it) if isinstance(it, CheckError) else it for it in outcomes], is_list

    quickly = read()
    monkeypatch.setattr(outcome_reader, "_read_quickly", lambda _: None)
    assert quickly == read()
