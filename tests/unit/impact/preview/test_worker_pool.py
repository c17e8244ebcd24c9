"""A preview by several processes."""

from __future__ import annotations

import io

from tests.unit.impact.preview.test_preview import NOW, OLD, bundle, customer
from tiergate.impact.preview.subject_effects import impact_data
from tiergate.impact.preview.subject_spool import Spool
from tiergate.impact.preview.usage_data import UsageTable
from tiergate.impact.preview.worker_pool import preview_spool
from tiergate.model import Subject


def test_several_processes_find_what_one_finds() -> None:
    """The same tally, the same effects in the same order, with the usage that is known; progress is told."""
    old, new = bundle(OLD), bundle("  - {id: gold, kind: plan, entitlements: {movies: 40, analytics: true}}\n")
    records = [customer(f"c{i}", *["gold"] * (i % 3)) for i in range(300)]
    with Spool() as spool, UsageTable() as figures:
        spool.write(it for record in records for it in (record.customer, *record.subscriptions))  # type: ignore[misc]
        figures.put(Subject("c7"), "movies", 45)
        found = []
        for processes in (1, 2):
            listing, heard = io.BytesIO(), [0]
            impact = preview_spool(
                old,
                new,
                spool,
                now=NOW,
                usage=figures,
                progress=heard.append,
                listing=listing,
                processes=processes,
            )
            assert heard[-1] == 300
            found.append((impact_data(impact), impact.reduces, listing.getvalue()))
    assert found[0] == found[1]
    assert found[0][1] == 200
    assert b'"above":true' in found[0][2]
