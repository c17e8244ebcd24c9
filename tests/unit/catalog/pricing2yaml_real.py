"""The pricings of real services, as any YAML reader sees them.

The files are not part of the repository: they lie beside the checkout, in `../shared/data`. Where they are missing the
tests that need them are skipped, but never in CI.
"""

from __future__ import annotations

import math
import os
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

PRICINGS = Path(__file__).parents[3].parent / "shared" / "data" / "pricings"
FILES = sorted(PRICINGS.glob("*/*.yml"))
REASON = f"no pricings in {PRICINGS}"

Plain = dict[str, Any]
"""What PyYAML makes of a mapping; nothing else knows its shape."""

each_file = pytest.mark.parametrize("path", FILES, ids=[f"{path.parent.name}-{path.stem}" for path in FILES])
each_file_in_depth = pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=() if path == max(path.parent.glob("*.yml")) else pytest.mark.slow) for path in FILES],
    ids=[f"{path.parent.name}-{path.stem}" for path in FILES],
)
"""The last pricing of each service; with `make test-slow` all the others."""
needs_files = pytest.mark.skipif(not FILES and "CI" not in os.environ, reason=REASON)


@cache
def plain(path: Path) -> Plain:
    """A file as any YAML reader sees it."""
    read: Plain = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return read


def section(of: Plain | None, key: str) -> Plain:
    """A part of a pricing, empty where it is missing or null."""
    found: Plain = (of or {}).get(key) or {}
    return found


def spoken(value: object) -> object:
    """A plain value, so that it can be compared; `None` for a text that says nothing."""
    if isinstance(value, list):
        return ", ".join(value) or None
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return math.inf if math.isinf(value) else Fraction(str(value))
    return value or None


def effective_values(source: Plain, plan: str) -> dict[str, object]:
    """What a plan gives, by the names of features and limits: its own value, else the default."""
    values = {}
    for part in ("features", "usageLimits"):
        for key, declared in section(source, part).items():
            own = section(section(source["plans"][plan], part), key)
            values[key] = spoken(own.get("value", declared["defaultValue"]))
    return {key: value for key, value in values.items() if value is not None}


def stated_values(source: Plain, add_on: str) -> dict[str, object]:
    """What an add-on gives in place of the plan's value, by the names of features and limits."""
    body = source["addOns"][add_on]
    return {
        key: spoken(stated["value"])
        for part in ("features", "usageLimits")
        for key, stated in section(body, part).items()
    }


def extensions(source: Plain, add_on: str) -> dict[str, Fraction]:
    """What an add-on adds to limits, by their names."""
    stated = section(source["addOns"][add_on], "usageLimitsExtensions")
    return {key: Fraction(str(value["value"])) for key, value in stated.items()}


def levels(source: Plain, key: str) -> list[str]:
    """The levels of a text in the order of their first appearance: default, plans, add-ons."""
    found = []
    for part in ("features", "usageLimits"):
        if key in section(source, part):
            found.append(spoken(source[part][key]["defaultValue"]))
            for body in [*section(source, "plans").values(), *section(source, "addOns").values()]:
                found += [spoken(section(body, part)[key]["value"])] if key in section(body, part) else []
    return list(dict.fromkeys(text for text in found if isinstance(text, str)))
