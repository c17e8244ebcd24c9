"""Mutants: a compiled bundle or a table of roles with one thing in it otherwise, made from the text of its files.

Nothing here knows of coverage but `claims`: the marks that coverage must not give to a mutant that nobody notices.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tiergate.cedar import split_policies
from tiergate.model import Feature, parse_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Claim(NamedTuple):
    """A mark of coverage: of which policy, in which aspect, of which of its conditions."""

    id: str
    aspect: str
    clause: int = 0


class Mutant(NamedTuple):
    """A file otherwise. `claims`: what must not count as covered if nobody notices.

    `exact`: where coverage says the same the other way round, that what is noticed is covered.
    """

    path: str
    name: str
    content: bytes
    claims: tuple[Claim, ...]
    exact: bool = True


def value_mutants(files: Mapping[str, bytes]) -> Iterator[Mutant]:
    """Every entitlement with another value, and without one; but nothing that no check could tell."""
    features = json.loads(files["catalog.json"], parse_float=Decimal)["features"]
    written = {path: json.loads(content) for path, content in files.items() if path.startswith("entities/items/")}
    numbers: dict[str, list[Decimal]] = {}
    for entities in written.values():
        for name, text in _given(entities)["tags"].items():
            if features[name]["type"] in {"quantity", "range"} and text != "unlimited":
                numbers.setdefault(name, []).append(Decimal(re.split(" per |,", text.removeprefix("+"))[0]))
    for path, entities in written.items():
        tags = _given(entities)["tags"]
        ref = _given(entities)["uid"]["id"]
        for name, text in tags.items():
            if features[name].get("status") == "draft":
                continue
            for aspect, other in _otherwise(text, features[name], numbers.get(name, [])):
                if not _can_be_read(other, features[name]):
                    continue
                _given(entities)["tags"] = {key: it for key, it in {**tags, name: other}.items() if it is not None}
                # Without a switch there is less than with one that is off: its permit is gone too.
                exact = not (other is None and features[name]["type"] == "switch")
                yield Mutant(
                    path,
                    f"{ref}/{name}: {text} -> {other}",
                    json.dumps(entities).encode(),
                    (Claim(f"{ref}/{name}", aspect),),
                    exact,
                )
            _given(entities)["tags"] = tags


def _can_be_read(text: str | None, feature: dict[str, Any]) -> bool:
    """Say whether a bundle may hold this: one more than the largest number may not be."""
    try:
        return text is None or parse_value(text, msgspec.convert(feature, Feature)) is not None
    except ValueError:
        return False


def _given(entities: list[dict[str, Any]]) -> dict[str, Any]:
    return next(it for it in entities if "@" in it["uid"]["id"])


def _otherwise(text: str, feature: dict[str, Any], numbers: list[Decimal]) -> Iterator[tuple[str, str | None]]:
    unit = Decimal(1).scaleb(-feature.get("scale", 0))
    highest = Decimal(feature["maximum"]) * unit if feature.get("maximum") is not None else None
    if feature["type"] == "switch":
        if text == "true":
            yield from (("decides", "false"), ("decides", None))
        else:
            yield "beyond", "true"
        return
    if feature["type"] == "custom":
        labels = feature["labels"]
        place = labels.index(text)
        yield "decides", None
        if place:
            yield "limit", labels[place - 1]
        if place + 1 < len(labels):
            yield "beyond", labels[place + 1]
        return
    if text == "unlimited":
        yield "decides", None
        most = max([unit, *numbers]) if highest is None else highest - unit
        yield "unlimited", f"{most:f}"
        return
    sign = "+" if text.startswith("+") else ""
    number, comma, kind = text.removeprefix("+").partition(",")  # a kind of limit of its own stays
    digits, per, each = number.partition(" per ")
    each += comma + kind
    value = Decimal(digits)
    if value:
        yield "decides", None
        yield "limit", f"{sign}{value - unit:f}{per}{each}"
    if highest is None or value < highest:
        yield "beyond", f"{sign}{value + unit:f}{per}{each}"


def policy_mutants(path: str, text: str, prefix: str = "") -> Iterator[Mutant]:
    """Every policy of a file left out, and each of its conditions left out or negated."""
    pieces = [piece for _, piece in split_policies(text)]
    for place, piece in enumerate(pieces):
        match = re.search(r'@id\("([^"]*)"\)', piece)
        assert match is not None
        name = prefix + match[1]

        def otherwise(what: str, other: str, *claims: Claim, exact: bool = True) -> Mutant:
            content = "\n".join([*pieces[:place], other, *pieces[place + 1 :]])  # noqa: B023 - called at once
            return Mutant(path, f"{name}: {what}", content.encode(), claims, exact)  # noqa: B023 - called at once

        decides = Claim(name, "decides")
        yield otherwise("left out", "", decides)
        for clause, (begin, body, end) in enumerate(_conditions(piece)):
            held_back = Claim(name, "condition", clause)
            yield otherwise(f"condition {clause} left out", piece[:begin] + piece[end:], held_back)
            word = piece[begin : piece.index("{", begin)]
            negated = f"{piece[:begin]}{word}{{ !({body}) }}{piece[end:]}"
            yield otherwise(f"condition {clause} negated", negated, decides, held_back, exact=False)


_TOKEN = re.compile(r'//[^\n]*|"(?:[^"\\]|\\.)*"|\b(?:when|unless)\b|[{}()]', re.DOTALL)


def _conditions(piece: str) -> list[tuple[int, str, int]]:
    """Where each `when` or `unless` of a policy begins, what stands in its braces, and where it ends."""
    found: list[tuple[int, str, int]] = []
    depth, begin, opened = 0, -1, -1
    for token in _TOKEN.finditer(piece):
        word = token.group()
        if word in {"when", "unless"} and not depth:
            begin = token.start()
        elif word in {"{", "("}:
            if word == "{" and not depth:
                opened = token.end()
            depth += 1
        elif word in {"}", ")"}:
            depth -= 1
            if word == "}" and not depth:
                found.append((begin, piece[opened : token.start()], token.end()))
    return found
