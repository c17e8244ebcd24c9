"""Load a catalog from files: read and check all of it, and return it or raise all problems.

The steps: read every file into a document; read all features; read all items against them; check the references of
items and ladders. Each step continues after problems, as long as the next one's findings stay correct.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiergate.catalog.checks.item_references import check_references
from tiergate.catalog.entries.features import check_linked, read_feature, resolve_draws
from tiergate.catalog.entries.items import EntitlementReader, ItemText, read_item
from tiergate.catalog.entries.metering import has_draws
from tiergate.catalog.positions import CatalogPositions
from tiergate.catalog.reading.document import Mapping, Node, Position
from tiergate.catalog.reading.fields import Fields, find_suggestion
from tiergate.catalog.reading.files import check_api_version, expand_paths, parse_document, read_document
from tiergate.catalog.reading.problem_report import ProblemLog, TextReport
from tiergate.errors import CatalogError
from tiergate.model import Catalog, Feature, ItemKind, Ladder, PlansPerSubscription
from tiergate.naming import is_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Mapping as ReadOnly
    from pathlib import Path

CATALOG_ENDINGS = frozenset({".yaml", ".yml", ".json"})
"""The suffixes of catalog files in a folder."""

MAX_PROBLEMS = 10_000
"""Largest number of problems of one load in an error; the others are counted."""

_FILE_KEYS = frozenset({"apiVersion", "plans", "features", "items", "ladders"})
_ELSEWHERE = {
    **dict.fromkeys(("customers", "subscriptions"), "a subjects file (`--subjects`)"),
    **dict.fromkeys(("suite", "tests", "cases"), "a test file, `*_test.yaml` (`tiergate test`)"),
}
_LADDER_KEYS = frozenset({"id", "plans"})
_NUMBERED = frozenset({"version", "versions", "rollouts"})


@dataclass(frozen=True, slots=True)
class LoadedCatalog:
    """A catalog and the positions of its parts in the files.

    `unnumbered`: the items without version and rollouts in the files, which get the defaults. `names_plans`: whether a
    file has the key `plans`; the default is `one`.
    """

    catalog: Catalog
    positions: CatalogPositions
    unnumbered: frozenset[str] = frozenset()
    names_plans: bool = False


def load_catalog(paths: Sequence[Path]) -> LoadedCatalog:
    """Load one catalog from files, or from folders of `.yaml`, `.yml` and `.json` files, which together make it.

    Raises:
        CatalogError: with all problems, sorted by position.
    """
    log = ProblemLog(MAX_PROBLEMS)
    return _load([read_document(path, log) for path in expand_paths(paths, CATALOG_ENDINGS, log)], log)


def load_catalog_texts(texts: ReadOnly[str, str]) -> LoadedCatalog:
    """Load one catalog from the texts of files, by name: JSON if the name ends in `.json`, else YAML.

    Raises:
        CatalogError: with all problems, sorted by position.
    """
    log = ProblemLog(MAX_PROBLEMS)
    return _load([parse_document(name, text, log) for name, text in texts.items()], log)


def read_catalog(documents: Iterable[_Document | None], log: ProblemLog) -> LoadedCatalog | None:
    """Load one catalog from parsed documents, which report to `log`; `None` after any problem."""
    before = log.count
    loaded = _Loader(log).load(documents)
    return loaded if log.count == before else None


def _load(documents: Sequence[_Document | None], log: ProblemLog) -> LoadedCatalog:
    if not documents and not log.count:
        log.add(("catalog", 0, 0), "no-files", "no file given")
    loaded = _Loader(log).load(documents)
    log.raise_any(CatalogError)
    return loaded


_Document = tuple[Node, int, TextReport]
_Entries = list[_Document]


class _Seen:
    """The ids of one kind, each with its first position."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._first: dict[str, Position] = {}

    def is_new(self, id_: str, node: Node, place: int, report: TextReport) -> bool:
        """Return whether an id is new; report a duplicate at its place, with the first position."""
        at = node.value_place("id") if isinstance(node, Mapping) else place
        position = report.position(at)
        if id_ not in self._first:
            self._first[id_] = position
            return True
        file, line, _ = self._first[id_]
        where = f"line {line}" if file == position[0] else f"{file}, line {line}"
        report.add(at, "duplicate-id", f"the {self._kind} `{id_}` exists already, in {where}")
        return False


def _written_id(node: Node) -> str | None:
    """Return the valid id of an entry, even if its other keys are wrong."""
    id_ = node.entries.get("id") if isinstance(node, Mapping) else None
    return id_ if isinstance(id_, str) and is_id(id_) else None


class _Loader:
    """The loader's state."""

    def __init__(self, log: ProblemLog) -> None:
        self.positions = CatalogPositions()
        self._log = log
        self._complete = True
        self._first: TextReport | None = None
        self._lists: dict[str, _Entries] = {}
        self._unnumbered: set[str] = set()
        self._plans: tuple[PlansPerSubscription, Position] | None = None

    def load(self, documents: Iterable[_Document | None]) -> LoadedCatalog:
        """Read all documents; the result is not valid after a problem."""
        for document in documents:
            self._collect(document)
        return LoadedCatalog(self._build(), self.positions, frozenset(self._unnumbered), self._plans is not None)

    def _collect(self, document: _Document | None) -> None:
        """Collect the features, items and ladders of a file; nothing of a file that could not be read."""
        if document is None:
            self._complete = False
            return
        root, place, report = document
        if root is None:
            report.add(place, "empty-file", "the file is empty: it needs at least `apiVersion` and `features`")
            self._complete = False
            return
        fields = Fields.of(root, place, report, _FILE_KEYS, ("apiVersion",), _ELSEWHERE)
        if fields is None:
            self._complete = False
            return
        self._first = self._first or report
        check_api_version(fields)
        self._read_plans(fields, report)
        for key in ("features", "items", "ladders"):
            if key in fields:
                before = report.count
                entries = fields.entries_of(key)
                if report.count > before:
                    self._complete = False
                self._lists.setdefault(key, []).extend((node, at, report) for node, at in entries)

    def _read_plans(self, fields: Fields, report: TextReport) -> None:
        """Read how many plans a subscription may have; all files of a catalog must agree."""
        rule = fields.choice("plans", PlansPerSubscription)
        if rule is None:
            return
        if self._plans is None:
            self._plans = (rule, report.position(fields.at("plans")))
        elif self._plans[0] is not rule:
            file, line, _ = self._plans[1]
            message = f"`plans` is `{self._plans[0].value}` in {file}, line {line}, and `{rule.value}` here"
            fields.problem("plans", "key-conflict", message)

    def _build(self) -> Catalog:
        for key in ("features", "items"):
            if key not in self._lists and self._complete and self._first is not None:
                self._first.add(0, "missing-key", f"the key `{key}` is missing: write `{key}: []` if there are none")
        features = self._features()
        reader = EntitlementReader(features, complete=self._complete)
        items, unread = self._items(reader)
        check_references(items, unread, complete=self._complete)
        ladders = self._ladders(items, unread)
        return Catalog(
            {id_: feature for id_, feature in sorted(features.items()) if feature is not None},
            {id_: items[id_].item for id_ in sorted(items)},
            ladders,
            PlansPerSubscription.ONE if self._plans is None else self._plans[0],
        )

    def _features(self) -> dict[str, Feature | None]:
        """Return all features by id; `None` for one that exists but could not be read."""
        result: dict[str, Feature | None] = {}
        seen = _Seen("feature")
        texts: list[tuple[Feature, Node, TextReport]] = []
        for node, place, report in self._lists.get("features", []):
            text = read_feature(node, place, report)
            id_ = _written_id(node)
            if id_ is None or not seen.is_new(id_, node, place, report):
                continue
            result[id_] = text.feature if text is not None and text.is_checkable else None
            self.positions.put(("feature", id_), report.source, place)
            if text is not None:
                texts.append((text.feature, node, report))
        drawing = frozenset(feature.id for feature, node, _ in texts if has_draws(node))
        sources = dict(result)
        for feature, node, report in texts:
            check_linked(feature, node, 0, result, report, complete=self._complete)
            if feature.id in drawing:
                drawn = resolve_draws(feature, node, sources, drawing, report, complete=self._complete)
                if result[feature.id] is not None:
                    result[feature.id] = drawn
        return result

    def _items(self, reader: EntitlementReader) -> tuple[dict[str, ItemText], frozenset[str]]:
        """Return all items by id, and the ids of those that exist but could not be read."""
        result: dict[str, ItemText] = {}
        unread: set[str] = set()
        seen = _Seen("item")
        for node, place, report in self._lists.get("items", []):
            text = read_item(node, place, reader, report)
            id_ = _written_id(node)
            if id_ is not None and seen.is_new(id_, node, place, report):
                if text is None:
                    unread.add(id_)
                else:
                    result[id_] = text
                    self.positions.put_item(text)
                    if isinstance(node, Mapping) and _NUMBERED.isdisjoint(node.entries):
                        self._unnumbered.add(id_)
        return result, frozenset(unread)

    def _ladders(self, items: dict[str, ItemText], unread: frozenset[str]) -> tuple[Ladder, ...]:
        result: dict[str, Ladder] = {}
        seen = _Seen("ladder")
        for node, place, report in self._lists.get("ladders", []):
            fields = Fields.of(node, place, report, _LADDER_KEYS, ("id", "plans"))
            if fields is None:
                continue
            id_ = fields.id("id")
            plans = list(fields.ids("plans"))
            for plan, at in plans:
                if plan in items:
                    if items[plan].item.kind is not ItemKind.PLAN:
                        report.add(at, "not-a-plan", f"`{plan}` is not a plan: a ladder is made of plans")
                elif plan not in unread and self._complete:
                    report.add(at, "unknown-item", f"no item `{plan}`", find_suggestion(plan, items, report))
            if len(plans) < 2 and "plans" in fields:
                fields.problem("plans", "short-ladder", "a ladder needs at least two plans")
            if id_ is not None and seen.is_new(id_, node, place, report):
                result[id_] = Ladder(id_, tuple(plan for plan, _ in plans))
                self.positions.put(("ladder", id_), report.source, place)
        return tuple(result[id_] for id_ in sorted(result))
