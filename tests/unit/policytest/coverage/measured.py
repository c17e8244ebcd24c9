"""Coverage of test files written on the spot, over a small catalog in a file of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.policytest.coverage import Mark, Recorder
from tiergate.policytest.runner import Runner

if TYPE_CHECKING:
    from pathlib import Path

    from tiergate.policytest.coverage import Coverage

CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: reports, type: switch}
  - {id: seats, type: quantity, levels: [5, 8, unlimited]}
  - {id: storage, type: quantity, scale: 1, combine: max}
  - {id: rate, type: range, min: 1, max: 100}
  - {id: support, type: custom, levels: [email, chat, phone]}
  - {id: soon, type: switch, status: draft}
  - {id: calls, type: quantity, metered: {reset: month}}
items:
  - id: basic
    kind: plan
    entitlements: {reports: true, seats: 5, storage: 2.5, rate: 50, support: chat, soon: true, calls: 20}
  - {id: free, kind: plan, entitlements: {reports: false, support: email}}
  - {id: top, kind: plan, entitlements: {seats: unlimited, storage: 7, rate: 100, support: phone}}
  - {id: extra, kind: addon, entitlements: {seats: {add: 3}, storage: 1}}
"""
HEAD = """\
apiVersion: tiergate/v1
now: 2026-11-21T12:00:00Z
catalog: catalog.yaml
holders:
  ada: [basic]
  bob: [basic, {item: extra, quantity: 2}]
  eve: [top]
  fay: [free]
customers:
  - {id: gil, overrides: [{feature: reports, value: true}]}
"""


def coverage(
    folder: Path, tests: str, head: str = HEAD, files: dict[str, str] | None = None, *, shipped: bool = True
) -> Coverage:
    """Write the files, run all tests, and measure. `tests`: as in a file, each indented by two."""
    for name, text in ({"catalog.yaml": CATALOG, "small_test.yaml": f"{head}tests:\n{tests}"} | (files or {})).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    runner = Runner()
    loaded = runner.read_suites([folder])
    recorder = Recorder(loaded.environments.values())
    runner.run(loaded, observers=[recorder])
    return recorder.coverage(shipped=shipped)


def marks(measured: Coverage) -> dict[str, Mark]:
    """The mark of each unit, by its id and aspect: `plan/basic@1/seats limit`."""
    return {f"{it.target.id} {it.target.aspect}": it.mark for it in measured.measured}


def covered(measured: Coverage, about: str) -> list[str]:
    """The aspects of one policy or level that are covered."""
    return [it.target.aspect.value for it in measured.measured if it.target.id == about and it.mark is Mark.COVERED]
