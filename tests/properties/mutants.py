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
    from collections.abc import Callable, Iterator, Mapping


class Claim(NamedTuple):
    """A mark of coverage: of which policy, feature or item, in which aspect, of which of its conditions or fields."""

    id: str
    aspect: str
    clause: int = 0
    part: str = ""


class Mutant(NamedTuple):
    """A file otherwise. `claims`: what must not count as covered if nobody notices.

    `exact`: where coverage says the same the other way round, that what is noticed is covered. `optional`: it may not
    count though a test can notice it, because only overrides of several subscriptions show it.
    """

    path: str
    name: str
    content: bytes
    claims: tuple[Claim, ...]
    exact: bool = True
    optional: bool = False


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


INDEX = "catalog.json"
_DRAFT, _ACTIVE = "draft", "active"


def catalog_mutants(files: Mapping[str, bytes]) -> Iterator[Mutant]:
    """Every field of a feature and an item otherwise: missing, one less, one more, or the other of two choices."""
    index = json.loads(files[INDEX])
    for kind, listed in (("features", index["features"]), ("items", index["items"])):
        for name, entry in listed.items():
            fields = _feature_fields(entry) if kind == "features" else _item_fields(entry)
            id_ = name if kind == "features" else f"{entry['kind']}/{name}"
            for part, aspect, changed in fields:
                other = {key: it for key, it in (entry | changed).items() if it is not None}
                content = json.dumps(index | {kind: listed | {name: other}}).encode()
                optional = part in {"combine", "across"}
                yield Mutant(INDEX, f"{id_}: {part} {aspect}", content, (Claim(id_, aspect, 0, part),), True, optional)


Field = tuple[str, str, dict[str, Any]]


def _feature_fields(feature: dict[str, Any]) -> Iterator[Field]:
    is_draft = feature.get("status") == _DRAFT
    yield "status", "other", {"status": _ACTIVE if is_draft else _DRAFT}
    if is_draft:
        return
    if feature["type"] in {"quantity", "range"}:
        for name in ("combine", "across"):
            yield name, "other", {name: "sum" if feature.get(name) == "max" else "max"}
    batch = feature.get("batch", {})
    step = batch.get("increment", 1)
    if batch.get("minimum", 1) > step:
        yield from _bounds("batch/minimum", batch["minimum"], step, lambda it: {"batch": _with(batch, "minimum", it)})
    if step > 1:
        yield from _bounds("batch/increment", step, 1, lambda it: {"batch": _with(batch, "increment", it)})
    caps = feature.get("caps", {})
    for name in caps:
        yield from _bounds(f"caps/{name}", caps[name], 1, lambda it: {"caps": _with(caps, name, it)})  # noqa: B023 - called at once
    if feature.get("maximum") is not None:
        yield from _bounds("max", feature["maximum"], 1, lambda it: {"maximum": it})
    labels = feature.get("labels", [])
    for place in range(len(labels) - 1):
        swapped = [*labels[:place], labels[place + 1], labels[place], *labels[place + 2 :]]
        yield f"levels/{labels[place + 1]}", "other", {"labels": swapped}
    suspensions = feature.get("suspensions", [])
    for place in range(len(suspensions)):
        yield f"suspensions/{place + 1}", "decides", {"suspensions": _without(suspensions, place)}


def _item_fields(item: dict[str, Any]) -> Iterator[Field]:
    is_draft = item.get("status") == _DRAFT
    yield "status", "other", {"status": _ACTIVE if is_draft else _DRAFT}
    if is_draft:
        return
    for name in ("available_for", "depends_on"):
        listed = item.get(name, [])
        if name == "available_for" and listed:
            yield name, "decides", {name: []}
        for place, other in enumerate(listed):
            if name == "depends_on" or len(listed) > 1:
                yield f"{name}/{other}", "decides", {name: _without(listed, place)}
    yield from _rollout_fields(item["rollouts"], item["versions"])


def _rollout_fields(rollouts: list[dict[str, Any]], versions: list[int]) -> Iterator[Field]:
    for place, rollout in enumerate(rollouts):

        def otherwise(**changed: object) -> dict[str, Any]:
            return {"rollouts": [*rollouts[:place], rollout | changed, *rollouts[place + 1 :]]}  # noqa: B023 - at once

        part = f"rollouts/{place + 1}"
        if len(rollouts) > 1:
            yield part, "decides", {"rollouts": _without(rollouts, place)}
        for version in versions:
            if version != rollout["version"]:
                yield f"{part}/version/{version}", "other", otherwise(version=version)
        if "start" in rollout:
            yield f"{part}/from", "limit", otherwise(start=rollout["start"] - 1)
            yield f"{part}/from", "beyond", otherwise(start=rollout["start"] + 1)
        if "audience" in rollout:
            yield f"{part}/audience", "other", otherwise(audience={})
        if place + 1 < len(rollouts):
            swapped = [*rollouts[:place], rollouts[place + 1], rollout, *rollouts[place + 2 :]]
            yield f"{part}/order", "other", {"rollouts": swapped}


def _bounds(part: str, number: int, step: int, put: Callable[[int | None], dict[str, Any]]) -> Iterator[Field]:
    yield part, "decides", put(None)
    if number > step:
        yield part, "limit", put(number - step)
    yield part, "beyond", put(number + step)


def _with(fields: dict[str, Any], name: str, value: int | None) -> dict[str, Any]:
    return {key: it for key, it in {**fields, name: value}.items() if it is not None}


def _without(listed: list[Any], place: int) -> list[Any]:
    return [*listed[:place], *listed[place + 1 :]]


_PART = re.compile(r'//[^\n]*|"(?:[^"\\]|\\.)*"|&&|\|\||[<>]=?|[=!]=|(?<![\w@.])\d+\b', re.DOTALL)
_NEIGHBOURS = {
    "&&": ["||"], "||": ["&&"], "<": ["<=", ">="], "<=": ["<", ">", "=="], ">": [">=", "<="], ">=": [">", "<", "=="],
    "==": ["!="], "!=": ["=="],
}  # fmt: skip


def part_mutants(path: str, text: str, prefix: str) -> Iterator[tuple[str, Mutant]]:
    """Every operator and number in the conditions of a file's rules otherwise, each with the id of its rule."""
    pieces = [piece for _, piece in split_policies(text)]
    for place, piece in enumerate(pieces):
        match = re.search(r'@id\("([^"]*)"\)', piece)
        assert match is not None
        for begin, body, _ in _conditions(piece):
            start = piece.index(body, begin)
            for token in _PART.finditer(body):
                word = token.group()
                others = _NEIGHBOURS.get(word, [])
                if word.isdigit():
                    others = [str(int(word) + 1), *([str(int(word) - 1)] if int(word) else [])]
                for other in others:
                    at = start + token.start()
                    changed = piece[:at] + other + piece[at + len(word) :]
                    content = "\n".join([*pieces[:place], changed, *pieces[place + 1 :]]).encode()
                    yield f"{prefix}{match[1]}", Mutant(path, f"{match[1]}: {word} -> {other} at {at}", content, ())
