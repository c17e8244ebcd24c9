"""What one Pricing2Yaml file says, still by its own keys and with the place of everything that can be at fault."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tiergate.model import ItemKind, Level, Metered, Number, Switch, Unlimited

if TYPE_CHECKING:
    from tiergate.catalog.pricing2yaml.syntax import ValueType
    from tiergate.catalog.reading.problem_report import TextReport

SourceValue = Switch | Level | Unlimited | Number | None
"""A value as a pricing writes it; `None` where it is a text that says nothing."""


@dataclass(frozen=True, slots=True)
class Stated:
    """A value with its place."""

    value: SourceValue
    place: int


@dataclass(frozen=True, slots=True)
class SourceFeature:
    """A feature or a usage limit; `metered` and `linked`, keys of features, are those of a limit."""

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
    """A plan or an add-on with the values that it states itself, by the keys of features and limits."""

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
    """A whole file; everything by its key, in the order of the file.

    `service` and `version` are empty where the file names none. `report` takes further problems of the file.
    """

    report: TextReport
    service: str
    version: str
    features: dict[str, SourceFeature]
    limits: dict[str, SourceFeature]
    plans: dict[str, SourceItem]
    add_ons: dict[str, SourceItem]
