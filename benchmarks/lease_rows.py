"""Rows about leases: how many a control plane grants, and what many sidecars make of one customer's limit.

Rates of the control plane are by its processor time, so that the machine's other work and the callers do not count.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from benchmarks.change_rows import postgresql
from benchmarks.control_planes import ControlPlane, control_plane
from benchmarks.lease_callers import DirectDebits, Leases, LedgerCaller, hot_sidecars
from benchmarks.table import Row
from tests.simulation.crowd import Crowd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.http_rows import Bench

_CUSTOMERS: Final = 2_000
_HOLDERS: Final = 32
_TOGETHER: Final = 4
"""Leases that one request acquires, of as many customers."""

_SIDECARS: Final = 20
_LIMIT: Final = 10_000
_WARM_UP: Final = 1.0
_GROWTH: Final = 15.0
"""Seconds until leases of a hot customer have their size, also on a machine that has much else to do."""
_TARGETS: Final = {"SQLite": 1_000.0, "PostgreSQL": 1_500.0}
_CATALOG: Final = """\
apiVersion: tiergate/v1
features:
  - {id: calls, type: quantity, metered: {reset: never}}
items:
  - {id: gold, kind: plan, entitlements: {calls: 1000000000}}
"""


def lease_rows(bench: Bench) -> Iterator[Row]:
    """Measure leases on both databases, a hot customer on many sidecars, and how much of a limit they use."""
    home = bench.directory / "leases"
    home.mkdir(exist_ok=True)
    with postgresql() as database:
        for name, url in (("PostgreSQL", database), ("SQLite", None)):
            with control_plane(home / name, *_sample(home), url) as plane:
                yield _granted(plane, name, bench.seconds)
                if name == "PostgreSQL":
                    yield _hot(plane, bench)
    yield _uneven()


def _granted(plane: ControlPlane, name: str, seconds: float) -> Row:
    share = _CUSTOMERS // _HOLDERS

    def callers(together: int) -> list[LedgerCaller]:
        return [
            Leases(plane, f"holder-{together}-{place:012}", [f"c{place * share + n}" for n in range(share)], together)
            for place in range(_HOLDERS)
        ]

    _drive(plane, callers(_TOGETHER + 1), _WARM_UP)
    many, cost, processor = _drive(plane, callers(_TOGETHER), seconds)
    single, _, alone = _drive(plane, callers(1), seconds)
    text = (
        f"{_TOGETHER} in a request, reported and settled with the next: {cost * 1e3:.2f} ms of processor time each, "
        f"{many:,.0f} a second beside the callers; one in a request: {alone:,.0f} and {single:,.0f}"
    )
    return Row(
        f"leases that a control plane grants on {name}, in a second of its processor time",
        processor,
        _TARGETS[name],
        text,
    )


def _hot(plane: ControlPlane, bench: Bench) -> Row:
    """One customer, twenty sidecars with a journal each; and the same number of callers of the ledger.

    Sidecars have cores of their own where it matters, so what limits a hot customer is the ledger: its processor time.
    """
    asked: Sequence[LedgerCaller] = [DirectDebits(plane, f"direct-{place:012}", "c0") for place in range(_SIDECARS)]
    _drive(plane, asked, _WARM_UP)
    alone, cost_alone, _ = _drive(plane, asked, bench.seconds)
    with TemporaryDirectory(dir=bench.directory) as folder:
        rate, cost, own = asyncio.run(_consume_at_sidecars(plane, Path(folder), bench.seconds))
    text = (
        f"{cost_alone * 1e3:.3f} / {cost * 1e3:.3f} ms; the sidecars, with Cedar and their disks, {own * 1e3:.3f} ms; "
        f"{rate:,.0f} and {alone:,.0f} a second with everything on this machine"
    )
    what = f"one hot customer on {_SIDECARS} sidecars / the ledger asked each time, by the ledger's processor time"
    return Row(what, cost_alone / cost, 5.0, text)


async def _consume_at_sidecars(plane: ControlPlane, folder: Path, seconds: float) -> tuple[float, float, float]:
    """Return what is consumed in a second, and the processor seconds of each: of the control plane, of the sidecars."""
    async with hot_sidecars(plane, folder, _SIDECARS, _CATALOG) as consume:
        await consume(_GROWTH)
        counted, own, begun = _processor(plane.pid), time.process_time(), time.monotonic()
        sold = await consume(seconds)
        return sold / (time.monotonic() - begun), counted() / sold, (time.process_time() - own) / sold


def _uneven() -> Row:
    """In simulated time: how much was sold before the first refusal, and whether the last unit was."""
    demands = [
        [2_000.0] + [5.0] * (_SIDECARS - 1),
        [2_000 / (place + 1) for place in range(_SIDECARS)],
        [400.0] * (_SIDECARS // 2) + [1.0] * (_SIDECARS // 2),
    ]
    outcomes = [Crowd(_LIMIT, rates, waits=False).run(1_000 + 2_000 * _LIMIT / sum(rates) + 5_000) for rates in demands]
    worst = min(outcome.used for outcome in outcomes)
    text = f"sold in the end: {', '.join(f'{outcome.sold:,}' for outcome in outcomes)}"
    figure = worst / _LIMIT * 100 if all(outcome.sold == _LIMIT for outcome in outcomes) else 0.0
    return Row(
        f"of a limit of {_LIMIT:,} used by {_SIDECARS} uneven sidecars before a refusal", figure, 99.0, text, "%"
    )


def _drive(plane: ControlPlane, callers: Sequence[LedgerCaller], seconds: float) -> tuple[float, float, float]:
    """Let callers work; return what they did in a second, its processor time in seconds, and the inverse."""
    counted = _processor(plane.pid)
    begun = time.monotonic()

    async def work() -> int:
        return sum(await asyncio.gather(*(caller.run(begun + seconds) for caller in callers)))

    done = max(1, asyncio.run(work()))
    cost = counted() / done
    return done / (time.monotonic() - begun), cost, 1 / cost


def _processor(pid: int) -> Callable[[], float]:
    """Return what gives the processor seconds that a process used from now on."""
    before = _processor_seconds(pid)
    return lambda: _processor_seconds(pid) - before


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _sample(home: Path) -> tuple[Path, Path]:
    catalog, subjects = home / "catalog.yaml", home / "subjects.ndjson"
    catalog.write_text(_CATALOG, encoding="utf-8")
    with subjects.open("w", encoding="utf-8") as lines:
        for number in range(_CUSTOMERS):
            held = {"type": "subscription", "id": f"s{number}", "customer": f"c{number}", "status": "active"}
            for line in ({"type": "customer", "id": f"c{number}"}, held | {"items": [{"item": "gold"}]}):
                lines.write(json.dumps(line) + "\n")
    return catalog, subjects
