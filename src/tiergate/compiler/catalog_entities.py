"""Entity data in Cedar's JSON: the features with their tags, and the entitlements of each item version.

One fact per line, so that a changed number in the catalog changes one line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.model import format_value
from tiergate.model.canonical_json import canonical_json
from tiergate.naming import item_ref, item_uid, version_ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tiergate.model import Definition, Feature, Item, Value


def write_feature_entities(features: Iterable[Feature]) -> bytes:
    """Write `entities/features.json`: every feature and every tag, sorted by type and id."""
    listed = sorted(features, key=lambda feature: feature.id)
    tags = sorted({tag for feature in listed for tag in feature.tags})
    return canonical_json(
        [
            {
                "uid": {"type": "Feature", "id": feature.id},
                "attrs": {"type": feature.type.value, "unit": feature.unit, "scale": feature.scale},
                "parents": [{"type": "Tag", "id": tag} for tag in sorted(set(feature.tags))],
            }
            for feature in listed
        ]
        + [{"uid": {"type": "Tag", "id": tag}, "attrs": {}, "parents": []} for tag in tags]
    )


class VersionWriter:
    """Writes the entity files of item versions that give the features of one catalog."""

    def __init__(self, features: Mapping[str, Feature]) -> None:
        self._texts = {key: _Texts(feature.scale) for key, feature in features.items()}

    def write(self, item: Item, definition: Definition) -> bytes:
        """Write the entity file of one version: the version with a tag per entitlement, and its item."""
        ref = item_ref(item.kind, item.id)
        texts = self._texts
        return canonical_json(
            [
                {
                    "uid": item_uid(version_ref(item.kind, item.id, definition.version)),
                    "attrs": {},
                    "parents": [item_uid(ref)],
                    "tags": {feature: texts[feature][value] for feature, value in definition.entitlements.items()},
                },
                {"uid": item_uid(ref), "attrs": {}, "parents": []},
            ]
        )


class _Texts(dict["Value", str]):
    """The text of each value of one feature, formatted once: items repeat values."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self._scale = scale

    def __missing__(self, value: Value) -> str:
        self[value] = text = format_value(value, self._scale)
        return text
