"""The page on coverage: its tables name what there is."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT
from tiergate.policytest.coverage import Aspect, Mark, TargetKind

PAGE = (ROOT / "docs" / "reference" / "coverage.md").read_text(encoding="utf-8")


def test_every_kind_of_unit_has_a_row() -> None:
    """And in their order."""
    kinds = [kind.value for kind in TargetKind]
    rows = [name for name in re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) if name in kinds]
    assert rows == kinds


def test_every_aspect_of_a_unit_has_a_row() -> None:
    """And in their order."""
    aspects = [aspect.value for aspect in Aspect]
    rows = [name for name in re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) if name in aspects]
    assert rows == aspects


def test_every_mark_is_told() -> None:
    """Those that the data hold."""
    assert all(f"`{mark}`" in PAGE for mark in Mark)
