"""AuthZEN's certification scenario: its fixture as a folder of rules, and each case of all four levels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from tests.serving import Service, customer, get, post
from tests.wire import Answer, Connection, request
from tiergate.sidecar.api.app import NativeApi, app
from tiergate.sidecar.api.request_limits import Access

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE: Final = Path(__file__).parent / "certification"
ENDINGS: Final = (".cedar", ".cedarschema", ".json")
FIXTURE: Final = tuple((it.name, it.read_text()) for it in sorted(HERE.iterdir()) if it.suffix in ENDINGS)
CASES: Final = {
    (path, name): case
    for path, cases in yaml.safe_load((HERE / "cases.yaml").read_text()).items()
    if path.startswith(("evaluation", "search"))
    for name, case in cases.items()
}


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    """A connection to a sidecar with the fixture among its rules."""
    with Service(customer("acme"), rules=FIXTURE).serve() as where, Connection(where.connect()) as opened:
        yield opened


def asked(connection: Connection, path: str, case: dict[str, Any]) -> Answer:
    """The answer to a case."""
    return connection.ask(post(f"/access/v1/{path}", case["text"] if "text" in case else case["body"]))


def names(answer: Answer) -> list[str]:
    """The names or ids of the results."""
    return [it["name"] if "name" in it else it["id"] for it in answer.json()["results"]]


@pytest.mark.parametrize(("path", "name"), CASES, ids=[f"{path} {name}" for path, name in CASES])
def test_a_case_passes(connection: Connection, path: str, name: str) -> None:
    """Status, form and values; the same each time it is asked (c-2-6), and with its request id (c-2-5)."""
    case = CASES[path, name]
    answers = [asked(connection, path, case) for _ in range(4)]
    answer = answers[0]

    assert {it.steady[0::2] for it in answers} == {answer.steady[0::2]}
    assert answer.status == case.get("status", 200)
    if answer.status != 200:
        return
    assert answer.headers["content-type"] == "application/json"
    if "decision" in case:
        assert answer.json()["decision"] is case["decision"]
    elif "decisions" in case:
        assert [it["decision"] for it in answer.json()["evaluations"]] == case["decisions"]
    else:
        found = names(answer)
        assert set(case.get("includes", ())) <= set(found)
        assert found == case.get("exactly", found)
        assert isinstance(answer.json()["page"]["next_token"], str)
        if "same_as" in case:
            assert found == names(asked(connection, path, case["same_as"]))


def test_pages(connection: Connection) -> None:
    """A limit, then the token without it (c-4-5)."""
    body = {"subject": {"type": "user"}, "action": {"name": "read"}, "resource": {"type": "record", "id": "record-1"}}
    first = connection.ask(post("/access/v1/search/subject", {**body, "page": {"limit": 1}}))
    token = first.json()["page"]["next_token"]
    second = connection.ask(post("/access/v1/search/subject", {**body, "page": {"token": token}}))

    assert (names(first), names(second)) == (["alice"], ["bob"])
    assert token
    assert second.json()["page"]["next_token"] == ""


def test_headers(connection: Connection) -> None:
    """The request id comes back (c-2-5-1); another media type is 400 (c-2-4-3)."""
    body = b'{"subject":{"type":"user","id":"alice"},"action":{"name":"read"},"resource":{"type":"record","id":"r"}}'
    head = {"Host": "localhost", "Content-Type": "text/plain", "Content-Length": str(len(body)), "X-Request-ID": "i-1"}
    answer = connection.ask(request("POST", "/access/v1/evaluation", head, body))
    assert (answer.status, answer.headers["x-request-id"]) == (400, "i-1")


def test_discovery() -> None:
    """Behind a proxy with TLS, every URL is its (c-6)."""
    service = Service(customer("acme"))
    service.native = NativeApi(service.service, authzen_url="https://pdp.example.com/")
    service.app = app(service.native, Access())
    with service.serve() as where, Connection(where.connect()) as connection:
        answer = connection.ask(get("/.well-known/authzen-configuration"))
    said = answer.json()

    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert said["policy_decision_point"] == "https://pdp.example.com"
    assert said["access_evaluation_endpoint"] == "https://pdp.example.com/access/v1/evaluation"
    assert all(url.startswith("https://pdp.example.com") for url in said.values())
