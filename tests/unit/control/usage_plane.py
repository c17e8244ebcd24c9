"""What the tests of usage at the control plane share: a ledger, a catalog in force, a clock that is set by hand."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.admin import serving
from tests.stores import put_in_force
from tests.unit.control.subjects import made
from tiergate.admin.clock import Clock
from tiergate.admin.usage_bounds import PublishedBounds
from tiergate.control.api import audit, customers, erasure, events, overrides, subscriptions
from tiergate.control.api.usage import UsageEndpoints
from tiergate.control.api.usage_exports import UsageExportEndpoints
from tiergate.control.api.usage_leases import UsageLeaseEndpoints
from tiergate.control.usage_export.exporter import UsageExporter
from tiergate.model import parse_instant
from tiergate.store import Store
from tiergate.store.usage_ledger import LedgerCall, UsageLedger
from tiergate.usage.accounts import Account, Scope
from tiergate.usage.ledger_records import Needs

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin

NOW = parse_instant("2027-01-15T08:00:00Z")
JANUARY = parse_instant("2027-01-01T00:00:00Z")
DECEMBER = parse_instant("2026-12-01T00:00:00Z")
TENTH = parse_instant("2027-01-10T00:00:00Z")

CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: calls, type: quantity, metered: {reset: month}, caps: {total: 150, per_user: 30}}
  - {id: exports, type: quantity, scale: 2, metered: {reset: month, anchor: subscription}}
  - {id: trips, type: quantity, metered: {reset: day, anchor: first_use}}
  - {id: credits, type: quantity, scale: 1, metered: {reset: never}}
  - {id: renders, type: quantity, scale: 1, metered: {reset: month}, draws: {from: credits, cost: 2.5}}
  - {id: seats, type: quantity}
  - {id: sso, type: switch}
items:
  - {id: gold, kind: plan, entitlements: {calls: 100, exports: 10, trips: 5, credits: 50, renders: 9, seats: 3}}
"""


class Plane:
    """A control plane whose clock stands until it is set."""

    def __init__(
        self,
        admin: Admin,
        store: Store,
        ledger: UsageLedger,
        clock: list[int],
        exporter: UsageExporter | None = None,
    ) -> None:
        self.admin, self.store, self.ledger, self.clock = admin, store, ledger, clock
        self._exporter = exporter
        self.teller = Clock(store, ledger)
        self.service = admin.as_("sidecar")

    @property
    def exporter(self) -> UsageExporter:
        """What exports usage, where it was asked for."""
        assert self._exporter is not None
        return self._exporter

    def report(self, **record: object) -> httpx.Response:
        """Report one record, of calls of acme unless it says otherwise."""
        return self.service.post("/v1/usage", json={"subject": "acme", "feature": "calls"} | record)

    def wait(self, until: str) -> int:
        """Let time pass until an instant, and tell what happens by itself."""
        self.clock[0] = parse_instant(until)
        return self.teller.tick()

    def events(self, type_: str, customer: str = "acme") -> list[dict[str, Any]]:
        """The bodies of the events of a type about a customer, in their order."""
        return [event["data"] for event in self.listed(f"type={type_}&customer={customer}")]

    def listed(self, query: str) -> list[dict[str, Any]]:
        """The events that a query finds, in their order."""
        answer = self.admin.as_("admin").get(f"/v1/events?{query}&limit=500")
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    def booked(
        self, feature: str = "calls", window: int = JANUARY, scope: Scope = Scope.CUSTOMER, member: str = ""
    ) -> int:
        """What the ledger has booked on an account of acme, or of everybody."""
        account = Account(feature, scope, "" if scope is Scope.EVERYBODY else "acme", member, window)
        needs = Needs("", frozenset({account}), frozenset(), frozenset(), all_leases=False)
        return self.ledger.run(LedgerCall(needs, lambda ledger: ledger.figures(account))).booked


@contextmanager
def usage_plane(
    store_url: str, catalog: str = CATALOG, start: str = "2027-01-10T00:00:00Z", export_to: str | None = None
) -> Iterator[Plane]:
    """A ledger with the customer `acme`, who has the subscription `s1`, since 10 January."""
    clock = [NOW]
    store = Store.open(store_url, clock=lambda: clock[0])
    ledger = UsageLedger(store, PublishedBounds())
    exporter = None if export_to is None else UsageExporter(export_to, store, retention=1100, hours_retention=35)
    try:
        put_in_force(store, catalog)
        others = (customers, subscriptions, overrides, audit, erasure, events)
        endpoints = [route for module in others for route in module.endpoints()]
        endpoints += [*UsageEndpoints(ledger).endpoints(), *UsageExportEndpoints(exporter).endpoints()]
        endpoints += UsageLeaseEndpoints(ledger).endpoints()
        with serving(store, endpoints) as admin:
            client = admin.as_("admin")
            made(client.post("/v1/customers", json={"id": "acme"}))
            body = {"id": "s1", "status": "active", "items": [{"item": "gold"}], "start": start}
            made(client.post("/v1/customers/acme/subscriptions", json=body))
            yield Plane(admin, store, ledger, clock, exporter)
    finally:
        ledger.close()
        store.close()


def problem(answer: httpx.Response) -> tuple[int, str]:
    """The status and the last part of the type of a problem."""
    return answer.status_code, answer.json()["type"].rpartition(":")[2]
