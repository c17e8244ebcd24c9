"""A row about the status of features: how soon all sidecars show a report, beside a change of a subscription.

Both are made over the administration API in turn, and all sidecars are asked in turn until the last one shows it.
Everything runs on one machine and one clock.
"""

from __future__ import annotations

import json
import statistics
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from benchmarks.change_rows import sample
from benchmarks.control_planes import control_plane, synced_sidecar
from benchmarks.processes import ask
from benchmarks.table import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from benchmarks.control_planes import ControlPlane
    from benchmarks.processes import Sidecar

_FOLLOWERS: Final = 20
_CHECK: Final = '{"subject":"c7","feature":"f4"}'


def status_rows(directory: Path, rounds: int, followers: int = _FOLLOWERS) -> Iterator[Row]:
    """Measure from the request until all sidecars show a report, and a change of a subscription."""
    home = directory / "status"
    with ExitStack() as stack:
        plane = stack.enter_context(control_plane(home, *sample(home)))
        cars = [stack.enter_context(synced_sidecar(plane, f"status-{n}")) for n in range(followers)]
        reports: list[float] = []
        changes: list[float] = []
        for turn in range(max(8, 2 * rounds)):
            id_, begun = _report(plane)
            reports.append(_shown(cars, begun, lambda answer: answer.get("status") == "down"))
            begun = _end(plane, id_)
            reports.append(_shown(cars, begun, lambda answer: "status" not in answer))
            status = "expired" if turn % 2 == 0 else "active"
            changes.append(_shown(cars, *_change(plane, status)))
    report, change = statistics.median(reports), statistics.median(changes)
    text = f"{report:.0f} ms / {change:.0f} ms; worst of {len(reports)}: {max(reports):.0f} ms"
    yield Row(
        f"a status on {followers} sidecars / a subscription's change, median", report / change, 1.5, text, most=True
    )


def _shown(cars: Sequence[Sidecar], begun: float, is_so: Callable[[dict[str, object]], bool]) -> float:
    """Ask each sidecar until it shows something; return the milliseconds since `begun`."""
    for car in cars:
        while not is_so(json.loads(ask(car.port, _CHECK)[1])):
            pass
    return (time.monotonic() - begun) * 1e3


def _report(plane: ControlPlane) -> tuple[str, float]:
    """Report a feature as down; return the report's id, and when the request began."""
    begun = time.monotonic()
    answer = plane.client.post("/v1/status/reports", json={"feature": "f4", "status": "down"})
    answer.raise_for_status()
    return str(answer.json()["id"]), begun


def _end(plane: ControlPlane, id_: str) -> float:
    begun = time.monotonic()
    plane.client.post(f"/v1/status/reports/{id_}/end", json={}).raise_for_status()
    return begun


def _change(plane: ControlPlane, status: str) -> tuple[float, Callable[[dict[str, object]], bool]]:
    begun = time.monotonic()
    plane.client.patch("/v1/subscriptions/s7", json={"status": status}).raise_for_status()
    return begun, lambda answer: (answer["reason"] == "subscription_inactive") == (status == "expired")
