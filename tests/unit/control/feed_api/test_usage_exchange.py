"""Sidecars lease and report over HTTP: a real holder, a real ledger, both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.admin import serving
from tests.stores import put_in_force
from tests.unit.control.subjects import made
from tiergate.admin.usage_bounds import PublishedBounds
from tiergate.control.api import customers, overrides, subscriptions
from tiergate.control.feed_api.usage_exchange import MEDIA_TYPE, UsageExchange
from tiergate.store import Store
from tiergate.store.usage_ledger import UsageLedger
from tiergate.usage.accounts import Account, Consumption, Debit, Scope
from tiergate.usage.holder import Holder, Short, Spent
from tiergate.usage.protocol import Granted, Hello, Reason, Refused, Request, decode_reply, encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.admin import Admin
    from tiergate.usage.protocol import Reply

NOW = 1_800_000_000_000
"""The store's instant: 2027-01-15T08:00:00Z."""
UNANCHORED = JANUARY = 1_798_761_600_000
FEBRUARY = 1_801_440_000_000

CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: calls, type: quantity, metered: {reset: month}, caps: {total: 150, per_user: 30}}
  - {id: exports, type: quantity, metered: {reset: month, anchor: subscription, limit: soft, overage_max: 5}}
  - {id: mails, type: quantity, metered: {reset: day}}
  - {id: seats, type: quantity}
items:
  - {id: gold, kind: plan, entitlements: {calls: 100, exports: 10, mails: unlimited, seats: 3}}
"""


class Plane:
    """A control plane's ledger, served, and a clock that stands until it is set."""

    def __init__(self, admin: Admin, clock: list[int]) -> None:
        self.admin, self.clock = admin, clock
        self.sidecar = admin.as_("sidecar")

    def exchange(self, request: Request) -> Reply:
        """Send one request."""
        answer = self.sidecar.post("/v1/sync/usage", content=encode(request), headers={"content-type": MEDIA_TYPE})
        assert answer.status_code == 200, answer.text
        return decode_reply(answer.content)


@pytest.fixture
def plane(store_url: str) -> Iterator[Plane]:
    """A ledger with the customer `acme`, who has a subscription since 10 January, and `beta`, who has none."""
    clock = [NOW]
    store = Store.open(store_url, clock=lambda: clock[0])
    ledger = UsageLedger(store, PublishedBounds())
    try:
        put_in_force(store, CATALOG)
        endpoints = [*customers.endpoints(), *subscriptions.endpoints(), *overrides.endpoints()]
        with serving(store, [*endpoints, *UsageExchange(ledger).endpoints()]) as admin:
            client = admin.as_("admin")
            for id_ in ("acme", "beta"):
                made(client.post("/v1/customers", json={"id": id_}))
            body = {"id": "s1", "status": "active", "items": [{"item": "gold"}], "start": "2027-01-10T00:00:00Z"}
            made(client.post("/v1/customers/acme/subscriptions", json=body))
            yield Plane(admin, clock)
    finally:
        ledger.close()
        store.close()


class Sidecar:
    """A holder whose journal is a list."""

    def __init__(self, plane: Plane, name: str) -> None:
        self.plane = plane
        self.holder = Holder(name.ljust(20, "-"), name.encode())
        self.holder.start(plane.clock[0])
        self.run()

    def run(self) -> dict[int, object]:
        """Exchange as long as there is something to say; return what tickets got."""
        tickets: dict[int, object] = {}
        while (outgoing := self.holder.next_request(self.plane.clock[0])) is not None:
            reply = self.plane.exchange(outgoing.request)
            assert reply.fault is None
            tickets |= self.holder.receive(reply, self.plane.clock[0]).tickets
        return tickets

    def consume(self, *accounts: Account, amount: int = 1) -> Refused | None:
        """Consume, with units of the ledger if need be; return its refusal."""
        now = self.plane.clock[0]
        consumption = Consumption(b"", b"", now, tuple(Debit(account, amount) for account in accounts))
        for _ in range(2):
            outcome = self.holder.consume(consumption, b"", now)
            if isinstance(outcome, Spent):
                return None
            assert isinstance(outcome, Short)
            ticket = self.holder.demand(outcome.needs, now)
            result = self.run()[ticket]
            if isinstance(result, Refused):
                return result
        raise AssertionError


def account(feature: str, window: int = JANUARY, scope: Scope = Scope.CUSTOMER, member: str = "") -> Account:
    """An account of `acme`."""
    return Account(feature, scope, "" if scope is Scope.EVERYBODY else "acme", member, window)


def test_two_sidecars_share_a_limit_to_the_last_unit(plane: Plane) -> None:
    """Whoever asks first gets it; what is above the limit is refused to both."""
    first, second = Sidecar(plane, "first"), Sidecar(plane, "second")
    counted = 0
    for _ in range(60):
        counted += (first.consume(account("calls")) is None) + (second.consume(account("calls")) is None)
    plane.clock[0] += 5_000  # idle leases are given back
    for sidecar in (first, second, first, second):
        sidecar.run()
        while sidecar.consume(account("calls")) is None:
            counted += 1
    assert counted == 100
    refused = first.consume(account("calls"))
    assert refused is not None
    assert refused.reason in {Reason.LIMIT_REACHED, Reason.LEASED_ELSEWHERE}


def test_the_bounds_are_those_of_the_published_catalog(plane: Plane) -> None:
    """Allowances, overage, caps, windows of subscriptions; unlimited, unknown and not metered."""
    sidecar = Sidecar(plane, "only")
    anchored = 1_799_539_200_000  # 2027-01-10
    assert sidecar.consume(account("exports", anchored), amount=15) is None
    refused = sidecar.consume(account("exports", anchored))
    assert refused is not None
    assert refused.reason is Reason.LIMIT_REACHED
    wrong = sidecar.consume(account("exports"))
    assert wrong is not None
    assert (wrong.reason, wrong.account) == (Reason.OTHER_WINDOW, account("exports", anchored))
    ada = account("calls", scope=Scope.USER, member="ada")
    assert sidecar.consume(account("calls"), ada, account("calls", scope=Scope.EVERYBODY), amount=30) is None
    capped = sidecar.consume(account("calls"), ada)
    assert capped is not None
    assert (capped.reason, capped.account) == (Reason.LIMIT_REACHED, ada)
    day = NOW - NOW % 86_400_000
    assert sidecar.consume(account("mails", day), amount=10**9) is None
    for unknown in (account("seats"), account("cals"), Account("calls", Scope.CUSTOMER, "nobody", "", JANUARY)):
        refused = sidecar.consume(unknown)
        assert refused is not None
        assert refused.reason is Reason.UNKNOWN_ACCOUNT
    for nothing in (
        Account("calls", Scope.CUSTOMER, "beta", "", JANUARY),
        Account("exports", Scope.CUSTOMER, "beta", "", UNANCHORED),
    ):
        refused = sidecar.consume(nothing)
        assert refused is not None
        assert refused.reason is Reason.LIMIT_REACHED


def test_an_override_and_the_next_window_count_at_once(plane: Plane) -> None:
    """The ledger reads the subjects in the same transaction."""
    sidecar = Sidecar(plane, "only")
    assert sidecar.consume(account("calls"), amount=100) is None
    assert sidecar.consume(account("calls")) is not None
    body = {"feature": "calls", "value": 20, "mode": "add", "reason": "a promise"}
    made(plane.admin.as_("admin").post("/v1/customers/acme/overrides", json=body))
    assert sidecar.consume(account("calls"), amount=20) is None
    assert sidecar.consume(account("calls")) is not None
    plane.clock[0] = FEBRUARY
    assert sidecar.consume(account("calls", FEBRUARY), amount=120) is None


@pytest.mark.parametrize(("content", "status"), [(b"", 400), (b"\xff\x00", 400), (msgspec.msgpack.encode([1, 2]), 400)])
def test_what_is_no_request_is_refused(plane: Plane, content: bytes, status: int) -> None:
    """As a mistake of the caller."""
    answer = plane.sidecar.post("/v1/sync/usage", content=content, headers={"content-type": MEDIA_TYPE})
    assert answer.status_code == status


def test_a_holder_s_id_cannot_be_guessed(plane: Plane) -> None:
    """A short one is refused; and only sidecars may report."""
    request = encode(Request("short", 1, b"x", 1, (Hello(0, 0),)))
    headers = {"content-type": MEDIA_TYPE}
    assert plane.sidecar.post("/v1/sync/usage", content=request, headers=headers).status_code == 400
    sales = plane.admin.as_("sales-agent")
    assert sales.post("/v1/sync/usage", content=request, headers=headers).status_code == 403
    assert plane.sidecar.post("/v1/sync/usage", json={}).status_code == 415


def test_a_repeated_request_gets_the_same_reply(plane: Plane) -> None:
    """And takes effect once."""
    sidecar = Sidecar(plane, "only")
    now = plane.clock[0]
    short = sidecar.holder.consume(Consumption(b"", b"", now, (Debit(account("calls"), 7),)), b"", now)
    assert isinstance(short, Short)
    sidecar.holder.demand(short.needs, now)
    outgoing = sidecar.holder.next_request(now)
    assert outgoing is not None
    first, second = plane.exchange(outgoing.request), plane.exchange(outgoing.request)
    assert first == second
    (granted,) = first.results
    assert isinstance(granted, Granted)
    (figures,) = first.figures
    assert (figures.leased, figures.available, figures.ceiling) == (7, 93, 100)
