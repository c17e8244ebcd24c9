"""A row of the table of results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Row:
    """A measured figure, its target (`most`: an upper bound, else a lower one), and its inputs."""

    what: str
    figure: float
    target: float | None
    text: str
    unit: str = ""
    most: bool = False

    @property
    def met(self) -> bool | None:
        """Return whether the target is met; `None` without a target."""
        if self.target is None:
            return None
        return self.figure <= self.target if self.most else self.figure >= self.target

    @property
    def bound(self) -> str:
        """Return the target as text, or an empty string without one."""
        return "" if self.target is None else f"{'≤' if self.most else '≥'} {figure(self.target, self.unit)}"


def figure(value: float, unit: str) -> str:
    """Return a figure with its unit."""
    return f"{value:,.3g} {unit}".rstrip() if value < 1_000 else f"{value:,.0f} {unit}".rstrip()


def table_of(rows: Sequence[Row], title: str) -> Table:
    """Return rows as a table for the terminal."""
    table = Table(title=title)
    for heading in ("what", "measured", "target", "", "made of"):
        table.add_column(heading)
    for row in rows:
        mark = {True: "met", False: "MISSED", None: ""}[row.met]
        table.add_row(row.what, figure(row.figure, row.unit), row.bound, mark, row.text)
    return table
