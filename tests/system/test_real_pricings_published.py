"""Real pricings, published year after year by a real control plane to customers in its store, behind the gate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.control_planes import control_plane
from tests.properties.buyers import buyers, record
from tests.properties.versions import catalogs, common
from tests.properties.years import expected_effects, side
from tests.reference.pricings import YEARS
from tiergate.catalog import dump_catalog
from tiergate.catalog.writing.export import dump_subject_lines
from tiergate.model import Rollout

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from tiergate.model import Catalog

CHANGES = [
    years for years in YEARS if (years[0].parent.name, years[0].stem) in {("jira", "2022"), ("mailchimp", "2021")}
]


def apply(client: httpx.Client, catalog: Catalog, **more: object) -> httpx.Response:
    """Apply a catalog."""
    body = {"catalog": [{"name": "catalog.yaml", "text": dump_catalog(catalog)}], **more}
    return client.post("/v1/apply", json=body)


def counted(impact: dict[str, Any]) -> dict[tuple[str, str, str], int]:
    """How many customers and subscriptions an answer counts, by feature and effect; but for none."""
    return {
        (feature["feature"], kind, effect): count
        for feature in impact["features"]
        for kind in ("customers", "subscriptions")
        for effect, count in feature[kind].items()
        if count
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"), CHANGES, ids=[f"{before.parent.name}-{before.stem}-{after.stem}" for before, after in CHANGES]
)
def test_a_year_is_published_only_with_leave_to_take_what_it_takes(before: Path, after: Path, tmp_path: Path) -> None:
    """The control plane counts just whom arithmetic finds, refuses for their sake, and publishes when it may."""
    old, new = side(before), side(after)
    was, becomes = common(old.said, new.said)
    first, second = catalogs(old, new, set(was.features), set(was.items), Rollout(2))
    items = {name: id_ for id_, name in old.items.items()}
    features = {it.name: it for it in first.features.values()}
    drawn = [it.without_what_does_not_count(was) for it in buyers(was, becomes, 60)]
    expected: dict[tuple[str, str, str], int] = {}
    takes = 0
    for buyer in drawn:
        effects = expected_effects(was, becomes, buyer)
        takes += any(it.verdict in {"loses", "less", "other"} for it in effects)
        for it in effects:
            kind = "customers" if it.subject == buyer.id else "subscriptions"
            key = features[it.feature].id, kind, it.verdict
            expected[key] = expected.get(key, 0) + 1
    with control_plane(tmp_path) as plane:
        client = plane.client("admin")
        assert apply(client, first).status_code == 201
        lines = "".join(dump_subject_lines([record(it, items, features) for it in drawn], first.index()))
        imported = client.post("/v1/import/subjects", content=lines, headers={"content-type": "application/x-ndjson"})
        assert imported.status_code == 200, imported.text
        publisher = plane.client("publisher")
        dry = apply(publisher, second, dry_run=True).json()
        assert counted(dry["impact"]) == expected
        assert dry["impact"]["customers"]["take"] == takes > 0
        refused = apply(publisher, second)
        assert refused.status_code == 409, refused.text
        assert counted(refused.json()["impact"]) == expected
        assert refused.json()["accept_loss"] == dry["accept_loss"]
        published = apply(publisher, second, accept_loss=dry["accept_loss"])
        assert published.status_code == 201, published.text
        assert counted(published.json()["impact"]) == expected
        again = apply(publisher, second)
        assert again.status_code == 200, again.text
