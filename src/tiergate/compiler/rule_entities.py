"""Users' entity files: Cedar's JSON with entities of the users' own types, which rules may name.

They cannot define features, items, tags or subjects: these come from the catalog and the subjects.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tiergate.cedar import BaseEntities, Uid
from tiergate.model.canonical_json import canonical_json

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from tiergate.cedar import Schema
    from tiergate.compiler.source_text import AuthorText
    from tiergate.compiler.symbol_table import SymbolTable

_KEYS = frozenset({"uid", "attrs", "parents", "tags"})


@dataclass(frozen=True, slots=True)
class OwnEntity:
    """An entity as its author wrote it, and its place."""

    uid: Uid
    data: dict[str, Any]
    place: int


class _RejectedError(ValueError):
    """Valid JSON that is rejected: a duplicate key, or a number that is not whole."""


def read_entities(source: AuthorText, own_types: Mapping[str, object]) -> list[OwnEntity]:
    """Read one file; report everything that is not an entity of one of the users' own types."""
    result: list[OwnEntity] = []
    elements: list[tuple[int, object]] = []
    try:
        elements = list(_elements(source.text))
    except json.JSONDecodeError as error:
        source.report(error.pos, "bad-json", f"is not a JSON list of entities: {error.msg.lower()}")
    except (_RejectedError, RecursionError) as error:
        source.report(0, "bad-json", f"is not a JSON list of entities: {error}")
    for place, data in elements:
        uid = _uid(data.get("uid")) if isinstance(data, dict) and data.keys() <= _KEYS else None
        if uid is None or not isinstance(data, dict):
            message = "must be an entity: `uid` with `type` and `id`, `attrs`, `parents` and perhaps `tags`"
            source.report(place, "bad-entity", message)
        elif uid.type not in own_types:
            message = f"no schema file of the rules declares the type of `{uid}`"
            source.report(place, "foreign-entity", message)
        else:
            result.append(OwnEntity(uid, data | {"uid": uid._asdict()}, place))
    return result


def check_entities(
    files: Sequence[tuple[AuthorText, Sequence[OwnEntity]]], vocabulary: SymbolTable, schema: Schema
) -> None:
    """Report references to entities that do not exist, and entities that do not match the schema."""
    seen: set[Uid] = set()
    for source, entities in files:
        for entity in entities:
            if entity.uid in seen:
                source.report(entity.place, "duplicate-entity", f"duplicate entity `{entity.uid}`")
            seen.add(entity.uid)
            for uid in dict.fromkeys(_references(entity.data, vocabulary.types())):
                fault = vocabulary.fault(uid)
                if fault is not None:
                    source.report(entity.place, *fault)
            if not _fits([entity], schema):
                message = f"`{entity.uid}` does not fit the schema: compare its attributes, tags and parents"
                source.report(entity.place, "invalid-entity", message)
    clean = not any(source.problems for source, _ in files)
    if clean and not _fits([entity for _, entities in files for entity in entities], schema):
        files[0][0].report(0, "invalid-entity", "the entities do not fit the schema together: is one its own parent?")


def entities_json(entities: Sequence[OwnEntity]) -> bytes:
    """Write a file of entities for the bundle."""
    return canonical_json([entity.data for entity in entities])


def _elements(text: str) -> Iterator[tuple[int, object]]:
    """Yield the elements of a JSON list with their places."""
    decoder = json.JSONDecoder(
        object_pairs_hook=_object, parse_float=_not_whole, parse_constant=_not_whole, parse_int=_whole
    )
    at = _expect(text, 0, "[")
    if text[at : at + 1] == "]":
        at = _skip(text, at + 1)
    else:
        while True:
            element, end = decoder.raw_decode(text, at)
            yield at, element
            at = _expect(text, end, ",]")
            if text[_skip(text, end)] == "]":
                break
    if at < len(text):
        raise json.JSONDecodeError("Extra data", text, at)


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] in {" ", "\t", "\n", "\r"}:
        at += 1
    return at


def _expect(text: str, at: int, marks: str) -> int:
    """Return the place after one of `marks`, which must come next, and white space."""
    at = _skip(text, at)
    if at >= len(text) or text[at] not in marks:
        raise json.JSONDecodeError(f"Expecting {' or '.join(map(repr, marks))}", text, at)
    return _skip(text, at + 1)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _RejectedError(f"duplicate key `{twice}`")
    return result


def _not_whole(text: str) -> object:
    raise _RejectedError(f"`{text[:40]}` is not a whole number")


def _whole(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        raise _RejectedError(f"`{text[:40]}` is too large")
    return int(text)


def _uid(value: object) -> Uid | None:
    match value:
        case {"__entity": inner, **rest} if not rest:
            return _uid(inner)
        case {"type": str(kind), "id": str(name), **rest} if not rest:
            return Uid(kind, name)
        case _:
            return None


def _references(data: Mapping[str, Any], types: Collection[str]) -> Iterator[Uid]:
    """Yield the entities in the parents and attributes of an entity.

    An attribute `{"type": …, "id": …}` may also be a record: it is a reference if its type is an entity type, or if it
    is marked.
    """
    parents = data.get("parents", [])
    for parent in parents if isinstance(parents, list) else []:
        uid = _uid(parent)
        if uid is not None:
            yield uid
    stack: list[object] = [data.get("attrs")]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack.extend(value)
        elif isinstance(value, dict):
            uid = _uid(value)
            if uid is not None and ("__entity" in value or uid.type in types):
                yield uid
            else:
                stack.extend(value.values())


def _fits(entities: Sequence[OwnEntity], schema: Schema) -> bool:
    try:
        BaseEntities(json.dumps([entity.data for entity in entities]), schema)
    except (ValueError, RecursionError):
        return False
    return True
