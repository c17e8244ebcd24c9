"""A row about the public page of the status: what it costs to make, with 1,000 features and a year of reports."""

from __future__ import annotations

import random
import statistics
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

from benchmarks.table import Row
from tests.stores import put_in_force
from tiergate.admin.public_status import public_status
from tiergate.control.status_page.html import render_html
from tiergate.model import Reporter, ReporterKind, Status, StatusReport
from tiergate.store import SYSTEM, Store
from tiergate.store.status_reports import add_report, new_report_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tiergate.store import WriteUnit

_FEATURES: Final = 1_000
_REPORTS: Final = 24
_DAY: Final = 86_400_000


def status_page_rows(home: Path, rounds: int) -> Iterator[Row]:
    """Measure the public page of 1,000 features with a year of reports, by processor time, as it is made anew."""
    home.mkdir(parents=True, exist_ok=True)
    with closing(_filled(home / "page.sqlite")) as store:
        taken, size = list[float](), 0
        for _ in range(max(5, rounds)):
            begun = time.process_time()
            page = render_html(store.read(lambda unit: public_status(unit, None)), "Status")
            taken.append((time.process_time() - begun) * 1e3)
            size = len(page)
    text = f"{_FEATURES:,} features, {_FEATURES * _REPORTS:,} reports of a year; {size / 1000:,.0f} kB"
    yield Row("the public page of the status", statistics.median(taken), 100.0, text, unit="ms", most=True)


def _filled(path: Path) -> Store:
    """Return a store with features and a year of reports, read through a published catalog of theirs."""
    path.unlink(missing_ok=True)
    store = Store.open(f"sqlite:///{path}", migrating=True)
    features = "".join(f"  - {{id: f{number}, type: switch, name: Feature {number}}}\n" for number in range(_FEATURES))
    put_in_force(store, f"apiVersion: tiergate/v1\nfeatures:\n{features}items: []\n")
    chance = random.Random(1)
    bad = [status for status in Status if status is not Status.OPERATIONAL]

    def fill(unit: WriteUnit) -> None:
        for number in range(_FEATURES * _REPORTS):
            start = unit.now - chance.randrange(365 * _DAY)
            report = StatusReport(
                id=new_report_id(),
                feature=f"f{number % _FEATURES}",
                status=chance.choice(bad),
                start=start,
                until=min(unit.now, start + chance.randrange(60_000, _DAY // 4)),
                reporter=Reporter(ReporterKind.PERSON, "jo"),
                public_note="Some requests fail." if chance.random() < 0.3 else "",
            )
            add_report(unit, report)

    store.change(fill, SYSTEM)
    return store
