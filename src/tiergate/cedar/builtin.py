"""The policies written by hand, as shipped: the schema, guards, overrides, reasons and templates; and the roles."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

BUILTIN_POLICIES = ("guards", "overrides", "reasons", "templates")
"""The files of `policies/` that every bundle carries, without their ending."""


@cache
def _read(name: str) -> str:
    installed = files("tiergate") / "policies" / name
    if installed.is_file():
        return installed.read_text(encoding="utf-8")
    # An editable install leaves the folder where it is written: at the top of the repository.
    return (Path(__file__).parents[3] / "policies" / name).read_text(encoding="utf-8")


def builtin_schema(name: str = "schema") -> str:
    """Return the schema that every policy is validated against; `roles`: that of the roles."""
    return _read(f"{name}.cedarschema")


def builtin_text(name: str) -> str:
    """Return one of `BUILTIN_POLICIES`, or `roles` or `scopes`, as Cedar text."""
    return _read(f"{name}.cedar")
