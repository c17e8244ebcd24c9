"""Features of the working catalog: list, read, create, patch, delete them, and change their status.

Discarding the edits of a feature makes it what is published; if it was deleted, it comes back.

A feature's JSON text is its entry in a catalog file. An edit takes effect when it is published. Suspensions take effect
immediately, and have use cases of their own (`immediate_changes`).

Use cases raise `NotFoundError` if the feature does not exist, `PreconditionError` if it has another version,
`BodyError` if the text is not a feature, or changes its suspensions, and `ConflictError` if uses or past versions do
not allow the change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tiergate.admin.catalog_edits import reject_conflicts
from tiergate.admin.results import Page, View
from tiergate.catalog import (
    ValueUse,
    apply_merge_patch,
    check_feature_change,
    check_feature_deletion,
    feature_data,
    features_drawing_on,
    read_feature_body,
)
from tiergate.errors import BodyError, BodyProblem, ConflictError, NotFoundError
from tiergate.model import FeatureStatus
from tiergate.publish.validation import explain_fixed_type
from tiergate.store import features as stored_features
from tiergate.store.features import FeatureFilter, StoredFeature, find_feature, lock_catalog, read_features
from tiergate.store.items import read_items
from tiergate.store.publications import first_versions_with, published_types
from tiergate.store.references import features_linking_to, read_feature_references
from tiergate.store.status_references import describe_status_references
from tiergate.store.working_catalog import delete_features

if TYPE_CHECKING:
    from tiergate.admin.precondition import Precondition
    from tiergate.model import Feature, Suspension
    from tiergate.store import ReadUnit, WriteUnit

_BOUND_BY_USES: Final = ("scale", "labels", "numbers", "unlimited_level", "minimum", "maximum", "metered")


def list_features(unit: ReadUnit, wanted: FeatureFilter, after: str | None, limit: int) -> Page:
    """List features in the order of their ids, from the one after `after` on."""
    rows = stored_features.list_features(unit, wanted._replace(now=unit.now), after, limit + 1)
    page = rows[:limit]
    return Page([_view(row) for row in page], page[-1].feature.id if len(rows) > limit else None)


def get_feature(unit: ReadUnit, id_: str) -> View:
    """Read a feature."""
    return _view(find_feature(unit, id_))


def create_feature(unit: WriteUnit, text: bytes) -> View:
    """Create a feature from its JSON text."""
    lock_catalog(unit)
    feature = read_feature_body(text, read_features(unit))
    _reject_suspensions(feature, ())
    _reject_reinterpretation(unit, feature)
    stored = stored_features.add_feature(unit, feature)
    unit.audit("feature.created", "feature", feature.id, after=feature_data(feature))
    return _view(stored)


def patch_feature(unit: WriteUnit, id_: str, patch: bytes, expected: Precondition) -> View:
    """Change a feature by a JSON merge patch (RFC 7396)."""
    before = _lock_feature(unit, id_, expected)
    old = before.feature
    text = apply_merge_patch(patch, feature_data(old))
    features = read_features(unit)
    feature = read_feature_body(text, features, {"id": old.id, "type": old.type.value})
    _reject_suspensions(feature, old.suspensions)
    is_bound = any(getattr(old, name) != getattr(feature, name) for name in _BOUND_BY_USES)
    uses = value_uses(unit, old) if is_bound else []
    reject_conflicts(check_feature_change(old, feature, uses, features_drawing_on(old.id, features)))
    if feature.scale != old.scale:
        _reject_reinterpretation(unit, feature)
    return _replace(unit, before, feature, "feature.edited")


def delete_feature(unit: WriteUnit, id_: str, expected: Precondition) -> None:
    """Delete a feature that is not active and that nothing uses."""
    feature = _lock_feature(unit, id_, expected).feature
    links = [f"the feature `{other}`, which is linked to it" for other in features_linking_to(unit, feature.id)]
    links += [f"the feature `{it}`, which draws on it" for it in features_drawing_on(id_, read_features(unit))]
    links += [
        f"the service level that the item `{it}` promises of it"
        for it, stored in read_items(unit).items()
        if id_ in stored.item.service_levels
    ]
    links += describe_status_references(unit, [id_]).get(id_, ())
    linked = [ValueUse(None, tuple(links), len(links))] if links else []
    reject_conflicts(check_feature_deletion(feature, [*value_uses(unit, feature), *linked]))
    delete_features(unit.session, [feature.id])
    unit.audit("feature.deleted", "feature", feature.id, before=feature_data(feature))


def activate_feature(unit: WriteUnit, id_: str, expected: Precondition) -> View:
    """Activate a draft feature; takes effect when it is published."""
    return _move(unit, id_, expected, FeatureStatus.DRAFT, FeatureStatus.ACTIVE, "feature.activated")


def archive_feature(unit: WriteUnit, id_: str, expected: Precondition) -> View:
    """Archive an active feature: it gets no new entitlements and keeps those it has."""
    return _move(unit, id_, expected, FeatureStatus.ACTIVE, FeatureStatus.ARCHIVED, "feature.archived")


def reactivate_feature(unit: WriteUnit, id_: str, expected: Precondition) -> View:
    """Make an archived feature active again."""
    return _move(unit, id_, expected, FeatureStatus.ARCHIVED, FeatureStatus.ACTIVE, "feature.reactivated")


def discard_feature(unit: WriteUnit, id_: str, expected: Precondition) -> int:
    """Discard the unpublished edits of a feature; restore it if it was deleted.

    Return its new version.
    """
    lock_catalog(unit)
    stored, published = stored_features.stored_feature(unit, id_), unit.published.catalog.features.get(id_)
    if published is None:
        find_feature(unit, id_)
        detail = f"the feature `{id_}` is not published, so no published state can be restored: delete it instead"
        raise ConflictError("not-published", detail)
    if stored is None:
        after = stored_features.add_feature(unit, published)
        unit.audit("edit.discarded", "feature", id_, after=feature_data(published))
        return after.stamp.etag
    expected.check("feature", id_, stored.stamp.etag)
    if stored.feature == published:
        raise NotFoundError("draft", id_)
    uses, drawn_by = value_uses(unit, stored.feature), features_drawing_on(id_, read_features(unit))
    problems = check_feature_change(stored.feature, published, uses, drawn_by)
    reject_conflicts([it for it in problems if it.code != "status-move"])  # an unpublished move can be undone
    after = stored_features.replace_feature(unit, stored, published)
    before = feature_data(stored.feature)
    unit.audit("edit.discarded", "feature", id_, before=before, after=feature_data(published))
    return after.stamp.etag


def value_uses(unit: ReadUnit, feature: Feature) -> list[ValueUse]:
    """Return where the store uses values of a feature."""
    return [
        ValueUse(use.value, use.holders, use.count, is_bound=use.is_bound)
        for use in read_feature_references(unit, feature)
    ]


def _move(
    unit: WriteUnit, id_: str, expected: Precondition, source: FeatureStatus, target: FeatureStatus, action: str
) -> View:
    before = _lock_feature(unit, id_, expected)
    status = before.feature.status
    if status not in {source, target}:
        raise ConflictError("status-move", f"`{id_}` is `{status.value}`, not `{source.value}`")
    return _replace(unit, before, replace(before.feature, status=target), action)


def _lock_feature(unit: WriteUnit, id_: str, expected: Precondition) -> StoredFeature:
    lock_catalog(unit)
    stored = find_feature(unit, id_)
    expected.check("feature", id_, stored.stamp.etag)
    return stored


def _replace(unit: WriteUnit, before: StoredFeature, feature: Feature, action: str) -> View:
    after = stored_features.replace_feature(unit, before, feature)
    if after != before:
        old, new = feature_data(before.feature), feature_data(after.feature)
        unit.audit(action, "feature", feature.id, before=old, after=new)
    return _view(after)


def _reject_reinterpretation(unit: ReadUnit, feature: Feature) -> None:
    """Reject another meaning of a published id: past publications and versions can become active again."""
    type_ = published_types(unit.session, [feature.id]).get(feature.id)
    if type_ is not None and type_ is not feature.type:
        raise ConflictError("type-changed", explain_fixed_type(feature.id, type_))
    given = first_versions_with(unit.session, [feature.id]).get(feature.id)
    if given is None:
        return
    item, version, sequence = given
    published = unit.published_at(sequence).catalog.features.get(feature.id)
    if published is not None and published.scale != feature.scale:
        detail = f"version {version} of `{item}` was published with `{feature.id}` in scale {published.scale}, and can \
become active again: choose another id, or keep the scale {published.scale}"
        raise ConflictError("scale-mapped", detail)


def _reject_suspensions(feature: Feature, current: tuple[Suspension, ...]) -> None:
    if feature.suspensions != current:
        detail = "`suspensions` cannot be edited here: a suspension takes effect immediately, by its own request"
        raise BodyError([BodyProblem("/suspensions", "not-edited-here", detail)])


def _view(stored: StoredFeature) -> View:
    return View(feature_data(stored.feature), stored.stamp)
