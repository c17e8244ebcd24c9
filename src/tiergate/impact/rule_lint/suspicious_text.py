"""Names and texts in rules that do not read as they look: mixed scripts and direction marks, as Cedar warns of them.

Two texts may look the same and differ, such as a Latin and a Cyrillic `a`. Cedar's Python package does not return the
validator's warnings, so they are found here; that a policy is impossible is `rule-never-applies`.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

from tiergate.impact.rule_lint.findings import RuleFinding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.cedar import Policy

_DIRECTION: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_TOGETHER: Final = (
    frozenset({"CJK", "HIRAGANA", "KATAKANA", "LATIN", "KATAKANA-HIRAGANA"}),
    frozenset({"CJK", "HANGUL", "LATIN"}),
    frozenset({"CJK", "BOPOMOFO", "LATIN"}),
)
"""Scripts that are written together."""


def find_suspicious_text(rule: str, policy: Policy) -> Iterator[RuleFinding]:
    """Yield the texts of a rule that do not read as they look."""
    for text in dict.fromkeys(_texts(policy.json)):
        if _DIRECTION.intersection(text):
            codes = ", ".join(f"U+{ord(it):04X}" for it in sorted(_DIRECTION.intersection(text)))
            yield RuleFinding(rule, "bidirectional-text", f"a text has {codes}: it does not read as it is", word=text)
        scripts = {script for it in text if it.isalpha() and (script := _script(it))}
        if len(scripts) > 1 and not any(scripts <= group for group in _TOGETHER):
            named = " and ".join(sorted(it.capitalize() for it in scripts))
            yield RuleFinding(rule, "mixed-scripts", f"`{text}` has letters of {named}", word=text)


def _script(letter: str) -> str:
    """Return the script of a letter, by the first word of its name."""
    return unicodedata.name(letter, "").partition(" ")[0].removesuffix("-1")


def _texts(tree: object) -> Iterator[str]:
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            yield node
        elif isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            # Descriptions are for people: they may quote other scripts.
            stack.extend(value for key, value in node.items() if key != "annotations")
