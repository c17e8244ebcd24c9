"""Read one item of a catalog file: its versions with their entitlements, and its rollouts.

Returns references with their places; `checks.item_references` checks them when all items are known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from tiergate.catalog.entries.metadata import read_metadata
from tiergate.catalog.entries.service_levels import find_service_level_problems, read_item_service_levels
from tiergate.catalog.entries.values import read_entitlement
from tiergate.catalog.reading.document import BROKEN, Listing, Mapping, Node, describe, shorten
from tiergate.catalog.reading.fields import Fields, find_suggestion, read_id, read_units
from tiergate.model import (
    BEGINNING,
    Audience,
    AudienceType,
    Definition,
    Feature,
    Item,
    ItemKind,
    ItemStatus,
    Rollout,
    Value,
)

if TYPE_CHECKING:
    from collections.abc import Mapping as ReadOnly

    from tiergate.catalog.reading.problem_report import TextReport
    from tiergate.model import ItemServiceLevel

MAX_VERSION = 999_999_999
"""Highest number of a version."""

ITEM_KEYS = frozenset(
    {
        *("id", "kind", "name", "description", "tags", "status", "private_to", "metadata", "service_levels"),
        *("version", "entitlements", "versions", "rollouts", "available_for", "depends_on", "excludes"),
    }
)
_LISTS = ("available_for", "depends_on", "excludes")
_VERSION_KEYS = frozenset({"version", "entitlements"})
_ROLLOUT_KEYS = frozenset({"version", "from", "audience"})
_AUDIENCE_KEYS = frozenset({"share", "tag"})
_PERCENT = re.compile(r"(0|[1-9][0-9]?|100)(\.[0-9]{1,2})?%")


@dataclass(slots=True)
class ItemText:
    """A parsed item, with the places for later checks."""

    item: Item
    place: int
    references: list[tuple[str, str, int]]
    """Key (`available_for` …), id and place of every item that it names."""
    definitions: dict[int, tuple[int, Mapping | None]]
    """Version → the place of its entitlements, and their mapping."""
    report: TextReport


class EntitlementReader:
    """Reads entitlements against the features; equal entitlements become one value.

    `features`: id → feature, `None` for one that exists but could not be read. `complete`: no feature can be missing
    because a file could not be read.
    """

    def __init__(self, features: ReadOnly[str, Feature | None], *, complete: bool) -> None:
        self._features = features
        self._complete = complete
        self._seen: dict[tuple[str, type, Node], Value] = {}

    def check_service_levels(
        self, levels: ReadOnly[str, ItemServiceLevel], places: ReadOnly[str, int], report: TextReport
    ) -> None:
        """Report service levels of unknown features, and those without any availability."""
        for id_, code, message in find_service_level_problems(levels, self._features):
            is_unknown = id_ not in self._features
            if self._complete or not is_unknown:
                near = find_suggestion(id_, self._features, report) if is_unknown else None
                report.add(places[id_], code, message, near)

    def read(self, node: Node, place: int, report: TextReport) -> dict[str, Value]:
        """Return the entitlements of one version by feature id, sorted, without those that have problems."""
        if not isinstance(node, Mapping):
            if node is not BROKEN:
                report.add(place, "wrong-type", f"must be a mapping from features to values, not {describe(node)}")
            return {}
        result: dict[str, Value] = {}
        seen = self._seen
        places = iter(node.places)
        for (key, inner), key_place, value_place in zip(node.entries.items(), places, places, strict=True):
            if not isinstance(inner, Mapping | Listing | list):
                known = seen.get((key, inner.__class__, inner))
                if known is not None:
                    result[key] = known
                    continue
            value = self._entitlement(key, inner, key_place, value_place, report)
            if value is not None:
                result[key] = value
        ids = list(result)
        ordered = sorted(ids)
        return result if ids == ordered else {id_: result[id_] for id_ in ordered}

    def _entitlement(
        self,
        id_: str,
        inner: Node,
        key_place: int,
        place: int,
        report: TextReport,
    ) -> Value | None:
        if id_ not in self._features:
            if self._complete:
                near = find_suggestion(id_, self._features, report)
                report.add(key_place, "unknown-feature", f"no feature `{shorten(id_)}`", near)
            return None
        feature = self._features[id_]
        if feature is None:
            return None
        value = read_entitlement(inner, place, feature, report)
        if value is not None and not isinstance(inner, Mapping | Listing | list):
            self._seen[id_, inner.__class__, inner] = value
        return value


def read_item(node: Node, place: int, entitlements: EntitlementReader, report: TextReport) -> ItemText | None:
    """Read an item; `None` if its id or kind is unknown."""
    fields = Fields.of(node, place, report, ITEM_KEYS, ("id", "kind"))
    if fields is None:
        return None
    id_, kind = fields.id("id"), fields.choice("kind", ItemKind)
    places: dict[int, tuple[int, Mapping | None]] = {}
    versions = _versions(fields, entitlements, places, report)
    rollouts = _rollouts(fields, versions, report)
    name, description, tags = fields.line("name"), fields.prose("description"), fields.tags("tags")
    references = [(key, result, at) for key in _LISTS for result, at in fields.ids(key)]
    if kind is ItemKind.PLAN and "available_for" in fields:
        message = "a plan has no `available_for`: it names the plans with which an add-on or a charge can be bought"
        report.add(fields.key_place("available_for"), "key-not-for-kind", message)
        references = [reference for reference in references if reference[0] != "available_for"]
    elif fields.is_empty_list("available_for"):
        message = "an empty `available_for` could mean any plan or none: leave the key out for any"
        fields.problem("available_for", "empty-list", message)
    private_to = fields.subject_id("private_to") or ""
    status = fields.choice("status", ItemStatus) or ItemStatus.ACTIVE
    metadata = read_metadata(fields, report)
    service_levels, level_places = read_item_service_levels(fields, report)
    entitlements.check_service_levels(service_levels, level_places, report)
    if id_ is None or kind is None:
        return None
    named = {key: tuple(sorted(result for its_key, result, _ in references if its_key == key)) for key in _LISTS}
    item = Item(
        id=id_,
        kind=kind,
        name=name,
        description=description,
        versions=versions,
        rollouts=rollouts,
        available_for=named["available_for"],
        depends_on=named["depends_on"],
        excludes=named["excludes"],
        tags=tags,
        private_to=private_to,
        status=status,
        metadata=metadata,
        service_levels=service_levels,
    )
    return ItemText(item, fields.place, references, places, report)


def _versions(
    fields: Fields,
    entitlements: EntitlementReader,
    places: dict[int, tuple[int, Mapping | None]],
    report: TextReport,
) -> tuple[Definition, ...]:
    """Return the versions, lowest first, from `version` and `entitlements`, or from `versions`."""
    if "versions" not in fields:
        if "entitlements" not in fields:
            message = "the key `entitlements` is missing: write `entitlements: {}` for an item that gives nothing"
            report.add(fields.place, "missing-key", message)
        version = fields.integer("version", 1, MAX_VERSION) or 1
        return (_definition(fields, version, entitlements, places, report),)
    for key in ("version", "entitlements"):
        if key in fields:
            message = f"`{key}` cannot be combined with `versions`: use one of them"
            report.add(fields.key_place(key), "key-conflict", message)
    result: dict[int, Definition] = {}
    for node, place in fields.entries_of("versions"):
        inner = Fields.of(node, place, report, _VERSION_KEYS, ("version", "entitlements"))
        if inner is None:
            continue
        number = inner.integer("version", 1, MAX_VERSION)
        if number in result:
            inner.problem("version", "duplicate-version", f"duplicate version {number}")
            number = None
        if number is None:
            entitlements.read(inner.entries.get("entitlements", BROKEN), inner.place, report)
        else:
            result[number] = _definition(inner, number, entitlements, places, report)
    if fields.is_empty_list("versions"):
        fields.problem("versions", "empty-list", "`versions` must not be empty")
    return tuple(result[number] for number in sorted(result))


def _definition(
    fields: Fields,
    version: int,
    entitlements: EntitlementReader,
    places: dict[int, tuple[int, Mapping | None]],
    report: TextReport,
) -> Definition:
    if "entitlements" not in fields:
        places[version] = (fields.place, None)
        return Definition(version, {})
    node, place = fields.entries["entitlements"], fields.at("entitlements")
    places[version] = (place, node if isinstance(node, Mapping) else None)
    return Definition(version, entitlements.read(node, place, report))


def _rollouts(fields: Fields, versions: tuple[Definition, ...], report: TextReport) -> tuple[Rollout, ...]:
    """Return the rollouts in the order of the file; without the key, the highest version for all customers."""
    if "rollouts" not in fields:
        return (Rollout(versions[-1].version),) if versions else ()
    numbers = [definition.version for definition in versions]
    result: list[Rollout] = []
    for node, place in fields.entries_of("rollouts"):
        inner = Fields.of(node, place, report, _ROLLOUT_KEYS, ("version",))
        if inner is None:
            continue
        version = inner.integer("version", 1, MAX_VERSION)
        start = inner.instant("from")
        audience = _audience(inner, report)
        if version is None:
            continue
        if version not in numbers:
            listed = ", ".join(str(number) for number in numbers[-12:])
            inner.problem("version", "unknown-version", f"no version {version} of this item: it has {listed or 'none'}")
            continue
        result.append(Rollout(version, BEGINNING if start is None else start, audience))
    return tuple(result)


def _audience(fields: Fields, report: TextReport) -> Audience:
    everybody = Audience()
    if "audience" not in fields:
        return everybody
    node, place = fields.entries["audience"], fields.at("audience")
    if node == "everybody":
        return everybody
    if node == "new":
        if "from" not in fields:
            report.add(
                place, "missing-key", "an audience of `new` needs the key `from`: it selects those added since then"
            )
        return Audience(AudienceType.NEW)
    if not isinstance(node, Mapping):
        if node is not BROKEN:
            message = f"must be `everybody`, `new`, {{share: 25}} or {{tag: beta}}, not {describe(node)}"
            report.add(place, "unknown-word", message)
        return everybody
    inner = Fields.of(node, place, report, _AUDIENCE_KEYS)
    if inner is None:
        return everybody
    if len(inner.entries.keys() & _AUDIENCE_KEYS) != 1:
        report.add(place, "key-conflict", "an audience has either `share` or `tag`")
        return everybody
    if "tag" in inner:
        tag = read_id(inner.entries["tag"], inner.at("tag"), report)
        return Audience(AudienceType.TAG, tag=tag) if tag else everybody
    return _share(inner, report)


def _share(fields: Fields, report: TextReport) -> Audience:
    node, place = fields.entries["share"], fields.at("share")
    if isinstance(node, str) and _PERCENT.fullmatch(node):
        node = Decimal(node[:-1])
    if isinstance(node, str):
        report.add(place, "bad-number", f"must be a percentage such as 25 or `25%`, not {describe(node)}")
        return Audience()
    steps = read_units(node, place, 2, report)
    if steps is not None and steps > 100_00:
        report.add(place, "bad-number", f"must be at most 100 percent, not {node}")
    return Audience(AudienceType.SHARE, share=steps or 0)
