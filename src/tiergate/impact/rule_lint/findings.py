"""The codes of findings about rules, and the findings themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

RULE_CODES: Final = {
    "attribute-near-miss": "an attribute that no customer has, spelled nearly as one that some have",
    "bidirectional-text": "characters that change the direction of text",
    "entitlement-denied": "a feature that a plan gives, and that rules deny to everybody who has the plan",
    "feature-near-miss": "an item's tag that is no feature",
    "mixed-scripts": "letters of several scripts in one name or text",
    "plan-denied": "a plan of which rules deny everything",
    "rule-always-fails": "a rule that cannot be evaluated for any check that its scope matches",
    "rule-can-fail": "a rule that cannot be evaluated for some ordinary numbers",
    "rule-denies-everybody": "a feature that rules deny to everybody",
    "rule-never-applies": "a rule that applies to no check from now on",
    "rule-permits-everybody": "a rule that permits a feature to everybody, whatever they have",
    "rule-without-effect": "a rule without which every check is decided the same",
    "subject-not-found": "a customer or subscription that none of the subjects is",
    "tag-near-miss": "a tag that no customer has, spelled nearly as one that some have",
}
"""Code → meaning; docs/reference/lint.md explains more."""


class RuleFinding(NamedTuple):
    """A finding about a rule. `word`: the text in the rule that it is about, empty for the rule as a whole."""

    rule: str
    code: str
    message: str
    suggestion: str = ""
    word: str = ""


_MOST_NAMED: Final = 3


def listed(ids: Sequence[str]) -> str:
    """Return a few ids, and how many more there are."""
    shown = ", ".join(f"`{id_}`" for id_ in ids[:_MOST_NAMED])
    return f"{shown} and {len(ids) - _MOST_NAMED} more" if len(ids) > _MOST_NAMED else shown
