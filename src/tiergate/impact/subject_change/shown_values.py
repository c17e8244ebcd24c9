"""Values of features in answers and sentences about overrides: in the form of an entitlement, and in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.impact.preview.subject_effects import UNLIMITED
from tiergate.model import LimitKind

if TYPE_CHECKING:
    from tiergate.model import Number


def entitlement_form(value: object, overage: Number | str) -> object:
    """Return a value as an entitlement is written: with its limit if that is soft.

    `overage`: how much above it is allowed, a number or `UNLIMITED`; 0 for a hard limit.
    """
    if not overage:
        return value
    data = {"value": value, "limit": LimitKind.SOFT.value}
    return data if overage == UNLIMITED else data | {"overage_max": overage}


def describe_entitlement(value: object) -> str:
    """Return an entitlement in words: `true`, `50`, `nothing`, `100, soft limit, at most 20 above`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        above = f", at most {value['overage_max']} above" if "overage_max" in value else ""
        return f"{value['value']}, {value['limit']} limit{above}"
    return "nothing" if value is None else f"{value}"
