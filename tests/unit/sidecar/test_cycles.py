"""INVARIANT (no cycles): what a request leaves behind is freed without the collector of cyclic garbage."""

from __future__ import annotations

import gc
import json
from typing import TYPE_CHECKING

import pytest

from tests.serving import Service, Where, customer
from tests.wire import Connection, request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MANY = 30


def post(path: str, **fields: object) -> bytes:
    """A request with a JSON body."""
    body = json.dumps(fields).encode()
    headers = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": str(len(body))}
    return request("POST", path, headers, body)


def check(number: int) -> bytes:
    """A check that was not asked before."""
    return post("/v1/check", subject="acme", feature="movies", used=number)


REQUESTS: dict[str, Callable[[int], bytes]] = {
    "fast": check,
    "slow": lambda number: check(number).replace(b"\r\n", b"\r\nX-Odd: %d\r\n" % number, 1),
    "batch": lambda number: post("/v1/checks", checks=[{"subject": "acme", "feature": "movies", "used": number}]),
    "explain": lambda number: post("/v1/explain", subject="acme", feature="movies", used=number),
    "list": lambda number: request("GET", "/v1/entitlements?subject=acme", {"Host": "localhost", "X-Odd": str(number)}),
    "problem": lambda number: post("/v1/check", subject="acme", feature="nothing", used=number),
    "nowhere": lambda number: post(f"/v1/nothing{number}"),
}


@pytest.fixture(scope="module")
def where() -> Iterator[Where]:
    """A sidecar in another thread of this process."""
    with Service(customer("acme")).serve() as found:
        yield found


@pytest.fixture
def collector() -> Iterator[None]:
    """The collector, off."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("collector")
@pytest.mark.parametrize("kind", REQUESTS)
def test_a_request_leaves_no_cycles(where: Where, kind: str) -> None:
    """However it is answered."""
    with Connection(where.connect()) as connection:
        for number in range(5):
            connection.ask(REQUESTS[kind](number))
        gc.collect()
        for number in range(5, 5 + MANY):
            connection.ask(REQUESTS[kind](number))
        assert gc.collect() < MANY


@pytest.mark.usefixtures("collector")
def test_a_connection_leaves_no_cycles(where: Where) -> None:
    """Thousands of them may end at once."""
    for collected in range(2):
        if collected:
            gc.collect()
        for number in range(MANY):
            with Connection(where.connect()) as connection:
                connection.ask(check(number))
    assert gc.collect() < MANY
