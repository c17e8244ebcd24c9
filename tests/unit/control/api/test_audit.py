from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.unit.control.accountability import accountable
from tiergate.store import Author

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.control.accountability import Accountable
    from tiergate.store import WriteUnit


@pytest.fixture
def api(sqlite_url: str) -> Iterator[Accountable]:
    """Give the API on a store in which 300 things were done."""
    with accountable(sqlite_url) as served:

        def work(unit: WriteUnit) -> None:
            for number in range(300):
                unit.audit("thing.made", "thing", f"t{number}", after={"by": "okta/ann"}, customer=f"c{number % 2}")

        served.store.change(work, Author("okta/ann", "person"), reason="a trial")
        yield served


def test_the_log_is_searched_by_pages(api: Accountable) -> None:
    """The newest first, each once."""
    admin = api.with_key("admin")
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = admin.get("/v1/audit", params={"customer": "c1", "limit": "70"} | cursor).json()
        seen += [entry["resource"] for entry in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert seen == [f"t{number}" for number in range(299, 0, -2)]


def test_an_entry_reads_as_it_was_written(api: Accountable) -> None:
    """As JSON, with instants as everywhere."""
    entry = api.with_key("admin").get("/v1/audit", params={"resource": "t7"}).json()["items"][0]
    assert entry.pop("id") > 0
    assert entry.pop("at").endswith("Z")
    assert entry == {
        "actor": "okta/ann",
        "actor_kind": "person",
        "action": "thing.made",
        "kind": "thing",
        "resource": "t7",
        "customer": "c1",
        "after": {"by": "okta/ann"},
        "reason": "a trial",
    }


@pytest.mark.parametrize(
    "query",
    ["since=yesterday", "until=1", "cursor=eA", "cursor=LTE", "cursor=wqo", "text=" + "x" * 201, "actors=x", "limit=0"],
)
def test_a_search_that_makes_no_sense_is_refused(api: Accountable, query: str) -> None:
    """As any parameter is."""
    assert api.with_key("admin").get(f"/v1/audit?{query}").status_code == 400


@pytest.mark.parametrize("route", ["/v1/audit", "/v1/audit/export"])
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("action=nope", 400),
        ("action=thing.made,nope", 400),
        ("action=", 400),
        ("kind=featur", 400),
        ("action=feature.created", 200),
        ("action=thing.made", 200),
        ("kind=feature,thing", 200),
    ],
)
def test_what_no_entry_can_have_is_refused(api: Accountable, route: str, query: str, status: int) -> None:
    """Not what has not happened yet, nor what an older version has written."""
    answer = api.with_key("admin").get(f"{route}?{query}")
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["type"] == "urn:tiergate:problem:invalid-request"


def test_times_bound_a_search(api: Accountable) -> None:
    """From, included, until, excluded."""
    admin = api.with_key("admin")
    at = admin.get("/v1/audit", params={"resource": "t7"}).json()["items"][0]["at"]
    assert len(admin.get("/v1/audit", params={"resource": "t7", "since": at}).json()["items"]) == 1
    assert admin.get("/v1/audit", params={"resource": "t7", "until": at}).json()["items"] == []


def test_the_log_is_exported_line_by_line(api: Accountable) -> None:
    """The oldest first, filtered or not; from where another export ended."""
    admin = api.with_key("admin")
    answer = admin.get("/v1/audit/export", params={"kind": "thing"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["resource"] for line in lines] == [f"t{number}" for number in range(300)]
    rest = admin.get("/v1/audit/export", params={"kind": "thing", "after": str(lines[250]["id"])})
    assert [json.loads(line) for line in rest.text.splitlines()] == lines[251:]


@pytest.mark.parametrize("role", ["sales-manager", "analyst", "finance-executive", "publisher", "sidecar"])
def test_the_log_is_the_admins(api: Accountable, role: str) -> None:
    """To read and to export."""
    client = api.with_key(role)
    assert client.get("/v1/audit").status_code == 403
    assert client.get("/v1/audit/export").status_code == 403
