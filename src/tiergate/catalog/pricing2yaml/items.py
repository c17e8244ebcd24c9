"""Read the plans and add-ons of a pricing."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from tiergate.catalog.pricing2yaml.features import read_value
from tiergate.catalog.pricing2yaml.pricing import SourceFeature, SourceItem, Stated
from tiergate.catalog.pricing2yaml.scalars import read_prose
from tiergate.catalog.pricing2yaml.sections import named_entries, read_field, read_names
from tiergate.catalog.pricing2yaml.syntax import ADD_ON_KEYS, PLAN_KEYS, VALUE_KEYS, ValueType
from tiergate.catalog.reading.document import BROKEN, Mapping, Node, describe, shorten
from tiergate.catalog.reading.fields import Fields, find_suggestion
from tiergate.model import ItemKind

if TYPE_CHECKING:
    from collections.abc import Collection

    from tiergate.catalog.reading.problem_report import TextReport

Declared = dict[str, SourceFeature | None]
"""The declarations of a pricing, by key; `None` for one that could not be read."""


class ItemReader:
    """Reads items against the declarations of the pricing.

    An argument that is `None` could not be read as a whole, so references to it are not checked.
    """

    def __init__(
        self,
        features: Declared | None,
        limits: Declared | None,
        plans: Collection[str] | None,
        add_ons: Collection[str] | None,
        report: TextReport,
    ) -> None:
        self._features = features
        self._limits = limits
        self._plans = plans
        self._add_ons = add_ons
        self._report = report

    def plan(self, key: str, place: int, node: Node, at: int) -> SourceItem | None:
        """Read a plan at the place `at`; a null plan has no own values."""
        fields = Fields.of(_or_empty(node), at, self._report, PLAN_KEYS)
        if fields is None:
            return None
        return SourceItem(
            key,
            place,
            ItemKind.PLAN,
            read_field(fields, "description", read_prose, ""),
            self._stated(fields, "features", ItemKind.PLAN),
            self._stated(fields, "usageLimits", ItemKind.PLAN),
        )

    def add_on(self, key: str, place: int, node: Node, at: int) -> SourceItem | None:
        """Read an add-on at the place `at`; one without plans is for all plans."""
        fields = Fields.of(_or_empty(node), at, self._report, ADD_ON_KEYS)
        if fields is None:
            return None
        report = self._report
        item = SourceItem(
            key,
            place,
            ItemKind.ADDON,
            read_field(fields, "description", read_prose, ""),
            self._stated(fields, "features", ItemKind.ADDON),
            self._stated(fields, "usageLimits", ItemKind.ADDON),
            self._stated(fields, "usageLimitsExtensions", ItemKind.ADDON),
            read_names(fields, "availableFor", self._plans, "plan", report) or tuple(self._plans or ()),
            read_names(fields, "dependsOn", self._add_ons, "add-on", report, own=key),
            read_names(fields, "excludes", self._add_ons, "add-on", report, own=key),
        )
        for limit in item.extensions.keys() & item.limits.keys():
            message = f"`{shorten(limit)}` is both set and extended by this add-on, which is ambiguous: use two add-ons"
            report.add(item.extensions[limit].place, "contradiction", message)
        for other in sorted({*item.depends_on} & {*item.excludes}):
            message = f"`{shorten(other)}` is in both `excludes` and `dependsOn`"
            fields.problem("excludes", "contradiction", message)
        return item

    def _stated(self, fields: Fields, section: str, kind: ItemKind) -> dict[str, Stated]:
        """Return the values in a section of an item, by the keys of features or limits."""
        declared, others = self._features, self._limits
        what, other = "feature", "usage limit"
        if section != "features":
            declared, others, what, other = others, declared, other, what
        result: dict[str, Stated] = {}
        for key, key_place, node, place in named_entries(fields, section, self._report):
            if declared is None:
                continue
            if key not in declared:
                is_other = key in (others or ())
                near = None if is_other else find_suggestion(key, declared, self._report)
                message = f"no {what} `{shorten(key)}` in this pricing" + (f": it is a {other}" if is_other else "")
                self._report.add(key_place, "unknown-reference", message, near)
                continue
            feature = declared[key]
            if feature is None:
                continue
            if section == "usageLimitsExtensions" and feature.value_type is not ValueType.NUMERIC:
                message = f"`{shorten(key)}` is a {feature.value_type} limit: only a NUMERIC one can be extended"
                self._report.add(key_place, "unfit-extension", message)
                continue
            stated = self._value(feature, node, place, kind)
            if stated is not None:
                result[key] = stated
        return result

    def _value(self, feature: SourceFeature, node: Node, place: int, kind: ItemKind) -> Stated | None:
        """Return the value under `value`; `None` for a plan's default, and after a problem."""
        if isinstance(node, Mapping):
            fields = Fields(node, place, self._report)
            fields.expect(VALUE_KEYS)
            node = fields.entries.get("value")
            place = fields.at("value") if "value" in fields else place
        elif node is not None and node is not BROKEN:
            self._report.add(place, "wrong-type", f"must be a mapping such as `{{value: 5}}`, not {describe(node)}")
            return None
        if node is BROKEN or (node is None and kind is ItemKind.PLAN):
            return None
        if node is None:
            message = "the key `value` is missing: an add-on has no defaults"
            self._report.add(place, "missing-key", message)
            return None
        try:
            return Stated(read_value(feature.value_type, node), place)
        except ValueError as error:
            self._report.add(place, "unfit-value", str(error))
            return None


def _or_empty(node: Node) -> Node:
    return Mapping({}, array("q")) if node is None else node
