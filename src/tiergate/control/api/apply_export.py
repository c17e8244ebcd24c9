"""Catalog files over HTTP: a file is applied as a whole, and what is published is written as one.

The body of `apply` says the catalog as one object, the file's form in JSON, or as files with their names and texts, so
that problems are told at the author's lines. What `export` answers can be applied elsewhere as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from tiergate.admin.loss_acceptance import AcceptLoss, accepted_loss
from tiergate.catalog import LoadedCatalog, escape_pointer, load_catalog_texts
from tiergate.catalog.reading.document import SourceText
from tiergate.catalog.reading.json_pointers import pointers
from tiergate.control.api.bodies import decode_parts
from tiergate.control.api.parameters import flag_parameter
from tiergate.control.api.publish_responses import carried_out, dry_run, reviewed_by
from tiergate.control.api.request import Answer
from tiergate.control.api.router import Endpoint
from tiergate.errors import BodyError, BodyProblem, CatalogError
from tiergate.model import Rules
from tiergate.permissions import Action, Resource
from tiergate.publish.apply import ApplyRequest, export_catalog, plan_apply
from tiergate.publish.published_state import rule_texts
from tiergate.store.items import read_items

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.control.api.request import AdminRequest
    from tiergate.model import Catalog
    from tiergate.publish.publisher import Publisher
    from tiergate.store.items import StoredItem

_MAX_BODY: Final = 64 * 2**20
_NAME: Final = "catalog.json"


class _FileText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    text: str


class ApplyBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be applied, and whether what it takes from customers is meant."""

    catalog: msgspec.Raw
    rules: Rules | None = None
    prune: bool = False
    dry_run: bool = False
    note: str = ""
    accept_loss: AcceptLoss = False


def endpoints(publisher: Publisher) -> list[Endpoint]:
    """What there is about catalog files."""

    def apply(request: AdminRequest) -> Answer:
        """Make what catalog files say the published catalog."""
        body = decode_parts(request, ApplyBody)
        application = applied(request, body)
        planner = plan_apply(application)
        accepted, reviewed = accepted_loss(body.accept_loss), reviewed_by(request)
        if body.dry_run:
            return dry_run(publisher, request, planner)
        request.require(Action.APPLY, Resource.catalog())
        for feature in _suspended_otherwise(application, request.read(publisher.published_state).catalog):
            request.require(Action.SUSPEND_FEATURE, Resource.feature(feature))
        return carried_out(publisher, request, planner, weigh=True, accept_loss=accepted, reviewed=reviewed)

    def export(request: AdminRequest) -> Answer:
        """Write what is published as a catalog file, and with `rules=true` the rules."""
        with_rules, private = flag_parameter(request, "rules"), flag_parameter(request, "private")
        if with_rules or private:
            request.require(Action.VIEW, Resource.store())
        current, items = request.read(lambda unit: (publisher.published_state(unit), read_items(unit)))
        text = export_catalog(_with_metadata(current.catalog, items), private=bool(private))
        said = {
            "publication": current.sequence,
            "revision": current.revision,
            "catalog": [{"name": "catalog.yaml", "text": text}],
        }
        return Answer.json({**said, "rules": current.rules} if with_rules else said)

    catalog = Resource.catalog()
    return [
        Endpoint("POST", "/v1/apply", Action.PREVIEW, apply, catalog, max_body=_MAX_BODY),
        Endpoint("GET", "/v1/export", Action.VIEW, export, catalog, query=("rules", "private")),
    ]


def _with_metadata(catalog: Catalog, items: Mapping[str, StoredItem]) -> Catalog:
    """A catalog with the metadata that its items have now: it is edited without a publication."""
    known = {id_: stored.item.metadata for id_, stored in items.items()}
    found = {
        id_: item if known.get(id_, item.metadata) == item.metadata else replace(item, metadata=known[id_])
        for id_, item in catalog.items.items()
    }
    return replace(catalog, items=found)


def applied(request: AdminRequest, body: ApplyBody) -> ApplyRequest:
    """What a body says is to be applied.

    Raises:
        BodyError, CatalogError: it is no catalog, or rules that are no text.
        ForbiddenError: it has rules, and the caller may not edit them.
    """
    application = ApplyRequest(_loaded(body.catalog), body.rules, body.prune, body.note)
    if body.rules is not None:
        _check_texts(body.rules)
        request.require(Action.EDIT_RULES, Resource.store())
    return application


def _suspended_otherwise(application: ApplyRequest, current: Catalog) -> list[str]:
    """The features in force that a file would suspend, or let be used again: who may do that is a row of its own."""
    return [
        id_
        for id_, feature in application.loaded.catalog.features.items()
        if (feature.suspensions or application.prune)
        and id_ in current.features
        and feature.suspensions != current.features[id_].suspensions
    ]


def _loaded(content: msgspec.Raw) -> LoadedCatalog:
    text = bytes(content).decode()
    if not text.lstrip().startswith("["):
        return _loaded_object(text)
    try:
        files = msgspec.json.decode(content, type=list[_FileText])
    except msgspec.ValidationError as error:
        raise BodyError([BodyProblem("/catalog", "wrong-value", str(error))]) from None
    texts = {file.name: file.text for file in files}
    if len(texts) < len(files):
        raise BodyError([BodyProblem("/catalog", "duplicate-name", "two of the files have the same name")])
    return load_catalog_texts(texts)


def _check_texts(rules: Rules) -> None:
    for key, text in rule_texts(rules).items():
        if "\x00" in text:
            kind, _, name = key.partition("/")
            at = f"/rules/{kind}/{escape_pointer(name)}"
            raise BodyError([BodyProblem(at, "bad-character", "has a character that no text has")])


def _loaded_object(text: str) -> LoadedCatalog:
    try:
        return load_catalog_texts({_NAME: text})
    except CatalogError as error:
        source = SourceText(_NAME, text)
        places = [source.place(it.line, it.column) if it.line else 0 for it in error.problems]
        found = pointers(text, places)
        raise BodyError(
            [
                BodyProblem("/catalog" + (found[place] if it.line else ""), it.code, it.message, it.suggestion or None)
                for it, place in zip(error.problems, places, strict=True)
            ]
        ) from None
