"""Cedar policy text, parsed into what Tiergate must know of a policy without evaluating it.

Leaves to others: what a policy means (`evaluation`) and whether it is well typed (`validation`).

Text that is not Cedar is a `PolicySyntaxError`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import cedarpy

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


class PolicySyntaxError(ValueError):
    """Text is not Cedar; the message is Cedar's."""


# Cedar writes ids by Rust's `str::escape_debug`: it escapes what is not printable, quotes, and a combining mark with
# nothing before it.
_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}
_EXTENDING: Final = ("Mn", "Me")


def _coded(character: str) -> str:
    return f"\\u{{{ord(character):x}}}"


class Uid(NamedTuple):
    """An entity's type and id. As text it is what Cedar writes: where a UID is given as text, it takes no other."""

    type: str
    id: str

    def __str__(self) -> str:
        escaped = "".join(_ESCAPES.get(it) or (it if it.isprintable() else _coded(it)) for it in self.id)
        if self.id and unicodedata.category(self.id[0]) in _EXTENDING:
            escaped = _coded(self.id[0]) + escaped[1:]
        return f'{self.type}::"{escaped}"'


class ScopeOp(StrEnum):
    """How one part of a policy's scope constrains."""

    ANY = "any"
    EQUAL = "=="
    IN = "in"
    IS = "is"
    SLOT = "slot"


@dataclass(frozen=True, slots=True)
class Scope:
    """One part (principal, action or resource) of a policy's scope."""

    op: ScopeOp
    entities: tuple[Uid, ...] = ()
    entity_type: str = ""

    def can_match(self, entity: Uid, ancestors: Collection[Uid]) -> bool:
        """Return whether an entity with these ancestors satisfies this part. A slot matches nothing: it is unlinked."""
        match self.op:
            case ScopeOp.ANY:
                return True
            case ScopeOp.EQUAL:
                return entity in self.entities
            case ScopeOp.IN:
                return any(it == entity or it in ancestors for it in self.entities)
            case ScopeOp.IS:
                return entity.type == self.entity_type and (
                    not self.entities or any(it == entity or it in ancestors for it in self.entities)
                )
            case ScopeOp.SLOT:
                return False


@dataclass(frozen=True, slots=True)
class EntityReference:
    """A literal entity in a policy, and whether it stands in the scope or in a condition."""

    uid: Uid
    in_scope: bool


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy or template: its annotations, scope and Cedar's own JSON of it.

    `position` is Cedar's id for it within its text (`policy0` is the first). `id` is the `@id`, empty where none is.
    """

    position: str
    id: str
    effect: str
    annotations: dict[str, str]
    principal: Scope
    action: Scope
    resource: Scope
    template: bool
    json: dict[str, Any] = field(repr=False)

    @property
    def place(self) -> int:
        """Its place in its text, from 0."""
        return int(self.position.removeprefix("policy"))

    def references(self) -> list[EntityReference]:
        """Return every literal entity of the scope and the conditions, in order of appearance."""
        scoped = [
            EntityReference(uid, in_scope=True)
            for part in (self.principal, self.action, self.resource)
            for uid in part.entities
        ]
        return scoped + [EntityReference(uid, in_scope=False) for uid in _literals(self.json["conditions"])]

    def entity_types(self) -> set[str]:
        """Return the types named by `is`, in the scope and the conditions."""
        named = {part.entity_type for part in (self.principal, self.action, self.resource) if part.entity_type}
        for node in _nodes(self.json["conditions"]):
            test = node.get("is")
            if isinstance(test, dict) and isinstance(test.get("entity_type"), str):
                named.add(test["entity_type"])
        return named

    def reads_context(self, attributes: Collection[str]) -> bool:
        """Say whether a condition can read one of these attributes of the context.

        Any use of the context as a whole counts as reading them all.
        """
        return _reads_context(self.json["conditions"], frozenset(attributes))

    def reads_tags(self) -> bool:
        """Return whether a condition can read the tags of an entity."""
        return any("getTag" in node or "hasTag" in node for node in _nodes(self.json["conditions"]))


def parse_policies(text: str) -> list[Policy]:
    """Parse policy text into its policies and templates, in the order of the text."""
    if not text.strip():
        return []
    try:
        parsed: dict[str, dict[str, Any]] = json.loads(cedarpy.policies_to_json_str(text))
    except ValueError as error:
        raise PolicySyntaxError(str(error)) from None
    found = [_policy(position, body, template=False) for position, body in parsed["staticPolicies"].items()]
    found += [_policy(position, body, template=True) for position, body in parsed["templates"].items()]
    return sorted(found, key=lambda policy: policy.place)


_TOKEN = re.compile(r"""//[^\n]*|"(?:[^"\\]|\\.)*"|;""", re.DOTALL)  # a string may span lines


def split_policies(text: str) -> list[tuple[int, str]]:
    """Split policy text into its policies: the line of each one's first character, from 1, and its own text.

    Works on text that does not parse too, so that a syntax error can be given the line of its policy.
    """
    parts: list[tuple[int, str]] = []
    begin = counted = 0
    line = 1
    for token in [*_TOKEN.finditer(text), None]:
        if token is not None and token.group() != ";":
            continue
        end = len(text) if token is None else token.end()
        piece = text[begin:end]
        body = re.sub(r"\A(?:\s|//[^\n]*(?:\n|\Z))*", "", piece)
        if body:
            start = end - len(body)
            line += text.count("\n", counted, start)
            counted = start
            parts.append((line, body))
        begin = end
    return parts


_GAP = r"(?:\s|//[^\n]*\n)*"
_STRING = r'"(?:[^"\\]|\\.)*"'
_ID_ANNOTATION = re.compile(
    rf"//[^\n]*|{_STRING}|(?P<before>@{_GAP}id{_GAP}\({_GAP}){_STRING}(?P<after>{_GAP}\))", re.DOTALL
)


def with_id(text: str, name: str) -> str:
    """Write another `@id` into the text of one policy that has one; `name` needs no escaping in a string of Cedar."""
    for match in _ID_ANNOTATION.finditer(text):
        if match["before"] is not None:
            return f'{text[: match.start()]}{match["before"]}"{name}"{match["after"]}{text[match.end() :]}'
    return text


def format_text(text: str) -> str:
    """Lay policy text out as Cedar's own formatter does: 80 columns, two spaces."""
    try:
        return cedarpy.format_policies(text, 80, 2)
    except ValueError as error:
        raise PolicySyntaxError(str(error)) from None


def policy_text(body: dict[str, Any]) -> str:
    """Write a policy in Cedar's JSON as text; raises `PolicySyntaxError` if it is none."""
    document = {"staticPolicies": {"policy0": body}, "templates": {}, "templateLinks": []}
    try:
        return cedarpy.policies_from_json_str(json.dumps(document))
    except ValueError as error:
        raise PolicySyntaxError(str(error)) from None


def with_json(policy: Policy, body: dict[str, Any]) -> Policy:
    """Return a policy with another effect, scope or conditions, in Cedar's JSON."""
    return _policy(policy.position, body, template=policy.template)


def expression_text(expression: dict[str, Any]) -> str:
    """Write an expression in Cedar's JSON as text."""
    anything = {"op": "All"}
    condition = {"kind": "when", "body": expression}
    text = policy_text(
        {"effect": "permit", "principal": anything, "action": anything, "resource": anything, "conditions": [condition]}
    )
    return text[text.index("{", text.index("when")) + 1 : text.rindex("}")].strip()


def _policy(position: str, body: dict[str, Any], *, template: bool) -> Policy:
    annotations = {name: value or "" for name, value in body.get("annotations", {}).items()}
    return Policy(
        position=position,
        id=annotations.get("id", ""),
        effect=body["effect"],
        annotations=annotations,
        principal=_scope(body["principal"]),
        action=_scope(body["action"]),
        resource=_scope(body["resource"]),
        template=template,
        json=body,
    )


def _scope(part: dict[str, Any]) -> Scope:
    op = part["op"]
    if "slot" in part or "slot" in part.get("in", {}):
        return Scope(ScopeOp.SLOT)
    if op == "All":
        return Scope(ScopeOp.ANY)
    if op == "is":
        inside = part.get("in")
        return Scope(ScopeOp.IS, (_uid(inside["entity"]),) if inside else (), part["entity_type"])
    entities = part["entities"] if "entities" in part else [part["entity"]]
    return Scope(ScopeOp(op), tuple(_uid(it) for it in entities))


def _uid(entity: dict[str, Any]) -> Uid:
    inner = entity.get("__entity", entity)
    return Uid(inner["type"], inner["id"])


def _nodes(tree: object) -> Iterator[dict[str, Any]]:
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            yield node
            stack.extend(reversed(node.values()))
        elif isinstance(node, list):
            stack.extend(reversed(node))


def _literals(conditions: object) -> Iterator[Uid]:
    for node in _nodes(conditions):
        entity = node.get("__entity")
        if isinstance(entity, dict) and isinstance(entity.get("type"), str) and isinstance(entity.get("id"), str):
            yield Uid(entity["type"], entity["id"])


def _reads_context(tree: object, attributes: frozenset[str]) -> bool:
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            if node.get("Var") == "context":
                return True
            for op in (".", "has"):
                access = node.get(op)
                if isinstance(access, dict) and access.get("left") == {"Var": "context"}:
                    if access.get("attr") in attributes:
                        return True
                    node = {name: value for name, value in node.items() if name != op}
            stack.extend(node.values())
    return False
