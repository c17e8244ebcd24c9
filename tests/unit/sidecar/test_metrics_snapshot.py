from __future__ import annotations

import msgspec

from tests.serving import Service, customer
from tiergate.errors import RequestError
from tiergate.http.metrics import metrics_text
from tiergate.sidecar.api.responses import reject
from tiergate.sidecar.metrics import Metrics, registry
from tiergate.sidecar.metrics_snapshot import MetricsSnapshot, add, reset, take_snapshot

CHECK = b'{"subject": "acme", "feature": "movies"}'


def busy() -> Service:
    """A service that has decided, repeated, refused, and has connections."""
    service = Service(customer("acme"))
    for _ in range(3):
        service.check(CHECK)
    reject(service.service, "check", RequestError(413, "content too large", "no"))
    service.metrics.connections = 2
    service.metrics.descriptors.count = 1
    service.metrics.log_records = lambda: (4, 1)
    service.metrics.rechecks.checked, service.metrics.rechecks.differences = 5, 2
    return service


def exposed(service: Service, metrics: Metrics) -> str:
    """What Prometheus reads of counts."""
    lines = metrics_text(registry(metrics, service.state)).decode().splitlines()
    return "\n".join(line for line in lines if line.startswith("tiergate_"))


def test_a_snapshot_has_everything_that_is_counted() -> None:
    """Also after its way through a message: the sum over one process is what that says of itself."""
    service = busy()
    sent = msgspec.msgpack.encode(take_snapshot(service.metrics))
    total = Metrics()
    add(total, msgspec.msgpack.decode(sent, type=MetricsSnapshot))
    assert exposed(service, total) == exposed(service, service.metrics)
    assert take_snapshot(total) == take_snapshot(service.metrics)


def test_counts_add_up() -> None:
    """Of processes that live, everything; of those that ended, what they counted."""
    snapshot, total = take_snapshot(busy().metrics), Metrics()
    for lives in (True, True, False):
        add(total, snapshot, lives=lives)
    found = take_snapshot(total)
    assert found.decisions["check"]["granted"] == [3 * count for count in snapshot.decisions["check"]["granted"]]
    assert sum(found.decisions["check"]["granted"]) == 9
    assert found.durations["check"][1] == 3 * snapshot.durations["check"][1]
    assert {(endpoint, status): count for endpoint, status, count in found.requests}["check", 413] == 3
    assert found.problems == {"content-too-large": 3}
    assert (found.connections, found.exhausted, found.log) == (4, 3, (12, 3))
    assert found.rechecks == (15, 6)
    assert found.sizes == {memo: (2 * count, 2 * size) for memo, (count, size) in snapshot.sizes.items()}
    assert any(count for count, _ in found.sizes.values())


def test_a_sum_is_begun_anew() -> None:
    """And what was added up before is gone."""
    total = Metrics()
    add(total, take_snapshot(busy().metrics))
    reset(total)
    assert take_snapshot(total) == take_snapshot(Metrics())
