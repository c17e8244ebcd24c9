"""Plan to suspend a feature for all customers, or to resume it, whatever else is pending. Takes effect immediately."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.catalog import suspension_data
from tiergate.errors import ConflictError, NotFoundError
from tiergate.model import FOREVER, Suspension, format_instant
from tiergate.naming import nearest
from tiergate.publish.changeset import Changeset, etags_of, replace_catalog
from tiergate.publish.publication_plan import PublicationPlan
from tiergate.store.working_catalog import read_working, write_features

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.model import Feature
    from tiergate.publish.publication_plan import Planner
    from tiergate.publish.published_state import PublishedState
    from tiergate.store import ReadUnit, WriteUnit

    Change = Callable[[tuple[Suspension, ...]], tuple[Suspension, ...]]


def plan_suspension(feature: str, suspension: Suspension, note: str = "") -> Planner:
    """Plan to suspend a published feature."""

    def plan(unit: ReadUnit, current: PublishedState) -> PublicationPlan:
        return _plan(
            unit, current, feature, lambda before: (*before, suspension), "feature.suspended", suspension, note
        )

    return plan


def plan_resumption(feature: str, number: int, note: str = "") -> Planner:
    """Plan to remove a suspension; `number`: its place among those of the published feature, from 1."""

    def plan(unit: ReadUnit, current: PublishedState) -> PublicationPlan:
        suspensions = _published_feature(unit, current, feature).suspensions
        if not 1 <= number <= len(suspensions):
            raise NotFoundError("suspension", f"{feature}/{number}")
        removed = suspensions[number - 1]

        def without(before: tuple[Suspension, ...]) -> tuple[Suspension, ...]:
            place = before.index(removed) if removed in before else len(before)
            return before[:place] + before[place + 1 :]

        return _plan(unit, current, feature, without, "feature.resumed", removed, note)

    return plan


def _plan(
    unit: ReadUnit,
    current: PublishedState,
    id_: str,
    change: Change,
    action: str,
    suspension: Suspension,
    note: str,
) -> PublicationPlan:
    feature = _with_suspensions(_published_feature(unit, current, id_), change)
    working = read_working(unit.session, [id_], ()).features

    def also(unit: WriteUnit, _: int) -> None:
        write_features(unit, [_with_suspensions(it.feature, change) for it in working.values()])
        unit.audit(action, "feature", id_, after={"feature": id_, **suspension_data(suspension)})
        until = {} if suspension.until == FOREVER else {"until": format_instant(suspension.until)}
        unit.emit(action, {"feature": id_, **until})

    catalog = replace_catalog(current.catalog, features={**current.catalog.features, id_: feature})
    changeset = Changeset(catalog, current.rules, current.roles, features_read=etags_of(working, working))
    return PublicationPlan(changeset, note=note, also=also)


def _with_suspensions(feature: Feature, change: Change) -> Feature:
    suspensions = sorted(change(feature.suspensions), key=lambda it: (it.start, it.until, it.reason))
    return replace(feature, suspensions=tuple(suspensions))


def _published_feature(unit: ReadUnit, current: PublishedState, id_: str) -> Feature:
    feature = current.catalog.features.get(id_)
    if feature is not None:
        return feature
    if id_ in read_working(unit.session, [id_], ()).features:
        raise ConflictError("not-published", f"the feature `{id_}` is not published, so it cannot be suspended")
    raise NotFoundError("feature", id_, nearest(id_, current.catalog.features))
