"""The names that rules may use: those of the catalog, of Tiergate, and of the users' own files.

A policy that names nothing is not an error in Cedar: it silently never matches. Here it is a problem.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tiergate.compiler.suggestions import Suggestions
from tiergate.model.features import ACTIONS
from tiergate.naming import item_ref, parse_subject_id, version_ref

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tiergate.cedar import Uid
    from tiergate.model import Catalog

SUBJECT_TYPES = frozenset({"Customer", "Subscription", "User"})
"""The entity types of subjects. The compiler does not know which subjects exist."""

_GROUP = "access"


class Fault(NamedTuple):
    """Why a literal names nothing: a problem's code and message, and what was probably meant."""

    code: str
    message: str
    suggestion: str | None = None


@dataclass(frozen=True)
class SymbolTable:
    """All literals that name something. `own`: the users' entity types, each with the ids of its entities."""

    features: Collection[str]
    tags: Collection[str]
    items: Collection[str]
    actions: Collection[str]
    own: Mapping[str, Collection[str]]
    suggestions: Suggestions = field(default_factory=Suggestions)

    @classmethod
    def of(cls, catalog: Catalog, own: Mapping[str, Collection[str]]) -> SymbolTable:
        """Return the names of a catalog, and the users' own."""
        items = {item_ref(item.kind, item.id) for item in catalog.items.values()}
        versions = {
            version_ref(item.kind, item.id, definition.version)
            for item in catalog.items.values()
            for definition in item.versions
        }
        tags = {tag for feature in catalog.features.values() for tag in feature.tags}
        return cls(catalog.features.keys(), tags, items | versions, {*ACTIONS.values(), _GROUP}, own)

    def types(self) -> set[str]:
        """Return every entity type that a rule may name."""
        return {"Feature", "Tag", "Item", "Action"} | SUBJECT_TYPES | self.own.keys()

    def fault(self, uid: Uid) -> Fault | None:
        """Say why a literal names nothing: a problem's code and message; `None` where it names something."""
        match uid.type:
            case "Feature":
                return self._absent(uid.id, self.features, "unknown-feature", "the catalog has no feature")
            case "Tag":
                return self._absent(uid.id, self.tags, "unknown-tag", "no feature of the catalog has the tag")
            case "Item":
                return self._item_fault(uid.id)
            case "Action":
                return self._absent(uid.id, self.actions, "unknown-action", "there is no action")
            case kind if kind in SUBJECT_TYPES:
                return _subject_fault(uid)
            case kind if kind in self.own:
                return self._absent(
                    uid.id, self.own[kind], "unknown-entity", f"the rules' entities contain no `{kind}` with the id"
                )
            case kind:
                return self._absent(kind, self.types(), "unknown-type", "there is no entity type")

    def type_fault(self, name: str) -> Fault | None:
        """Say why a type named by `is` is none; `None` where it is one."""
        return self._absent(name, self.types(), "unknown-type", "there is no entity type")

    def _item_fault(self, ref: str) -> Fault | None:
        if ref in self.items:
            return None
        item, at, version = ref.rpartition("@")
        if at and item in self.items:
            return Fault("unknown-item", f"the catalog has no version `{version}` of `{item}`")
        qualified = sorted(entry for entry in self.items if entry.partition("/")[2] == ref)
        if qualified:
            return Fault("unknown-item", f"an item is written with its kind: `{qualified[0]}`, not `{ref}`")
        return self._absent(ref, self.items, "unknown-item", "the catalog has no item")

    def _absent(self, name: str, known: Collection[str], code: str, message: str) -> Fault | None:
        if name in known:
            return None
        return Fault(code, f"{message} `{name}`", self.suggestions.find(name, known))


def _subject_fault(uid: Uid) -> Fault | None:
    """Return the problem of an id that no subject can have; only the subjects' data tells whether a subject exists."""
    try:
        id_ = parse_subject_id(uid.id)
    except ValueError as error:
        return Fault("bad-id", f"`{uid}` cannot be a subject: the id {error}")
    if id_ != uid.id:
        return Fault("bad-id", f"`{uid}` cannot be a subject: write the id without escapes, as `{id_}`")
    return None
