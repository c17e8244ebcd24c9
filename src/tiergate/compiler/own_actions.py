"""Users' own actions on resources of their own, and the rules on them: what no check of a feature asks about.

A schema file may declare actions beside entity types. A check never uses them, so Tiergate's own schema, policies and
every other rule are compiled as if they were not there: their declarations are blanked. A rule file is either about
checks, or about own actions: then each of its rules names some in its scope, and is validated against the whole schema.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from tiergate.cedar import PolicySyntaxError, Schema, parse_policies
from tiergate.compiler.rule_checks import check_rule_names, check_types, parse_rules
from tiergate.compiler.schema_fragments import Token, join_schema, own_action_statements
from tiergate.compiler.source_text import AuthorText
from tiergate.compiler.symbol_table import SUBJECT_TYPES
from tiergate.model.features import ACTIONS
from tiergate.naming import ID_RULE, is_id

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tiergate.cedar import Policy
    from tiergate.compiler.symbol_table import SymbolTable

_RESERVED = frozenset({*ACTIONS.values(), "access"})


class OwnAction(NamedTuple):
    """An action: the types of its principals and resources, and the actions that it is in."""

    principals: tuple[str, ...]
    resources: tuple[str, ...]
    groups: tuple[str, ...]


def without_actions(source: AuthorText) -> AuthorText:
    """Return a schema file in which declarations of actions are blank, so that places stay."""
    parts: list[str] = []
    end = 0
    for start, stop, _ in own_action_statements(source.text):
        parts += (source.text[end:start], re.sub(r"[^\n]", " ", source.text[start:stop]))
        end = stop
    return AuthorText(source.file, "".join([*parts, source.text[end:]]))


def read_actions(sources: Sequence[AuthorText], own_types: Collection[str]) -> dict[str, OwnAction]:
    """Return the actions of schema files, by name. Reports what is wrong with them."""
    found: dict[str, OwnAction] = {}
    for source in sources:
        for start, _, tokens in own_action_statements(source.text):
            names, action = _read(tokens)
            for name in names:
                if name in _RESERVED:
                    source.report(start, "reserved-name", f"`{name}` is an action of Tiergate and cannot be declared")
                elif not is_id(name):
                    source.report(start, "bad-id", f"the action `{name}` {ID_RULE}")
                elif name in found:
                    source.report(start, "duplicate-name", f"`{name}` is declared already")
                found[name] = action
            for kind in action.principals:
                if kind not in own_types and kind not in SUBJECT_TYPES:
                    source.report(start, "schema-action", f"`{kind}` is no subject, and no type of the rules")
            for kind in action.resources:
                if kind not in own_types:
                    source.report(start, "schema-action", f"an own action needs resources of own types, not `{kind}`")
    return found


def parse_whole(sources: Sequence[AuthorText]) -> tuple[str, Schema | None]:
    """Return the schema with the actions, as text and parsed; reports what is no schema to the first file."""
    text = join_schema(sources)
    try:
        return text, Schema(text)
    except PolicySyntaxError as error:
        sources[0].report(0, "bad-schema", str(error).removeprefix("error parsing schema: "))
        return text, None


def concerns_own_actions(source: AuthorText, actions: Collection[str]) -> bool:
    """Return whether a rule file has a rule whose scope names an own action."""
    if not actions:
        return False
    try:
        policies = parse_policies(source.text)
    except (PolicySyntaxError, RecursionError):
        return False
    return any(uid.id in actions for policy in policies for uid in policy.action.entities)


def check_access_rules(
    source: AuthorText, vocabulary: SymbolTable, schema: Schema, actions: Mapping[str, OwnAction]
) -> None:
    """Report every problem of a file of rules on own actions."""
    rules = parse_rules(source)
    for policy, start, _ in rules:
        if not _is_only_about(policy, actions):
            message = "a file with rules on actions of your own has no others: name these actions in the scope"
            source.report(start, "mixed-actions", message)
    check_rule_names(source, rules, vocabulary)
    check_types(source, rules, schema)


def _is_only_about(policy: Policy, actions: Collection[str]) -> bool:
    named = policy.action.entities
    return bool(named) and all(uid.id in actions for uid in named)


def _read(tokens: Sequence[Token]) -> tuple[list[str], OwnAction]:
    """Read the tokens of a declaration, without `action` and the semicolon."""
    words = list(tokens)
    names: list[str] = []
    at = 0
    while at < len(words) and words[at] not in {"in", "appliesTo"} and words[at] not in {"{", "["}:
        if words[at] != ",":
            names.append(words[at].strip('"'))
        at += 1
    groups: list[str] = []
    if at < len(words) and words[at] == "in":
        at, groups = _listed(words, at + 1)
    applies: dict[str, list[str]] = {"principal": [], "resource": []}
    for place, word in enumerate(words[:-1]):
        if place > at and word in applies and words[place + 1] == ":" and not applies[word]:
            applies[word] = _listed(words, place + 2)[1]
    return names, OwnAction(tuple(applies["principal"]), tuple(applies["resource"]), tuple(groups))


def _listed(words: Sequence[str], at: int) -> tuple[int, list[str]]:
    """Read a word, or several in brackets; return the place after them."""
    if at < len(words) and words[at] != "[":
        return at + 1, [words[at].strip('"')]
    end = at
    while end < len(words) and words[end] != "]":
        end += 1
    return end + 1, [word.strip('"') for word in words[at + 1 : end] if word != ","]
