from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tests.unit.catalog.marked import catalog_problems, expect, load, unmark
from tiergate.catalog import dump_catalog
from tiergate.model import CalendarUnit, ItemServiceLevel, ServiceLevel, Status

if TYPE_CHECKING:
    from pathlib import Path


def catalog(feature: str = "{availability: 99.9}", item: str = "{}") -> str:
    """A catalog of a feature with a service level, one without, and a plan that promises something."""
    return (
        "apiVersion: tiergate/v1\nfeatures:\n"
        f"  - {{id: f, type: switch, service_level: {feature}}}\n  - {{id: plain, type: switch}}\n"
        f"items:\n  - {{id: p, kind: plan, entitlements: {{f: true, plain: true}}, service_levels: {item}}}\n"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{availability: 99.9}", ServiceLevel(availability=999_000)),
        ("{availability: 99.9999}", ServiceLevel(availability=999_999)),
        ("{availability: 100}", ServiceLevel(availability=1_000_000)),
        ("{availability: 0}", ServiceLevel(availability=0)),
        ("{availability: 1, window: {every: 1, of: month}}", ServiceLevel(availability=10_000)),
        (
            (
                "{availability: 99.95, latency_ms: 300, window: {every: 2, of: week}, timezone: Europe/Berlin, "
                "spent_by: degraded, minute: {least: 1, degraded: 2, down: 3}}"
            ),
            ServiceLevel(
                availability=999_500,
                latency_ms=300,
                window=CalendarUnit.WEEK,
                every=2,
                timezone="Europe/Berlin",
                spent_by=Status.DEGRADED,
                least=1,
                degraded=2,
                down=3,
            ),
        ),
    ],
)
def test_a_service_level_is_read_exactly_and_written_back(text: str, expected: ServiceLevel, tmp_path: Path) -> None:
    """Percentages become millionths without rounding, and the printed catalog is equal."""
    loaded = load(tmp_path, catalog(text))
    assert loaded.features["f"].service_level == expected
    assert load(tmp_path, dump_catalog(loaded)) == loaded


def test_an_item_promises_other_numbers(tmp_path: Path) -> None:
    """What it leaves out is as the feature promises; without a feature's promise, the defaults hold."""
    text = catalog(
        "{availability: 99.9, latency_ms: 300, timezone: Europe/Berlin}",
        "{plain: {availability: 99}, f: {latency_ms: 100, window: year}}",
    )
    loaded = load(tmp_path, text)
    general, own = loaded.features["f"].service_level, loaded.items["p"].service_levels
    assert list(own) == ["f", "plain"]
    assert own["f"] == ItemServiceLevel(latency_ms=100, window=CalendarUnit.YEAR, every=1)
    assert general is not None
    assert own["f"].promise(general) == replace(general, latency_ms=100, window=CalendarUnit.YEAR)
    assert own["plain"].promise(None) == ServiceLevel(availability=990_000)
    assert load(tmp_path, dump_catalog(loaded)) == loaded


def test_the_bundle_has_latencies_and_no_service_levels(tmp_path: Path) -> None:
    """A catalog without latencies has the index of one without service levels."""
    own = "{f: {latency_ms: 100}, plain: {availability: 99, latency_ms: 9}}"
    index = load(tmp_path, catalog("{availability: 99.9, latency_ms: 300}", own)).index()
    assert index.latencies_of("f") == (100, 300)
    assert index.latencies_of("plain") == (9,)
    assert index.latencies_of("other") == ()
    assert index.features["f"].service_level is None
    without = load(tmp_path, catalog().replace(", service_level: {availability: 99.9}", "")).index()
    assert load(tmp_path, catalog(item="{f: {availability: 98}}")).index() == without


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("wrong-type", catalog("^99.9")),
        ("missing-key", catalog("^{latency_ms: 300}")),
        ("bad-number", catalog("{availability: ^100.0001}")),
        ("bad-number", catalog("{availability: ^99.99999}")),
        ("bad-number", catalog("{availability: ^-1}")),
        ("wrong-type", catalog("{availability: ^99.9%}")),
        ("bad-number", catalog("{availability: 99, latency_ms: ^0}")),
        ("wrong-type", catalog("{availability: 99, latency_ms: ^1.5}")),
        ("unknown-word", catalog("{availability: 99, window: ^fortnight}")),
        ("bad-number", catalog("{availability: 99, window: {every: ^0, of: week}}")),
        ("unknown-time-zone", catalog("{availability: 99, timezone: ^Europe/Berlim}")),
        ("unknown-word", catalog("{availability: 99, spent_by: ^maintenance}")),
        ("missing-key", catalog("{availability: 99, minute: ^{}}")),
        ("bad-number", catalog("{availability: 99, minute: {down: ^101}}")),
        ("bad-number", catalog("{availability: 99, minute: {least: ^0}}")),
        ("unknown-key", catalog("{availability: 99, ^percent: 1}")),
        ("wrong-type", catalog(item="^[f]")),
        ("unknown-feature", catalog(item="{^g: {availability: 99}}")),
        ("missing-key", catalog(item="{f: ^{}}")),
        ("missing-key", catalog(item="{^plain: {latency_ms: 9}}")),
    ],
)
def test_what_is_wrong_is_found_at_its_place(code: str, text: str, tmp_path: Path) -> None:
    """Each problem has its code and position."""
    clean, places = unmark(text)
    expect(catalog_problems(tmp_path, clean), places, code)
