"""Users' schema fragments: their own entity types and common types, joined to Tiergate's schema.

A fragment never changes the meaning of Tiergate's own policies. So it may not declare a name that Tiergate or Cedar
uses (Cedar would let a type called `Long` replace the number). Actions, which no check uses, are read elsewhere
(`own_actions`) and blank here; one in a namespace stays, and is rejected.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from tiergate.cedar import PolicySyntaxError, Schema, builtin_schema
from tiergate.compiler.literals import nesting_depth
from tiergate.compiler.source_text import AuthorText

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*)|(?P<string>"(?:[^"\\]|\\.)*")|(?P<word>[A-Za-z_]\w*(?:\s*::\s*[A-Za-z_]\w*)*)|(?P<mark>.)""",
    re.ASCII | re.DOTALL,
)
_CEDAR_NAMES = frozenset(
    {"Action", "Bool", "Boolean", "Entity", "Extension", "Long", "Record", "Set", "String"}
    | {"datetime", "decimal", "duration", "ipaddr"}
)
_MOST_NESTING = 50
_NAMED = re.compile("`([^`]+)`")
_UNRESOLVED = re.compile(r"failed to resolve types?: (.+)")


@dataclass(frozen=True, slots=True)
class Declaration:
    """One name that a schema declares. `kind`: `entity`, `type` or `action`; `choices`: those of an enumeration."""

    kind: str
    name: str
    place: int
    choices: tuple[str, ...] = ()


def find_declarations(text: str) -> list[Declaration]:
    """Return the declarations of schema text, in order. Lenient: Cedar checks whether the text is a schema."""
    return list(_declared([match for match in _TOKEN.finditer(text) if match["skip"] is None]))


Token = str
"""A word, a string with its quotes, or a mark."""


def own_action_statements(text: str) -> list[tuple[int, int, list[Token]]]:
    """Return the declarations of actions outside of namespaces: start, end, and the tokens between `action` and `;`."""
    tokens = [match for match in _TOKEN.finditer(text) if match["skip"] is None]
    found: list[tuple[int, int, list[Token]]] = []
    at = begin = 0
    while at < len(tokens):
        word = tokens[at].group()
        if word == "@":  # an annotation belongs to the declaration behind it
            at += 5 if at + 2 < len(tokens) and tokens[at + 2].group() == "(" else 2
            continue
        if word == "namespace":
            at = _after_block(tokens, at)
        elif word in {"entity", "type", "action"}:
            statement, after = _statement(tokens, at + 1)
            if word == "action":
                end = tokens[min(after, len(tokens)) - 1].end()
                found.append((tokens[begin].start(), end, [token.group() for token in statement]))
            at = after
        else:
            at += 1
        begin = at
    return found


def _after_block(tokens: list[re.Match[str]], at: int) -> int:
    """Return the place after the braces that follow."""
    depth = 0
    while at < len(tokens):
        depth += (tokens[at].group() == "{") - (tokens[at].group() == "}")
        at += 1
        if depth == 0 and tokens[at - 1].group() == "}":
            return at
    return at


def join_schema(fragments: Sequence[AuthorText]) -> str:
    """Return Tiergate's schema followed by the fragments, each below a line with its file name."""
    # Only the fragment's name: the path on this machine is not part of the bundle.
    parts = [f"\n// {PurePath(source.file).name}\n{source.text.rstrip()}\n" for source in fragments]
    return "".join([builtin_schema(), *parts])


def read_fragments(fragments: Sequence[AuthorText]) -> tuple[str, Schema | None, list[Declaration]]:
    """Join the fragments to Tiergate's schema, parse it, and list the fragments' declarations.

    Reports every problem to its fragment; the parsed schema is `None` if there are problems.
    """
    own = {declared.name for declared in find_declarations(builtin_schema())}
    result: list[Declaration] = []
    names: set[str] = set()
    for source in fragments:
        # Cedar's parser would exhaust the stack and end the process.
        if nesting_depth(source.text, "({[<") > _MOST_NESTING:
            source.report(0, "too-complex", f"brackets are nested more than {_MOST_NESTING} deep")
        for declared in find_declarations(source.text):
            fault = _fault(declared, own, names)
            if fault is not None:
                source.report(declared.place, *fault)
            names.add(declared.name)
            result.append(declared)
    text = join_schema(fragments)
    if any(source.problems for source in fragments):
        return text, None, result
    try:
        return text, Schema(text), result
    except PolicySyntaxError as error:
        _report(str(error), fragments)
        return text, None, result


def _fault(declared: Declaration, own: set[str], names: set[str]) -> tuple[str, str] | None:
    name = declared.name
    if declared.kind == "action":
        return "schema-action", f"an action of your own cannot be in a namespace (`{name}`)"
    if name in own:
        return "reserved-name", f"`{name}` is a name of Tiergate and cannot be declared"
    if name in _CEDAR_NAMES:
        return "reserved-name", f"`{name}` is a name of Cedar and cannot be declared"
    if name in names:
        return "duplicate-name", f"`{name}` is declared already"
    return None


def _report(message: str, fragments: Sequence[AuthorText]) -> None:
    """Report Cedar's message about the whole schema at the declaration that it concerns, if that can be found."""
    unresolved = _UNRESOLVED.fullmatch(message)
    if unresolved is not None:
        for name in unresolved[1].split(", "):
            last = name.rpartition("::")[2]
            for source in fragments:
                for place in [place for place, word in _words(source.text) if word == last][:1]:
                    source.report(place, "unknown-type", f"there is no type `{name}`")
                    return
    source, place = _named(message, fragments) or _stumbled_over(message, fragments)
    source.report(place, "bad-schema", message.removeprefix("error parsing schema: "))


def _named(message: str, fragments: Sequence[AuthorText]) -> tuple[AuthorText, int] | None:
    names = set(_NAMED.findall(message))
    for source in fragments:
        for declared in find_declarations(source.text):
            if declared.name in names:
                return source, declared.place
    return None


def _stumbled_over(message: str, fragments: Sequence[AuthorText]) -> tuple[AuthorText, int]:
    """Return the first declaration at which Cedar reports this message, if the fragments are read in order."""
    read: list[AuthorText] = []
    for source in fragments:
        starts = [declared.place for declared in find_declarations(source.text)]
        for start, end in zip(starts, [*starts[1:], len(source.text)], strict=True):
            head = source.text[: source.text.rfind(";", start, end) + 1 or end]
            if _says(message, [*read, AuthorText(source.file, head)]):
                return source, start
        if _says(message, [*read, source]):
            return source, 0
        read.append(source)
    return fragments[0], 0


def _says(message: str, fragments: Sequence[AuthorText]) -> bool:
    try:
        Schema(join_schema(fragments))
    except PolicySyntaxError as error:
        return str(error) == message
    return False


def _words(text: str) -> Iterator[tuple[int, str]]:
    for match in _TOKEN.finditer(text):
        if match["word"] is not None:
            yield match.start(), re.sub(r"\s+", "", match["word"]).rpartition("::")[2]


def _declared(tokens: list[re.Match[str]]) -> Iterator[Declaration]:
    namespace = ""
    at = 0
    while at < len(tokens):
        word = tokens[at].group()
        at += 1
        if word == "namespace" and at < len(tokens):
            namespace = re.sub(r"\s+", "", tokens[at].group()) + "::"
            at += 2
        elif word == "}":
            namespace = ""
        elif word == "@":
            at += 1
            if at < len(tokens) and tokens[at].group() == "(":
                at += 3
        elif word in {"entity", "type", "action"}:
            statement, at = _statement(tokens, at)
            yield from _statement_names(word, namespace, statement)


def _statement(tokens: list[re.Match[str]], at: int) -> tuple[list[re.Match[str]], int]:
    """Return the tokens up to the semicolon that ends a declaration, and the place after it."""
    depth = 0
    begin = at
    while at < len(tokens):
        mark = tokens[at].group()
        depth += (mark in "{[(<") - (mark in "}])>") if tokens[at]["mark"] else 0
        at += 1
        if depth < 0 or (mark == ";" and depth == 0):
            return tokens[begin : at - 1], at - (depth < 0)
    return tokens[begin:], at


def _statement_names(kind: str, namespace: str, statement: list[re.Match[str]]) -> Iterator[Declaration]:
    names: list[re.Match[str]] = []
    for token in statement:
        if token["mark"] and token.group() != ",":
            break
        if names and token.group() in {"in", "tags", "enum", "appliesTo"}:
            break
        if token["mark"] is None:
            names.append(token)
    words = [token.group() for token in statement]
    choices: tuple[str, ...] = ()
    if "enum" in words:
        choices = tuple(token["string"][1:-1] for token in statement[words.index("enum") :] if token["string"])
    for token in names:
        yield Declaration(kind, namespace + (token["word"] or token.group()), token.start(), choices)
