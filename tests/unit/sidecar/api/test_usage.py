from __future__ import annotations

import asyncio
import contextlib
import json
import select
import threading
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from tests.serving import Service, customer, get, post
from tests.usage_service import CATALOG, counting
from tests.wire import Connection, request
from tiergate.errors import JournalError
from tiergate.sidecar.api.openapi import description
from tiergate.sidecar.usage.journal_files import JournalWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOCUMENT = description()
DAY = 24 * 3600 * 1000


class Client:
    """A connection to a sidecar that counts usage, and the sidecar."""

    def __init__(self, service: Service, connection: Connection) -> None:
        self.service = service
        self.connection = connection

    def post(self, path: str, status: int = 200, /, **body: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Return the answer to a request; see that it has this status and is as the document says."""
        answer = self.connection.ask(post(path, body))
        found: dict[str, Any] = answer.json()
        assert answer.status == status, found
        template = "/".join("{id}" if len(part) == 24 else part for part in path.split("/"))
        check_answer(template, "post", status, found)
        return found

    def consume(self, amount: float | None = None, feature: str = "calls", **more: Any) -> dict[str, Any]:  # noqa: ANN401
        """Consume for acme."""
        named = {} if amount is None else {"amount": amount}
        return self.post("/v1/consume", **({"subject": "acme", "feature": feature} | named | more))

    def usage(self, feature: str, query: str = "subject=acme") -> dict[str, Any]:
        """Return the usage of one feature."""
        answer = self.connection.ask(get(f"/v1/usage?{query}&feature={feature}"))
        check_answer("/v1/usage", "get", answer.status, answer.json())
        (found,) = answer.json()["usage"]
        return dict(found)


def check_answer(path: str, method: str, status: int, value: Any) -> None:  # noqa: ANN401 - JSON
    """See that an answer is what the document says."""
    responses = DOCUMENT["paths"][path][method]["responses"]
    response = responses.get(str(status), responses["default"])
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    (media,) = response["content"].values()
    Draft202012Validator(media["schema"] | {"components": DOCUMENT["components"]}).validate(value)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Client]:
    """Serve acme and beta, with a plan each."""
    with counting(folder) as (service, where), Connection(where.connect()) as connection:
        yield Client(service, connection)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """A sidecar that counts."""
    with serving(tmp_path / "usage") as opened:
        yield opened


class TestConsume:
    def test_it_is_a_check_and_a_debit(self, client: Client) -> None:
        """The answer has the usage after it."""
        found = client.consume(3)
        assert (found["allowed"], found["consumed"], found["replayed"]) == (True, 3, False)
        assert (found["entitlement"]["used"], found["entitlement"]["remaining"]) == (3, 7)
        assert found["resets_at"] == "2023-12-01T00:00:00.000Z"
        assert client.consume()["entitlement"]["used"] == 4

    def test_a_denial_counts_nothing(self, client: Client) -> None:
        """It is 200, as a check's; the last unit can be consumed."""
        client.consume(8)
        denied = client.consume(3)
        assert (denied["allowed"], denied["reason"], denied["consumed"]) == (False, "limit_reached", 0)
        assert client.consume(2)["entitlement"]["remaining"] == 0
        assert not client.consume(1)["allowed"]

    def test_checks_know_the_usage_at_once(self, client: Client) -> None:
        """On every path: a repeated check, a batch, a list, an explanation."""
        check = {"subject": "acme", "feature": "calls", "amount": 10}
        for _ in range(3):
            assert client.connection.ask(post("/v1/check", check)).json()["allowed"]
        listed = client.connection.ask(get("/v1/entitlements?subject=acme"))
        client.consume(1)
        assert not client.connection.ask(post("/v1/check", check)).json()["allowed"]
        (result,) = client.connection.ask(post("/v1/checks", {"checks": [check]})).json()["results"]
        assert not result["allowed"]
        again = client.connection.ask(get("/v1/entitlements?subject=acme"))
        assert again.headers["etag"] != listed.headers["etag"]
        by_id = {entry["feature"]: entry for entry in again.json()["entitlements"]}
        assert by_id["calls"]["entitlement"]["used"] == 1
        assert client.connection.ask(post("/v1/explain", check)).json()["context"]["used"] == 1

    def test_a_new_window_begins_at_zero(self, client: Client) -> None:
        """What was used in the last one does not count."""
        client.consume(10)
        client.service.clock.now += 31 * DAY
        assert client.consume(10)["consumed"] == 10

    def test_decimals_are_exact(self, client: Client) -> None:
        """In units of the feature's scale."""
        for _ in range(15):
            assert client.consume(0.1, "traffic")["allowed"]
        assert client.consume(0.01, "traffic")["reason"] == "limit_reached"

    def test_a_soft_limit_is_exceeded_up_to_its_overage(self, client: Client) -> None:
        """And the answer says by how much."""
        assert client.consume(4, "exports")["entitlement"]["overage"] == 1
        assert client.consume(1, "exports")["entitlement"]["overage"] == 2
        assert client.consume(1, "exports")["reason"] == "limit_reached"

    def test_credits_are_drawn_together_or_not_at_all(self, client: Client) -> None:
        """Three for each image."""
        client.consume(6, "images")
        assert client.usage("credits")["used"] == 18
        assert client.consume(1, "images")["reason"] == "limit_reached"
        assert (client.usage("credits")["used"], client.usage("images")["used"]) == (18, 6)

    def test_a_user_has_a_cap_of_its_own(self, client: Client) -> None:
        """Beside the customer's limit."""
        first, second = {"id": "acme", "user": "u1"}, {"id": "acme", "user": "u2"}
        assert client.consume(6, "reports", subject=first)["allowed"]
        assert client.consume(1, "reports", subject=first)["reason"] == "cap_reached"
        assert client.consume(4, "reports", subject=second)["allowed"]
        assert client.usage("reports", "subject=acme&user=u1")["user_used"] == 6

    def test_a_cap_for_everybody_counts_all(self, client: Client) -> None:
        """Of every customer."""
        assert client.consume(8, "beds")["allowed"]
        assert client.consume(5, "beds", subject="beta")["reason"] == "cap_reached"
        assert client.consume(4, "beds", subject="beta")["allowed"]

    def test_a_subscription_counts_for_its_customer_too(self, client: Client) -> None:
        """A check on one reads what was booked on it; the customer's limit binds both."""
        held = {"type": "subscription", "id": "sub-acme"}
        client.consume(3)
        assert client.consume(5, subject=held)["entitlement"]["used"] == 5
        assert client.usage("calls")["used"] == 8
        assert client.usage("calls", "subject=sub-acme&type=subscription")["used"] == 5
        denied = client.consume(3, subject=held)
        assert (denied["reason"], denied["consumed"]) == ("limit_reached", 0)

    def test_an_unknown_subject_is_denied(self, client: Client) -> None:
        """As in a check."""
        assert client.consume(1, subject="nobody")["reason"] == "unknown_subject"

    @pytest.mark.parametrize(
        ("body", "status", "field"),
        [
            ({"feature": "call"}, 404, "/feature"),
            ({"feature": "seats"}, 400, "/feature"),
            ({"amount": 0}, 400, "/amount"),
            ({"amount": 1.5}, 400, "/amount"),
            ({"subject": {"id": "ext:x"}}, 400, "/subject/id"),
            ({"used": 3}, 400, "/used"),
        ],
    )
    def test_what_is_wrong_is_named(self, client: Client, body: dict[str, Any], status: int, field: str) -> None:
        """By a pointer into the body."""
        found = client.post("/v1/consume", status, **({"subject": "acme", "feature": "calls"} | body))
        assert found["field"] == field


class TestKeys:
    def test_the_same_request_counts_once(self, client: Client) -> None:
        """And has the first answer, also after a restart."""
        first = client.consume(3, key="k")
        again = client.consume(3.0, key="k")
        assert again == first | {"replayed": True}
        assert client.usage("calls")["used"] == 3

    def test_a_key_may_be_in_the_header(self, client: Client) -> None:
        """On the slow path, and on the fast one."""
        for number in range(3):
            for replayed in (False, True):
                raw = post(
                    "/v1/consume", {"subject": "acme", "feature": "calls"}, headers={"Idempotency-Key": f'"h{number}"'}
                )
                answer = client.connection.ask(raw).json()
                assert (answer["key"], answer["replayed"]) == (f"h{number}", replayed)
        assert client.usage("calls")["used"] == 3

    def test_a_header_that_is_given_twice_is_a_mistake(self, client: Client) -> None:
        """It is not ignored: the request would count again when it is repeated."""
        raw = post("/v1/consume", {"subject": "acme", "feature": "calls"}, headers={"Idempotency-Key": "a"})
        raw = raw.replace(b"\r\n\r\n", b"\r\nIdempotency-Key: b\r\n\r\n", 1)
        assert client.connection.ask(raw).status == 400

    def test_other_content_is_refused(self, client: Client) -> None:
        """Whatever differs, and counts nothing."""
        client.consume(3, key="k")
        for more in ({"amount": 4}, {"subject": "beta"}, {"feature": "exports"}):
            body = {"subject": "acme", "feature": "calls", "amount": 3, "key": "k"} | more
            assert client.post("/v1/consume", 409, **body)["field"] == "/key"
        client.post("/v1/reserve", 409, subject="acme", feature="calls", amount=3, key="k")
        assert client.usage("calls")["used"] == 3

    def test_a_denial_leaves_the_key_free(self, client: Client) -> None:
        """It counted nothing, so that the same request may succeed later."""
        assert not client.consume(11, key="k")["allowed"]
        assert client.consume(10, key="k")["consumed"] == 10

    def test_a_key_is_kept_for_a_day(self, client: Client) -> None:
        """Then it is new again."""
        client.consume(3, "credits", key="k")
        client.service.clock.now += DAY - 1
        assert client.consume(3, "credits", key="k")["replayed"]
        client.service.clock.now += 1
        assert not client.consume(4, "credits", key="k")["replayed"]

    def test_made_keys_are_recognizable_and_refused(self, client: Client) -> None:
        """A caller that sends one back would count again."""
        key = client.consume(1)["key"]
        assert client.post("/v1/consume", 400, subject="acme", feature="calls", key=key)["field"] == "/key"


class TestReservations:
    def reserve(self, client: Client, amount: float = 4, **more: Any) -> str:  # noqa: ANN401 - JSON
        """Return the id of a reservation."""
        found = client.post("/v1/reserve", **({"subject": "acme", "feature": "calls", "amount": amount} | more))
        assert (found["allowed"], found["reserved"]) == (True, amount)
        return str(found["reservation"])

    def test_reserved_units_count_as_used(self, client: Client) -> None:
        """Until they are committed or released."""
        self.reserve(client)
        assert client.consume(7)["reason"] == "limit_reached"
        assert (client.usage("calls")["used"], client.usage("calls")["reserved"]) == (4, 4)

    def test_a_commit_may_be_of_a_part(self, client: Client) -> None:
        """The rest can be used; repeated, the answer is the same."""
        id_ = self.reserve(client)
        found = client.post(f"/v1/reservations/{id_}/commit", amount=1)
        assert (found["state"], found["consumed"], found["released"]) == ("committed", 1, 3)
        assert client.post(f"/v1/reservations/{id_}/commit", amount=1) == found | {"replayed": True}
        assert (client.usage("calls")["used"], client.usage("calls")["reserved"]) == (1, 0)
        assert client.post(f"/v1/reservations/{id_}/commit", 409)["title"] == "reservation ended"
        client.post(f"/v1/reservations/{id_}/release", 409)

    def test_a_commit_draws_as_much_as_it_consumes(self, client: Client) -> None:
        """And gives the other credits back."""
        id_ = self.reserve(client, 5, feature="images")
        assert client.usage("credits")["used"] == 15
        client.post(f"/v1/reservations/{id_}/commit", amount=2)
        assert (client.usage("credits")["used"], client.usage("credits")["reserved"]) == (6, 0)

    def test_a_release_gives_all_back(self, client: Client) -> None:
        """Also twice, and also after the expiry."""
        id_ = self.reserve(client, expires_in=60)
        assert client.post(f"/v1/reservations/{id_}/release")["released"] == 4
        assert client.post(f"/v1/reservations/{id_}/release")["replayed"]
        assert client.usage("calls")["used"] == 0

    def test_an_expired_reservation_is_given_back(self, client: Client) -> None:
        """By itself; a commit is too late."""
        id_ = self.reserve(client, expires_in=60)
        client.service.clock.now += 60_000
        assert client.post(f"/v1/reservations/{id_}/commit", 409)["title"] == "reservation expired"
        tick(client.service)
        assert client.usage("calls")["used"] == 0
        assert client.post(f"/v1/reservations/{id_}/commit", 409)["title"] == "reservation expired"
        assert client.post(f"/v1/reservations/{id_}/release")["state"] == "released"

    def test_more_than_is_reserved_cannot_be_committed(self, client: Client) -> None:
        """Nor an unknown reservation."""
        id_ = self.reserve(client)
        assert client.post(f"/v1/reservations/{id_}/commit", 400, amount=5)["field"] == "/amount"
        assert client.post(f"/v1/reservations/{'0' * 24}/commit", 404)["title"] == "unknown reservation"

    def test_a_repeated_reservation_is_the_same_one(self, client: Client) -> None:
        """By its key."""
        assert self.reserve(client, key="k") == self.reserve(client, key="k")
        assert client.usage("calls")["used"] == 4


class TestReports:
    def test_usage_after_the_fact_may_exceed(self, client: Client) -> None:
        """It has happened."""
        found = client.post("/v1/usage", subject="acme", feature="calls", amount=30)
        assert found["amount"] == 30
        assert client.usage("calls")["overage"] == 20
        assert client.consume(1)["reason"] == "limit_reached"

    def test_it_counts_in_the_window_of_its_instant(self, client: Client) -> None:
        """If that ended less than three days ago."""
        client.service.clock.now = 1_701_475_200_000  # 2 December 2023
        late = "2023-11-30T23:59:59Z"
        found = client.post("/v1/usage", subject="acme", feature="calls", amount=2, at=late)
        assert found["window"]["until"] == "2023-12-01T00:00:00.000Z"
        assert client.usage("calls")["used"] == 0
        too_late = client.post("/v1/usage", 422, subject="acme", feature="calls", at="2023-10-31T00:00:00Z")
        assert (too_late["title"], too_late["field"]) == ("usage too late", "/at")
        ahead = client.post("/v1/usage", 422, subject="acme", feature="calls", at="2024-01-01T00:00:00Z")
        assert ahead["title"] == "usage in the future"
        report = client.service.metrics.usage()
        assert report is not None
        assert report.late == {"counted": 1, "refused": 1}

    def test_several_are_answered_in_their_order(self, client: Client) -> None:
        """What is wrong with one does not keep the others from counting."""
        acme = {"subject": "acme", "feature": "calls"}
        records = [acme | {"key": "a"}, acme | {"feature": "cals"}, acme | {"key": "a"}, acme | {"subject": "nobody"}]
        results = client.post("/v1/usage", usage=records)["results"]
        assert [result.get("status", 200) for result in results] == [200, 404, 200, 404]
        assert [result.get("field") for result in results] == [None, "/usage/1/feature", None, "/usage/3/subject"]
        assert results[2]["replayed"]
        assert client.usage("calls")["used"] == 1

    @pytest.mark.parametrize("several", [False, True])
    def test_events_count_once_for_their_source_and_id(self, client: Client, several: bool) -> None:
        """In both forms of CloudEvents."""
        event: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/a", "type": "calls", "subject": "acme"}
        kind = "application/cloudevents-batch+json" if several else "application/cloudevents+json"
        for source, used in (("/a", 1), ("/a", 1), ("/b", 2)):
            body = event | {"source": source}
            raw = post("/v1/usage", json.dumps([body] if several else body), headers={"Content-Type": kind})
            assert client.connection.ask(raw).status == 200
            assert client.usage("calls")["used"] == used

    def test_another_media_type_is_refused(self, client: Client) -> None:
        """The known ones are named."""
        answer = client.connection.ask(post("/v1/usage", {}, headers={"Content-Type": "text/plain"}))
        assert answer.status == 415


class TestDurability:
    def test_everything_is_there_after_a_restart(self, tmp_path: Path) -> None:
        """Usage, keys and reservations."""
        with serving(tmp_path) as client:
            client.consume(3, key="k")
            id_ = str(client.post("/v1/reserve", subject="acme", feature="calls", amount=2)["reservation"])
            client.post("/v1/usage", subject="beta", feature="traffic", amount=0.25)
        with serving(tmp_path) as client:
            assert client.consume(3, key="k")["replayed"]
            assert client.usage("calls")["used"] == 5
            assert client.usage("traffic", "subject=beta")["used"] == 0.25
            assert client.post(f"/v1/reservations/{id_}/commit")["consumed"] == 2

    def test_a_feature_may_vanish_and_return(self, tmp_path: Path) -> None:
        """What was used of it stays."""
        without = CATALOG.replace("  - {id: beds, type: quantity, metered: {reset: never}, caps: {total: 12}}\n", "")
        without = without.replace("beds: 10, ", "")
        with serving(tmp_path) as client:
            client.consume(7, "beds")
            client.service.publish(customer("acme"), customer("beta"), catalog=without)
            client.post("/v1/consume", 404, subject="acme", feature="beds")
        with serving(tmp_path) as client:
            assert client.usage("beds")["used"] == 7

    def test_a_lower_limit_acts_at_once(self, client: Client) -> None:
        """And what was used stays used."""
        client.consume(5)
        lower = CATALOG.replace("calls: 10", "calls: 5")
        client.service.publish(customer("acme"), customer("beta"), catalog=lower)
        assert client.consume(1)["reason"] == "limit_reached"
        assert client.usage("calls")["used"] == 5

    def test_what_cannot_be_written_is_not_counted(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        """The caller is told, and may try again with the same key."""
        client.consume(1)

        def full(*_: object) -> None:
            raise JournalError("usage", "no space left on device", full=True)

        with monkeypatch.context() as patched:
            patched.setattr(JournalWriter, "write", full)
            body = {"subject": "acme", "feature": "calls", "amount": 4, "key": "k"}
            assert client.post("/v1/consume", 503, **body)["title"] == "usage storage full"
            client.post("/v1/reserve", 503, **body)
            client.post("/v1/usage", 503, **body)
            assert client.usage("calls")["used"] == 1
        assert not client.consume(4, key="k")["replayed"]
        assert client.usage("calls")["used"] == 5

    def test_nothing_is_answered_before_it_is_on_disk(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        """On the fast path too, where requests behind it wait for their turn."""
        client.consume(1)
        released = threading.Event()
        write = JournalWriter.write

        def slow(writer: JournalWriter, records: bytes) -> None:
            assert released.wait(10)
            write(writer, records)

        monkeypatch.setattr(JournalWriter, "write", slow)
        consume = post("/v1/consume", {"subject": "acme", "feature": "calls"})
        check = post("/v1/check", {"subject": "acme", "feature": "calls"})
        client.connection.send(consume)
        client.connection.send(check + consume)
        assert not select.select([client.connection.sock], [], [], 0.2)[0]
        released.set()
        answers = [read(client.connection) for _ in range(3)]
        assert [answer.get("consumed") for answer in answers] == [1, None, 1]
        assert answers[2]["entitlement"]["used"] == 3


def test_without_a_data_folder_the_setting_is_named() -> None:
    """A sidecar does not count in memory only."""
    service = Service(customer("acme"), catalog=CATALOG)
    with service.serve() as where, Connection(where.connect()) as connection:
        for raw in (
            post("/v1/consume", {"subject": "acme", "feature": "calls"}),
            post("/v1/reserve", {"subject": "acme", "feature": "calls"}),
            post("/v1/usage", {"subject": "acme", "feature": "calls"}),
            get("/v1/usage?subject=acme"),
            request("POST", "/v1/reservations/x/commit", {"Host": "localhost"}),
        ):
            answer = connection.ask(raw)
            assert answer.status == 501
            assert "`data`" in answer.json()["detail"]
        # Callers say what was used, as before.
        check = {"subject": "acme", "feature": "calls", "used": 10}
        assert connection.ask(post("/v1/check", check)).json()["reason"] == "limit_reached"


def read(connection: Connection) -> dict[str, Any]:
    """Return the next answer."""
    answer = connection.read()
    assert answer is not None
    return dict(answer.json())


def tick(service: Service) -> None:
    """Let the meter do what is due."""
    assert service.meter is not None
    assert service.loop is not None
    asyncio.run_coroutine_threadsafe(service.meter.tick(service.clock()), service.loop).result(10)
