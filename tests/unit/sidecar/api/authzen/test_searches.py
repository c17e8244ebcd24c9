from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import Service, customer, post
from tests.wire import Connection
from tiergate.sidecar import time_slicing
from tiergate.sidecar.api.authzen import searches

if TYPE_CHECKING:
    from collections.abc import Iterator

ACME = {"type": "customer", "id": "acme"}
ACCESS = {"name": "access"}
MOVIES = {"type": "feature", "id": "movies"}
FEATURES = ["analytics", "api-limit", "movies", "storage", "support"]


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    """A connection to a sidecar that knows acme (gold), bob (silver) and none (nothing)."""
    records = (customer("acme"), customer("bob", "silver"), customer("none", "nothing"))
    with Service(*records).serve() as where, Connection(where.connect()) as opened:
        yield opened


def search(connection: Connection, target: str, **body: Any) -> Any:  # noqa: ANN401 - any JSON
    """The results and the page of a search."""
    answer = connection.ask(post(f"/access/v1/search/{target}", body))
    assert answer.status == 200, answer.body
    return answer.json()


def names(found: Any) -> list[str]:  # noqa: ANN401 - any JSON
    """The names or ids of the results."""
    return [it["name"] if "name" in it else it["id"] for it in found["results"]]


@pytest.mark.parametrize(
    ("target", "body", "expected"),
    [
        ("resource", {"subject": ACME, "action": ACCESS, "resource": {"type": "feature"}}, FEATURES),
        ("resource", {"subject": ACME, "action": ACCESS, "resource": MOVIES}, FEATURES),
        ("resource", {"subject": ACME, "action": {"name": "set"}, "resource": {"type": "feature"}}, ["api-limit"]),
        (
            "resource",
            {"subject": ACME, "action": ACCESS, "resource": {"type": "feature"}, "context": {"used": 11}},
            ["analytics", "api-limit", "movies", "support"],
        ),
        ("resource", {"subject": ACME, "action": ACCESS, "resource": {"type": "ship"}}, []),
        ("resource", {"subject": ACME, "action": {"name": "fly"}, "resource": {"type": "feature"}}, []),
        ("action", {"subject": ACME, "resource": MOVIES}, ["access", "consume"]),
        ("action", {"subject": ACME, "resource": MOVIES, "action": ACCESS}, ["access", "consume"]),
        ("action", {"subject": {"type": "customer", "id": "nobody"}, "resource": MOVIES}, []),
        ("action", {"subject": ACME, "resource": {"type": "feature", "id": "moves"}}, []),
        ("subject", {"subject": {"type": "customer"}, "action": ACCESS, "resource": MOVIES}, ["acme", "bob"]),
        ("subject", {"subject": ACME, "action": ACCESS, "resource": MOVIES}, ["acme", "bob"]),
        (
            "subject",
            {"subject": {"type": "subscription"}, "action": ACCESS, "resource": MOVIES},
            ["sub-acme", "sub-bob"],
        ),
        ("subject", {"subject": {"type": "user"}, "action": ACCESS, "resource": MOVIES}, []),
        ("subject", {"subject": {"type": "spaceship"}, "action": ACCESS, "resource": MOVIES}, []),
    ],
)
def test_a_search_finds_what_is_permitted(
    connection: Connection, target: str, body: dict[str, Any], expected: list[str]
) -> None:
    """In order, whole, and each with its type; the id of what is looked for is ignored."""
    found = search(connection, target, **body)

    assert names(found) == expected
    assert found["page"] == {"next_token": "", "count": len(expected)}
    if target != "action":
        assert {it["type"] for it in found["results"]} <= {body[target]["type"]}


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_pages_make_the_whole(connection: Connection, limit: int) -> None:
    """Each with a token for the next, which knows the limit; the last with none."""
    body = {"subject": ACME, "action": ACCESS, "resource": {"type": "feature"}}
    found = search(connection, "resource", **body, page={"limit": limit})
    result = names(found)
    while found["page"]["next_token"]:
        assert len(found["results"]) == limit
        found = search(connection, "resource", **body, page={"token": found["page"]["next_token"]})
        result += names(found)

    assert result == FEATURES


def test_a_page_looks_at_so_many_at_most(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says where to go on, though it is not full."""
    monkeypatch.setattr(searches, "_MOST_LOOKED_AT", 1)
    body = {"subject": {"type": "customer"}, "action": ACCESS, "resource": {"type": "feature", "id": "analytics"}}
    found = [search(connection, "subject", **body)]
    while found[-1]["page"]["next_token"]:
        found.append(search(connection, "subject", **body, page={"token": found[-1]["page"]["next_token"]}))

    assert [names(it) for it in found] == [["acme"], [], []]


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("subject", {"subject": {"type": "customer"}, "resource": MOVIES}),
        ("subject", {"subject": {"type": "customer"}, "action": ACCESS, "resource": {"type": "feature"}}),
        ("resource", {"action": ACCESS, "resource": {"type": "feature"}}),
        ("resource", {"subject": {"type": "customer"}, "action": ACCESS, "resource": {"type": "feature"}}),
        ("action", {"subject": ACME}),
        ("action", {"subject": {"type": "customer"}, "resource": MOVIES}),
        ("action", {"subject": ACME, "resource": MOVIES, "page": {"limit": -1}}),
        ("action", {"subject": ACME, "resource": MOVIES, "page": {"limit": True}}),
        ("action", {"subject": ACME, "resource": MOVIES, "page": {"token": "x"}}),
        ("action", {"subject": ACME, "resource": MOVIES, "page": 7}),
    ],
)
def test_a_wrong_search_is_400(connection: Connection, target: str, body: dict[str, Any]) -> None:
    """What each search needs differs."""
    assert connection.ask(post(f"/access/v1/search/{target}", body)).status == 400


def test_a_token_is_of_one_search(connection: Connection) -> None:
    """Another question, or another limit, is an error."""
    body = {"subject": ACME, "action": ACCESS, "resource": {"type": "feature"}}
    token = search(connection, "resource", **body, page={"limit": 2})["page"]["next_token"]
    for subject, page in (({"type": "customer", "id": "bob"}, {}), (ACME, {"limit": 3})):
        other = {**body, "subject": subject, "page": {**page, "token": token}}
        assert connection.ask(post("/access/v1/search/resource", other)).status == 400


def test_whoever_has_not_all_subjects_does_not_search_them() -> None:
    """A sidecar on demand says so."""

    class Fetcher:
        def is_known(self, _: object) -> bool:
            return True

        async def fetch(self, _: object) -> bool:
            return True

    body = {"subject": {"type": "customer"}, "action": ACCESS, "resource": MOVIES}
    with Service(customer("acme"), ensures=Fetcher()).serve() as where, Connection(where.connect()) as connection:
        answer = connection.ask(post("/access/v1/search/subject", body))
    assert (answer.status, answer.json()["type"]) == (501, "urn:tiergate:problem:not-searchable")


def test_a_page_rests_on_one_edition_of_its_subject(monkeypatch: pytest.MonkeyPatch) -> None:
    """A customer who loses everything between two slices has nothing, not the half that was looked at before."""
    monkeypatch.setattr(time_slicing, "_SLICE_NS", -1)
    service = Service(customer("acme"))
    adapter = searches.SearchAdapter(service.service)
    body = json.dumps({"subject": ACME, "action": ACCESS, "resource": {"type": "feature"}}).encode()

    async def main() -> bytes:
        task = asyncio.create_task(adapter.respond("resource", body))
        for _ in range(3):
            await asyncio.sleep(0)
        service.subjects.records["acme"] = customer("acme", "nothing")
        service.state.subject_changed("acme", ["sub-acme"])
        return (await task).body

    assert names(json.loads(asyncio.run(main()))) == []
