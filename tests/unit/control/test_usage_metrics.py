"""What the control plane counts of usage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.usage_bounds import customer_account
from tiergate.control.usage_metrics import UsageMetrics
from tiergate.errors import RequestError
from tiergate.model import Interval, parse_instant
from tiergate.store.usage_leases import LeaseCounts
from tiergate.usage.protocol import Fault, Granted, Lease, Reply, Settled
from tiergate.wire.usage import TOO_LATE, RecordedUsage, window_document

if TYPE_CHECKING:
    from tiergate.admin.usage import Result

NOW = parse_instant("2027-01-15")
DECEMBER = Interval(parse_instant("2026-12-01"), parse_instant("2027-01-01"))
JANUARY = Interval(parse_instant("2027-01-01"), parse_instant("2027-02-01"))


def samples(metrics: UsageMetrics) -> dict[str, float]:
    """The samples by what they are: name and labels."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in metrics.collect()
        for sample in family.samples
    }


def test_exchanges_are_counted_with_their_leases() -> None:
    """By how they ended, and how long they took; leases by what became of them."""
    metrics = UsageMetrics()
    account = customer_account(JANUARY.start)
    leases = tuple(Lease(number, account, 5, 1000, JANUARY.until) for number in (1, 2))
    metrics.exchanged(Reply("h", 1, 1, 0, (Granted(leases), Settled(1), Settled(2, agreed=False))), 0.003)
    metrics.exchanged(Reply("h", 1, 1, fault=Fault.OLD_EPOCH), 0.2)
    metrics.exchanged(None, 60.0)
    found = samples(metrics)
    assert [found[f"tiergate_cp_usage_exchanges_total {it}"] for it in ("ok", "fault", "failed")] == [1, 1, 1]
    assert [found[f"tiergate_cp_usage_leases_total {it}"] for it in ("granted", "settled", "disagreed")] == [2, 1, 1]
    buckets = "tiergate_cp_usage_exchange_duration_seconds_bucket"
    assert [found[f"{buckets} {it}"] for it in ("0.0025", "0.005", "0.25", "10.0", "+Inf")] == [0, 1, 2, 2, 3]
    assert found["tiergate_cp_usage_exchange_duration_seconds_sum"] == pytest.approx(60.203)


def test_usage_after_the_fact_is_counted_by_what_became_of_it() -> None:
    """Late usage apart, whether it counts or is too late."""
    metrics = UsageMetrics()

    def recorded(window: Interval, *, replayed: bool = False) -> RecordedUsage:
        return RecordedUsage(feature="calls", amount=1, window=window_document(window), key="k", replayed=replayed)

    late = RequestError(422, TOO_LATE, "the window is closed", field="/at")
    other = RequestError(404, "unknown subject", "nobody")
    results: list[Result] = [recorded(JANUARY), recorded(DECEMBER), recorded(JANUARY, replayed=True), late, other]
    metrics.recorded(results, NOW)
    found = samples(metrics)
    names = ("counted", "counted_late", "replayed", "too_late", "refused")
    assert [found[f"tiergate_cp_usage_records_total {name}"] for name in names] == [1] * 5


def test_leases_of_the_store_are_there_once_they_were_counted() -> None:
    """Open ones, and those that have expired."""
    metrics = UsageMetrics()
    assert "tiergate_cp_usage_leases_open" not in samples(metrics)
    metrics.leases = LeaseCounts(7, 2)
    found = samples(metrics)
    assert (found["tiergate_cp_usage_leases_open"], found["tiergate_cp_usage_leases_expired"]) == (7, 2)
