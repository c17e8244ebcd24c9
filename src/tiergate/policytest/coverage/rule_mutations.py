"""Mutations of the parts of a rule: each test in a condition, each number, each `&&` and `||`, each part of the scope.

A test is mutated to always and to never true, a number and an instant to one less and one more, a comparison to its
neighbours. Mutations that Cedar's validator rejects are left out: nobody could publish them. What only repeats another
mutation is left out too. Leaves to others: whether a mutation can be shown at all (`rule_effects`).
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tiergate.cedar import expression_text, parse_datetime, parse_duration, policy_text, validate, with_json
from tiergate.model import format_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiergate.cedar import Policy, Schema

Node = dict[str, Any]

_TRUE: Final[Node] = {"Value": True}
_FALSE: Final[Node] = {"Value": False}
_LOGIC: Final = {"&&": "||", "||": "&&"}
_CONNECTIVES: Final = {
    "&&": ("left", "right"),
    "||": ("left", "right"),
    "!": ("arg",),
    "if-then-else": ("if", "then", "else"),
}
_COMPARISONS: Final = {
    "<": ("<=",),
    "<=": ("<", "=="),
    ">": (">=",),
    ">=": (">", "=="),
    "==": (),
    "!=": (),
}
_ARITHMETIC: Final = {"+": "-", "-": "+"}
_SCOPE: Final = ("principal", "action", "resource")
_ANY: Final[Node] = {"op": "All"}
_MOST_MUTATIONS: Final = 400
_SPACE: Final = re.compile(r"\s+")
_PLAIN: Final = re.compile(r"(?<!\w)\(([\w.]+)\)")


class RuleMutation(NamedTuple):
    """A rule with one part otherwise. `part`: both forms as text. `is_scope`: it may match where the rule does not."""

    part: str
    policy: Policy
    is_scope: bool = False


def rule_mutations(policy: Policy, schema: Schema) -> Iterator[RuleMutation]:
    """Yield the mutations of the parts of a rule that are valid under the schema, each once."""
    seen = {policy_text(policy.json)}
    named: Counter[str] = Counter()
    for part, body, is_scope in _mutations(policy.json):
        text = policy_text(body)
        if text in seen:
            continue
        seen.add(text)
        if validate(text, schema):
            continue
        named[part] += 1
        unique = part if named[part] == 1 else f"{part} ({named[part]})"
        yield RuleMutation(unique, with_json(policy, body), is_scope)
        if named.total() >= _MOST_MUTATIONS:
            return


def _mutations(body: Node) -> Iterator[tuple[str, Node, bool]]:
    for name in _SCOPE:
        for scope in _scopes(name, body[name]):
            part = f"{name} {_scope_text(name, body)} → {_scope_text(name, body | {name: scope})}"
            yield part, body | {name: scope}, True
    conditions = body["conditions"]
    for place, condition in enumerate(conditions):
        for before, after, whole in _boolean(condition["body"]):
            changed = [*conditions[:place], condition | {"body": whole}, *conditions[place + 1 :]]
            yield f"{_text(before)} → {_text(after)}", body | {"conditions": changed}, False


def _text(node: Node) -> str:
    """Write an expression on one line, without the parentheses around mere names."""
    return _PLAIN.sub(r"\1", _SPACE.sub(" ", expression_text(node)))


def _scope_text(name: str, body: Node) -> str:
    bare = {"effect": "permit", "conditions": [], "principal": _ANY, "action": _ANY, "resource": _ANY}
    text = _SPACE.sub(" ", policy_text(bare | {name: body[name]}))
    listed = re.search(rf"{name}\s*(.*?)\s*(?:, (?:action|resource)|,? ?\);)", text)
    return (listed[1] if listed else "") or "any"


def _scopes(name: str, scope: Node) -> Iterator[Node]:
    """Yield what else a part of a scope could be: anything, and a list without one of its entities."""
    if scope["op"] != "All":
        yield {"op": "in", "entity": {"type": "Action", "id": "access"}} if name == "action" else _ANY
    entities = scope.get("entities", ())
    if len(entities) > 1:
        for place in range(len(entities)):
            yield scope | {"entities": [*entities[:place], *entities[place + 1 :]]}


# ── expressions: each mutation is the part, its other form, and the whole expression with it ─────────────────────────


def _boolean(node: Node) -> Iterator[tuple[Node, Node, Node]]:
    """Yield the mutations of a Boolean expression."""
    ((op, inner),) = node.items()
    parts = _CONNECTIVES.get(op)
    if parts is None:
        yield from _test(node)
        return
    if op in _LOGIC:
        yield node, {_LOGIC[op]: inner}, {_LOGIC[op]: inner}
    for part in parts:
        for before, after, whole in _boolean(inner[part]):
            yield before, after, {op: inner | {part: whole}}


def _test(node: Node) -> Iterator[tuple[Node, Node, Node]]:
    """Yield the mutations of a test: always, never, its neighbours, and those of what it compares."""
    ((op, inner),) = node.items()
    listed = [value for value in (_TRUE, _FALSE) if node != value]
    if op in _COMPARISONS:
        listed += [{other: inner} for other in _comparisons(op, inner)]
    for whole in (*listed, *_parts(node)):
        yield node, whole, whole


def _comparisons(op: str, inner: Node) -> tuple[str, ...]:
    """Return the comparisons beside one; where a number is compared, the strict one is the number one less or more."""
    sides = inner["left"], inner["right"]
    if op in {"==", "!="}:
        if not any(_is_number(side) for side in sides):
            return ()
        return ("<=", ">=") if op == "==" else ("<", ">")
    listed = _COMPARISONS[op]
    return tuple(it for it in listed if it == "==") if any(map(_is_number, sides)) else listed


def _is_number(node: Node) -> bool:
    value = node.get("Value")
    return isinstance(value, int) and not isinstance(value, bool)


def _parts(node: Node) -> Iterator[Node]:
    """Yield an expression with one of the numbers, instants, sums and sets inside it otherwise."""
    ((op, inner),) = node.items()
    if op == "Value":
        if _is_number(node):
            yield from ({"Value": number} for number in (inner - 1, inner + 1) if -(2**63) <= number < 2**63)
        return
    if op in {"datetime", "duration"}:
        yield from _moved(op, inner)
        return
    if op in _ARITHMETIC:
        yield {_ARITHMETIC[op]: inner}
    if op == "Set" and len(inner) > 1:
        yield from ({op: [*inner[:place], *inner[place + 1 :]]} for place in range(len(inner)))
    for child, put in _children(op, inner):
        yield from map(put, _parts(child))


def _moved(op: str, inner: list[Node]) -> Iterator[Node]:
    """Yield an instant or a duration one millisecond earlier and later."""
    text = inner[0].get("Value")
    if not isinstance(text, str):
        return
    try:
        if op == "datetime":
            texts = [format_instant(parse_datetime(text) + step) for step in (-1, 1)]
        else:
            texts = [f"{parse_duration(text) + step}ms" for step in (-1, 1)]
    except ValueError:
        return
    for moved in texts:
        yield {op: [{"Value": moved}]}


def _children(op: str, inner: object) -> Iterator[tuple[Node, Callable[[Node], Node]]]:
    """Yield the expressions inside one, each with what puts another in its place."""
    if isinstance(inner, list):
        for place, child in enumerate(inner):
            if _is_expression(child):
                yield child, _put_in_list(op, inner, place)
    elif isinstance(inner, dict):
        for key, child in inner.items():
            if _is_expression(child):
                yield child, _put_in_fields(op, inner, key)


def _put_in_list(op: str, inner: list[Any], place: int) -> Callable[[Node], Node]:
    return lambda whole: {op: [*inner[:place], whole, *inner[place + 1 :]]}


def _put_in_fields(op: str, inner: Node, key: str) -> Callable[[Node], Node]:
    return lambda whole: {op: inner | {key: whole}}


def _is_expression(child: object) -> bool:
    return isinstance(child, dict) and len(child) == 1 and not child.keys() & {"__entity", "Var"}
