"""Read one Pricing2Yaml file, and report all its problems and wrong references.

Parts that Tiergate does not import (prices, pages, expressions) are not checked, but their keys must be known: a
misspelt `usageLimits` would otherwise give every plan the defaults.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.catalog.pricing2yaml.features import read_feature, read_limit
from tiergate.catalog.pricing2yaml.items import Declared, ItemReader
from tiergate.catalog.pricing2yaml.pricing import Pricing
from tiergate.catalog.pricing2yaml.scalars import one_line, read_word
from tiergate.catalog.pricing2yaml.sections import named_entries
from tiergate.catalog.pricing2yaml.syntax import PRICING_KEYS, SYNTAX_VERSIONS
from tiergate.catalog.reading.document import BROKEN, Listing, Mapping, Node, SourceText, describe
from tiergate.catalog.reading.fields import Fields
from tiergate.catalog.reading.files import read_text
from tiergate.catalog.reading.problem_report import TextReport
from tiergate.catalog.reading.yaml_reader import read_yaml

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from tiergate.catalog.reading.problem_report import ProblemLog


def read_pricing(path: Path, log: ProblemLog) -> Pricing | None:
    """Read a file as far as possible; `None` if it has no pricing. Problems go to the log."""
    text = read_text(path, log)
    if text is None:
        return None
    report = TextReport(log, SourceText(str(path), text))
    root, place = read_yaml(text, report, read_word)
    if root is None:
        report.add(place, "empty-file", "the file is empty: a pricing has at least `features` and `plans` or `addOns`")
        return None
    fields = Fields.of(root, place, report, PRICING_KEYS, ("features",))
    if fields is None:
        return None
    _check_syntax_version(fields)
    features = _features(fields, report)
    limits = _limits(fields, features, report)
    plans, add_ons = _keys(fields, "plans"), _keys(fields, "addOns")
    if plans is not None and add_ons is not None and not plans and not add_ons:
        report.add(place, "nothing-to-sell", "the pricing has neither plans nor add-ons")
    reader = ItemReader(features, limits, plans, add_ons, report)
    read_plans = [reader.plan(*entry) for entry in named_entries(fields, "plans", report)]
    read_add_ons = [reader.add_on(*entry) for entry in named_entries(fields, "addOns", report)]
    return Pricing(
        report,
        _text(fields, "saasName"),
        _version(fields),
        {key: feature for key, feature in (features or {}).items() if feature is not None},
        {key: limit for key, limit in (limits or {}).items() if limit is not None},
        {item.key: item for item in read_plans if item is not None},
        {item.key: item for item in read_add_ons if item is not None},
    )


def _check_syntax_version(fields: Fields) -> None:
    """Report an unsupported version of the syntax; up to 2.0, its key is `version`."""
    key = "syntaxVersion" if fields.entries.get("syntaxVersion") is not None else "version"
    version = fields.entries.get(key)
    if key == "version" and not (isinstance(version, str) and version.replace(".", "", 1).isdigit() and "." in version):
        return  # the version of the pricing, in a file without syntax version
    if version is not BROKEN and version not in SYNTAX_VERSIONS:
        known = ", ".join(SYNTAX_VERSIONS)
        fields.problem(key, "unknown-syntax", f"must be a version of Pricing2Yaml, {known}, not {describe(version)}")


def _features(fields: Fields, report: TextReport) -> Declared | None:
    node = fields.entries.get("features", BROKEN)
    if node is None:
        fields.problem("features", "wrong-type", "must be a mapping, not nothing (null): write `{}` if there are none")
    tags = _tags(fields)
    result: Declared = {
        key: read_feature(key, place, inner, at, tags, report)
        for key, place, inner, at in named_entries(fields, "features", report)
    }
    return result if isinstance(node, Mapping) else None


def _limits(fields: Fields, features: Declared | None, report: TextReport) -> Declared | None:
    result: Declared = {
        key: read_limit(key, place, inner, at, features, report)
        for key, place, inner, at in named_entries(fields, "usageLimits", report)
    }
    return None if _keys(fields, "usageLimits") is None else result


def _keys(fields: Fields, section: str) -> Collection[str] | None:
    """Return the keys of a section; empty if it is missing or null, `None` if it cannot be read."""
    node = fields.entries.get(section)
    if node is None:
        return ()
    return node.entries if isinstance(node, Mapping) else None


def _tags(fields: Fields) -> frozenset[str] | None:
    """Return the allowed tags of features; `None` if they cannot be read."""
    node = fields.entries.get("tags")
    if node is None:
        return frozenset()
    if not isinstance(node, Listing):
        return None
    return frozenset(entry for entry in node.entries if isinstance(entry, str))


def _version(fields: Fields) -> str:
    """Return the version of the pricing: `version` from syntax 2.1 on, else its date; empty without either."""
    version = _text(fields, "version")
    if version and (fields.entries.get("syntaxVersion") is not None or version not in SYNTAX_VERSIONS):
        return version
    made = _text(fields, "createdAt")
    if made:
        return made
    day = [_text(fields, key) for key in ("year", "month", "day")]
    return "-".join(part.zfill(2) for part in day) if all(day) else ""


def _text(fields: Fields, key: str) -> str:
    node: Node = fields.entries.get(key)
    return one_line(node).strip() if isinstance(node, str) else ""
