"""The reference of reasons: all of them, in their order, each with an example."""

from __future__ import annotations

import re

import pytest

from tests.docs.cases import cases
from tests.docs.pages import ROOT
from tiergate.model import Reason

PAGE = ROOT / "docs" / "reference" / "reasons.md"
TEXT = PAGE.read_text(encoding="utf-8")

_NOT_MADE = {Reason.STALE_DATA}
"""Reasons that nothing in this version gives."""


def test_the_page_lists_every_reason_in_order_of_precedence() -> None:
    """Its table and its sections are the closed set, as it is ordered in force."""
    order = [reason.value for reason in Reason]
    assert re.findall(r"^\| \[`(\w+)`\]\(#\1\) \|", TEXT, re.MULTILINE) == order
    assert re.findall(r"^## (\w+)$", TEXT, re.MULTILINE) == order


@pytest.mark.parametrize("reason", [it for it in Reason if it is not Reason.GRANTED])
def test_every_denial_says_who_must_act(reason: Reason) -> None:
    """Each section of a reason to deny says what is to be done."""
    section = TEXT.partition(f"\n## {reason.value}\n")[2].partition("\n## ")[0]
    assert "\n**Act:** " in section


@pytest.mark.parametrize("reason", [it for it in Reason if it not in _NOT_MADE])
def test_every_reason_has_an_example_in_its_section(reason: Reason) -> None:
    """Some check in the section of a reason is answered with it."""
    assert [it for it in cases(PAGE) if it.heading == reason.value and it.check["answer"] == reason.value]
