"""Users' rule files: every policy must parse, have an id, name only what exists, and be valid under the schema.

Problems stand at the line and column of the rule file. The files themselves go into the bundle as they were written.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tiergate.cedar import Policy, PolicySyntaxError, Uid, parse_policies, split_policies, validate
from tiergate.compiler.literals import entity_literals, words
from tiergate.compiler.vocabulary import SUBJECT_TYPES
from tiergate.naming import ID_RULE, is_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.cedar import Schema
    from tiergate.compiler.texts import AuthorText
    from tiergate.compiler.vocabulary import Vocabulary

__all__ = ["check_rules"]

_TOKEN_AT_FAULT = re.compile(r"unexpected token `(.+)`", re.DOTALL)
_WORD_AT_FAULT = re.compile(r"`([A-Za-z_]\w*)`")
_POLICY_NAMED = re.compile(r"for policy `policy\d+`, ")
_READS = (".", "has", "hasTag", "getTag")


def check_rules(source: AuthorText, vocabulary: Vocabulary, schema: Schema) -> None:
    """Report every problem of one rule file to `source`."""
    pieces = list(_pieces(source.text))
    try:
        policies = parse_policies(source.text)
    except PolicySyntaxError as error:
        _report_syntax(source, pieces, str(error))
        return
    seen: set[str] = set()
    for policy, (start, text) in zip(policies, pieces, strict=True):
        _check_annotations(policy, seen, source, start)
        if policy.template:
            message = (
                "a rule cannot be a template: write its principal and resource instead of `?principal`, `?resource`"
            )
            source.report(start, "rule-template", message)
        _check_names(policy, text, start, vocabulary, source)
    if not source.problems:  # a name that is none would only be reported twice, and less clearly
        for finding in validate(source.text, schema):
            start, text = pieces[finding.place] if finding.place >= 0 else (0, "")
            message = _POLICY_NAMED.sub("", finding.message)
            source.report(start + _word_at_fault(text, message), "invalid-rule", message)


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """The policies of a text with their places, counted in characters."""
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
        source.report(start, "duplicate-id", f"another rule of this file is called `{policy.id}` too")
    seen.add(policy.id)
    if "reason" in policy.annotations:
        message = "`@reason` is Tiergate's own: the reason of a rule's denial is `rule_denied`; use `@description`"
        source.report(start, "reserved-annotation", message)


def _check_names(policy: Policy, text: str, start: int, vocabulary: Vocabulary, source: AuthorText) -> None:
    written = [(place, uid) for place, uid in entity_literals(text)]
    for uid in dict.fromkeys(reference.uid for reference in policy.references()):
        fault = vocabulary.fault(uid)
        if fault is not None:
            places = [place for place, found in written if found == uid] or [0]
            for place in places:
                source.report(start + place, *fault)
    for name in policy.entity_types():
        fault = vocabulary.type_fault(name)
        if fault is not None:
            place = next((place for place, word in words(text) if word == name), 0)
            source.report(start + place, *fault)
    for uid in _subjects_read(policy.json["conditions"]):
        place = next((place for place, found in written if found == uid), 0)
        message = f"the data of `{uid}` is not known here, only that of the check's own `principal`"
        source.report(start + place, "unknown-subject", message)


def _subjects_read(tree: object) -> set[Uid]:
    """The subjects named by a literal whose attributes or tags a condition reads."""
    found: set[Uid] = set()
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            found.update(uid for op in _READS if (uid := _literal_subject(node.get(op))) is not None)
            stack.extend(node.values())
    return found


def _literal_subject(access: object) -> Uid | None:
    match access:
        case {"left": {"Value": {"__entity": {"type": str(kind), "id": str(name)}}}} if kind in SUBJECT_TYPES:
            return Uid(kind, name)
        case _:
            return None


def _word_at_fault(text: str, message: str) -> int:
    """The place of the first word that a message has in backticks; the beginning where the text has no such word."""
    named = _WORD_AT_FAULT.search(message)
    return next((place for place, word in words(text) if named is not None and word == named[1]), 0)


def _report_syntax(source: AuthorText, pieces: list[tuple[int, str]], message: str) -> None:
    """Report each policy that does not parse, at the token that Cedar names where it can be found."""
    before = len(source.problems)
    for start, text in pieces:
        try:
            parse_policies(text)
        except PolicySyntaxError as error:
            source.report(start + _token_at_fault(text, str(error)), "bad-syntax", str(error))
    if len(source.problems) == before:
        source.report(0, "bad-syntax", message)


def _token_at_fault(text: str, message: str) -> int:
    """The place of the token that an error names: the first at which the text up to it has that same error."""
    named = _TOKEN_AT_FAULT.fullmatch(message)
    if named is None:
        return 0
    token = named[1]
    place = text.find(token)
    while place >= 0:
        try:
            parse_policies(text[: place + len(token)])
        except PolicySyntaxError as error:
            if str(error) == message:
                return place
        place = text.find(token, place + 1)
    return 0
