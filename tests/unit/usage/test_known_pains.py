"""What goes wrong elsewhere when usage is counted: a list, each in file mode and at the ledger of the control plane.

The same pains of the pure code are `test_pain_…` in `test_windows` and `test_pools`; thresholds that fire twice, or
never when a limit moves, are with the thresholds.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from tests.counting_sidecar import ACME, CountingSidecar
from tests.stores import put_in_force
from tests.unit.control.subjects import made
from tests.unit.control.usage_plane import problem, usage_plane
from tiergate.errors import RequestError
from tiergate.model import parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.control.usage_plane import Plane

FEATURES = """\
apiVersion: tiergate/v1
features:
  - {id: calls, type: quantity, metered: {reset: month, late: 3 days}}
  - {id: renewed, type: quantity, metered: {reset: month, anchor: subscription}}
  - {id: traffic, type: quantity, scale: 2, metered: {reset: month}}
"""
CATALOG = f"{FEATURES}items:\n  - {{id: gold, kind: plan, entitlements: {{calls: 10, renewed: 10, traffic: 0.3}}}}\n"
LARGER = CATALOG.replace("calls: 10", "calls: 50")
UNLIMITED = CATALOG.replace("calls: 10", "calls: unlimited")


@pytest.fixture
def plane(sqlite_url: str) -> Iterator[Plane]:
    """A control plane with the customer `acme`, whose subscription to the plan began on 31 December."""
    with usage_plane(sqlite_url, CATALOG, "2026-12-31T00:00:00Z") as opened:
        yield opened


def of_plane(plane: Plane, feature: str = "calls", **query: str) -> dict[str, Any]:
    """The usage of acme, as the control plane shows it."""
    answer = plane.admin.as_("analyst").get("/v1/customers/acme/usage", params={"feature": feature} | query)
    found: dict[str, Any] = answer.json()["items"][0]
    return found


def began(at: str) -> CountingSidecar:
    """A sidecar alone, where the subscription of acme began then."""
    (held,) = ACME.subscriptions
    return CountingSidecar(CATALOG, acme=replace(ACME, subscriptions=(replace(held, start=parse_instant(at)),)))


class TestAnAnchorOnThe29thTo31st:
    """The day is clamped to the month, and comes back."""

    RESETS = ("2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31")

    def test_in_file_mode(self) -> None:
        """Each boundary is counted from the anchor."""
        car = began("2026-12-31T00:00:00Z")
        for reset, following in zip(self.RESETS, self.RESETS[1:], strict=False):
            assert car.usage("renewed")["resets_at"][:10] == reset
            assert car.take(10, 1, feature="renewed") == [True, False]
            car.move(f"{reset}T00:00:00Z")
            assert car.usage("renewed")["resets_at"][:10] == following

    def test_at_the_ledger(self, plane: Plane) -> None:
        """The same."""
        for reset in self.RESETS:
            assert plane.report(feature="renewed", amount=4).status_code == 200
            shown = of_plane(plane, "renewed")
            assert (shown["used"], shown["resets_at"][:10]) == (4, reset)
            plane.clock[0] = parse_instant(f"{reset}T00:00:00Z")


class TestAQuotaThatResetsOnTheCalendarThoughTheSubscriptionRenewsInMidMonth:
    """It resets when the feature says: with the subscription, or with the calendar."""

    def test_in_file_mode(self) -> None:
        """A subscription of the 20th."""
        car = began("2026-12-20T00:00:00Z")
        car.consume(10, "renewed")
        car.consume(10, "calls")
        car.move("2027-01-20T00:00:00Z")
        assert (car.usage("renewed")["used"], car.usage("calls")["used"]) == (0, 10)
        car.move("2027-02-01T00:00:00Z")
        assert (car.take(10, 1, feature="renewed"), car.take(10, 1)) == ([True, False], [True, False])

    def test_at_the_ledger(self, plane: Plane) -> None:
        """A subscription of the 31st."""
        for feature in ("renewed", "calls"):
            plane.report(feature=feature, amount=10)
        plane.clock[0] = parse_instant("2027-01-31T00:00:00Z")
        assert (of_plane(plane, "renewed")["used"], of_plane(plane, "calls")["used"]) == (0, 10)


class TestAnUpgradeInMidWindowThatForgetsOrDoublesUse:
    """The limit changes at once, and what was used stays used."""

    def test_in_file_mode(self) -> None:
        """Up, and down again."""
        car = CountingSidecar(CATALOG)
        assert car.take(10, 1) == [True, False]
        car.load(LARGER)
        assert (car.usage()["used"], car.usage()["remaining"]) == (10, 40)
        assert car.take(40, 1) == [True, False]
        car.load(CATALOG)
        assert (car.usage()["used"], car.usage()["remaining"], car.take(1)) == (50, 0, [False])

    def test_at_the_ledger(self, plane: Plane) -> None:
        """Up, and down again."""
        plane.report(amount=10)
        put_in_force(plane.store, LARGER)
        assert (of_plane(plane)["used"], of_plane(plane)["remaining"]) == (10, 40)
        plane.report(amount=20)
        put_in_force(plane.store, CATALOG)
        assert (of_plane(plane)["used"], of_plane(plane)["overage"]) == (30, 20)


class TestARetryThatCountsTwice:
    """The same key with the same content counts once, also after a restart; with other content it is refused."""

    def test_in_file_mode(self) -> None:
        """The first answer is given again."""
        car = CountingSidecar(CATALOG)
        first = car.consume(3, key="order-1")
        car.restart()
        again = car.consume(3, key="order-1")
        assert again == first | {"replayed": True}
        with pytest.raises(RequestError, match="another request"):
            car.consume(4, key="order-1")
        assert car.usage()["used"] == 3

    def test_at_the_ledger(self, plane: Plane) -> None:
        """The same."""
        first, again = (plane.report(amount=3, key="order-1").json() for _ in range(2))
        assert again == first | {"replayed": True}
        assert problem(plane.report(amount=4, key="order-1"))[0] == 409
        assert of_plane(plane)["used"] == 3


class TestALateEventInAClosedWindow:
    """It counts in the window of its instant as long as that takes it, and is refused afterwards: nowhere else."""

    def test_in_file_mode(self) -> None:
        """For three days."""
        car = CountingSidecar(CATALOG, at="2027-02-03T23:00:00Z")
        assert car.report(5, "2027-01-31T23:59:59Z").window.start == "2027-01-01T00:00:00.000Z"
        car.move("2027-02-04T00:00:00Z")
        refused = car.report(5, "2027-01-31T23:59:59Z")
        assert isinstance(refused, RequestError)
        assert (refused.status, refused.title) == (422, "usage too late")
        assert car.usage()["used"] == 0

    def test_at_the_ledger(self, plane: Plane) -> None:
        """For three days."""
        plane.clock[0] = parse_instant("2027-02-03T23:00:00Z")
        counted = plane.report(amount=5, at="2027-01-31T23:59:59Z").json()
        assert counted["window"]["from"] == "2027-01-01T00:00:00.000Z"
        plane.clock[0] = parse_instant("2027-02-04T00:00:00Z")
        assert problem(plane.report(amount=5, at="2027-01-31T23:59:59Z")) == (422, "usage-too-late")
        assert (of_plane(plane)["used"], of_plane(plane, at="2027-01-20T00:00:00Z")["used"]) == (0, 5)


class TestADecimalAmount:
    """It is exact: 0.1 and 0.2 are 0.3, and finer amounts than the feature has are refused."""

    def test_in_file_mode(self) -> None:
        """Up to the limit of 0.3."""
        car = CountingSidecar(CATALOG)
        tenth, two = Decimal("0.1"), Decimal("0.2")
        assert car.take(tenth, two, Decimal("0.01"), feature="traffic") == [True, True, False]
        assert car.usage("traffic")["remaining"] == 0

    def test_at_the_ledger(self, plane: Plane) -> None:
        """The same."""
        for amount in (0.1, 0.2):
            assert plane.report(feature="traffic", amount=amount).status_code == 200
        assert plane.report(feature="traffic", amount=0.001).status_code == 422
        assert (of_plane(plane, "traffic")["used"], of_plane(plane, "traffic")["remaining"]) == (0.3, 0)


class TestATopUpThatDisappearsAtTheReset:
    """What is left of it stays; only the allowance is new. File mode has no grants but what rolled over."""

    def test_at_the_ledger(self, plane: Plane) -> None:
        """Of 20 units, 5 were used in January."""
        grant = {"feature": "calls", "amount": 20, "reason": "top-up", "id": "t"}
        made(plane.admin.as_("admin").post("/v1/customers/acme/grants", json=grant))
        plane.report(amount=15)
        plane.clock[0] = parse_instant("2027-02-01T00:00:00Z")
        assert (of_plane(plane)["used"], of_plane(plane)["limit"]) == (0, 25)


class TestAnUnlimitedFeatureWhoseUseIsNotCounted:
    """It is: the day a limit comes, what was used is known."""

    def test_in_file_mode(self) -> None:
        """And counts against the limit."""
        car = CountingSidecar(UNLIMITED)
        assert car.take(7, 5) == [True, True]
        assert (car.usage()["used"], car.usage()["unlimited"]) == (12, True)
        car.load(CATALOG)
        assert (car.usage()["used"], car.take(1)) == (12, [False])

    def test_at_the_ledger(self, plane: Plane) -> None:
        """The same."""
        put_in_force(plane.store, UNLIMITED)
        plane.report(amount=12)
        assert (of_plane(plane)["used"], of_plane(plane)["unlimited"]) == (12, True)
        put_in_force(plane.store, CATALOG)
        assert (of_plane(plane)["used"], of_plane(plane)["remaining"]) == (12, 0)


class TestANegativeCorrectionBelowZero:
    """It is refused, and changes nothing. A sidecar takes no negative amounts at all."""

    @pytest.mark.parametrize("amount", [-1, 0])
    def test_in_file_mode(self, amount: int) -> None:
        """Neither a consumption nor a record."""
        car = CountingSidecar(CATALOG)
        car.consume(3)
        with pytest.raises(Exception, match="amount"):
            car.consume(amount)
        assert car.report(amount).field == "/amount"
        assert car.usage()["used"] == 3

    def test_at_the_ledger(self, plane: Plane) -> None:
        """Down to zero, and no further."""
        plane.report(amount=3)
        client = plane.admin.as_("sales-manager")

        def correct(amount: int) -> Any:  # noqa: ANN401 - a response
            body = {"feature": "calls", "amount": amount}
            reason = {"tiergate-reason": "a job ran twice"}
            return client.post("/v1/customers/acme/usage/corrections", json=body, headers=reason)

        assert problem(correct(-4)) == (409, "usage-below-zero")
        assert of_plane(plane)["used"] == 3
        assert correct(-3).json()["used"] == 0
