"""Check users' rule files: every policy must parse, have an id, name only existing things, and match the schema.

Problems have the line and column of the rule file. The files go into the bundle as written (in the normal form C).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tiergate.cedar import Policy, PolicySyntaxError, Uid, builtin_schema, parse_policies, split_policies, validate
from tiergate.compiler.literals import find_entity_literals, find_identifiers, nesting_depth
from tiergate.compiler.symbol_table import SUBJECT_TYPES
from tiergate.naming import ID_RULE, is_id, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.cedar import Schema
    from tiergate.compiler.source_text import AuthorText
    from tiergate.compiler.symbol_table import SymbolTable

_MOST_CHARACTERS = 16_384
_MOST_NESTING = 50
_MOST_DEPTH = 400
_TOO_COMPLEX = "the rule is too long or too deep: use a set with `contains` for a long `||`, or write several rules"
_TOKEN_AT_FAULT = re.compile(r"unexpected token `(.+)`", re.DOTALL)
_WORD_AT_FAULT = re.compile(r"`([A-Za-z_]\w*)`|\b([A-Za-z_]\w*)\Z")
_NO_ATTRIBUTE = re.compile(r"attribute `(\w+)` in context for ")
_CONTEXT_ATTRIBUTES = sorted(set(re.findall(r"^    (\w+)\??: ", builtin_schema(), re.MULTILINE)))
"""The attributes of all contexts, by the indentation of the schema."""
_READS = (".", "has", "hasTag", "getTag")


def check_rules(source: AuthorText, vocabulary: SymbolTable, schema: Schema) -> None:
    """Report every problem of one rule file to `source`."""
    rules = parse_rules(source)
    check_rule_names(source, rules, vocabulary)
    check_types(source, rules, schema)


def check_rule_names(source: AuthorText, rules: Sequence[tuple[Policy, int, str]], vocabulary: SymbolTable) -> None:
    """Report wrong ids, templates, and names of what does not exist."""
    seen: set[str] = set()
    for policy, start, text in rules:
        _check_annotations(policy, seen, source, start)
        if policy.template:
            message = (
                "a rule cannot be a template: write its principal and resource instead of `?principal`, `?resource`"
            )
            source.report(start, "rule-template", message)
        _check_names(policy, text, start, vocabulary, source)


def parse_rules(source: AuthorText) -> list[tuple[Policy, int, str]]:
    """Parse policies; return each with its place, counted in characters, and its text. Report what cannot be parsed."""
    pieces = list(_pieces(source.text))
    for start, text in pieces:
        if len(text) > _MOST_CHARACTERS or nesting_depth(text) > _MOST_NESTING:
            source.report(start, "too-complex", _TOO_COMPLEX)
    if source.problems:  # Cedar's parser would exhaust the stack and end the process
        return []
    try:
        policies = parse_policies(source.text)
    except PolicySyntaxError as error:
        _report_syntax(source, pieces, str(error))
        return []
    except RecursionError:
        source.report(0, "too-complex", _TOO_COMPLEX)
        return []
    result = [(policy, start, text) for policy, (start, text) in zip(policies, pieces, strict=True)]
    for policy, start, _ in result:
        if _depth(policy.json["conditions"]) > _MOST_DEPTH:
            source.report(start, "too-complex", _TOO_COMPLEX)
    return result


def check_types(source: AuthorText, rules: Sequence[tuple[Policy, int, str]], schema: Schema) -> None:
    """Report what is not valid under a schema, unless there are problems already."""
    if source.problems:  # an unknown name would be reported twice, and less clearly
        return
    for finding in validate(source.text, schema):
        start, text = rules[finding.place][1:] if finding.place >= 0 else (0, "")
        missing = _NO_ATTRIBUTE.match(finding.message)
        near = None if missing is None else nearest(missing[1], _CONTEXT_ATTRIBUTES)
        source.report(start + _word_at_fault(text, finding.message), "invalid-rule", finding.message, near)


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Yield the policies of a text with their places, counted in characters."""
    end = 0
    for _, piece in split_policies(text):
        start = text.index(piece, end)
        yield start, piece
        end = start + len(piece)


def _check_annotations(policy: Policy, seen: set[str], source: AuthorText, start: int) -> None:
    if "id" not in policy.annotations:
        source.report(start, "rule-without-id", 'a rule needs an id: write `@id("…")` above it')
    elif not is_id(policy.id):
        source.report(start, "bad-id", f"the id `{policy.id}` {ID_RULE}")
    elif policy.id in seen:
        source.report(start, "duplicate-id", f"another rule of this file has the id `{policy.id}`")
    seen.add(policy.id)
    if "reason" in policy.annotations:
        message = "`@reason` is Tiergate's own: the reason of a rule's denial is `rule_denied`; use `@description`"
        source.report(start, "reserved-annotation", message)


def _check_names(policy: Policy, text: str, start: int, vocabulary: SymbolTable, source: AuthorText) -> None:
    written = [(place, uid) for place, uid in find_entity_literals(text)]
    for uid in dict.fromkeys(reference.uid for reference in policy.references()):
        fault = vocabulary.fault(uid)
        if fault is not None:
            places = [place for place, result in written if result == uid] or [0]
            for place in places:
                source.report(start + place, *fault)
    for name in policy.entity_types():
        fault = vocabulary.type_fault(name)
        if fault is not None:
            place = next((place for place, word in find_identifiers(text) if word == name), 0)
            source.report(start + place, *fault)
    for uid in _subjects_read(policy.json["conditions"]):
        place = next((place for place, result in written if result == uid), 0)
        message = f"a rule cannot read the data of `{uid}`, only that of `principal`"
        source.report(start + place, "unknown-subject", message)


def _subjects_read(tree: object) -> set[Uid]:
    """Return the subjects in literals whose attributes or tags a condition reads."""
    result: set[Uid] = set()
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            result.update(uid for op in _READS if (uid := _literal_subject(node.get(op))) is not None)
            stack.extend(node.values())
    return result


def _literal_subject(access: object) -> Uid | None:
    match access:
        case {"left": {"Value": {"__entity": {"type": str(kind), "id": str(name)}}}} if kind in SUBJECT_TYPES:
            return Uid(kind, name)
        case _:
            return None


def _word_at_fault(text: str, message: str) -> int:
    """Return the place of the word that a message names: in backticks, or its last; 0 if the text has no such word."""
    named = _WORD_AT_FAULT.search(message)
    return next((place for place, word in find_identifiers(text) if named is not None and word in named.groups()), 0)


def _depth(tree: object) -> int:
    """Return the depth of a condition in Cedar's JSON: an operator is two levels, and a sequence nests."""
    depth = 0
    level = [tree]
    while level:
        depth += 1
        below = [node.values() if isinstance(node, dict) else node for node in level if isinstance(node, dict | list)]
        level = [node for nodes in below for node in nodes]
    return depth


def _report_syntax(source: AuthorText, pieces: list[tuple[int, str]], message: str) -> None:
    """Report each policy that does not parse, at the token that Cedar names if it can be found."""
    before = len(source.problems)
    for start, text in pieces:
        try:
            parse_policies(text)
        except PolicySyntaxError as error:
            source.report(start + _token_at_fault(text, str(error)), "bad-syntax", str(error))
    if len(source.problems) == before:
        source.report(0, "bad-syntax", message)


def _token_at_fault(text: str, message: str) -> int:
    """Return the place of the token that an error names: the only one, or the first that reproduces the error."""
    named = _TOKEN_AT_FAULT.fullmatch(message)
    if named is None:
        return _word_at_fault(text, message)
    token = named[1]
    places = [match.start() for match in re.finditer(re.escape(token), text)]
    if len(places) == 1:
        return places[0]
    for place in places:
        try:
            parse_policies(text[: place + len(token)])
        except PolicySyntaxError as error:
            if str(error) == message:
                return place
    return 0
