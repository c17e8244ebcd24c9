"""The page of the audit log names what can be done to a subscription."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT
from tiergate.admin.audit import ACTIONS
from tiergate.admin.subscription_lifecycle import STEPS

PAGE = ROOT / "docs" / "reference" / "audit-log.md"
USE_CASES = ROOT / "src" / "tiergate" / "admin"


def test_every_name_of_what_is_done_to_a_subscription_is_on_the_page() -> None:
    """Those of the steps, and those that use cases give."""
    verbs = {step.action for step in STEPS.values()}
    for path in USE_CASES.glob("*.py"):
        for line in re.findall(r"\bverb ?=[^\n]*", path.read_text(encoding="utf-8")):
            verbs |= set(re.findall(r"(?<!== )\"([a-z_]+)\"", line))
    assert {"trial_set", "pinned", "billed"} <= verbs
    assert {f"subscription.{verb}" for verb in verbs} <= ACTIONS | {"subscription.now"}
    page = PAGE.read_text(encoding="utf-8")
    assert {verb for verb in verbs if f".{verb}`" not in page} == set()


def test_every_action_that_is_written_can_be_searched_for() -> None:
    """Each that a call names."""
    written: set[str] = set()
    for path in (ROOT / "src" / "tiergate").rglob("*.py"):
        for call in re.findall(r"\baudit(?:_item)?\(\s*(?:unit, )?[^\n]*", path.read_text(encoding="utf-8")):
            written |= set(re.findall(r"\"([a-z]+\.[a-z_]+)\"", call))
    assert {"edit.discarded", "thresholds.removed", "item.created", "usage.corrected"} <= written
    assert written - ACTIONS == {"note.deleted"}  # of an example
