"""A row of the table of results."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A measured figure, its target (`most`: an upper bound, else a lower one), and its inputs."""

    what: str
    figure: float
    target: float | None
    text: str
    unit: str = ""
    most: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Return whether the target is met; `None` without a target."""
        if self.target is None:
            return None
        return self.figure <= self.target if self.most else self.figure >= self.target
