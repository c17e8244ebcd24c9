"""The features of the working catalog: created, edited, activated, archived, deleted. Publishing gives them effect.

A feature's body is its entry in a catalog file. Suspensions act at once and have requests of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tiergate.catalog import (
    ValueUse,
    apply_merge_patch,
    check_feature_change,
    check_feature_deletion,
    feature_data,
    read_feature_body,
)
from tiergate.control.api.bodies import MERGE_PATCH
from tiergate.control.api.discards import discard_feature
from tiergate.control.api.request import Answer
from tiergate.control.api.router import Endpoint
from tiergate.control.api.working_catalog import choice, refuse_any, stamped, unchanged
from tiergate.errors import BodyError, BodyProblem, ConflictError
from tiergate.model import FeatureStatus, FeatureType
from tiergate.permissions import Action, Resource
from tiergate.publish.validation import explain_fixed_type
from tiergate.store.features import (
    FeatureFilter,
    add_feature,
    find_feature,
    list_features,
    lock_catalog,
    read_features,
    remove_feature,
    replace_feature,
)
from tiergate.store.publications import first_given
from tiergate.store.published_types import published_types
from tiergate.store.references import feature_uses, links_to

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest
    from tiergate.control.api.working_catalog import Data
    from tiergate.model import Feature, Suspension
    from tiergate.store import ReadUnit, WriteUnit
    from tiergate.store.features import StoredFeature

_PATH: Final = "/v1/features/{id}"
_WHAT_USES_BIND: Final = ("scale", "labels", "numbers", "unlimited_level", "minimum", "maximum")


def endpoints() -> list[Endpoint]:
    """The routes of features."""
    return [
        Endpoint(
            "GET",
            "/v1/features",
            Action.VIEW,
            list_all,
            Resource.catalog(),
            query=("tag", "text", "type", "status"),
            paged=True,
        ),
        Endpoint("POST", "/v1/features", Action.CREATE_FEATURE, create, Resource.feature()),
        Endpoint("GET", _PATH, Action.VIEW, show, _feature),
        Endpoint("PATCH", _PATH, Action.EDIT_FEATURE, edit, _feature, media_types=MERGE_PATCH),
        Endpoint("DELETE", _PATH, Action.EDIT_FEATURE, delete, _feature),
        Endpoint("DELETE", f"{_PATH}/draft", Action.EDIT_FEATURE, discard_feature, _feature),
        Endpoint("POST", f"{_PATH}/activate", Action.EDIT_FEATURE, activate, _feature),
        Endpoint("POST", f"{_PATH}/archive", Action.EDIT_FEATURE, archive, _feature),
        Endpoint("POST", f"{_PATH}/reactivate", Action.EDIT_FEATURE, reactivate, _feature),
    ]


def _feature(request: AdminRequest) -> Resource:
    return Resource.feature(request.params["id"])


def feature_answer(stored: StoredFeature) -> Data:
    """A feature as it is answered: the file's form, and what the store knows of it."""
    return feature_data(stored.feature) | stamped(stored.stamp)


def list_all(request: AdminRequest) -> Answer:
    """List features, by id."""
    wanted = FeatureFilter(
        request.query.get("tag"),
        request.query.get("text"),
        choice(request, "type", FeatureType),
        choice(request, "status", FeatureStatus),
    )
    found = request.read(lambda unit: list_features(unit, wanted, request.cursor, request.limit + 1))
    page = found[: request.limit]
    return Answer.page(
        [feature_answer(stored) for stored in page], page[-1].feature.id if len(found) > len(page) else None
    )


def show(request: AdminRequest) -> Answer:
    """Show a feature."""
    stored = request.read(lambda unit: find_feature(unit, request.params["id"]))
    return unchanged(request, stored.stamp) or _answer(stored)


def create(request: AdminRequest) -> Answer:
    """Create a feature."""

    def work(unit: WriteUnit) -> Answer:
        lock_catalog(unit)
        feature = read_feature_body(request.body, read_features(unit))
        _refuse_suspensions(feature, ())
        _refuse_reinterpretation(unit, feature)
        stored = add_feature(unit, feature)
        unit.audit("feature.created", "feature", feature.id, after=feature_data(feature))
        return _answer(stored, 201, location=f"/v1/features/{feature.id}")

    return request.change(work)


def edit(request: AdminRequest) -> Answer:
    """Edit a feature, by a JSON Merge Patch."""

    def work(unit: WriteUnit) -> Answer:
        before = _locked(request, unit)
        old = before.feature
        body = apply_merge_patch(request.body, feature_data(old))
        feature = read_feature_body(body, read_features(unit), {"id": old.id, "type": old.type.value})
        _refuse_suspensions(feature, old.suspensions)
        bound = any(getattr(old, name) != getattr(feature, name) for name in _WHAT_USES_BIND)
        refuse_any(check_feature_change(old, feature, _uses(unit, old) if bound else []))
        if feature.scale != old.scale:
            _refuse_reinterpretation(unit, feature)
        return _replaced(unit, before, feature, "feature.edited")

    return request.change(work)


def delete(request: AdminRequest) -> Answer:
    """Delete a feature that is not active and that nothing gives."""

    def work(unit: WriteUnit) -> Answer:
        feature = _locked(request, unit).feature
        links = [f"the feature `{other}`, which is linked to it" for other in links_to(unit, feature.id)]
        named = [ValueUse(None, tuple(links), len(links))] if links else []
        refuse_any(check_feature_deletion(feature, [*_uses(unit, feature), *named]))
        remove_feature(unit, feature.id)
        unit.audit("feature.deleted", "feature", feature.id, before=feature_data(feature))
        return Answer.empty()

    return request.change(work)


def activate(request: AdminRequest) -> Answer:
    """Activate a draft feature: from the next publication on it is in effect."""
    return _move(request, FeatureStatus.DRAFT, FeatureStatus.ACTIVE, "feature.activated")


def archive(request: AdminRequest) -> Answer:
    """Archive an active feature: it takes no new entitlements, those that it has stay."""
    return _move(request, FeatureStatus.ACTIVE, FeatureStatus.ARCHIVED, "feature.archived")


def reactivate(request: AdminRequest) -> Answer:
    """Make an archived feature active again."""
    return _move(request, FeatureStatus.ARCHIVED, FeatureStatus.ACTIVE, "feature.reactivated")


def _move(request: AdminRequest, source: FeatureStatus, target: FeatureStatus, action: str) -> Answer:
    """Move a feature from one status to another; one that is there already is left as it is."""

    def work(unit: WriteUnit) -> Answer:
        before = _locked(request, unit)
        status = before.feature.status
        if status not in {source, target}:
            detail = f"`{before.feature.id}` is `{status.value}`, not `{source.value}`"
            raise ConflictError("status-move", detail)
        return _replaced(unit, before, replace(before.feature, status=target), action)

    return request.change(work)


def _locked(request: AdminRequest, unit: WriteUnit) -> StoredFeature:
    """The feature of the path, which nobody else changes until the end, as the caller has seen it."""
    lock_catalog(unit)
    stored = find_feature(unit, request.params["id"])
    request.check_etag("feature", stored.feature.id, stored.stamp.etag)
    return stored


def _replaced(unit: WriteUnit, before: StoredFeature, feature: Feature, action: str) -> Answer:
    after = replace_feature(unit, before, feature)
    if after != before:
        unit.audit(
            action, "feature", feature.id, before=feature_data(before.feature), after=feature_data(after.feature)
        )
    return _answer(after)


def _refuse_reinterpretation(unit: ReadUnit, feature: Feature) -> None:
    """See that an id that was published means what it meant: past publications and versions can come back.

    Raises:
        ConflictError: it was of another type, or a version gave it in another scale.
    """
    type_ = published_types(unit.session, [feature.id]).get(feature.id)
    if type_ is not None and type_ is not feature.type:
        raise ConflictError("type-changed", explain_fixed_type(feature.id, type_))
    given = first_given(unit.session, [feature.id]).get(feature.id)
    then = None if given is None else unit.published_at(given[2]).catalog.features.get(feature.id)
    if given is not None and then is not None and then.scale != feature.scale:
        detail = f"version {given[1]} of `{given[0]}` was published with `{feature.id}` in scale {then.scale}, and can \
come back: choose another id, or keep the scale {then.scale}"
        raise ConflictError("scale-mapped", detail)


def _uses(unit: ReadUnit, feature: Feature) -> list[ValueUse]:
    return [ValueUse(use.value, use.holders, use.count, is_bound=use.is_bound) for use in feature_uses(unit, feature)]


def _refuse_suspensions(feature: Feature, standing: tuple[Suspension, ...]) -> None:
    if feature.suspensions != standing:
        detail = "`suspensions` is not edited here: a suspension acts at once, by a request of its own"
        raise BodyError([BodyProblem("/suspensions", "not-edited-here", detail)])


def _answer(stored: StoredFeature, status: int = 200, *, location: str | None = None) -> Answer:
    return Answer.json(feature_answer(stored), status, etag=stored.stamp.etag, location=location)
