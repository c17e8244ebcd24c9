"""Small catalogs and subjects on disk, for the tests of loading."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tiergate.sidecar.replica.file_source.source_files import Sources

if TYPE_CHECKING:
    from pathlib import Path

RULE = """@id("no-acme")
forbid (principal == Customer::"acme", action in Action::"access", resource);
"""
"""A rule that denies everything to `acme`."""


def catalog_text(movies: int = 50, *, name: str = "Gold", extra: str = "") -> str:
    """A catalog with one plan that gives so many movies; `extra`: further lines of items."""
    return f"""apiVersion: tiergate/v1
features:
  - {{id: movies, type: quantity, unit: movies/month}}
items:
  - {{id: gold, kind: plan, name: {name}, entitlements: {{movies: {movies}}}}}
{extra}"""


def subjects_text(*customers: str, item: str = "gold", quantity: int = 1) -> str:
    """Subjects that each hold the plan."""
    lines = ["apiVersion: tiergate/v1", "customers:"]
    lines += [f"  - {{id: {customer}}}" for customer in customers]
    lines += ["subscriptions:"]
    lines += [
        f"  - {{id: s-{customer}, customer: {customer}, status: active,"
        f" items: [{{item: {item}, quantity: {quantity}}}]}}"
        for customer in customers
    ]
    return "\n".join(lines) + "\n"


class Files:
    """A catalog, subjects and rules in a folder, written as editors and deployments write them: by a rename."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.catalog = folder / "catalog.yaml"
        self.subjects = folder / "subjects.yaml"
        self.rules = folder / "rules"
        folder.mkdir(exist_ok=True)
        self.rules.mkdir()
        self.write(self.catalog, catalog_text())
        self.write(self.subjects, subjects_text("acme"))

    @property
    def sources(self) -> Sources:
        """The three of them."""
        return Sources((str(self.catalog),), (str(self.subjects),), str(self.rules))

    def write(self, path: Path, text: str) -> None:
        """Put a new file in the place of the old one."""
        unfinished = path.with_name(f".{path.name}.new")
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)  # noqa: PTH105 - what an editor calls
