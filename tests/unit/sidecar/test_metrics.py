from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tests.serving import NOW, Service, customer
from tiergate.errors import RequestError
from tiergate.http.metrics import metrics_text
from tiergate.model import Reason
from tiergate.sidecar.api import batches
from tiergate.sidecar.api.responses import reject
from tiergate.sidecar.decision_log import DecisionLog
from tiergate.sidecar.metrics import Durations, LeaseReport, OutcomesReport, UsageReport, WorkerCounts, registry
from tiergate.sidecar.replica.disk_health import DiskReport
from tiergate.sidecar.request_context import NO_CONTEXT
from tiergate.sidecar.state import StatusReport

if TYPE_CHECKING:
    import pytest
    from prometheus_client.core import Metric

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "metrics.md"
CHECK = b'{"subject": "acme", "feature": "movies"}'


def told(service: Service) -> dict[str, Metric]:
    """What Prometheus reads."""
    text = metrics_text(registry(service.metrics, service.state)).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def values(family: Metric) -> dict[tuple[str, ...], float]:
    """The samples of a family by the values of their labels."""
    return {tuple(sample.labels.values()): sample.value for sample in family.samples}


def counted(family: Metric) -> dict[tuple[str, ...], float]:
    """Those of its samples that are not 0."""
    return {labels: value for labels, value in values(family).items() if value}


def test_every_reason_is_there_from_the_start() -> None:
    """With 0, so that an alert on an increase sees the first decision of a reason."""
    decisions = values(told(Service(customer("acme")))["tiergate_decisions"])
    assert decisions == {
        (endpoint, reason, "engine"): 0
        for reason in Reason
        for endpoint in ("check", "checks", "usage", "ofrep", "authzen", "authzen_batch")
    }


def test_decisions_are_counted_by_endpoint_reason_and_source() -> None:
    """Each as it was given."""
    service = Service(customer("acme"), caches_at_once=True)
    for _ in range(3):
        service.check(CHECK)
    asyncio.run(
        service.native.batches.respond(b'{"checks": [%b, %b]}' % (CHECK, CHECK.replace(b"acme", b"nobody")), NO_CONTEXT)
    )

    assert counted(told(service)["tiergate_decisions"]) == {
        ("check", "granted", "engine"): 1,
        ("check", "granted", "memo"): 2,
        ("checks", "granted", "memo"): 1,
        ("checks", "unknown_subject", "engine"): 1,
    }


def test_an_equal_check_in_a_batch_counts_as_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is decided once, whether the batch is answered at once or in time slices."""
    monkeypatch.setattr(batches, "_AT_ONCE_NS", 10**12)
    service = Service(customer("acme"))
    batch = b'{"checks": [%b, %b]}' % (CHECK, CHECK)
    service.native.batches.respond_now(batch, NO_CONTEXT)
    sliced = Service(customer("acme"))
    asyncio.run(sliced.native.batches.respond(batch, NO_CONTEXT))

    for one in (service, sliced):
        assert counted(told(one)["tiergate_decisions"]) == {
            ("checks", "granted", "engine"): 1,
            ("checks", "granted", "memo"): 1,
        }


def test_requests_are_counted_by_endpoint_and_status() -> None:
    """Repeats, which are counted by their reason alone, among them."""
    service = Service(customer("acme"))
    service.check(CHECK)
    service.check(b"{")
    next(iter(service.metrics.reasons.values())).check_repeat += 5

    assert values(told(service)["tiergate_requests"]) == {("check", "200"): 6, ("check", "400"): 1}


def test_problems_are_counted_by_type() -> None:
    """Wherever they come up."""
    service = Service(customer("acme"))
    reject(service.service, "check", RequestError(413, "content too large", "x"))
    asyncio.run(service.native.batches.respond(b'{"checks": [1, 2]}', NO_CONTEXT))

    assert values(told(service)["tiergate_problems"]) == {("content-too-large",): 1, ("invalid-request",): 2}


def test_explanations_are_counted_as_requests_not_as_decisions() -> None:
    """They decide nothing that anybody acts on."""
    service = Service(customer("acme"))
    for body in (CHECK, CHECK, b"{}"):
        asyncio.run(service.native.explanations.respond(body, NO_CONTEXT))
    families = told(service)

    assert values(families["tiergate_requests"]) == {("explain", "200"): 2, ("explain", "400"): 1}
    assert counted(families["tiergate_decisions"]) == {}
    assert sum(service.metrics.durations["explain"].counts) == 2


@given(st.lists(st.integers(0, 10**10)))
def test_durations_fall_into_their_buckets(durations: list[int]) -> None:
    """Each bucket counts what took at most so long; the bounds are powers of two nanoseconds."""
    counted = Durations()
    for duration in durations:
        counted.add(duration)

    assert counted.total == sum(durations)
    *bounded, last = counted.buckets()
    assert last[0] == "+Inf"
    assert last[1] == len(durations)
    for bound, count in bounded:
        # A duration that equals a bound counts as longer: a nanosecond of difference.
        assert count == sum(duration < round(float(bound) * 1e9) for duration in durations)


def test_the_state_is_told() -> None:
    """What is in force, and that the newest load failed."""
    service = Service(customer("acme"))
    service.state.report = lambda: StatusReport(
        mode="files", error="broken", loads=2, failures=1, load_seconds=0.5, customers=7, subscriptions=9
    )
    service.state.set_stale_at(NOW)
    families = told(service)

    assert {
        name: values(families[f"tiergate_{name}"])
        for name in ("ready", "stale", "publication", "generation", "load_failing", "loads", "subjects")
    } == {
        "ready": {(): 1},
        "stale": {(): 1},
        "publication": {(): 1},
        "generation": {(): 1},
        "load_failing": {(): 1},
        "loads": {("success",): 2, ("failure",): 1, ("abandoned",): 0},
        "subjects": {("customer",): 7, ("subscription",): 9},
    }


def test_sync_is_told() -> None:
    """How far behind it is, when it last succeeded, how often it failed, and when answers begin to say stale."""
    service = Service(customer("acme"))
    service.state.report = lambda: StatusReport(mode="sync", lag=3, last_sync_at=NOW - 500, sync_errors=2)
    service.state.set_stale_at(NOW + 60_000)
    families = told(service)

    assert {name: values(families[f"tiergate_{name}"]) for name in SYNC_METRICS} == {
        "sync_lag_entries": {(): 3},
        "sync_last_success_timestamp_seconds": {(): NOW / 1000 - 0.5},
        "sync_errors": {(): 2},
        "stale_timestamp_seconds": {(): NOW / 1000 + 60},
    }


SYNC_METRICS = ("sync_lag_entries", "sync_last_success_timestamp_seconds", "sync_errors", "stale_timestamp_seconds")


def test_with_files_nothing_is_told_of_sync() -> None:
    """A lag of nothing would look like one of zero."""
    assert not {f"tiergate_{name}" for name in SYNC_METRICS} & set(told(Service(customer("acme"))))


def test_every_metric_is_documented(tmp_path: Path) -> None:
    """And everything that is documented is a metric."""
    service = Service(customer("acme"), log=DecisionLog(str(tmp_path / "log")))
    service.state.report = lambda: StatusReport(
        mode="sync",
        load_seconds=1,
        customers=1,
        subscriptions=1,
        lag=0,
        last_sync_at=NOW,
        clock_skew=0,
        loaded_at=NOW,
        behind=0,
    )
    service.state.set_stale_at(NOW)
    service.metrics.data = lambda: DiskReport(tmp_path, 1, 2, writable=True, limit=3)
    service.metrics.workers = lambda: WorkerCounts(2, 1, 3)
    leasing = LeaseReport(
        1, 2, 3, 0, 0, offline=False, last_exchange=1.0, error=None, durations=Durations(), refused={"offline": 1}
    )
    service.metrics.usage = lambda: UsageReport(
        {"consumed": 1}, 1, 2, 0, None, 1, 0, 0, 0, Durations(), {"counted": 1}, leasing
    )
    service.metrics.outcomes = lambda: OutcomesReport(
        {"counted": 1}, 1, 2, None, 1, 0, 0, Durations(), True, 1, 1.0, 1.0, 0, 0, 1, 0, 1.0, None
    )
    own = {
        family.name + ("_total" if family.type == "counter" else "_info" if family.type == "info" else "")
        for family in told(service).values()
        if family.name.startswith("tiergate_")
    }
    documented = set(re.findall(r"^\| `(tiergate_\w+)`", PAGE.read_text(), re.MULTILINE))

    assert own == documented
