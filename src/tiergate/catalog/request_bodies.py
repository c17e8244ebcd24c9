"""Read JSON bodies of the API: each is one entry of a catalog or subjects file, read by the same readers.

Raises all problems at once, each with the JSON Pointer of the wrong value or key. Numbers are exact.

`fixed` (key → text) holds what the request's address fixes, such as an id: the body may omit it or must repeat it. A
partial edit is a JSON Merge Patch onto the printed entry (`apply_merge_patch`), which is then read as a whole.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TypeVar

from msgspec.structs import replace

from tiergate.catalog.checks.item_references import check_item
from tiergate.catalog.entries.features import check_linked, read_feature, resolve_draws
from tiergate.catalog.entries.items import EntitlementReader, read_item
from tiergate.catalog.entries.metering import has_draws
from tiergate.catalog.entries.values import read_entitlement
from tiergate.catalog.reading.document import BROKEN, Listing, Mapping, Node, SourceText, describe
from tiergate.catalog.reading.fields import Fields
from tiergate.catalog.reading.json_pointers import find_pointers
from tiergate.catalog.reading.json_reader import read_json
from tiergate.catalog.reading.placeless_json import read_placeless_json
from tiergate.catalog.reading.problem_report import PlacelessReport, PlacesNeeded, ProblemLog, TextReport
from tiergate.catalog.writing.printer import PlainData, to_json_line
from tiergate.errors import BodyError, BodyProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from collections.abc import Mapping as ReadOnly

    from tiergate.catalog.entries.subjects import SubjectReader
    from tiergate.catalog.reading.problem_report import Report
    from tiergate.model import Feature, Item, Override, Problem, Value

MAX_PROBLEMS = 100
"""Largest number of problems of one body in an error; the others are counted."""

_NOT_FIXED: dict[str, str] = {}
_PLACELESS = PlacelessReport()
_NO_PLACES = array("q")
_UNUSUAL = (PlacesNeeded, ValueError, RecursionError)
_PUBLISHED_KEYS = ("version", "versions", "rollouts")
_DRAFT_KEYS = frozenset({"entitlements"})
_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class ItemBody:
    """An item of a body, without versions and rollouts, which only publishing makes; its draft, if it has one."""

    item: Item
    draft: dict[str, Value] | None


def read_feature_body(
    body: str | bytes, features: ReadOnly[str, Feature], fixed: ReadOnly[str, str] = _NOT_FIXED
) -> Feature:
    """Read a feature; `features` are those that it may name in `linked` and `draws`, by id.

    Raises:
        BodyError: with all problems.
    """
    text = _Body(body, fixed)
    read = read_feature(text.node, text.place, text.report)
    if read is not None and text.is_right():
        check_linked(read.feature, text.node, text.place, features, text.report)
    feature = text.result(read).feature
    if has_draws(text.node):
        drawing = frozenset(id_ for id_, other in features.items() if other.draws is not None)
        feature = resolve_draws(feature, text.node, features, drawing, text.report)
    return text.result(feature)


def read_item_body(
    body: str | bytes,
    features: ReadOnly[str, Feature],
    items: ReadOnly[str, Item],
    fixed: ReadOnly[str, str] = _NOT_FIXED,
    *,
    with_draft: bool = True,
) -> ItemBody:
    """Read an item, and its draft if the body has the key `entitlements` and `with_draft` allows it.

    The item may name `items`; it must be possible to have each of them, and the new item.

    Raises:
        BodyError: with all problems.
    """
    text = _Body(body, fixed)
    has_draft = isinstance(text.node, Mapping) and "entitlements" in text.node.entries
    if isinstance(text.node, Mapping):
        elsewhere = dict.fromkeys(_PUBLISHED_KEYS, "publishing makes versions and rollouts")
        if not with_draft:
            has_draft = False
            elsewhere["entitlements"] = "the draft has its own address"
        for key, reason in elsewhere.items():
            if key in text.node.entries:
                text.report.add(text.node.key_place(key), "not-edited-here", f"`{key}` cannot be edited here: {reason}")
        # Remove rejected keys, so that they cause no second problem.
        text.node = _changed(text.node, text.place, without=elsewhere, put={})
        if not has_draft:
            text.node = _changed(text.node, text.place, put={"entitlements": Mapping({}, array("q"))})
    read = read_item(text.node, text.place, EntitlementReader(features, complete=True), text.report)
    if read is not None and text.is_right():
        check_item(read, items)
    result = text.result(read).item
    draft = result.versions[0].entitlements if has_draft else None
    return ItemBody(replace(result, versions=(), rollouts=()), draft)


def read_entitlements_body(body: str | bytes, features: ReadOnly[str, Feature]) -> dict[str, Value]:
    """Read a draft, `{"entitlements": {feature: value}}`: the entitlements by feature id, sorted.

    Raises:
        BodyError: with all problems.
    """
    text = _Body(body)
    fields = Fields.of(text.node, text.place, text.report, _DRAFT_KEYS, ("entitlements",))
    result: dict[str, Value] = {}
    if fields is not None and "entitlements" in fields:
        reader = EntitlementReader(features, complete=True)
        result = reader.read(fields.entries["entitlements"], fields.at("entitlements"), text.report)
    return text.result(result)


def read_entitlement_body(body: str | bytes, feature: Feature) -> Value:
    """Read the value that an item gives for one feature, in the form of the catalog file.

    Raises:
        BodyError: with all problems.
    """
    text = _Body(body)
    value = read_entitlement(text.node, text.place, feature, text.report)
    if value is None or not text.is_right():
        text.reject()
    return value


def read_subject_body(
    body: str | bytes | dict[str, PlainData],
    read: Callable[[Node, int, Report], _Read | None],
    fixed: ReadOnly[str, str] = _NOT_FIXED,
) -> _Read:
    """Read one entry of a subjects file with `read`, a method of `SubjectReader` such as `customer`.

    `body`: its text, or the data of `merge_patch`. It does not check other subjects, such as the customer of a
    subscription.

    Raises:
        BodyError: with all problems.
    """
    try:
        node = _mapping(body) if isinstance(body, dict) else read_placeless_json(_text(body))
        found = read(_with_fixed(node, fixed), 0, _PLACELESS)
        if found is not None:
            return found
    except _UNUSUAL:  # read again below, to report it
        pass
    text = _Body(to_json_line(body) if isinstance(body, dict) else body, fixed)
    return text.result(read(text.node, text.place, text.report))


def read_override_body(
    body: str | bytes,
    reader: SubjectReader,
    taken: Collection[str] = (),
    fixed: ReadOnly[str, str] = _NOT_FIXED,
    number: int = 1,
) -> Override:
    """Read an override. Without an id it gets `<feature>-<number>`, with a further number if that is taken.

    `taken`: the ids of the subject's other overrides. `number`: one that the subject never used before.

    Raises:
        BodyError: with all problems.
    """
    text = _Body(body, fixed)
    read = reader.override(text.node, text.place, text.report, {})
    written = isinstance(text.node, Mapping) and "id" in text.node.entries
    if read is not None and not (written or fixed):
        id_ = f"{read.feature}-{number}"
        ids = (id_ if again == 1 else f"{id_}-{again}" for again in range(1, len(taken) + 2))
        read = replace(read, id=next(free for free in ids if free not in taken))
    elif read is not None and read.id in taken and isinstance(text.node, Mapping):
        message = f"the override `{read.id}` exists already"
        text.report.add(text.node.value_place("id"), "duplicate-id", message)
    return text.result(read)


def apply_merge_patch(patch: str | bytes, onto: dict[str, PlainData]) -> str:
    """Apply a JSON Merge Patch (RFC 7396) to plain data; return the whole body, to be read. Raises as `merge_patch`."""
    return to_json_line(merge_patch(patch, onto))


def merge_patch(patch: str | bytes, onto: dict[str, PlainData]) -> dict[str, PlainData]:
    """Apply a JSON Merge Patch (RFC 7396) to plain data; return the data.

    Raises:
        BodyError: if the patch is not a JSON object, or has a duplicate key.
    """
    try:
        return _merged(onto, _with_fixed(read_placeless_json(_text(patch)), _NOT_FIXED))
    except _UNUSUAL:  # read again below, to report it
        pass
    text = _Body(patch)
    if not isinstance(text.node, Mapping) and text.node is not BROKEN:
        text.report.add(text.place, "wrong-type", f"a patch must be an object, not {describe(text.node)}")
    if not text.is_right() or not isinstance(text.node, Mapping):
        text.reject()
    return _merged(onto, text.node)


def _merged(onto: PlainData | None, patch: Mapping) -> dict[str, PlainData]:
    result: dict[str, PlainData] = dict(onto) if isinstance(onto, dict) else {}
    for key, value in patch.entries.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value) if isinstance(value, Mapping) else _plain(value)
    return result


def _plain(node: Node) -> PlainData:
    if isinstance(node, Mapping):
        return {key: _plain(inner) for key, inner in node.entries.items()}
    if isinstance(node, Listing | list):
        return [_plain(inner) for inner in (node.entries if isinstance(node, Listing) else node)]
    return node  # type: ignore[return-value]  # a null inside a list: refused when the whole is read


def _changed(mapping: Mapping, place: int, *, put: ReadOnly[str, Node], without: Collection[str] = ()) -> Mapping:
    """Return the mapping without some keys and with others, at their places or at `place`."""
    entries: dict[str, Node] = {}
    places = array("q")
    for key, inner in (dict(mapping.entries) | dict(put)).items():
        if key not in without:
            is_there = key in mapping.entries
            entries[key] = inner
            places.append(mapping.key_place(key) if is_there else place)
            places.append(mapping.value_place(key) if is_there else place)
    return Mapping(entries, places)


def _text(body: str | bytes) -> str:
    return body if isinstance(body, str) else body.decode()


def _mapping(data: dict[str, PlainData]) -> Mapping:
    """Return plain data as an object without places."""
    return Mapping({key: _node(value) for key, value in data.items()}, _NO_PLACES)


def _node(data: PlainData) -> Node:
    if isinstance(data, dict):
        return _mapping(data)
    return [_node(value) for value in data] if isinstance(data, list) else data


def _with_fixed(node: Node, fixed: ReadOnly[str, str]) -> Mapping:
    """Return a body without places, with what is fixed.

    Raises:
        PlacesNeeded: it has a problem.
    """
    if not isinstance(node, Mapping) or any(node.entries.get(key, value) != value for key, value in fixed.items()):
        raise PlacesNeeded
    return Mapping({**node.entries, **fixed}, node.places) if fixed else node


class _Body:
    """A body during reading."""

    def __init__(self, body: str | bytes, fixed: ReadOnly[str, str] = _NOT_FIXED) -> None:
        try:
            self._text = body if isinstance(body, str) else body.decode()
        except UnicodeDecodeError:
            problem = BodyProblem("", "not-utf-8", "the body is not UTF-8")
            raise BodyError((problem,)) from None
        self._log = ProblemLog(MAX_PROBLEMS)
        self._source = SourceText("", self._text)
        self.report = TextReport(self._log, self._source)
        self.node, self.place = read_json(self._text, self.report)
        if isinstance(self.node, Mapping):
            for key, value in fixed.items():
                if self.node.entries.get(key, value) != value:
                    message = f"must be `{value}` here, or be left out: it cannot change"
                    self.report.add(self.node.value_place(key), "fixed-value", message)
            if fixed:
                self.node = _changed(self.node, self.place, put=fixed)

    def is_right(self) -> bool:
        return not self._log.count

    def result(self, read: _Read | None) -> _Read:
        """Return the result of reading.

        Raises:
            BodyError: with all problems, if there are any.
        """
        if self._log.count or read is None:
            self.reject()
        return read

    def reject(self) -> NoReturn:
        """Raise all problems.

        Raises:
            BodyError: always.
        """
        problems = self._log.sorted()
        places = [self._source.place(problem.line, problem.column) if problem.line else 0 for problem in problems]
        result = find_pointers(self._text, places)
        raise BodyError([_problem(problem, result[place]) for problem, place in zip(problems, places, strict=True)])


def _problem(problem: Problem, pointer: str) -> BodyProblem:
    detail = problem.message
    if problem.code == "bad-json":
        detail += f", in line {problem.line}, column {problem.column}"
    return BodyProblem(pointer if problem.line else "", problem.code, detail, problem.suggestion or None)
