from __future__ import annotations

import json

from tiergate.cedar import BaseEntities, Schema, builtin_schema
from tiergate.compiler.catalog_entities import VersionWriter, write_feature_entities
from tiergate.model import (
    UNLIMITED,
    AddedAmount,
    Amount,
    Definition,
    Feature,
    FeatureType,
    Item,
    ItemKind,
    Level,
    Rollout,
    Switch,
)

FEATURES = {
    feature.id: feature
    for feature in [
        Feature(id="support", type=FeatureType.CUSTOM, labels=("e-mail “24/7”", "phone")),
        Feature(id="analytics", type=FeatureType.SWITCH, tags=("reports", "beta")),
        Feature(id="storage", type=FeatureType.QUANTITY, unit="GB", scale=3),
        Feature(id="api-limit", type=FeatureType.RANGE),
        Feature(id="movies", type=FeatureType.QUANTITY),
    ]
}
DEFINITION = Definition(
    7,
    {
        "support": Level("e-mail “24/7”"),
        "analytics": Switch(on=False),
        "storage": Amount(2500),
        "api-limit": UNLIMITED,
        "movies": AddedAmount(10),
    },
)
PRO = Item(id="pro", kind=ItemKind.PLAN, versions=(DEFINITION,), rollouts=(Rollout(7),))


def test_a_version_carries_its_entitlements_as_tags() -> None:
    """An item version has one tag for each feature that it gives, and is in its item."""
    version, item = json.loads(VersionWriter(FEATURES).write(PRO, DEFINITION))
    assert version == {
        "uid": {"type": "Item", "id": "plan/pro@7"},
        "attrs": {},
        "parents": [{"type": "Item", "id": "plan/pro"}],
        "tags": {
            "analytics": "false",
            "api-limit": "unlimited",
            "movies": "+10",
            "storage": "2.5",
            "support": "e-mail “24/7”",
        },
    }
    assert item == {"uid": {"type": "Item", "id": "plan/pro"}, "attrs": {}, "parents": []}


def test_each_entitlement_is_a_line() -> None:
    """A number that changes is a line that changes."""
    lines = VersionWriter(FEATURES).write(PRO, DEFINITION).decode().splitlines()
    assert [line for line in lines if '"storage"' in line] == ['      "storage": "2.5",']


def test_features_are_in_their_tags() -> None:
    """Every feature stands with its type, unit and scale, in its tags, which stand too."""
    entities = json.loads(write_feature_entities(FEATURES.values()))
    assert [entity["uid"] for entity in entities] == [
        *({"type": "Feature", "id": id_} for id_ in ["analytics", "api-limit", "movies", "storage", "support"]),
        *({"type": "Tag", "id": id_} for id_ in ["beta", "reports"]),
    ]
    assert entities[0]["parents"] == [{"type": "Tag", "id": "beta"}, {"type": "Tag", "id": "reports"}]
    assert entities[3]["attrs"] == {"type": "quantity", "unit": "GB", "scale": 3}


def test_the_order_of_the_features_does_not_matter() -> None:
    """Features in another order are the same file."""
    assert write_feature_entities(reversed(FEATURES.values())) == write_feature_entities(FEATURES.values())


def test_entity_data_conforms_to_the_schema() -> None:
    """Cedar accepts all of it under the schema."""
    schema = Schema(builtin_schema())
    BaseEntities(write_feature_entities(FEATURES.values()).decode(), schema)
    BaseEntities(VersionWriter(FEATURES).write(PRO, DEFINITION).decode(), schema)
