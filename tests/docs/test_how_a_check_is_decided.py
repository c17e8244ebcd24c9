"""The page on how a check is decided, and what its argument rests on."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT
from tiergate.cedar import BUILTIN_POLICIES, builtin_schema, builtin_text, parse_policies
from tiergate.model import Reason

PAGE = ROOT / "docs" / "explanation" / "how-a-check-is-decided.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_facts_on_the_page_are_the_contexts() -> None:
    """Each fact that the page lists is an attribute of the schema's context."""
    table = TEXT.partition("| fact | is |")[2].partition("\n\n")[0]
    facts = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE)))
    assert len(facts) == 10
    assert [fact for fact in facts if not re.search(rf"^    {fact}: ", builtin_schema(), re.MULTILINE)] == []


def test_the_picture_shows_every_reason_beside_the_guards() -> None:
    """What is not a guard's or a rule's reason stands in the picture, at the step that gives it."""
    picture = TEXT.partition("```\n")[2].partition("```")[0]
    guards = {policy.annotations["reason"] for policy in parse_policies(builtin_text("guards"))}
    asked_after = {policy.annotations["reason"] for policy in parse_policies(builtin_text("reasons"))}
    elsewhere = {*guards, Reason.RULE_DENIED, Reason.STALE_DATA} - asked_after
    assert {reason.value for reason in Reason} - elsewhere == {
        reason.value for reason in Reason if re.search(rf"\b{reason.value}\b", picture)
    }


def test_no_policy_of_ours_reads_the_time() -> None:
    """Guards, permits, overrides and reasons are the same with and without `now` in the context (decision 12)."""
    policies = [policy for name in BUILTIN_POLICIES for policy in parse_policies(builtin_text(name))]
    assert policies
    assert [policy.id for policy in policies if policy.reads_context({"now", "weekday"})] == []
