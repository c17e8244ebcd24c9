"""The content of one Pricing2Yaml file, by its own keys, with the places for later problems."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tiergate.model import ItemKind, Level, Metered, Number, Switch, Unlimited

if TYPE_CHECKING:
    from tiergate.catalog.pricing2yaml.syntax import ValueType
    from tiergate.catalog.reading.problem_report import TextReport

SourceValue = Switch | Level | Unlimited | Number | None
"""A value of a pricing; `None` for an empty text."""


@dataclass(frozen=True, slots=True)
class Stated:
    """A value with its place."""

    value: SourceValue
    place: int


@dataclass(frozen=True, slots=True)
class SourceFeature:
    """A feature or a usage limit; only limits have `metered` and `linked` (keys of features)."""

    key: str
    place: int
    value_type: ValueType
    default: Stated
    description: str
    unit: str = ""
    metered: Metered | None = None
    linked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceItem:
    """A plan or an add-on with its own values, by the keys of features and limits."""

    key: str
    place: int
    kind: ItemKind
    description: str
    features: dict[str, Stated] = field(default_factory=dict)
    limits: dict[str, Stated] = field(default_factory=dict)
    extensions: dict[str, Stated] = field(default_factory=dict)
    available_for: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pricing:
    """A whole file; all parts by their keys, in the order of the file.

    `service` and `version` are empty if the file has none. `report` accepts further problems of the file.
    """

    report: TextReport
    service: str
    version: str
    features: dict[str, SourceFeature]
    limits: dict[str, SourceFeature]
    plans: dict[str, SourceItem]
    add_ons: dict[str, SourceItem]
