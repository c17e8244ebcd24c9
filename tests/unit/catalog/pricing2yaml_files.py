"""Writes small pricings for tests and imports them."""

from __future__ import annotations

from textwrap import dedent, indent
from typing import TYPE_CHECKING

import pytest

from tiergate.catalog.pricing2yaml import import_pricings
from tiergate.errors import ImportSourceError

if TYPE_CHECKING:
    from pathlib import Path

    from tiergate.model import Catalog, Problem, Value

PLAN = """
plans:
  FREE: null
"""
"""Something to sell, for a pricing that is about something else."""


def write(folder: Path, text: str, name: str = "pricing.yml") -> Path:
    """Write a pricing; the text may be indented."""
    path = folder / name
    path.write_text(dedent(text), encoding="utf-8")
    return path


def imported(folder: Path, *texts: str, prefix: bool = False) -> Catalog:
    """Import pricings from their texts, each put together from parts."""
    return import_pricings([write(folder, "".join(map(dedent, texts)))], prefix=prefix)


def problems(folder: Path, *texts: str, prefix: bool = False) -> tuple[Problem, ...]:
    """Import a pricing that must be refused: its problems."""
    with pytest.raises(ImportSourceError) as refused:
        imported(folder, *texts, prefix=prefix)
    return refused.value.problems


def feature(value_type: str, default: str, key: str = "f") -> str:
    """A pricing's `features` with one feature."""
    return f"features:\n  {key}: {{valueType: {value_type}, defaultValue: {default}}}\n"


def limit(value_type: str, default: str, key: str = "l", more: str = "type: NON_RENEWABLE") -> str:
    """A pricing's `usageLimits` with one limit, and no features."""
    return f"features: {{}}\nusageLimits:\n  {key}: {{valueType: {value_type}, defaultValue: {default}, {more}}}\n"


def add_on(body: str, key: str = "EXTRA") -> str:
    """A pricing's `addOns` with one add-on."""
    return f"addOns:\n  {key}:\n{indent(dedent(body), '    ')}"


def given(catalog: Catalog, item: str) -> dict[str, Value]:
    """What an item gives, by the id of the feature."""
    return catalog.items[item].versions[0].entitlements
