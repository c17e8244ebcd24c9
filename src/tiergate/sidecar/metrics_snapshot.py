"""The counts of one process as a value, to be sent to another process and added up there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate.model import Reason
from tiergate.sidecar.metrics import DecisionCounts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.sidecar.metrics import Metrics

_DECISIONS = tuple(DecisionCounts.__slots__)


class MetricsSnapshot(msgspec.Struct, frozen=True, array_like=True):
    """Everything that `Metrics` counts, at one moment.

    `decisions`: by protocol (`check`: our own) and reason, in the order of the slots of `DecisionCounts`. `durations`:
    by endpoint, the counts of buckets and the total. `sizes`: entries and bytes by memo. `log`: records written and
    dropped.
    `rechecks`: kept answers that were checked, and that differed.
    """

    decisions: dict[str, dict[str, list[int]]]
    durations: dict[str, tuple[list[int], int]]
    requests: list[tuple[str, int, int]]
    problems: dict[str, int]
    connections: int
    exhausted: int
    sizes: dict[str, tuple[int, int]]
    log: tuple[int, int]
    rechecks: tuple[int, int]


def take_snapshot(metrics: Metrics) -> MetricsSnapshot:
    """Return the counts of a process now."""
    return MetricsSnapshot(
        {
            protocol: {reason.value: [getattr(tally, name) for name in _DECISIONS] for reason, tally in reasons.items()}
            for protocol, reasons in _protocols(metrics)
        },
        {endpoint: (list(it.counts), it.total) for endpoint, it in metrics.durations.items()},
        [(endpoint, status, count) for (endpoint, status), count in metrics.requests.items()],
        dict(metrics.problems),
        metrics.connections,
        metrics.descriptors.count,
        {name: sizes() for name, sizes in metrics.sizes.items()},
        metrics.log_records(),
        (metrics.rechecks.checked, metrics.rechecks.differences),
    )


def reset(metrics: Metrics) -> None:
    """Set everything to nothing."""
    for _, reasons in _protocols(metrics):
        for tally in reasons.values():
            for name in _DECISIONS:
                setattr(tally, name, 0)
    for durations in metrics.durations.values():
        durations.counts, durations.total = [0] * len(durations.counts), 0
    metrics.requests.clear()
    metrics.problems.clear()
    metrics.connections = metrics.descriptors.count = 0
    metrics.sizes.clear()
    metrics.log_records = lambda: (0, 0)
    metrics.rechecks.checked = metrics.rechecks.differences = 0


def add(metrics: Metrics, snapshot: MetricsSnapshot, *, lives: bool = True) -> None:
    """Add the counts of a process. `lives`: also what it has at this moment, such as open connections."""
    for protocol, reasons in _protocols(metrics):
        for reason, counts in snapshot.decisions[protocol].items():
            tally = reasons[Reason(reason)]
            for name, count in zip(_DECISIONS, counts, strict=True):
                setattr(tally, name, getattr(tally, name) + count)
    for endpoint, (buckets, total) in snapshot.durations.items():
        durations = metrics.durations[endpoint]
        durations.counts = [ours + theirs for ours, theirs in zip(durations.counts, buckets, strict=True)]
        durations.total += total
    for name, status, count in snapshot.requests:
        metrics.requests[name, status] = metrics.requests.get((name, status), 0) + count
    for slug, count in snapshot.problems.items():
        metrics.problems[slug] = metrics.problems.get(slug, 0) + count
    metrics.descriptors.count += snapshot.exhausted
    metrics.rechecks.checked += snapshot.rechecks[0]
    metrics.rechecks.differences += snapshot.rechecks[1]
    log = _plus(metrics.log_records(), snapshot.log)
    metrics.log_records = lambda: log
    if lives:
        metrics.connections += snapshot.connections
        for memo, size in snapshot.sizes.items():
            before = metrics.sizes.get(memo)
            sizes = size if before is None else _plus(before(), size)
            metrics.sizes[memo] = lambda sizes=sizes: sizes  # type: ignore[misc] # bound now


def _protocols(metrics: Metrics) -> tuple[tuple[str, Mapping[Reason, DecisionCounts]], ...]:
    return ("check", metrics.reasons), *metrics.facades.items()


def _plus(pair: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return pair[0] + other[0], pair[1] + other[1]
