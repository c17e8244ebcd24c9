"""What the tests of the endpoints about subjects share: a catalog in force, and an API that serves them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.admin import Admin, serving
from tests.stores import put_in_force
from tiergate.control.api import customers, overrides, subscriptions
from tiergate.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tiergate.control.api.router import Endpoint

NOW = 1_800_000_000_000
"""The instant at which these stores' clocks stand: 2027-01-15T08:00:00Z."""

CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: analytics, type: switch}
  - {id: legacy, type: switch, status: archived}
  - {id: movies, type: quantity, unit: movies/month}
  - {id: storage, type: quantity, unit: GB, scale: 3, combine: max}
  - {id: support, type: custom, levels: [email, chat, phone]}
  - {id: api-limit, type: range, min: 100, max: 1000}
items:
  - id: gold
    kind: plan
    versions:
      - {version: 1, entitlements: {movies: 40}}
      - {version: 2, entitlements: {analytics: true, movies: 50, support: chat, storage: 2.5}}
    rollouts: [{version: 2}]
  - {id: silver, kind: plan, excludes: [gold], entitlements: {movies: 20}}
  - {id: extra-movies, kind: addon, available_for: [gold], entitlements: {movies: {add: 10}}}
  - {id: bundle, kind: addon, depends_on: [extra-movies], entitlements: {support: phone}}
  - {id: acme-only, kind: plan, private_to: acme, entitlements: {movies: 1000}}
  - {id: acme-extra, kind: addon, available_for: [acme-only], entitlements: {movies: {add: 1}}}
  - {id: huge, kind: addon, entitlements: {movies: 100000000000000000}}
"""

ENDPOINTS = [
    *customers.endpoints(),
    *subscriptions.endpoints(),
    *overrides.endpoints(),
]


class Ticking:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        """The instant."""
        return self.now


@contextmanager
def served(url: str, endpoints: list[Endpoint] | None = None) -> Iterator[tuple[Admin, Store, Ticking]]:
    """Serve the endpoints on a store that has the catalog in force."""
    clock = Ticking()
    store = Store.open(url, clock=clock)
    try:
        put_in_force(store, CATALOG)
        with serving(store, ENDPOINTS if endpoints is None else endpoints) as admin:
            yield admin, store, clock
    finally:
        store.close()


def made(answer: httpx.Response, status: int = 201) -> dict[str, object]:
    """The JSON of an answer of this status."""
    assert answer.status_code == status, answer.text
    found: dict[str, object] = answer.json()
    return found


def taken(client: httpx.Client, method: str, path: str, **body: object) -> httpx.Response:
    """Send what takes something from a customer: see it refused, then accept exactly this loss."""
    refused = client.request(method, path, **body)  # type: ignore[arg-type]
    assert refused.status_code == 409, refused.text
    assert refused.json()["type"].endswith(":customers-would-lose")
    return client.request(method, path, params={"accept_loss": refused.json()["accept_loss"]}, **body)  # type: ignore[arg-type]


def codes(answer: httpx.Response, status: int = 422) -> list[tuple[str, str]]:
    """The pointers and codes of a problem."""
    assert answer.status_code == status, answer.text
    return [(error["pointer"], error["code"]) for error in answer.json()["errors"]]
