"""What the book of file mode counts and limits, by the rules of the ledger, also once it was read again."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from tests.counting_sidecar import ACME, CountingSidecar
from tiergate.errors import RequestError
from tiergate.model import Check, Subject, parse_instant

if TYPE_CHECKING:
    from tiergate.model import SubjectRecord


def catalog(metered: str, value: str = "10", more: str = "", gives: str = "") -> str:
    """A catalog with the metered feature `calls`, of which the plan gives a value."""
    return (
        f"apiVersion: tiergate/v1\nfeatures:\n  - {{id: calls, type: quantity, metered: {metered}{more}}}\n"
        "  - {id: credits, type: quantity, metered: {reset: never}}\n"
        f"items:\n  - {{id: gold, kind: plan, entitlements: {{calls: {value}, credits: 20{gives}}}}}\n"
    )


def anchored(at: str) -> SubjectRecord:
    """Acme, with a subscription that began then, which anchors its windows."""
    (held,) = ACME.subscriptions
    return replace(ACME, subscriptions=(replace(held, start=parse_instant(at)),))


def shown(car: CountingSidecar, *names: str) -> tuple[Any, ...]:
    """Figures of the usage of calls."""
    usage = car.usage()
    return tuple(usage.get(name) for name in names)


class TestRollover:
    MONTHLY = "{reset: month, rollover: {max: 4}}"

    def test_what_is_left_counts_in_the_next_window_up_to_a_maximum(self) -> None:
        """Once, and no longer than that."""
        car = CountingSidecar(catalog(self.MONTHLY))
        assert car.take(3, 1) == [True, True]
        car.move("2027-02-03T00:00:00Z")
        assert shown(car, "used", "limit", "granted") == (0, 14, 4)
        assert car.take(14, 1) == [True, False]
        car.move("2027-03-03T00:00:00Z")
        assert shown(car, "used", "limit", "granted") == (0, 10, None)

    def test_windows_without_use_roll_over_their_allowance(self) -> None:
        """Also the one before the first of all."""
        car = CountingSidecar(catalog(self.MONTHLY))
        assert shown(car, "limit") == (14,)
        car.consume(14)
        car.move("2027-04-03T00:00:00Z")
        assert shown(car, "limit") == (14,)

    def test_the_allowance_is_spent_first_unless_the_feature_says_otherwise(self) -> None:
        """Then what is left of it rolls over."""
        turned = "{reset: month, rollover: {max: 4}, spend: grants_first}"
        for metered, rolls in ((self.MONTHLY, 3), (turned, 4)):
            car = CountingSidecar(catalog(metered))
            car.consume(7)  # of 10 and 4
            car.move("2027-02-03T00:00:00Z")
            assert shown(car, "granted") == (rolls,)

    def test_where_units_came_from_stays_when_the_allowance_changes(self) -> None:
        """What came out of the granted units is not of the larger allowance afterwards."""
        metered = "{reset: month, rollover: {max: 100}}"
        car = CountingSidecar(catalog(metered))
        car.consume(15)  # 10 of the allowance, 5 of the 10 that rolled over
        car.load(catalog(metered, "20"))
        car.consume(2)
        car.restart()
        car.move("2027-02-03T00:00:00Z")
        assert shown(car, "granted", "limit") == (8, 28)

    def test_what_is_above_a_soft_limit_takes_nothing_from_the_next_window(self) -> None:
        """And is taken over by a larger allowance."""
        metered = "{reset: month, limit: soft, rollover: {max: 100}}"
        car = CountingSidecar(catalog(metered))
        car.consume(25)  # 5 above
        assert shown(car, "overage") == (5,)
        car.load(catalog(metered, "18"))
        car.consume(1)  # now 18 of the allowance, none above with the 10
        car.restart()
        car.move("2027-02-03T00:00:00Z")
        assert shown(car, "granted") == (2,)

    def test_late_usage_cannot_take_what_rolled_over(self) -> None:
        """It is counted all the same."""
        car = CountingSidecar(catalog(self.MONTHLY))
        car.move("2027-02-01T01:00:00Z")
        assert car.take(14, 1) == [True, False]
        assert car.report(10, "2027-01-31T23:00:00Z").amount == 10
        assert shown(car, "used", "limit", "granted") == (14, 14, 4)

    def test_what_is_given_back_returns_to_where_it_came_from(self) -> None:
        """The granted units first, because they are spent last."""
        car = CountingSidecar(catalog(self.MONTHLY))
        car.consume(8)
        id_ = car.reserve(6)
        car.end(id_, 1)
        car.consume(1)
        car.restart()
        car.move("2027-02-03T00:00:00Z")
        assert shown(car, "granted") == (None,)

    def test_a_change_that_cannot_be_written_leaves_nothing(self) -> None:
        """Of the parts neither."""
        car = CountingSidecar(catalog(self.MONTHLY))
        car.consume(12)
        before = dict(car.book.accounts)
        car.journal.fails = True
        outcome = car.service.consume(car.checks.view(), Check(Subject("acme"), "calls", 2), None, car.clock())
        assert car.book.accounts != before
        car.journal.fail()
        assert outcome is not None
        assert car.book.accounts == before

    def test_a_quantity_may_begin_to_roll_over(self) -> None:
        """Within the window, whose usage then counts as of the allowance."""
        car = CountingSidecar(catalog("{reset: month}"))
        car.consume(10)
        car.load(catalog(self.MONTHLY))
        assert shown(car, "limit") == (14,)
        assert car.take(4, 1) == [True, False]


class TestWindows:
    def test_the_first_use_opens_a_window(self) -> None:
        """Which lasts from there; afterwards none is open until the next use."""
        car = CountingSidecar(catalog("{reset: {every: 2, of: day}, anchor: first_use}"))
        assert "until" not in car.usage()["window"]
        car.consume(10)
        assert car.usage()["resets_at"] == "2027-01-17T08:00:00.000Z"
        assert car.take(1) == [False]
        car.restart()
        car.move("2027-01-17T09:00:00Z")
        assert car.take(1) == [True]
        assert car.usage()["resets_at"] == "2027-01-19T09:00:00.000Z"

    def test_an_anchor_that_moves_ends_the_open_window_at_its_next_boundary(self) -> None:
        """What was used in it stays used."""
        metered = "{reset: month, anchor: subscription}"
        car = CountingSidecar(catalog(metered), acme=anchored("2026-12-10T00:00:00Z"))
        car.consume(7)
        assert car.usage()["resets_at"] == "2027-02-10T00:00:00.000Z"
        car.load(acme=anchored("2026-12-20T00:00:00Z"))
        assert shown(car, "used", "resets_at") == (7, "2027-01-20T00:00:00.000Z")
        car.consume(1)
        car.restart()
        assert shown(car, "used", "resets_at") == (8, "2027-01-20T00:00:00.000Z")
        car.move("2027-01-20T00:00:00Z")
        assert shown(car, "used", "resets_at") == (0, "2027-02-20T00:00:00.000Z")

    def test_an_end_that_moved_holds_though_nothing_was_booked_since(self) -> None:
        """The window that ended is not open again."""
        metered = "{reset: month, anchor: subscription}"
        car = CountingSidecar(catalog(metered), acme=anchored("2026-12-10T00:00:00Z"))
        car.consume(7)
        car.load(acme=anchored("2026-12-20T00:00:00Z"))
        assert shown(car, "resets_at") == ("2027-01-20T00:00:00.000Z",)
        car.move("2027-01-25T00:00:00Z")
        assert shown(car, "used", "resets_at") == (0, "2027-02-20T00:00:00.000Z")

    def test_late_usage_counts_in_its_window_as_long_as_that_is_open(self) -> None:
        """Then it is refused, as usage in the future is."""
        car = CountingSidecar(catalog("{reset: month, late: 1 day}"))
        car.consume(2)
        car.move("2027-02-01T12:00:00Z")
        assert car.report(5, "2027-01-31T12:00:00Z").window.start == "2027-01-01T00:00:00.000Z"
        assert shown(car, "used") == (0,)
        car.move("2027-02-02T00:00:00Z")
        late, early = car.report(5, "2027-01-31T12:00:00Z"), car.report(5, "2027-02-02T00:02:00Z")
        assert isinstance(late, RequestError)
        assert (late.title, early.title) == ("usage too late", "usage in the future")


class TestLimits:
    def test_a_soft_limit_is_exceeded_up_to_its_overage(self) -> None:
        """Which the answer has."""
        car = CountingSidecar(catalog("{reset: month, limit: soft, overage_max: 3}"))
        answer = car.consume(12)
        assert (answer["allowed"], answer["entitlement"]["overage"]) == (True, 2)
        assert car.take(2, 1, 1) == [False, True, False]
        assert shown(car, "used", "overage", "remaining") == (13, 3, 0)

    def test_decimals_are_exact(self) -> None:
        """To the scale of the feature."""
        car = CountingSidecar(catalog("{reset: month, rollover: {max: 0.5}}", "0.3", more=", scale: 1"))
        assert shown(car, "limit") == (0.6,)
        assert car.take(*map(Decimal, ("0.1", "0.2", "0.3", "0.1"))) == [True, True, True, False]

    def test_a_draw_debits_its_source_or_neither(self) -> None:
        """As much as it costs, rounded up."""
        more = "}\n  - {id: images, type: quantity, metered: {reset: month}, draws: {from: credits, cost: 3}"
        car = CountingSidecar(catalog("{reset: month}", more=more, gives=", images: unlimited"))
        assert car.take(6, 1, feature="images") == [True, False]
        assert (car.usage("images")["used"], car.usage("credits")["used"]) == (6, 18)
        id_ = car.reserve(2, "credits")
        assert car.usage("credits")["remaining"] == 0
        car.end(id_)
        assert car.usage("credits")["remaining"] == 2
