"""Apply catalog files to the store, and export the published catalog as a file.

The files come as one JSON object in the form of a file, or as a list of files with names and texts, so that problems
are reported at the author's lines. An export can be applied elsewhere.

Functions raise `BodyError` or `CatalogError` if files are not a catalog, and `ForbiddenError` if the actor may not edit
the rules that come with them, or see what it exports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from tiergate.admin.publishing import PublicationRequest
from tiergate.catalog import LoadedCatalog, escape_pointer, load_catalog_texts
from tiergate.catalog.reading.document import SourceText
from tiergate.catalog.reading.json_pointers import find_pointers
from tiergate.errors import BodyError, BodyProblem, CatalogError
from tiergate.permissions import Action, Resource
from tiergate.publish.apply_planner import ApplyRequest, plan_apply
from tiergate.publish.catalog_export import export_catalog
from tiergate.publish.published_state import rule_texts
from tiergate.store.items import read_items

if TYPE_CHECKING:
    from tiergate.admin.actor import Actor
    from tiergate.admin.publication_views import Members
    from tiergate.model import Catalog, Rules
    from tiergate.publish.published_state import PublishedState
    from tiergate.publish.publisher import Publisher
    from tiergate.store import ReadUnit

_NAME: Final = "catalog.json"


class _FileText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    text: str


def apply_files(
    actor: Actor, publisher: Publisher, content: bytes, rules: Rules | None, *, prune: bool, note: str
) -> PublicationRequest:
    """Request to publish what catalog files and rules contain; `prune`: remove what they do not name."""
    apply = ApplyRequest(_load(content), rules, prune, note)
    if rules is not None:
        _check_characters(rules)
        actor.require(Action.EDIT_RULES, Resource.store())

    def authorize(unit: ReadUnit) -> None:
        actor.require(Action.APPLY, Resource.catalog())
        for feature in _changed_suspensions(apply, publisher.published_state(unit).catalog):
            actor.require(Action.SUSPEND_FEATURE, Resource.feature(feature))

    return PublicationRequest(plan_apply(apply), authorize)


def export_files(actor: Actor, publisher: Publisher, *, with_rules: bool, with_private: bool) -> Members:
    """Return the published catalog as a file; `with_rules`: and the rules; `with_private`: and private items."""
    if with_rules or with_private:
        actor.require(Action.VIEW, Resource.store())
    current, catalog = publisher.store.read(lambda unit: _read(unit, publisher))
    data: Members = {
        "publication": current.sequence,
        "revision": current.revision,
        "catalog": [{"name": "catalog.yaml", "text": export_catalog(catalog, private=with_private)}],
    }
    return {**data, "rules": current.rules} if with_rules else data


def _read(unit: ReadUnit, publisher: Publisher) -> tuple[PublishedState, Catalog]:
    """Return what is published, and its catalog with the current metadata, which changes without a publication."""
    current, stored = publisher.published_state(unit), read_items(unit)
    items = {
        id_: replace(item, metadata=stored[id_].item.metadata) if id_ in stored else item
        for id_, item in current.catalog.items.items()
    }
    return current, replace(current.catalog, items=items)


def _changed_suspensions(apply: ApplyRequest, current: Catalog) -> list[str]:
    """Return the published features that files would suspend or resume, which needs a permission of its own."""
    return [
        id_
        for id_, feature in apply.loaded.catalog.features.items()
        if (feature.suspensions or apply.prune)
        and id_ in current.features
        and feature.suspensions != current.features[id_].suspensions
    ]


def _load(content: bytes) -> LoadedCatalog:
    text = content.decode()
    if not text.lstrip().startswith("["):
        return _load_object(text)
    try:
        files = msgspec.json.decode(content, type=list[_FileText])
    except msgspec.ValidationError as error:
        raise BodyError([BodyProblem("/catalog", "wrong-value", str(error))]) from None
    texts = {file.name: file.text for file in files}
    if len(texts) < len(files):
        raise BodyError([BodyProblem("/catalog", "duplicate-name", "two of the files have the same name")])
    return load_catalog_texts(texts)


def _load_object(text: str) -> LoadedCatalog:
    try:
        return load_catalog_texts({_NAME: text})
    except CatalogError as error:
        source = SourceText(_NAME, text)
        offsets = [source.place(it.line, it.column) if it.line else 0 for it in error.problems]
        by_offset = find_pointers(text, offsets)
        problems = [
            BodyProblem("/catalog" + (by_offset[offset] if it.line else ""), it.code, it.message, it.suggestion or None)
            for it, offset in zip(error.problems, offsets, strict=True)
        ]
        raise BodyError(problems) from None


def _check_characters(rules: Rules) -> None:
    for key, text in rule_texts(rules).items():
        if "\x00" in text:
            kind, _, name = key.partition("/")
            pointer = f"/rules/{kind}/{escape_pointer(name)}"
            raise BodyError([BodyProblem(pointer, "bad-character", "has a character that text cannot have")])
