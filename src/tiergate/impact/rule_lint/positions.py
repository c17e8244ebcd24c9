"""The places of findings about rules in their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.cedar import parse_policies, split_policies
from tiergate.model import Problem, Severity
from tiergate.naming import rule_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tiergate.impact.rule_lint.findings import RuleFinding
    from tiergate.model import Rules


def locate_findings(findings: Iterable[RuleFinding], rules: Rules, folder: str) -> Iterator[Problem]:
    """Yield the findings as warnings at their rules, or at the first occurrence of the word that they are about."""
    places = {
        rule_id(file, policy.id): (file, *split_policies(text)[policy.place])
        for file, text in rules.policies.items()
        for policy in parse_policies(text)
    }
    for finding in findings:
        file, line, text = places[finding.rule]
        at = text.find(f'"{finding.word}"') if finding.word else -1
        before = text[:at] if at > 0 else ""
        column = len(before) - (before.rfind("\n") + 1) + 1
        yield Problem(
            f"{folder}/{file}.cedar",
            line + before.count("\n"),
            column,
            finding.code,
            f"`{finding.rule.rpartition('/')[2]}`: {finding.message}",
            Severity.WARNING,
            finding.suggestion,
        )
