"""The policy text of an item version: per entitlement, the template of its feature's type with the slots filled.

The text comes from the templates' text, so a permit is equivalent to its template. The layout is that of Cedar's
formatter, which is too slow here: its time grows faster than the text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from tiergate.cedar import split_policies
from tiergate.compiler.literals import quote_string
from tiergate.model import UNLIMITED, Feature
from tiergate.model.features import ACTIONS
from tiergate.model.value_display import display_value
from tiergate.naming import policy_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.model import FeatureType, Value

_WIDTH = 80

_TEMPLATE = re.compile(
    r'@id\("(?P<id>\w+)"\)\n'
    r"permit \(\n"
    r"  principal in \?principal,\n"
    r'(?P<action>  action == Action::"\w+",\n)'
    r"  resource == \?resource\n"
    r"(?P<conditions>\)\nwhen\b.*;)",
    re.DOTALL,
)


class Shape(NamedTuple):
    """The parts of a template's text around its two slots: the action's line, and all that follows the scope."""

    action: str
    conditions: str


def read_shapes(templates: str) -> dict[FeatureType, Shape]:
    """Split the templates' text into shapes, by the type of feature of each template.

    Raises:
        ValueError: if the text does not have exactly one template per type, in the layout of Cedar's formatter.
    """
    result: dict[str, Shape] = {}
    for line, text in split_policies(templates):
        match = _TEMPLATE.fullmatch(text)
        if match is None or match["id"] in result:
            raise ValueError(f"line {line}: not a template that permits can be made from")
        result[match["id"]] = Shape(match["action"], match["conditions"])
    if result.keys() != set(ACTIONS.values()):
        raise ValueError("not one template for each action")
    return {kind: result[action] for kind, action in ACTIONS.items()}


def write_specimens(shapes: Mapping[FeatureType, Shape]) -> str:
    """Write one permit of each type of feature, as `PermitWriter` writes it.

    INVARIANT (one shape, one validity): a permit differs from the specimen of its type in ids and annotations only. No
    id is of an enumerated type, so the same schemas accept all permits of a type, or none.
    """
    features = {type_.value: Feature(id=type_.value, type=type_) for type_ in shapes}
    return PermitWriter(features, shapes).write("plan/specimen@1", dict.fromkeys(features, UNLIMITED))


class PermitWriter:
    """Writes the permits of item versions that give the features of one catalog."""

    def __init__(self, features: Mapping[str, Feature], shapes: Mapping[FeatureType, Shape]) -> None:
        self._parts = {
            key: (f'{key}")\n', _Annotations(feature), _end(feature, shapes)) for key, feature in features.items()
        }

    def write(self, version: str, entitlements: Mapping[str, Value]) -> str:
        """Write the permits of `plan/pro@7`, one per entitlement, in the order of the features' ids.

        A value that grants nothing has one too: the catalog declares it, and the facts decide.
        """
        principal = "permit (\n" + _constraint("principal in", f'Item::"{version}",')
        id_ = f'@id("{policy_id(version, "")}'
        written: list[str] = []
        for feature in sorted(entitlements):
            id_end, annotations, end = self._parts[feature]
            written += (id_, id_end, annotations[entitlements[feature]], principal, end)
        # INVARIANT (layout of permits): an empty line between them, and nowhere else
        return "".join(written)[:-1]


class _Annotations(dict["Value", str]):
    """The `@value` line for each value of one feature, formatted once: items repeat values."""

    def __init__(self, feature: Feature) -> None:
        super().__init__()
        self._feature = feature

    def __missing__(self, value: Value) -> str:
        self[value] = line = f"@value({quote_string(display_value(value, self._feature))})\n"
        return line


def _end(feature: Feature, shapes: Mapping[FeatureType, Shape]) -> str:
    """Return all that follows the principal in a permit for this feature, with the empty line after it."""
    shape = shapes[feature.type]
    resource = _constraint("resource ==", f'Feature::"{feature.id}"')
    return f"{shape.action}{resource}{shape.conditions}\n\n"


def _constraint(left: str, right: str) -> str:
    """Return one line of the scope, or two where Cedar's formatter breaks it."""
    space = " " if len(left) + len(right) + 3 <= _WIDTH else "\n    "
    return f"  {left}{space}{right}\n"
